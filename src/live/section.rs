//! The table `[live]` of a script: the programs of anyone's services, and what is expected of them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use regex::bytes::{Regex, RegexBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::script::document::Part::{self, Index, Key};
use crate::script::{ByteSize, Comparison, Script, ScriptError, TimeSpan, did_you_mean, one_of};
use crate::sim::PacketBytes;
use crate::sim::trace::{Label, Packet, TCP_MESSAGES};

use super::http::Url;
use super::plan::{Expectation, HOSTS_MAX, HostPlan, Pattern, Plan, Ready};
use super::relay::Namer;

/// Real processes as hosts, of any language: their commands, and what is expected of them.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Live")]
pub(super) struct Table {
    /// The hosts: a name, and the command that is run there, by a shell, in the directory in which `stormglass` was called.
    /// The names of all hosts resolve. `{dir}` stands for a directory of the host's own, `{host}` for its name, `{addr}` for
    /// its address; `STORMGLASS_DIR`, `STORMGLASS_HOST` and `STORMGLASS_ADDR` are in its environment.
    hosts: IndexMap<String, Program>,
    /// What is added to the environment of every host.
    #[serde(default)]
    env: IndexMap<String, String>,
    /// How long hosts may take to become ready.
    #[serde(default = "ready_within")]
    ready_within: TimeSpan,
    /// Names for packets, by which steps hold and drop them; the first that fits a packet is its name.
    #[serde(default)]
    message: Vec<Message>,
    /// What must be so when the run ends, or at some time of it.
    #[serde(default)]
    expect: Vec<Expect>,
}

const fn ready_within() -> TimeSpan {
    TimeSpan(Duration::from_secs(30))
}

/// The program of a host.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Program")]
struct Whole {
    /// The command.
    #[schemars(length(min = 1))]
    run: String,
    /// Whether the run waits for its end, which is a success if its exit code is 0. It is started once all others are ready.
    #[serde(default)]
    workload: bool,
    /// What shows that it is ready: then the run's time begins.
    ready: Option<ReadyWhen>,
    /// What is added to its environment.
    #[serde(default)]
    env: IndexMap<String, String>,
    /// A directory that is kept, for `{dir}`. Without it: an empty one, which is removed at the end of the run.
    dir: Option<PathBuf>,
    /// The most memory that all its processes may have resident.
    memory: Option<ByteSize>,
    /// The longest that it may run.
    time: Option<TimeSpan>,
}

/// A command alone, or all there is to say of it.
#[derive(Clone, Debug)]
struct Program(Whole);

/// What shows that a host is ready: one of these.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Ready")]
struct ReadyWhen {
    /// Something listens at this TCP port of it.
    port: Option<u16>,
    /// It has printed a line in which this regular expression is found.
    line: Option<String>,
    /// This URL of it answers with a status of 200 to 299.
    url: Option<String>,
}

/// A name for packets.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Message")]
struct Message {
    /// The name.
    name: String,
    /// Only packets from or to this port.
    port: Option<u16>,
    /// Only packets in whose payload this regular expression is found; `\xNN` stands for a byte.
    payload: Option<String>,
}

/// What must be so: the exit code of a host, a number of lines, or what a host answers when it is asked from outside.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Expectation")]
struct Expect {
    /// The host.
    host: Option<String>,
    /// The code with which its program ends by itself.
    exit: Option<Comparison>,
    /// A regular expression that is found in lines of its output.
    line: Option<String>,
    /// How many such lines there are. Without it: one or more.
    count: Option<Comparison>,
    /// A URL that is asked for by an observer whose links no fault touches.
    probe: Option<String>,
    /// When it is asked for. Without it: at the end.
    at: Option<TimeSpan>,
    /// The status of the answer. Without it: 200.
    status: Option<Comparison>,
    /// A regular expression that is found in its body.
    body: Option<String>,
}

impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = Program;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command, or a table such as { run = \"./server\", ready = { port = 8080 } }")
            }
            fn visit_str<E: de::Error>(self, run: &str) -> Result<Program, E> {
                Ok(Program(Whole {
                    run: run.to_owned(),
                    workload: false,
                    ready: None,
                    env: IndexMap::new(),
                    dir: None,
                    memory: None,
                    time: None,
                }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Program, A::Error> {
                Whole::deserialize(MapAccessDeserializer::new(map)).map(Program)
            }
        }
        deserializer.deserialize_any(TextOrTable)
    }
}

impl JsonSchema for Program {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Host".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = generator.subschema_for::<Whole>();
        json_schema!({
            "description": "A command for the shell, or a table with it and more.",
            "anyOf": [{ "type": "string", "minLength": 1 }, whole],
        })
    }
}

/// A place in a script, for errors about it.
struct Place<'a> {
    script: &'a Script,
    path: Vec<Part<'a>>,
}

impl<'a> Place<'a> {
    fn of(script: &'a Script, path: &[Part<'a>]) -> Self {
        Self { script, path: [&[Key("live")], path].concat() }
    }

    fn at(&self, key: &'a str) -> Self {
        Self { script: self.script, path: [&self.path[..], &[Key(key)]].concat() }
    }

    fn error(&self, message: &str, expected: impl Into<String>) -> ScriptError {
        self.script.error_at_key(&self.path, message).with_expected(expected)
    }

    fn pattern(&self, text: &str) -> Result<Pattern, ScriptError> {
        let wrong = |error: regex::Error| {
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.error(&format!("`{text}` is no regular expression: {last}"), "one such as \"^done [0-9]+$\"")
        };
        Ok(Pattern { text: text.to_owned(), regex: regex(text).map_err(wrong)? })
    }

    fn url(&self, text: &str) -> Result<Url, ScriptError> {
        Url::parse(text).ok_or_else(|| self.error(&format!("`{text}` is no such URL"), Url::EXPECTED))
    }

    fn host(&self, name: &str, names: &[&str]) -> Result<usize, ScriptError> {
        names.iter().position(|known| *known == name).ok_or_else(|| {
            let error = self.error(&format!("no host is called `{name}`"), one_of(names.iter().copied()));
            match did_you_mean(name, names.iter().copied()) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })
    }
}

/// Over bytes: a payload is no text, and a line of output may be none.
fn regex(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).build()
}

impl Table {
    /// What it comes to, for a script.
    pub(super) fn plan(&self, script: &Script) -> Result<Plan, ScriptError> {
        let hosts = Place::of(script, &[Key("hosts")]);
        if self.hosts.is_empty() {
            return Err(hosts.error("there are no hosts", "one or more, such as `server = \"./server\"`"));
        }
        if self.hosts.len() > HOSTS_MAX {
            return Err(hosts.error("these are too many hosts", format!("at most {HOSTS_MAX}")));
        }
        let names: Vec<&str> = self.hosts.keys().map(String::as_str).collect();
        let hosts = self.hosts.iter().map(|(name, Program(program))| self.host(script, name, program));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let expectations = (0..).zip(&self.expect).map(|(index, expect)| {
            expect.read(&Place::of(script, &[Key("expect"), Index(index)]), &names, script.duration)
        });
        let expectations = expectations.collect::<Result<Vec<_>, _>>()?;
        let namer = self.namer(script)?;
        let ready_within = self.ready_within.0;
        let (packets, notes) = (PacketBytes::Ethernet, Vec::new());
        Ok(Plan { hosts, packets, expectations, ready_within, namer, witness: None, notes })
    }

    /// The names that packets can have.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.message.iter().map(|message| message.name.as_str()).chain(TCP_MESSAGES).chain(["ICMP"]).collect()
    }

    fn host(&self, script: &Script, name: &str, program: &Whole) -> Result<HostPlan, ScriptError> {
        let place = Place::of(script, &[Key("hosts"), Key(name)]);
        let is_usual = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_name =
            name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_usual);
        if !is_name || ["localhost", "observer"].contains(&name) {
            let expected = "lower case letters, digits and `-`, a letter first, and neither `localhost` nor `observer`";
            return Err(place.error(&format!("`{name}` cannot be a host's name"), expected));
        }
        if program.run.trim().is_empty() {
            return Err(place.error("the command is empty", "a command such as \"./server --port 8080\""));
        }
        for (name, env) in self.env.iter().chain(&program.env) {
            if name.is_empty() || name.contains(['=', '\0']) || env.contains('\0') {
                return Err(place.error(&format!("`{name}` cannot be in an environment"), "a name without `=`"));
            }
        }
        let ready = program.ready.as_ref().map(|ready| ready.read(&place.at("ready"), name)).transpose()?;
        if program.workload && ready.is_some() {
            let message = "nothing waits for a workload to be ready";
            return Err(place.at("ready").error(message, "`ready` for the others, or no `workload`"));
        }
        if program.memory.is_some_and(|memory| memory.0 == 0) {
            return Err(place.at("memory").error("no program runs without memory", "a size above 0"));
        }
        if program.time.is_some_and(|time| time.0.is_zero()) {
            return Err(place.at("time").error("no program runs in no time", "a time above 0"));
        }
        let env = self.env.iter().chain(&program.env).map(|(name, value)| (name.clone(), value.clone()));
        Ok(HostPlan {
            name: name.to_owned(),
            command: program.run.clone(),
            env: env.collect(),
            files: Vec::new(),
            last: false,
            directory: program.dir.clone(),
            workload: program.workload,
            ready,
            memory_bytes_max: program.memory.map(|memory| memory.0),
            time_max: program.time.map(|time| time.0),
        })
    }

    fn namer(&self, script: &Script) -> Result<Namer, ScriptError> {
        let mut rules = Vec::new();
        for (index, Message { name, port, payload }) in self.message.iter().enumerate() {
            let place = Place::of(script, &[Key("message"), Index(index)]);
            if name.trim().is_empty() {
                return Err(place.at("name").error("the text is empty", "a name for packets"));
            }
            if port.is_none() && payload.is_none() {
                return Err(place.error("it says of no packet that it is called so", "`port`, `payload` or both"));
            }
            let pattern = payload.as_ref().map(|payload| place.at("payload").pattern(payload)).transpose()?;
            rules.push((name.clone(), *port, pattern));
        }
        Ok(Arc::new(move |packet: &Packet| {
            let fits = |port: &Option<u16>, pattern: &Option<Pattern>| {
                let at_port = port.is_none_or(|port| packet.src.port() == port || packet.dst.port() == port);
                // What carries nothing says nothing.
                at_port
                    && !packet.payload.is_empty()
                    && pattern.as_ref().is_none_or(|pattern| pattern.regex.is_match(&packet.payload))
            };
            let found = rules.iter().find(|(_, port, pattern)| fits(port, pattern));
            found.map(|(name, ..)| Label { name: name.clone(), detail: String::new() })
        }))
    }
}

impl ReadyWhen {
    fn read(&self, place: &Place<'_>, name: &str) -> Result<Ready, ScriptError> {
        match (self.port, &self.line, &self.url) {
            (Some(0), None, None) => Err(place.at("port").error("nothing listens at port 0", "a port from 1 to 65535")),
            (Some(port), None, None) => Ok(Ready::Port(port)),
            (None, Some(line), None) => Ok(Ready::Line(place.at("line").pattern(line)?)),
            (None, None, Some(text)) => {
                let url = place.at("url").url(text)?;
                if url.host != name && url.host != "localhost" {
                    let message = format!("`{}` is another host", url.host);
                    return Err(place.at("url").error(&message, format!("one of this host, \"http://{name}:8080/\"")));
                }
                Ok(Ready::Url(url))
            }
            _ => Err(place.error("it is ready by one thing", "one of `port`, `line`, `url`")),
        }
    }
}

impl Expect {
    fn read(&self, place: &Place<'_>, names: &[&str], duration: Duration) -> Result<Expectation, ScriptError> {
        let Self { host, exit, line, count, probe, at, status, body } = self;
        let of_probe = [("at", at.is_some()), ("status", status.is_some()), ("body", body.is_some())];
        let stray = |keys: &[(&'static str, bool)], of: &str| {
            let found = keys.iter().find(|(_, is_there)| *is_there).map(|(key, _)| *key);
            found.map(|key| {
                place.at(key).error(&format!("`{key}` says nothing without `{of}`"), format!("`{of}`, or no `{key}`"))
            })
        };
        let named = || match host {
            Some(host) => place.at("host").host(host, names),
            None => Err(place.error("missing key `host`", "whose it is, such as `host = \"c1\"`")),
        };
        match (exit, line, probe) {
            (Some(bound), None, None) => {
                stray(&of_probe, "probe").or(stray(&[("count", count.is_some())], "line")).map_or(Ok(()), Err)?;
                Ok(Expectation::Exit { host: named()?, bound: *bound })
            }
            (None, Some(line), None) => {
                stray(&of_probe, "probe").map_or(Ok(()), Err)?;
                let pattern = place.at("line").pattern(line)?;
                Ok(Expectation::Lines { host: named()?, pattern, bound: count.unwrap_or(Comparison::AtLeast(1)) })
            }
            (None, None, Some(text)) => {
                let others = [("count", count.is_some())];
                stray(&others, "line").or(stray(&[("host", host.is_some())], "exit")).map_or(Ok(()), Err)?;
                let url = place.at("probe").url(text)?;
                let host = place.at("probe").host(&url.host, names)?;
                if at.is_some_and(|at| at.0 >= duration) {
                    return Err(place.at("at").error("this is not within the run", "a time below the duration"));
                }
                let body = body.as_ref().map(|body| place.at("body").pattern(body)).transpose()?;
                let status = status.unwrap_or(Comparison::Equal(200));
                Ok(Expectation::Probe { url, host, at: at.map(|at| at.0), status, body })
            }
            _ => Err(place.error("it expects one thing", "one of `exit`, `line`, `probe`")),
        }
    }
}
