//! What a TCP server is told.

use std::time::Duration;

use bytes::Bytes;

use super::cli::parse_bytes;
use crate::service::parse_duration;

/// What a TCP server does; the defaults are those of the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeOptions {
    /// What stands before the echo in each answer
    #[arg(long, value_name = "TEXT", default_value = "Echo: ", value_parser = parse_bytes)]
    pub prefix: Bytes,
    /// The longest line that is answered, in bytes without its newline
    #[arg(long = "max-line", value_name = "BYTES", default_value_t = 65_536)]
    pub line_bytes_max: usize,
    /// Close a connection on which nothing has moved for this long
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub idle_timeout: Duration,
    /// Connections at a time; one more gets an error line
    #[arg(long = "max-connections", value_name = "COUNT", default_value_t = 1024)]
    pub connections_max: usize,
    /// How long connections may take to finish when the server is told to stop
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            prefix: Bytes::from_static(b"Echo: "),
            line_bytes_max: 65_536,
            idle_timeout: Duration::from_mins(5),
            connections_max: 1024,
            drain_timeout: Duration::from_secs(5),
        }
    }
}
