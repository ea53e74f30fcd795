//! Raft on real sockets: a member of a cluster, or a whole cluster to look at.
//!
//! ```text
//! raft-node --id 1 --listen 127.0.0.1:7001 --peers 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003 --data n1
//! raft-node local --nodes 5 --fail-leader-every 3s
//! ```

use std::process::ExitCode;

use stormglass::net::real;
use stormglass::raft::cli::{self, Job, Options};

fn main() -> ExitCode {
    let job = Options::job();
    cli::log_to_stderr(&job);
    let ended = match job {
        Job::Node(node) => real::run(cli::node(*node)),
        Job::Local(options) => real::run(cli::local(options)),
    };
    cli::exit(ended.flatten())
}
