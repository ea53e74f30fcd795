//! Term and vote on disk: one file, replaced as a whole, sealed, and with the name of whose it is.

use std::io;

use super::codec::ClusterId;
use super::{HardState, NodeId};
use crate::disk::{Disk, open, replace, seal};

/// The file's name.
pub const FILE: &str = "hard-state";

const KIND: &[u8; 4] = b"RAFT";
const VERSION: u8 = 1;

/// Where a node keeps what must survive it.
#[derive(Clone, Debug)]
pub struct Storage<D> {
    disk: D,
    cluster: ClusterId,
    id: NodeId,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    cluster: ClusterId,
    id: NodeId,
    state: HardState,
}

impl<D: Disk> Storage<D> {
    /// The storage of a node of a cluster.
    pub fn new(disk: D, cluster: ClusterId, id: NodeId) -> Self {
        Self { disk, cluster, id }
    }

    /// What the node wrote last; of a node that never wrote, the state that all begin with.
    ///
    /// What is returned is durable. A file that is damaged, of another version, or another node's is an error: a vote that is forgotten can be given
    /// twice, so nothing is guessed at.
    pub async fn load(&self) -> io::Result<HardState> {
        let Some(bytes) = self.disk.read(FILE).await? else { return Ok(HardState::default()) };
        // A process that was killed between the rename and the sync of the directory has left what can be read and is not
        // durable yet: acted upon, it could still be lost with the power, and a vote be given twice.
        self.disk.sync(FILE).await?;
        self.disk.sync_dir().await?;
        let content = open(KIND, VERSION, &bytes).map_err(|corrupt| unusable(&corrupt.to_string()))?;
        let content = Content::parse(content)?;
        if content.cluster != self.cluster {
            return Err(unusable("it belongs to a node of another cluster"));
        }
        if content.id != self.id {
            return Err(unusable(&format!("it belongs to {}, and this is {}", content.id, self.id)));
        }
        Ok(content.state)
    }

    /// Writes a state. When this returns it is durable; until then, the one before is.
    pub async fn save(&self, state: HardState) -> io::Result<()> {
        let content = Content { cluster: self.cluster, id: self.id, state };
        replace(&self.disk, FILE, &seal(KIND, VERSION, &content.bytes())).await
    }
}

impl Content {
    fn bytes(self) -> Vec<u8> {
        let voted_for = self.state.voted_for.map_or(0, |id| id.0);
        [self.cluster.0, self.id.0, self.state.term, voted_for].map(u64::to_le_bytes).concat()
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let ([cluster, id, term, voted_for], []) = (numbers, rest) else {
            return Err(unusable(&format!("it holds {} bytes where there should be 32", bytes.len())));
        };
        let [cluster, id, term, voted_for] = [cluster, id, term, voted_for].map(|number| u64::from_le_bytes(*number));
        let voted_for = (voted_for != 0).then_some(NodeId(voted_for));
        Ok(Self { cluster: ClusterId(cluster), id: NodeId(id), state: HardState { term, voted_for } })
    }
}

fn unusable(why: &str) -> io::Error {
    let advice = "without its term and vote a node must not take part: bring the file back, or take the node out of the \
                  cluster and add it anew, under another id";
    io::Error::new(io::ErrorKind::InvalidData, format!("the file `{FILE}` cannot be used: {why}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::HEADER_BYTES;

    #[test]
    fn what_is_written_is_read_back() {
        for voted_for in [None, Some(NodeId(3))] {
            let content =
                Content { cluster: ClusterId(9), id: NodeId(1), state: HardState { term: 1 << 60, voted_for } };
            assert_eq!(Content::parse(&content.bytes()).expect("it is whole"), content);
        }
        let error = Content::parse(&[0; 31]).expect_err("it is cut short").to_string();
        assert!(error.contains("31 bytes where there should be 32"), "{error}");
        assert_eq!(HEADER_BYTES + 32, seal(KIND, VERSION, &[0; 32]).len());
    }
}
