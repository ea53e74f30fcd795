//! An HTTP/1.1 load balancer: a host. [`policy`] decides where each request goes and who may be asked: pure, over `now`.
//! [`framing`] decides on the raw bytes what is a request, and [`guard`] stands between a client's socket and hyper.

pub mod framing;
pub mod guard;
pub mod policy;
