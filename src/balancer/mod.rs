//! An HTTP/1.1 load balancer: a host.
//!
//! ```text
//!  client -> guard -> hyper -> proxy -> policy: which backend
//!              |                 |
//!           framing:          upstream -> hyper -> backend
//!        what is a request       ^
//!                              checks
//! ```
//!
//! - [`policy`] decides where each request goes and who may be asked: pure, over `now`.
//! - [`framing`] decides on the raw bytes what is a request: pure too. hyper reads what a lenient server may read; a
//!   balancer stands before servers that may read it otherwise. [`guard`] stands between a client's socket and hyper and
//!   lets nothing else through.
//! - [`server`] accepts clients and watches their deadlines; [`proxy`] takes one request ([`outgoing`]) to a backend, and to another one
//!   where that is safe; [`upstream`] keeps the connections to a backend, each a [`wire`]; [`checks`] asks backends how they are;
//!   [`tunnel`] is what an upgraded connection becomes. [`shared`] is what all of them share.
//! - [`forwarding`] is what becomes of headers and paths, [`body`] of bodies, [`upload`] of those that clients send, [`own`] are the balancer's own answers.
//! - [`config`] is what a balancer is told, as plain data ([`network`]: whom it trusts), and [`mod@file`] reads it from TOML. [`admin`] is what a balancer tells
//!   of itself, [`cli`] the command line of `load-balancer`, on one thread or several.
//!
//! There is no TLS and no HTTP/2, and 103 (Early Hints) is not passed on: hyper's server cannot send it.
//!
//! **Invariant:** a request that is not idempotent reaches at most one backend: it is sent again only when its connection
//! could not be opened, or hyper has handed it back unwritten.

/// `true` where the balancer runs with the bug; in a build without planted bugs, `false` and nothing else.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($policy:expr, $bug:ident) => {
        ($policy.bug == Some($crate::balancer::planted::Bug::$bug))
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($policy:expr, $bug:ident) => {
        false
    };
}

pub mod admin;
pub mod body;
pub mod checks;
pub mod cli;
pub mod config;
pub mod event;
pub mod file;
pub mod forwarding;
pub mod framing;
pub mod guard;
pub mod network;
pub mod outgoing;
pub mod own;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod policy;
pub mod proxy;
pub mod server;
pub mod shared;
pub mod tunnel;
pub mod upload;
pub mod upstream;
pub mod wire;
