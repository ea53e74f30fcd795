//! Where the peers are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::net::Net;
use crate::raft::NodeId;
use crate::raft::by_node::ByNode;

/// How long a peer's name may take to resolve, and how long until it is tried again.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long until names are looked up again: peers move.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Where peers are, as far as it is known.
pub(crate) type Addresses = Rc<RefCell<ByNode<SocketAddr>>>;

/// Looks the peers' names up, now and again, beside the node's own work: a name server that is slow must not cost a
/// leader its lead. The lookups end with the set.
pub(super) fn look_up<N: Net>(net: &N, peers: BTreeMap<NodeId, String>, addresses: &Addresses) -> JoinSet<()> {
    let mut lookups = JoinSet::new();
    for (id, name) in peers {
        if let Ok(address) = name.parse() {
            addresses.borrow_mut().insert(id, address);
            continue;
        }
        let (net, addresses) = (net.clone(), addresses.clone());
        lookups.spawn_local(N::task(async move {
            loop {
                let found = timeout(RESOLVE_TIMEOUT, net.resolve(&name)).await;
                let again = match found {
                    Ok(Ok(address)) => {
                        addresses.borrow_mut().insert(id, address);
                        RESOLVE_EVERY
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(peer = %id, %error, "cannot find a peer");
                        RESOLVE_TIMEOUT
                    }
                    Err(_) => RESOLVE_TIMEOUT,
                };
                sleep_until(tokio::time::Instant::now() + again).await;
            }
        }));
    }
    lookups
}
