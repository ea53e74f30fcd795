//! The format of scripts as it is written, and its way into the plain types.
//!
//! The doc comments of these types are what an editor shows to the person who writes a script.

mod hosts;
mod network;
mod packets;
mod sometimes;
mod steps;
mod tcp;
mod variants;

#[cfg(test)]
pub(super) use self::steps::MODIFIERS;
pub(super) use self::steps::{ACTIONS, UNDOABLE};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;

use self::hosts::{Hosts, Table};
use self::network::{RawLink, RawNetwork};
use self::packets::RawPacket;
use self::steps::RawStep;
use self::variants::RawVariant;
use super::document::Part::{self, Key};
use super::document::{Document, keep};
use super::error::{did_you_mean, one_of};
use super::units::{TimeSpan, show_duration};
use super::{
    Chaos, Comparison, DiskSettings, Expect, Family, HostPattern, Lane, Latency, LinkSettings, Script, ScriptError,
    Section, Source,
};

/// As many faults as chaos draws for one run, about.
const CHAOS_FAULTS_MAX: u128 = 1_000_000;

/// The keys of `[expect]` that are the same for every system.
pub(super) const EXPECT_KEYS: &[&str] = &["violation", "counters"];

/// The keys at the top, which no system can have as its name.
pub(super) const TOP_KEYS: &[&str] = &[
    "about",
    "system",
    "duration",
    "tick",
    "lane",
    "waiting",
    "network",
    "link",
    "disk",
    "step",
    "packet",
    "chaos",
    "expect",
    "sometimes",
    "variant",
];

/// A script: what one run is made of.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Script")]
#[schemars(title = "stormglass script")]
pub(super) struct RawScript {
    /// One sentence: what happens and what is expected. It is shown in lists of scripts.
    #[schemars(length(min = 1), required)]
    about: Option<String>,
    /// The system that runs. The table of the same name has its own settings.
    system: String,
    /// The simulated time after which the run ends.
    duration: TimeSpan,
    /// The resolution of simulated time: every latency and timeout is rounded to it. A finer one runs slower.
    #[serde(default = "default_tick")]
    tick: TimeSpan,
    /// How hosts run and packets travel. The same script and seed give the same run in each lane, and the same hash. Without
    /// it: the core lane, for a system that can run there.
    lane: Option<Lane>,
    /// Hosts that do not run until a step restarts them.
    waiting: Option<Hosts>,
    /// What every link does.
    network: Option<Table<RawNetwork>>,
    /// What single links do instead, in order: a later one wins over an earlier one.
    link: Option<Vec<Table<RawLink>>>,
    /// The disk of every host.
    disk: Option<Table<RawDisk>>,
    /// The faults, one step after the other.
    step: Option<Vec<Table<RawStep>>>,
    /// What becomes of single packets.
    packet: Option<Vec<Table<RawPacket>>>,
    /// Lets the seed choose the faults, instead of the steps or on top of them.
    chaos: Option<Table<RawChaos>>,
    /// What the run must end with. Without it: no violation. Further keys belong to the system.
    expect: Option<Table<RawExpect>>,
    /// What must come about in some run of a sweep, though not in each: in a few words, and the counters of a run that
    /// shows it. A name with a space or a dot stands in quotes.
    sometimes: Option<BTreeMap<String, BTreeMap<String, Comparison>>>,
    /// The script with other settings: each is a sim of its own, with `@` and its name after that of this one.
    variant: Option<Vec<Table<RawVariant>>>,
}

/// What every host's disk does.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Disk")]
struct RawDisk {
    /// How long a sync takes, of a file or of the directory; rounded up to whole milliseconds.
    #[serde(default = "default_disk_sync")]
    sync: Latency,
}

/// Swarm testing: each seed first draws which families of fault exist in its run, then how hard each is, then when they
/// happen.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Chaos")]
struct RawChaos {
    /// The families of fault that may be drawn. Without it: all.
    #[schemars(length(min = 1))]
    families: Option<Vec<Family>>,
    /// The hosts that faults of hosts (kill, power, pause, disk) may hit. Without it: all.
    hosts: Option<Hosts>,
    /// The time from one fault's start to the next one's.
    #[serde(default = "default_every")]
    every: Latency,
    /// How long a fault lasts.
    #[serde(default = "default_lasts")]
    lasts: Latency,
    /// When everything heals; from then to the end, the run must make progress.
    until: TimeSpan,
}

/// What the run must end with.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Expect")]
struct RawExpect {
    /// The invariant that must be violated, by name. Without it: none may be.
    #[schemars(length(min = 1))]
    violation: Option<String>,
    /// Bounds on counters, by name. A name with a dot stands in quotes.
    counters: Option<BTreeMap<String, Comparison>>,
}

const fn default_tick() -> TimeSpan {
    TimeSpan(Duration::from_millis(1))
}

fn default_disk_sync() -> Latency {
    DiskSettings::default().sync
}

const fn default_every() -> Latency {
    Latency::Uniform { min: Duration::from_millis(200), max: Duration::from_millis(1500) }
}

const fn default_lasts() -> Latency {
    Latency::Uniform { min: Duration::from_millis(100), max: Duration::from_secs(2) }
}

impl Script {
    /// Reads a script from its text; `path` is what errors call it.
    pub fn parse(path: &str, text: &str) -> Result<Self, ScriptError> {
        let source = Arc::new(Source::new(path, text));
        let document = Document::parse(&source)?;
        let system = system_name(&document, &source)?;
        let raw = read(&document, &system)?;
        build(&source, &document, raw)
    }

    /// Reads a script from a file.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let name = path.display().to_string();
        let of = |text: &str| Arc::new(Source::new(&name, text));
        let bytes = std::fs::read(path)
            .map_err(|error| ScriptError::of_file(&of(""), format!("the script cannot be read: {error}")))?;
        match str::from_utf8(&bytes) {
            Ok(text) => Self::parse(&name, text),
            Err(error) => {
                let source = of(&String::from_utf8_lossy(&bytes));
                let at = error.valid_up_to();
                let bom = if bytes.starts_with("\u{feff}".as_bytes()) { '\u{feff}'.len_utf8() } else { 0 };
                let message = format!("this is not UTF-8 text: byte 0x{:02x}", bytes[at]);
                Err(ScriptError::at_span(&source, &(at - bom..at - bom + 1), message).with_expected("a file in UTF-8"))
            }
        }
    }
}

/// The system's name, which says which table of the script is not ours to read.
fn system_name(document: &Document<'_>, source: &Arc<Source>) -> Result<String, ScriptError> {
    if document.root().is_empty() {
        let error = ScriptError::of_file(source, "the script is empty");
        return Err(error.with_expected("at least the keys `about`, `system` and `duration`"));
    }
    let at = [Key("system")];
    let Some(value) = document.value(&at) else {
        let error = document.point_at(&[], "missing key `system`".to_owned());
        let tables = document.root().iter().filter(|(_, value)| value.get_ref().is_table());
        let unknown = tables.map(|(key, _)| key.get_ref().as_ref()).find(|key| !TOP_KEYS.contains(key));
        return Err(error.with_expected(format!("a key such as `system = \"{}\"`", unknown.unwrap_or("echo"))));
    };
    let Some(name) = value.get_ref().as_str() else {
        let error = document.error_at(&at, "this is not a string");
        return Err(error.with_expected("the name of a system, such as \"echo\""));
    };
    if TOP_KEYS.contains(&name) {
        return Err(document.error_at(&at, &format!("`{name}` is a key of every script and names no system")));
    }
    if steps::is_own_key(name) {
        return Err(document.error_at(&at, &format!("`{name}` is a key of steps and names no system")));
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        let error = document.error_at(&at, &format!("`{name}` is not a name"));
        return Err(error.with_expected("letters, digits, `-` and `_`"));
    }
    match document.value(&[Key(name)]).map(Spanned::get_ref) {
        None | Some(DeValue::Table(_)) => Ok(name.to_owned()),
        Some(_) => Err(document.error_at(&[Key(name)], "the settings of the system must be a table")),
    }
}

/// Reads everything but what belongs to the system.
fn read(document: &Document<'_>, system: &str) -> Result<RawScript, ScriptError> {
    let ours = |key: &str| TOP_KEYS.contains(&key);
    if let Some((key, value)) = document.root().iter().find(|(key, _)| !ours(key.get_ref()) && key.get_ref() != system)
    {
        return Err(unknown_at_top(document, key.get_ref(), value.get_ref(), system));
    }
    let mut rest = document.to_value();
    if let DeValue::Table(root) = rest.get_mut() {
        root.remove(system);
        steps::remove_system_actions(root, system);
        if let Some(DeValue::Table(expect)) = root.get_mut("expect").map(Spanned::get_mut) {
            keep(expect, |key| EXPECT_KEYS.contains(&key));
        }
    }
    let of_steps = [system];
    document.read(rest, &|around| if matches!(around, [Key("step"), Part::Index(_)]) { &of_steps } else { &[] })
}

fn unknown_at_top(document: &Document<'_>, key: &str, value: &DeValue<'_>, system: &str) -> ScriptError {
    let candidates = || TOP_KEYS.iter().copied().chain([system]);
    let kind = if value.is_table() { format!("table [{key}]") } else { format!("key `{key}`") };
    let error = document.point_at_key(&[Key(key)], format!("unknown {kind}")).with_expected(one_of(candidates()));
    match did_you_mean(key, candidates()) {
        Some(hint) => error.with_hint(hint),
        None if value.is_table() => error.with_hint(format!(
            "a system's settings stand in the table of its name: [{system}], or say `system = \"{key}\"`"
        )),
        None => error,
    }
}

fn build(source: &Arc<Source>, document: &Document<'_>, raw: RawScript) -> Result<Script, ScriptError> {
    check_times(document, &raw)?;
    let network = raw.network.map(|Table(network)| network).unwrap_or_default();
    let (tcp, udp_buffer_bytes) = (network.tcp_settings(document)?, network.udp_buffer_bytes(document)?);
    let settings = network.into_settings();
    let latency = settings.latency.unwrap_or(Latency::DEFAULT);
    let duration = raw.duration.0;
    let mut links = Vec::new();
    for (index, Table(link)) in raw.link.into_iter().flatten().enumerate() {
        links.push(link.into_rule(document, &[Key("link"), Part::Index(index)])?);
    }
    let mut steps = Vec::new();
    for (index, Table(step)) in raw.step.into_iter().flatten().enumerate() {
        steps.push(step.into_step(document, index, &raw.system, duration)?);
    }
    steps::check_order(document, &steps)?;
    let section = Section::new(source, &raw.system, &[]);
    let script = Script {
        source: Arc::clone(source),
        about: String::new(),
        system: raw.system,
        duration,
        tick: raw.tick.0,
        lane: raw.lane,
        waiting: raw.waiting.map(Vec::from).unwrap_or_default(),
        network: LinkSettings { latency: Some(latency), ..settings },
        tcp,
        udp_buffer_bytes,
        disk: raw.disk.map(|Table(RawDisk { sync })| DiskSettings { sync }).unwrap_or_default(),
        links,
        steps,
        packets: packets::build(document, raw.packet.unwrap_or_default())?,
        chaos: raw.chaos.map(|Table(chaos)| chaos.into_chaos(document, duration)).transpose()?,
        expect: raw.expect.map(|Table(expect)| expect).unwrap_or_default().into_expect(document, source)?,
        sometimes: sometimes::build(document, raw.sometimes.unwrap_or_default())?,
        section,
        variants: variants::build(document, source, raw.variant.unwrap_or_default())?,
    };
    // Whoever tries something out is told of this last.
    Ok(Script { about: about(document, raw.about)?, ..script })
}

fn about(document: &Document<'_>, about: Option<String>) -> Result<String, ScriptError> {
    let error = match about {
        Some(about) if !about.trim().is_empty() => return Ok(about),
        Some(_) => document.error_at(&[Key("about")], "the text is empty"),
        None => document.point_at(&[], "missing key `about`".to_owned()),
    };
    Err(error.with_expected("a key such as `about = \"One sentence: what happens, and what is expected.\"`"))
}

fn check_times(document: &Document<'_>, raw: &RawScript) -> Result<(), ScriptError> {
    let (tick, duration) = (raw.tick.0, raw.duration.0);
    if duration.is_zero() {
        return Err(document.error_at(&[Key("duration")], "the run would end before it begins"));
    }
    // tokio's simulated clock moves by whole milliseconds.
    if tick.is_zero() || !tick.as_nanos().is_multiple_of(1_000_000) {
        let message = format!("{} is not a number of whole milliseconds", show_duration(tick));
        return Err(document.error_at(&[Key("tick")], &message).with_expected("1ms or a multiple of it"));
    }
    if tick > duration {
        let message = format!("{} is longer than the run", show_duration(tick));
        let expected = format!("at most the duration, {}", show_duration(duration));
        return Err(document.error_at(&[Key("tick")], &message).with_expected(expected));
    }
    Ok(())
}

impl RawChaos {
    fn into_chaos(self, document: &Document<'_>, duration: Duration) -> Result<Chaos, ScriptError> {
        let at = |key| [Key("chaos"), Key(key)];
        let until = self.until.0;
        if until.is_zero() || until >= duration {
            let message = format!("{} leaves no time", show_duration(until));
            let expected = format!("a time above 0 and below the duration, {}", show_duration(duration));
            return Err(document.error_at(&at("until"), &message).with_expected(expected));
        }
        for (key, time) in [("every", self.every), ("lasts", self.lasts)] {
            if time.middle().is_zero() {
                return Err(document.error_at(&at(key), "this time is 0").with_expected("a time above 0"));
            }
        }
        let faults = until.as_nanos() / self.every.middle().max(Duration::from_millis(1)).as_nanos();
        if faults > CHAOS_FAULTS_MAX {
            let message = format!("one each {} until {} is {faults} faults", self.every, show_duration(until));
            let error = document.error_at(&at("every"), &message);
            return Err(error.with_expected(format!("a time that makes at most {CHAOS_FAULTS_MAX} of them")));
        }
        let families = self.families.unwrap_or_else(|| Family::ALL.to_vec());
        if families.is_empty() {
            let error = document.error_at(&at("families"), "the list is empty");
            return Err(error.with_hint("leave the key out to let the seed draw from all families"));
        }
        if let Some(twice) = families.iter().enumerate().find(|(i, family)| families[..*i].contains(family)) {
            return Err(document.error_at(&at("families"), &format!("`{}` is in the list twice", twice.1.name())));
        }
        Ok(Chaos {
            families,
            hosts: self.hosts.map_or_else(|| vec![HostPattern("*".to_owned())], Vec::from),
            every: self.every,
            lasts: self.lasts,
            until,
            line: document.line_at(&[Key("chaos")]),
        })
    }
}

impl RawExpect {
    fn into_expect(self, document: &Document<'_>, source: &Arc<Source>) -> Result<Expect, ScriptError> {
        if self.violation.as_ref().is_some_and(|violation| violation.trim().is_empty()) {
            let error = document.error_at(&[Key("expect"), Key("violation")], "the text is empty");
            return Err(error.with_expected("the name of an invariant"));
        }
        let line = |name: &str| document.line_at(&[Key("expect"), Key("counters"), Key(name)]);
        let counters = self.counters.into_iter().flatten();
        let counters = counters.map(|(name, bound)| (name.clone(), (bound, line(&name)))).collect();
        Ok(Expect { violation: self.violation, counters, section: Section::new(source, "expect", EXPECT_KEYS) })
    }
}

impl<'de> Deserialize<'de> for Family {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &[
            "loss",
            "burst",
            "latency",
            "duplicate",
            "reorder",
            "corrupt",
            "partition",
            "one-way",
            "kill",
            "power",
            "pause",
            "disk",
            "operator",
            "bad-disk",
        ];
        struct Name;
        impl serde::de::Visitor<'_> for Name {
            type Value = Family;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a family of faults, such as \"loss\"")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Family, E> {
                let family = Family::EVERY.into_iter().find(|family| family.name() == name);
                family.ok_or_else(|| E::unknown_variant(name, NAMES))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl JsonSchema for Family {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Family".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A family of faults.",
            "type": "string",
            "enum": Self::EVERY.map(Self::name),
        })
    }
}
