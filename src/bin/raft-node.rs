//! Raft on real sockets: a member of a cluster, or a whole cluster to look at.
//!
//! ```text
//! raft-node --id 1 --listen 127.0.0.1:7001 --peers 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003 --data n1
//! raft-node local --nodes 5 --fail-leader-every 3s --write-every 50ms
//! raft-node kv --peers 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003 put name value
//! ```

use std::process::ExitCode;

use stormglass::raft::cli::{self, Job, Options};
use stormglass::service;

fn main() -> ExitCode {
    let job = Options::job();
    service::log_to_stderr(job.log_level());
    match job {
        Job::Node(node) => service::run(cli::node(*node)),
        Job::Local(options) => service::run(cli::local(options)),
        Job::Kv(call) => service::run(cli::kv(*call)),
    }
}
