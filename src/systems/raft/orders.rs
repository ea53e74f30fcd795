//! Raft's own steps in a script.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::options::node;
use crate::raft::{Config, NodeId};
use crate::script::{ScriptError, Section, TimeSpan};

/// A step of Raft's own: one of `pin`, `jump`, `transfer_to` and `propose`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Nodes whose next election timeout is to be `timeout`, whatever they would draw; also that which runs already.
    pin: Option<Names>,
    /// The timeout, with `pin`.
    timeout: Option<TimeSpan>,
    /// Nodes whose clocks are to jump ahead `by` a time, as those of machines that stood still.
    jump: Option<Names>,
    /// How far, with `jump`.
    by: Option<TimeSpan>,
    /// The node that whoever leads is to hand its lead to.
    transfer_to: Option<String>,
    /// The node that is to have a command replicated which changes nothing, if it leads: a write at a moment of the script's
    /// choice, without a client.
    propose: Option<String>,
}

/// A name, or some.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a node such as \"n1\", or a list of nodes")]
enum Names {
    /// One.
    One(String),
    /// Some.
    Some(Vec<String>),
}

impl Names {
    fn list(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Some(names) => names,
        }
    }
}

/// What a [`Step`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Pin { nodes: Vec<NodeId>, timeout: Duration },
    Jump { nodes: Vec<NodeId>, by: Duration },
    TransferTo(NodeId),
    Propose(NodeId),
}

impl Step {
    pub(super) fn order(&self, section: &Section, config: &Config) -> Result<Order, ScriptError> {
        let Self { pin, timeout, jump, by, transfer_to, propose } = self;
        let of = |names: &Names, key: &str| {
            let nodes = names.list().iter().map(|name| node(name, config)).collect::<Result<Vec<_>, _>>();
            nodes.map_err(|message| section.error(key, message))
        };
        let one = |name: &str, key: &str| node(name, config).map_err(|message| section.error(key, message));
        match (pin, jump, transfer_to, propose) {
            (Some(names), None, None, None) if by.is_none() => match timeout {
                Some(TimeSpan(timeout)) if !timeout.is_zero() => {
                    Ok(Order::Pin { nodes: of(names, "pin")?, timeout: *timeout })
                }
                Some(_) => Err(section.error("timeout", "expected a time above 0")),
                None => Err(section.error("pin", "expected a `timeout` beside it, such as \"155ms\"")),
            },
            (None, Some(names), None, None) if timeout.is_none() => match by {
                Some(TimeSpan(by)) if !by.is_zero() => Ok(Order::Jump { nodes: of(names, "jump")?, by: *by }),
                Some(_) => Err(section.error("by", "expected a time above 0: such a clock never goes back")),
                None => Err(section.error("jump", "expected `by` beside it, such as \"300ms\"")),
            },
            (None, None, Some(name), None) if timeout.is_none() && by.is_none() => {
                one(name, "transfer_to").map(Order::TransferTo)
            }
            (None, None, None, Some(_)) if config.replication.is_none() => Err(section.error(
                "propose",
                "expected `[raft.replication]` or `[raft.clients]` in the script: its log stands still",
            )),
            (None, None, None, Some(name)) if timeout.is_none() && by.is_none() => {
                one(name, "propose").map(Order::Propose)
            }
            _ => {
                let expected = "expected one of `pin` with a `timeout`, `jump` with `by`, `transfer_to`, and `propose`";
                Err(section.error_of_table(expected))
            }
        }
    }
}
