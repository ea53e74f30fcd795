//! `[network.tcp]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::document::Document;
use super::super::document::Part::Key;
use super::super::units::{ByteSize, TimeSpan};
use super::super::{Congestion, ScriptError, TcpSettings};
use super::network::no_room;

/// What Linux lets one set of TCP, with Linux's defaults.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Tcp")]
pub(super) struct RawTcp {
    /// What the other keys begin with: "linux", or "plain", which has none of what Linux does about a loss but to wait for
    /// its timeout: no selective acknowledgements, loss detection by time, probes, congestion window or delayed
    /// acknowledgements; a window of 64 KiB.
    #[schemars(extend("default" = "linux"))]
    preset: Option<Preset>,
    /// The algorithm of the congestion window (`tcp_congestion_control`).
    #[schemars(extend("default" = "cubic"))]
    congestion: Option<Congestion>,
    /// Segments that may be sent at first (`initcwnd`).
    #[schemars(range(min = 1), extend("default" = 10))]
    initial_window: Option<u32>,
    /// Selective acknowledgements (`tcp_sack`). Without them there are no probes and no loss detection by time.
    #[schemars(extend("default" = true))]
    sack: Option<bool>,
    /// Loss detection by time, RACK (`tcp_recovery`). Without it, three segments beyond a gap say that it is lost.
    #[schemars(extend("default" = true))]
    rack: Option<bool>,
    /// Tail loss probes (`tcp_early_retrans`).
    #[schemars(extend("default" = true))]
    probe: Option<bool>,
    /// Whether acknowledgements wait for data to ride on, up to 40 ms mostly.
    #[schemars(extend("default" = true))]
    delayed_ack: Option<bool>,
    /// Whether small segments that follow each other are sent again as one (`tcp_retrans_collapse`).
    #[schemars(extend("default" = true))]
    collapse: Option<bool>,
    /// A receive window of this size, as `SO_RCVBUF` fixes it. Without it, it grows with what is read.
    window: Option<ByteSize>,
    /// The least that a timeout waits beyond the round trip.
    #[schemars(extend("default" = "200ms"))]
    rto_min: Option<TimeSpan>,
    /// The timeout of the first SYN.
    #[schemars(extend("default" = "1s"))]
    syn_rto: Option<TimeSpan>,
    /// The most that a timeout grows to by doubling.
    #[schemars(extend("default" = "2m"))]
    rto_max: Option<TimeSpan>,
    /// How often a segment is sent again before the connection is given up (`tcp_retries2`). As Linux counts: in the time that
    /// so many doublings of the least timeout take, at the timeout after the last one.
    #[schemars(range(max = 1000), extend("default" = 15))]
    tries: Option<u32>,
    /// How often a SYN is sent again before the connect is given up, at the timeout after the last one (`tcp_syn_retries`).
    #[schemars(range(max = 1000), extend("default" = 6))]
    syn_tries: Option<u32>,
    /// How often a SYN is sent again after equal waits before these double (`tcp_syn_linear_timeouts`); `syn_tries` come on top.
    #[schemars(range(max = 1000), extend("default" = 4))]
    syn_linear: Option<u32>,
    /// How often the answer to a SYN is sent again (`tcp_synack_retries`).
    #[schemars(range(max = 1000), extend("default" = 5))]
    synack_tries: Option<u32>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Preset {
    #[default]
    Linux,
    Plain,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            congestion: Congestion::Cubic,
            initial_window: 10,
            sack: true,
            rack: true,
            probe: true,
            delayed_ack: true,
            collapse: true,
            window_bytes: None,
            rto_min: Duration::from_millis(200),
            syn_rto: Duration::from_secs(1),
            rto_max: Duration::from_mins(2),
            tries: 15,
            syn_tries: 6,
            syn_linear: 4,
            synack_tries: 5,
        }
    }
}

impl TcpSettings {
    /// What does nothing about a loss but to wait for its timeout.
    #[must_use]
    pub const fn plain(self) -> Self {
        let (sack, rack, probe, delayed_ack, collapse) = (false, false, false, false, false);
        let (congestion, window_bytes) = (Congestion::None, Some(64 << 10));
        Self { congestion, window_bytes, sack, rack, probe, delayed_ack, collapse, syn_linear: 0, ..self }
    }
}

/// The most that a count of tries may be.
const TRIES_MAX: u32 = 1_000;

impl RawTcp {
    pub(super) fn settings(&self, document: &Document<'_>) -> Result<TcpSettings, ScriptError> {
        let base = match self.preset.unwrap_or_default() {
            Preset::Linux => TcpSettings::default(),
            Preset::Plain => TcpSettings::default().plain(),
        };
        let at = |key| [Key("network"), Key("tcp"), Key(key)];
        if self.window.is_some_and(|window| window.0 == 0) {
            return Err(no_room(document, &at("window")));
        }
        if self.initial_window == Some(0) {
            let error = document.error_at(&at("initial_window"), "a window of 0 segments sends nothing");
            return Err(error.with_expected("a number of at least 1"));
        }
        let counts = [
            ("tries", self.tries),
            ("syn_tries", self.syn_tries),
            ("syn_linear", self.syn_linear),
            ("synack_tries", self.synack_tries),
        ];
        for (key, count) in counts {
            if let Some(count) = count.filter(|count| *count > TRIES_MAX) {
                let error = document.error_at(&at(key), &format!("{count} is too many"));
                return Err(error.with_expected(format!("a number up to {TRIES_MAX}")));
            }
        }
        let span = |time: Option<TimeSpan>, default: Duration| time.unwrap_or(TimeSpan(default));
        let (rto_min, syn_rto) = (span(self.rto_min, base.rto_min), span(self.syn_rto, base.syn_rto));
        let rto_max = span(self.rto_max, base.rto_max);
        for (key, time) in [("rto_min", rto_min), ("syn_rto", syn_rto)] {
            if time.0.is_zero() {
                return Err(document.error_at(&at(key), "a timeout of 0").with_expected("a time above 0"));
            }
            if time > rto_max {
                let message = format!("{time} is more than `rto_max`, {rto_max}");
                return Err(document.error_at(&at(key), &message));
            }
        }
        Ok(TcpSettings {
            congestion: self.congestion.unwrap_or(base.congestion),
            initial_window: self.initial_window.unwrap_or(base.initial_window),
            sack: self.sack.unwrap_or(base.sack),
            rack: self.rack.unwrap_or(base.rack),
            probe: self.probe.unwrap_or(base.probe),
            delayed_ack: self.delayed_ack.unwrap_or(base.delayed_ack),
            collapse: self.collapse.unwrap_or(base.collapse),
            window_bytes: self.window.map(|window| window.0).or(base.window_bytes),
            rto_min: rto_min.0,
            syn_rto: syn_rto.0,
            rto_max: rto_max.0,
            tries: self.tries.unwrap_or(base.tries),
            syn_tries: self.syn_tries.unwrap_or(base.syn_tries),
            syn_linear: self.syn_linear.unwrap_or(base.syn_linear),
            synack_tries: self.synack_tries.unwrap_or(base.synack_tries),
        })
    }
}
