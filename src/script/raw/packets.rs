//! `[[packet]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::document::Document;
use super::super::document::Part::{self, Index, Key};
use super::super::error::one_of;
use super::super::packet::{Fate, PacketRule};
use super::super::units::{TimeSpan, refuse};
use super::super::{HostPattern, ScriptError};
use super::hosts::{Table, True};

/// The keys that are fates.
const FATES: [&str; 4] = ["lose", "latency", "duplicate", "corrupt"];

/// What becomes of one packet: the nth from one host to another, of all or of those with a name. Exactly one of `lose`,
/// `latency`, `duplicate`, `corrupt`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Packet")]
#[schemars(extend("oneOf" = [
    { "required": ["lose"] }, { "required": ["latency"] }, { "required": ["duplicate"] }, { "required": ["corrupt"] },
]))]
pub(super) struct RawPacket {
    /// The sender.
    from: HostPattern,
    /// The receiver.
    to: HostPattern,
    /// Counts only packets that the system calls by this name. Without it: every packet.
    #[schemars(length(min = 1))]
    message: Option<String>,
    /// Which of these packets, from 1. Copies that the network makes do not count, nor does what TCP sends again.
    #[schemars(range(min = 1))]
    nth: u64,
    /// Which transmission of it. 0 is the first, 1 the first time that TCP sends it again.
    #[serde(default)]
    attempt: u32,
    /// It is lost. A TCP segment is sent again after its timeout.
    lose: Option<True>,
    /// It takes so long, whatever the link says.
    latency: Option<TimeSpan>,
    /// The datagram arrives twice: `true`, or the time that the copy takes.
    duplicate: Option<Twice>,
    /// This bit of the datagram is flipped, counted from the lowest of its first byte, and again from there at its end.
    corrupt: Option<u64>,
}

/// Of a copy: how long it takes.
#[derive(Clone, Copy, JsonSchema)]
#[serde(untagged)]
enum Twice {
    /// As long as the link says.
    So(True),
    /// So long.
    Taking(TimeSpan),
}

impl<'de> Deserialize<'de> for Twice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "`true`, or how long the copy takes, such as \"5ms\"";
        struct TrueOrTime;
        impl serde::de::Visitor<'_> for TrueOrTime {
            type Value = Twice;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_bool<E: serde::de::Error>(self, yes: bool) -> Result<Twice, E> {
                if yes { Ok(Twice::So(True)) } else { Err(refuse("`false` says nothing", EXPECTED)) }
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Twice, E> {
                let time = super::super::parse_duration(text).map_err(|fault| refuse(fault, EXPECTED))?;
                Ok(Twice::Taking(TimeSpan(time)))
            }
        }
        deserializer.deserialize_any(TrueOrTime)
    }
}

pub(super) fn build(document: &Document<'_>, raw: Vec<Table<RawPacket>>) -> Result<Vec<PacketRule>, ScriptError> {
    let mut rules = Vec::with_capacity(raw.len());
    let mut by_nth: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, Table(raw)) in raw.into_iter().enumerate() {
        let rule = raw.into_rule(document, index)?;
        let others = by_nth.entry(rule.nth).or_default();
        if let Some(other) = others.iter().copied().find(|other| rule.repeats(&rules[*other])) {
            let message = format!("it says of the same packet what number {} says", other + 1);
            return Err(document.error_at(&[Key("packet"), Index(index)], &message));
        }
        others.push(index);
        rules.push(rule);
    }
    Ok(rules)
}

impl RawPacket {
    fn into_rule(self, document: &Document<'_>, index: usize) -> Result<PacketRule, ScriptError> {
        let at = |key| [Key("packet"), Index(index), Key(key)];
        let here: [Part<'_>; 2] = [Key("packet"), Index(index)];
        let Self { from, to, message, nth, attempt, duplicate, .. } = &self;
        for (key, host) in [("from", from), ("to", to)] {
            if host.0.ends_with('*') {
                let error = document.error_at(&at(key), &format!("`{}` is not one host", host.0));
                return Err(error.with_expected("a host's name: a packet has one sender and one receiver"));
            }
        }
        if from == to {
            return Err(document.error_at(&here, &format!("`{}` has no link to itself", from.0)));
        }
        if *nth == 0 {
            return Err(document.error_at(&at("nth"), "packets are counted from 1").with_expected("at least 1"));
        }
        if message.as_ref().is_some_and(|message| message.trim().is_empty()) {
            let error = document.error_at(&at("message"), "the text is empty");
            return Err(error.with_expected("the name of a message, or no such key for every packet"));
        }
        let fates = [
            self.lose.map(|True| Fate::Lose),
            self.latency.map(|TimeSpan(latency)| Fate::Latency(latency)),
            duplicate.map(|copy| match copy {
                Twice::So(True) => Fate::Duplicate(None),
                Twice::Taking(TimeSpan(latency)) => Fate::Duplicate(Some(latency)),
            }),
            self.corrupt.map(Fate::Corrupt),
        ];
        let given: Vec<(&str, Fate)> =
            FATES.into_iter().zip(fates).filter_map(|(key, fate)| Some((key, fate?))).collect();
        let fate = match given[..] {
            [(_, fate)] => fate,
            [] => {
                let error = document.error_at(&here, "it does not say what becomes of the packet");
                return Err(error.with_expected(one_of(FATES)));
            }
            [(first, _), (second, _), ..] => {
                let error = document.error_at(&here, &format!("it has `{first}` and `{second}`"));
                return Err(error.with_expected("one fate").with_hint("make each a [[packet]] of its own"));
            }
        };
        if *attempt > 0 && matches!(fate, Fate::Duplicate(_) | Fate::Corrupt(_)) {
            let error = document.error_at(&at("attempt"), "only TCP sends again, and copies none and corrupts none");
            return Err(error.with_expected("`lose` or `latency` with it"));
        }
        let (from, to, message, nth, attempt) = (self.from, self.to, self.message, self.nth, self.attempt);
        Ok(PacketRule { from, to, message, nth, attempt, fate })
    }
}
