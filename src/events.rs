//! The small sink into which a host tells what it does.
//!
//! A host has an event type of its own and knows nothing of who listens: a log on real sockets, the trace and the
//! checks in the testbed, or nobody, which costs a branch.

use std::fmt;
use std::rc::Rc;

use schemars::JsonSchema;
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
