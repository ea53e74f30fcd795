//! An HTTP/1.1 load balancer: a host. [`policy`] decides where each request goes and who may be asked: pure, over `now`.

pub mod policy;
