//! What Linux lets one set, with Linux's defaults.

use super::Micros;

/// The algorithm that opens and closes the congestion window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 9438, with `HyStart`.
    Cubic,
    /// RFC 5681.
    Reno,
    /// No congestion window: what the receiver's window allows is sent.
    Unlimited,
}

/// The settings of one end of a connection. Times in microseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of Linux's")]
pub struct Settings {
    /// The most that one segment carries: Ethernet's 1,500 bytes less the headers and the timestamps.
    pub mss: u64,
    /// `tcp_congestion_control`.
    pub congestion: Algorithm,
    /// Segments that may be sent at first (RFC 6928; `initcwnd`).
    pub initial_window: u32,
    /// `tcp_sack`: selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// `tcp_recovery`: time-based loss detection (RFC 8985). Without it, three segments beyond a gap say that it is lost
    /// (RFC 6675).
    pub rack: bool,
    /// `tcp_early_retrans`: tail loss probes (RFC 8985, section 7).
    pub probe: bool,
    /// Whether acknowledgements wait for data to ride on (RFC 1122, section 4.2.3.2).
    pub delayed_ack: bool,
    /// Whether a segment that was sent again takes its small neighbours along (`tcp_retrans_collapse`).
    pub collapse: bool,
    /// The receive window, if it is fixed (`SO_RCVBUF`); otherwise it grows as `tcp_moderate_rcvbuf` has it.
    pub window: Option<u64>,
    /// The least that a timeout waits beyond the round trip (`TCP_RTO_MIN`).
    pub rto_min: Micros,
    /// The longest timeout (`TCP_RTO_MAX`).
    pub rto_max: Micros,
    /// The first timeout, before a round trip is known (RFC 6298, section 2.1).
    pub rto_initial: Micros,
    /// `tcp_retries2`: how often a segment is sent again before the connection is given up. Linux counts time: what so many
    /// doublings of the least timeout take.
    pub retries: u32,
    /// `tcp_syn_retries`.
    pub syn_retries: u32,
    /// `tcp_syn_linear_timeouts`: how many SYNs are sent again before the timeout doubles.
    pub syn_linear: u32,
    /// `tcp_synack_retries`.
    pub synack_retries: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mss: 1_448,
            congestion: Algorithm::Cubic,
            initial_window: 10,
            sack: true,
            rack: true,
            probe: true,
            delayed_ack: true,
            collapse: true,
            window: None,
            rto_min: 200_000,
            rto_max: 120_000_000,
            rto_initial: 1_000_000,
            retries: 15,
            syn_retries: 6,
            syn_linear: 4,
            synack_retries: 5,
        }
    }
}
