//! How to use the testbed: scripts, many seeds, what to do with a failure, a service of one's own, the load balancer before
//! real services, and the network that it all runs in.
//!
//! The pages are files beside this one, to be read on a code host too. There their links lead to sources, by what stands at
//! the end of each page; here `links.md` comes before that and leads to documentation.

/// A page: its links, then its text.
macro_rules! page {
    ($name:ident) => {
        #[doc = include_str!("links.md")]
        #[doc = ""]
        #[doc = include_str!(concat!(stringify!($name), ".md"))]
        #[allow(clippy::doc_markdown, reason = "names of other programs, as in any prose")]
        pub mod $name {}
    };
}

page!(scripts);
page!(sweeps);
page!(lanes);
page!(live);
page!(exhaust);
page!(failures);
page!(own_service);
page!(anyones_raft);
page!(bugs_of_others);
page!(leaks);
page!(replicated_log);
page!(balancer);
page!(report);
page!(network_model);
page!(how_true);
page!(races);
page!(checks);
page!(figures);
page!(speed);
page!(commands);
page!(packets);
page!(real_sockets);
