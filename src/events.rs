//! The small sink into which a host tells what it does.
//!
//! A host has an event type of its own and knows nothing of who listens: a log on real sockets, the trace and the
//! checks in the testbed, or nobody, which costs a branch.

use std::fmt;
use std::rc::Rc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What is called with each event.
type Listener<E> = dyn Fn(&E);

/// Takes a host's events. Clones share the listener.
pub struct Sink<E>(Option<Rc<Listener<E>>>);

impl<E> Sink<E> {
    /// Nobody listens.
    pub fn none() -> Self {
        Self(None)
    }

    /// `listener` is called with each event, at once.
    pub fn new(listener: impl Fn(&E) + 'static) -> Self {
        Self(Some(Rc::new(listener)))
    }

    /// Tells of an event, which is made only if somebody listens.
    #[inline]
    pub fn emit(&self, event: impl FnOnce() -> E) {
        if let Some(listener) = &self.0 {
            listener(&event());
        }
    }

    /// Tells of an event that is there already.
    #[inline]
    pub fn tell(&self, event: &E) {
        if let Some(listener) = &self.0 {
            listener(event);
        }
    }
}

impl<E> Clone for Sink<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> Default for Sink<E> {
    fn default() -> Self {
        Self::none()
    }
}

impl<E> fmt::Debug for Sink<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Sink(listened to)" } else { "Sink(none)" })
    }
}

/// A value of a system's event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Int(u64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Text(s) => f.write_str(s),
        }
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Int(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::Text(s)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Text(s.to_owned())
    }
}

/// A line of JSON in which a service on real sockets tells of an event, for whoever runs it (`--events`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line<F> {
    /// Nanoseconds since 1970; it never falls from one line of a process to the next. It comes first: see [`Self::read`].
    pub t_ns: u64,
    /// The event's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The event's fields.
    #[serde(default = "IndexMap::new", skip_serializing_if = "IndexMap::is_empty")]
    pub fields: IndexMap<String, Value>,
    /// What checks go by.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub fact: Option<F>,
}

impl<F: DeserializeOwned> Line<F> {
    /// Reads a line; `None`: it is another. What a process that was killed has left of its last line may stand before it.
    pub fn read(text: &str) -> Option<Self> {
        // No text within JSON has quotes that are not escaped.
        serde_json::from_str(&text[text.rfind("{\"t_ns\":")?..]).ok()
    }
}

impl<F> Line<F> {
    /// Of an event with these fields, and no fact.
    pub fn named(t_ns: u64, event: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { t_ns, event: Some(event.to_owned()), fields, fact: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_also_behind_what_is_left_of_another() {
        let line = Line { fact: Some(3_u64), ..Line::named(7, "sent", [("payload", "{\"t_ns\":1}".into())]) };
        let text = serde_json::to_string(&line).expect("JSON");
        let begun = &text[..text.len() / 2];
        for text in [text.clone(), format!("{begun}{text}")] {
            assert_eq!(Line::read(&text), Some(line.clone()), "{text}");
        }
        assert_eq!(Line::<u64>::read(begun), None);
        assert_eq!(Line::<u64>::read("listening on 127.0.0.1:80"), None);
    }
}
