//! The HTTP load balancer on real sockets.
//!
//! ```text
//! load-balancer --listen 127.0.0.1:8080 --backend http://127.0.0.1:8081 --backend http://127.0.0.1:8082
//! ```

use std::process::ExitCode;

use stormglass::balancer::cli::{self, Options};
use stormglass::service;
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    service::log_to_stderr(LevelFilter::WARN);
    service::run(cli::run(options))
}
