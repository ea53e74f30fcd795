//! Records as data: the lines that `show --json` prints, with a schema.
//!
//! The first line is a [`Header`], then one [`RecordLine`] a record, and an [`End`] last; `kind` tells them apart.

use std::fmt::Write as _;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json::{RunReport, Violation, is_false};
use crate::sim::Drawn;
use crate::sim::trace::{LossReason, Packet, PacketKind, Record, TcpHeader, Trace, Value, What};

/// The version of these shapes; it grows when a field goes or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// One line of `show --json`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ShowLine {
    /// The first.
    Header(Header),
    /// One a record.
    Record(RecordLine),
    /// The last.
    End(End),
}

/// The first line: which run this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// Always `run`.
    pub kind: String,
    /// The version of the schema.
    pub schema: u32,
    /// The sim, as it was named.
    pub sim: String,
    /// The system that ran in it.
    pub system: String,
    /// What was set on top of its script, each as `KEY=VALUE`.
    pub set: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// The hosts; empty if the process of the run did not live to its end.
    pub hosts: Vec<HostLine>,
    /// The hash over all records; null if the process of the run did not live to its end, and of a live run.
    pub hash: Option<String>,
    /// Whether its hosts were real processes: such a run is not deterministic, and its times are real ones.
    #[serde(default, skip_serializing_if = "is_false")]
    pub live: bool,
    /// What the seed drew before the run began.
    #[serde(default)]
    pub drawn: Vec<Drawn>,
}

/// A host of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostLine {
    /// Its name.
    pub name: String,
    /// Its IP address.
    pub addr: String,
}

/// The last line: what the run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// Always `end`.
    pub kind: String,
    /// `pass`, `violation`, `panic`, `stuck`, `memory` or `inconclusive`.
    pub verdict: String,
    /// The exit code.
    pub exit_code: u8,
    /// The number of records.
    pub records: u64,
    /// The simulated time that passed, in milliseconds.
    pub sim_ms: f64,
    /// What was found, if something was.
    pub violation: Option<Violation>,
    /// Why it is inconclusive, or what did not come that was expected.
    pub reason: Option<String>,
}

impl End {
    /// The last line of a run.
    pub fn new(report: &RunReport) -> Self {
        Self {
            kind: "end".to_owned(),
            verdict: report.verdict.clone(),
            exit_code: report.exit_code,
            records: report.records,
            sim_ms: report.sim_ms,
            violation: report.violation.clone(),
            reason: report.reason.clone(),
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordLine {
    /// Its number, from 0.
    pub n: u64,
    /// The simulated time since the run began, in nanoseconds.
    pub t_ns: u64,
    /// Where it happened; null: in the testbed itself.
    pub host: Option<String>,
    /// The number of the record that led to it; null where that is not known.
    pub cause: Option<u64>,
    /// Whether a timer stands between the two: it was set because of that record, and its end led to this one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub timer: bool,
    /// What happened.
    #[serde(flatten)]
    pub what: WhatLine,
}

/// What happened; `kind` names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WhatLine {
    /// A host's process started.
    Started {
        /// How many times it had started before.
        incarnation: u32,
    },
    /// A host's process came to its end by itself.
    Finished,
    /// A host's process ended with an error.
    Failed {
        /// The error.
        message: String,
    },
    /// A task of the host panicked.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The process died.
    Killed,
    /// The machine lost power.
    PowerLost,
    /// The process stands still.
    Paused,
    /// The process goes on.
    Resumed,
    /// A packet was handed to the network.
    Sent(SentLine),
    /// One transmission of a packet was lost.
    Lost {
        /// The packet's number.
        packet: u64,
        /// 0 is the first transmission.
        attempt: u32,
        /// Why.
        #[schemars(with = "String")]
        reason: LossReason,
    },
    /// A TCP segment was sent again.
    Retransmitted {
        /// The packet's number.
        packet: u64,
        /// 0 is the first transmission.
        attempt: u32,
        /// Why: `fast` (later segments arrived), `probe` (a tail loss probe), `timeout`, `after-timeout` (lost with what the
        /// timeout was of) or `asked` (the other end's SYN came again).
        why: String,
        /// How many bytes of data it carries: more than at first, if small neighbours went along.
        len: u64,
        /// Its TCP header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tcp: Option<TcpLine>,
    },
    /// A TCP segment was given up: its tries ran out.
    GivenUp {
        /// The packet's number.
        packet: u64,
        /// How often it was sent.
        attempts: u32,
    },
    /// The network made a second packet of a datagram.
    Duplicated {
        /// The packet's number.
        packet: u64,
        /// The second packet's number.
        copy: u64,
    },
    /// The network flipped a bit of a datagram.
    Corrupted {
        /// The packet's number.
        packet: u64,
        /// Which bit of the payload.
        bit: u64,
    },
    /// A packet was held back by a step of the script.
    Held {
        /// The packet's number.
        packet: u64,
    },
    /// A packet that was held goes on its way.
    Released {
        /// The packet's number.
        packet: u64,
    },
    /// A packet arrived.
    Delivered {
        /// The packet's number.
        packet: u64,
        /// 0 is the first transmission.
        attempt: u32,
    },
    /// A fault began.
    Fault {
        /// The step's place in the script, from 0.
        step: usize,
        /// What it does.
        action: String,
    },
    /// A fault ended by itself.
    FaultEnded {
        /// The step's place in the script, from 0.
        step: usize,
        /// What it did.
        action: String,
    },
    /// A system's own event.
    Event {
        /// Its name.
        name: String,
        /// Its fields, in order.
        fields: IndexMap<String, Value>,
    },
    /// Something that must not happen did.
    Violated {
        /// The invariant.
        invariant: String,
        /// One sentence.
        message: String,
    },
    /// The run is over.
    Ended {
        /// The verdict's name.
        verdict: String,
    },
}

/// A packet as a host handed it to the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SentLine {
    /// Its number in the run, from 0.
    pub packet: u64,
    /// The sending host.
    pub from: String,
    /// The receiving host.
    pub to: String,
    /// The source address.
    pub src: String,
    /// The destination address.
    pub dst: String,
    /// `udp`, `tcp-syn`, `tcp-syn-ack`, `tcp-data`, `tcp-ack`, `tcp-fin` or `tcp-rst`.
    pub transport: String,
    /// The segment's number in its direction of the connection, from 1; null where it has none.
    pub segment: Option<u64>,
    /// The payload's length in bytes.
    pub len: usize,
    /// The payload.
    pub payload_hex: String,
    /// The message's name in the system's words, where the system knows it.
    pub label: Option<String>,
    /// What else the system says of it.
    pub detail: Option<String>,
    /// Its TCP header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpLine>,
}

/// A TCP header. Numbers count from the SYN, which is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpLine {
    /// The number of the first byte.
    pub seq: u64,
    /// The next number that is expected of the other end.
    pub ack: Option<u64>,
    /// How many bytes may come beyond it.
    pub window: u64,
    /// What has arrived beyond it, or twice: from, to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sack: Vec<(u64, u64)>,
    /// When it left, in milliseconds by its sender's clock.
    pub stamp: u64,
    /// The stamp of the segment that it acknowledges.
    pub echo: Option<u64>,
    /// A tail loss probe with new data, or a question to a closed window.
    #[serde(default, skip_serializing_if = "is_false")]
    pub probe: bool,
}

impl From<&TcpHeader> for TcpLine {
    fn from(header: &TcpHeader) -> Self {
        let TcpHeader { seq, ack, window, sacks, stamp, echo, probe } = header;
        let (seq, ack, window, stamp, echo, probe) = (*seq, *ack, *window, *stamp, *echo, *probe);
        Self { seq, ack, window, sack: sacks.clone(), stamp, echo, probe }
    }
}

impl RecordLine {
    /// A record as data.
    pub fn new(trace: &Trace, record: &Record) -> Self {
        Self {
            n: record.number,
            t_ns: crate::sim::trace::nanos(record.at),
            host: record.host.map(|host| trace.host_name(Some(host)).to_owned()),
            cause: record.cause.map(|cause| cause.record),
            timer: record.cause.is_some_and(|cause| cause.timer),
            what: WhatLine::new(trace, &record.what),
        }
    }
}

impl WhatLine {
    fn new(trace: &Trace, what: &What) -> Self {
        match what.clone() {
            What::Started { incarnation } => Self::Started { incarnation },
            What::Finished => Self::Finished,
            What::Failed { message } => Self::Failed { message },
            What::Panicked { message } => Self::Panicked { message },
            What::Killed => Self::Killed,
            What::PowerLost => Self::PowerLost,
            What::Paused => Self::Paused,
            What::Resumed => Self::Resumed,
            What::Sent(packet) => Self::Sent(SentLine::new(trace, &packet)),
            What::Lost { packet, attempt, reason } => Self::Lost { packet, attempt, reason },
            What::Retransmitted { packet, attempt, again } => {
                let tcp = again.header.as_ref().map(TcpLine::from);
                Self::Retransmitted { packet, attempt, why: again.why.name().to_owned(), len: again.bytes, tcp }
            }
            What::GivenUp { packet, attempts } => Self::GivenUp { packet, attempts },
            What::Duplicated { packet, copy } => Self::Duplicated { packet, copy },
            What::Corrupted { packet, bit } => Self::Corrupted { packet, bit },
            What::Held { packet } => Self::Held { packet },
            What::Released { packet } => Self::Released { packet },
            What::Delivered { packet, attempt } => Self::Delivered { packet, attempt },
            What::Fault { step, action } => Self::Fault { step, action },
            What::FaultEnded { step, action } => Self::FaultEnded { step, action },
            What::Event { name, fields } => {
                let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
                Self::Event { name: name.to_owned(), fields: fields.collect() }
            }
            What::Violated { invariant, message } => Self::Violated { invariant, message },
            What::Ended { verdict } => Self::Ended { verdict: verdict.to_owned() },
        }
    }
}

impl SentLine {
    fn new(trace: &Trace, packet: &Packet) -> Self {
        let (transport, segment) = match packet.kind {
            PacketKind::Udp => ("udp", None),
            PacketKind::Syn => ("tcp-syn", None),
            PacketKind::SynAck => ("tcp-syn-ack", None),
            PacketKind::Ack => ("tcp-ack", None),
            PacketKind::Data(n) => ("tcp-data", Some(n)),
            PacketKind::Fin(n) => ("tcp-fin", Some(n)),
            PacketKind::Rst => ("tcp-rst", None),
        };
        let mut payload_hex = String::with_capacity(packet.payload.len() * 2);
        for byte in &packet.payload {
            let _ = write!(payload_hex, "{byte:02x}");
        }
        Self {
            packet: packet.id,
            from: trace.host_name(Some(packet.from)).to_owned(),
            to: trace.host_name(Some(packet.to)).to_owned(),
            src: packet.src.to_string(),
            dst: packet.dst.to_string(),
            transport: transport.to_owned(),
            segment,
            len: packet.payload.len(),
            payload_hex,
            label: packet.label.as_ref().map(|label| label.name.clone()),
            detail: packet.label.as_ref().map(|label| label.detail.clone()),
            tcp: packet.tcp.as_deref().map(TcpLine::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_went() {
        let fields = IndexMap::from([("z".to_owned(), Value::Int(u64::MAX)), ("a".to_owned(), Value::Bool(true))]);
        let what = WhatLine::Event { name: "answer".to_owned(), fields };
        let line = RecordLine { n: 3, t_ns: 5, host: Some("n1".to_owned()), cause: None, timer: false, what };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            r#"{"n":3,"t_ns":5,"host":"n1","cause":null,"kind":"event","name":"answer","fields":{"z":18446744073709551615,"a":true}}"#
        );
        assert_eq!(serde_json::from_str::<RecordLine>(&text).unwrap(), line);
        let lost = RecordLine { what: WhatLine::Lost { packet: 1, attempt: 0, reason: LossReason::Burst }, ..line };
        let text = serde_json::to_string(&lost).unwrap();
        assert_eq!(serde_json::from_str::<RecordLine>(&text).unwrap(), lost);
    }
}
