//! A value for each node that has one, where several are looked up for each message.

use super::NodeId;

/// In the order of the nodes.
#[derive(Clone, Debug)]
pub(crate) struct ByNode<T>(Vec<(NodeId, T)>);

impl<T> Default for ByNode<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByNode<T> {
    /// Where a node is, or where it would be. Nodes are mostly called 1, 2, 3, and mostly all are there, or all but the one
    /// that looks.
    #[inline]
    fn find(&self, id: NodeId) -> Result<usize, usize> {
        let guess = usize::try_from(id.0).unwrap_or(usize::MAX);
        let is_at = |place: usize| self.0.get(place).is_some_and(|(at, _)| *at == id);
        for place in [guess.wrapping_sub(1), guess.wrapping_sub(2)] {
            if is_at(place) {
                return Ok(place);
            }
        }
        self.0.binary_search_by_key(&id, |(at, _)| *at)
    }

    #[inline]
    pub(crate) fn get(&self, id: NodeId) -> Option<&T> {
        self.find(id).ok().map(|place| &self.0[place].1)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut T> {
        self.find(id).ok().map(|place| &mut self.0[place].1)
    }

    /// Returns what was there before.
    #[inline]
    pub(crate) fn insert(&mut self, id: NodeId, value: T) -> Option<T> {
        match self.find(id) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                self.0.insert(place, (id, value));
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, id: NodeId) -> Option<T> {
        self.find(id).ok().map(|place| self.0.remove(place).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &T)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().map(|(id, _)| *id)
    }

    /// The node at a place in their order.
    pub(crate) fn at(&self, place: usize) -> NodeId {
        self.0[place].0
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Extend<(NodeId, T)> for ByNode<T> {
    fn extend<I: IntoIterator<Item = (NodeId, T)>>(&mut self, values: I) {
        for (id, value) in values {
            self.insert(id, value);
        }
    }
}

impl<T> FromIterator<(NodeId, T)> for ByNode<T> {
    fn from_iter<I: IntoIterator<Item = (NodeId, T)>>(values: I) -> Self {
        let mut all = Self::default();
        all.extend(values);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..9_u64, any::<Option<u32>>()), 0..60)) {
            let (mut map, mut known) = (ByNode::default(), BTreeMap::new());
            for (id, value) in steps {
                let id = NodeId(id.wrapping_sub(1));
                let (was, known_was) = match value {
                    Some(value) => (map.insert(id, value), known.insert(id, value)),
                    None => (map.remove(id), known.remove(&id)),
                };
                prop_assert_eq!(was, known_was);
                prop_assert_eq!(map.get(id), known.get(&id));
                prop_assert!(map.values().eq(known.values()));
                prop_assert_eq!(map.len(), known.len());
            }
        }
    }
}
