//! Scripts' parts in the short form in which run headers and traces show them.

use std::fmt::{self, Display, Formatter};

use toml::de::{DeTable, DeValue};

use super::roles::NOBODY;
use super::units::{Chance, show_duration};
use super::{
    Action, Burst, ByteSize, Chaos, Congestion, DiskSettings, Family, Fate, HostPattern, LinkRule, LinkSettings,
    MessageRule, PacketRule, Reorder, Step, TcpSettings, TimeRange, Trigger,
};

/// `raft pin = "n1", timeout = "155ms"`: a table of a system's own, on one line.
pub(super) fn own_action(system: &str, table: &DeTable<'_>) -> String {
    let entries = entries(table);
    if entries.is_empty() { system.to_owned() } else { format!("{system} {entries}") }
}

fn entries(table: &DeTable<'_>) -> String {
    let entries = table.iter().map(|(key, value)| format!("{} = {}", key.get_ref(), one_line(value.get_ref())));
    entries.collect::<Vec<_>>().join(", ")
}

fn one_line(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| one_line(value.get_ref())).collect();
            format!("[{}]", values.join(", "))
        }
        DeValue::Table(table) if table.is_empty() => "{}".to_owned(),
        DeValue::Table(table) => format!("{{ {} }}", entries(table)),
    }
}

fn join<T: Display>(items: &[T], between: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

fn names(hosts: &[HostPattern]) -> String {
    if hosts.is_empty() { NOBODY.to_owned() } else { join(hosts, " ") }
}

impl Display for HostPattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Display for Family {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `at 1.2s: partition [n3] | [n1 n2] for 3s`
impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.trigger {
            Trigger::At(time) if !self.spread.is_zero() => write!(f, "at {}", TimeRange::after(time, self.spread))?,
            Trigger::After(time) if !self.spread.is_zero() => {
                write!(f, "after {}", TimeRange::after(time, self.spread))?;
            }
            _ => write!(f, "{}", self.trigger)?,
        }
        write!(f, ": {}", self.action)?;
        match self.lasts {
            Some(lasts) => write!(f, " for {}", show_duration(lasts)),
            None => Ok(()),
        }
    }
}

/// `at 1.2s`, `after 500ms`, `then` (at once), `when leader`, `after record 157`
impl Display for Trigger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => write!(f, "at {}", show_duration(*time)),
            Self::After(time) if time.is_zero() => f.write_str("then"),
            Self::After(time) => write!(f, "after {}", show_duration(*time)),
            Self::When(state) => write!(f, "when {state}"),
            Self::Record(number) => write!(f, "after record {number}"),
        }
    }
}

/// `partition [n3] | [n1 n2]`, `cut n1 -> n2 n3`, `kill n1`, `hold 1 RequestVote n1 -> n2`, `raft pin = "n1"`
impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(groups) => {
                let groups: Vec<String> = groups.iter().map(|group| format!("[{}]", names(group))).collect();
                write!(f, "partition {}", groups.join(" | "))
            }
            Self::Cut { from, to } => write!(f, "cut {} -> {}", names(from), names(to)),
            Self::Heal => f.write_str("heal"),
            Self::Link(rule) => write!(f, "link {rule}"),
            Self::Disk { hosts, sync, fault } => {
                write!(f, "disk {}:", names(hosts))?;
                sync.iter().try_for_each(|sync| write!(f, " sync {sync}"))?;
                fault.iter().try_for_each(|fault| write!(f, " {}", fault.name()))
            }
            Self::Kill(hosts) => write!(f, "kill {}", names(hosts)),
            Self::Power(hosts) => write!(f, "power {}", names(hosts)),
            Self::Pause(hosts) => write!(f, "pause {}", names(hosts)),
            Self::Resume(hosts) => write!(f, "resume {}", names(hosts)),
            Self::Restart(hosts) => write!(f, "restart {}", names(hosts)),
            Self::Hold(rule) => write!(f, "hold {rule}"),
            Self::Drop(rule) => write!(f, "drop {rule}"),
            Self::Release => f.write_str("release"),
            Self::System(action) => f.write_str(&action.shown),
        }
    }
}

/// `n1 -> *`, `1 RequestVote n1 -> n2`
impl Display for MessageRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(count) = self.count {
            write!(f, "{count} ")?;
        }
        if let Some(message) = &self.message {
            write!(f, "{message} ")?;
        }
        write!(f, "{} -> {}", names(&self.from), names(&self.to))
    }
}

/// `packet 3 n1 -> n2: lost`, `RequestVote 3 n1 -> n2, attempt 1: takes 300ms`
impl Display for PacketRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { from, to, message, nth, attempt, fate } = self;
        write!(f, "{} {nth} {from} -> {to}", message.as_deref().unwrap_or("packet"))?;
        if *attempt > 0 {
            write!(f, ", attempt {attempt}")?;
        }
        write!(f, ": {fate}")
    }
}

/// `lost`, `takes 300ms`, `twice`, `twice, its copy takes 5ms`, `bit 17 flipped`
impl Display for Fate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lose => f.write_str("lost"),
            Self::Latency(latency) => write!(f, "takes {}", show_duration(*latency)),
            Self::Duplicate(None) => f.write_str("twice"),
            Self::Duplicate(Some(latency)) => write!(f, "twice, its copy takes {}", show_duration(*latency)),
            Self::Corrupt(bit) => write!(f, "bit {bit} flipped"),
        }
    }
}

/// `c1 -> server: loss 20 %`, `c1 <-> server: latency 300ms`
impl Display for LinkRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.both_ways && self.from == self.to {
            write!(f, "{}", if self.from.is_empty() { NOBODY.to_owned() } else { join(&self.from, " <-> ") })?;
        } else {
            let arrow = if self.both_ways { "<->" } else { "->" };
            write!(f, "{} {arrow} {}", names(&self.from), names(&self.to))?;
        }
        write!(f, ": {}", self.settings)
    }
}

/// `latency 1ms..5ms, loss 1 %`
impl Display for LinkSettings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let chance = |name: &str, chance: Option<f64>| chance.map(|chance| format!("{name} {}", Chance(chance)));
        let parts = [
            self.latency.map(|latency| format!("latency {latency}")),
            chance("loss", self.loss),
            self.burst.map(|burst| burst.to_string()),
            chance("duplicate", self.duplicate),
            chance("corrupt", self.corrupt),
            self.reorder.as_ref().map(ToString::to_string),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "no settings" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// `burst 100 % (enter 2 %, leave 25 %)`
impl Display for Burst {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { enter, leave, loss } = *self;
        write!(f, "burst {} (enter {}, leave {})", Chance(loss), Chance(enter), Chance(leave))
    }
}

/// `reorder 10 % by 5ms..20ms`
impl Display for Reorder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "reorder {} by {}", Chance(self.chance), self.extra)
    }
}

/// `cubic, rto 200ms..2m, syn rto 1s, tries 15, syn tries 4 + 6`, and what is not as Linux has it
impl Display for TcpSettings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [rto_min, rto_max, syn_rto] = [self.rto_min, self.rto_max, self.syn_rto].map(show_duration);
        let Self { tries, syn_tries, syn_linear, .. } = self;
        f.write_str(match self.congestion {
            Congestion::Cubic => "cubic",
            Congestion::Reno => "reno",
            Congestion::None => "no congestion window",
        })?;
        if let Some(bytes) = self.window_bytes {
            write!(f, ", window {}", ByteSize(bytes))?;
        }
        write!(f, ", rto {rto_min}..{rto_max}, syn rto {syn_rto}, tries {tries}, syn tries ")?;
        if *syn_linear > 0 {
            write!(f, "{syn_linear} + ")?;
        }
        write!(f, "{syn_tries}")?;
        let linux = Self::default();
        if self.synack_tries != linux.synack_tries {
            write!(f, ", syn-ack tries {}", self.synack_tries)?;
        }
        if self.initial_window != linux.initial_window {
            write!(f, ", initial window {}", self.initial_window)?;
        }
        let Self { sack, rack, probe, delayed_ack, collapse, .. } = *self;
        let switches =
            [(sack, "sack"), (rack, "rack"), (probe, "probe"), (delayed_ack, "delayed ack"), (collapse, "collapse")];
        switches.into_iter().filter(|(on, _)| !on).try_for_each(|(_, name)| write!(f, ", no {name}"))
    }
}

/// `sync 1ms..5ms`
impl Display for DiskSettings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "sync {}", self.sync)
    }
}

/// `loss, kill on n1 n2 every 200ms..1.5s for 100ms..2s until 20s`
impl Display for Chaos {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let families =
            if self.families == Family::ALL { "all families".to_owned() } else { join(&self.families, ", ") };
        let Self { every, lasts, .. } = self;
        write!(f, "{families} on {} every {every} for {lasts} until ", join(&self.hosts, " "))?;
        f.write_str(&show_duration(self.until))
    }
}
