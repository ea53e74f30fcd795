//! Raft in the testbed: a cluster that elects leaders, watched by [`crate::check::raft`].

#[cfg(feature = "planted-bugs")]
mod bugs;
mod cluster;
mod exhaust;
mod figures;
mod live;
mod names;
mod options;
mod orders;
mod told;
mod workload;

use std::rc::Rc;
use std::time::Duration;

use indexmap::IndexMap;
use rand::Rng as _;
use schemars::{Schema, schema_for};

use crate::events::Value;
use crate::figure::Figure;
use crate::model::{Bounds, Search};
use crate::raft::codec::Datagram;
use crate::raft::message::AppendEntriesResponse;
use crate::raft::{ClusterId, Codec, Message, Role};
use crate::rng::Rng;
use crate::script::{Action, HostPattern, Lane, MessageRule, Script, ScriptError, Setting, Sometimes, SystemAction};
use crate::sim::meaning::Meaning;
use crate::sim::trace::{Label, Packet, What};
use crate::sim::{Calm, HostResult, Part, Processes, Setup};

#[cfg(feature = "planted-bugs")]
use crate::sim::{PlantedBug, WeakerCheck};
use crate::sim::{Size, System};
use cluster::Cluster;
use options::{Expect, Options};
use orders::Step;

/// A Raft cluster.
pub struct Raft;

macro_rules! sims {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../sims/raft/", $name, ".toml")))),*]
    };
}

impl System for Raft {
    fn name(&self) -> &'static str {
        "raft"
    }

    fn about(&self) -> &'static str {
        "a Raft cluster that elects leaders"
    }

    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        sims![
            "all-stand-still",
            "availsim",
            "candidate-concedes",
            "chaos",
            "cloudflare-2020",
            "commit-latency",
            "deaf-candidate",
            "delayed-request-vote-after-restart",
            "disruptive-rejoin",
            "double-vote-after-crash",
            "drifting-clocks",
            "dueling-candidates",
            "figure-16",
            "figure-7",
            "figure-8",
            "flapping-link",
            "former-candidate-double-vote",
            "hand-over",
            "hand-over-cut-off",
            "kv-bad-disks",
            "kv-chaos",
            "kv-clock-jumps",
            "kv-cut-off",
            "kv-disk-full",
            "kv-divergent-tails",
            "kv-failed-sync",
            "kv-fast-clock-lease",
            "kv-hand-over",
            "kv-hanging-disk",
            "kv-hot-key",
            "kv-http",
            "kv-hub",
            "kv-large-values",
            "kv-leader-crash",
            "kv-lease-clock-jump",
            "kv-lost-packets",
            "kv-open-loop",
            "kv-partial-mesh",
            "kv-power-mid-truncate",
            "kv-power-mid-write",
            "kv-read-after-deposed",
            "kv-restart-after-cut",
            "kv-retry-storm",
            "kv-rolling-restart",
            "kv-slow-leader-disk",
            "kv-stale-leader",
            "kv-torn-write",
            "late-timeout-now",
            "leader-pause",
            "leaseguard",
            "lost-answers",
            "mute-receiver",
            "parallel-disk",
            "partial-mesh-1",
            "partial-mesh-2",
            "quorum-loss-hub",
            "rolling-restart",
            "simultaneous-boot",
            "slow-disk-voter",
            "slow-disks",
            "slow-links",
            "split-rate",
            "split-vote",
            "split-vote-livelock",
            "stale-answers",
            "stale-vote-reply",
            "switch-restarts",
        ]
    }

    #[cfg(feature = "planted-bugs")]
    fn bugs(&self) -> &'static [PlantedBug] {
        bugs::BUGS
    }

    #[cfg(feature = "planted-bugs")]
    fn weaker_checks(&self) -> &'static [WeakerCheck] {
        bugs::WEAKER_CHECKS
    }

    fn figures(&self) -> Vec<Figure> {
        figures::all()
    }

    fn lacks_in_core_lane(&self) -> Option<&'static str> {
        None
    }

    fn script_lacks_in_core_lane(&self, script: &Script) -> Option<&'static str> {
        let options: Options = script.section.read().ok()?;
        options.speaks_http().then_some("TCP")
    }

    fn draws_from_tokio(&self) -> bool {
        false
    }

    fn processes(&self, setup: &Setup<'_>) -> Option<Result<Processes, ScriptError>> {
        Some(live::processes(setup))
    }

    fn play(&self, setup: &Setup<'_>, part: Part) -> Option<HostResult> {
        workload::play(setup, part)
    }

    fn section_schema(&self) -> Schema {
        schema_for!(Options)
    }

    fn step_schema(&self) -> Option<Schema> {
        Some(schema_for!(Step))
    }

    fn states(&self) -> &'static [&'static str] {
        &["leader", "agreed", "leaderless"]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["leader", "follower", "candidate"]
    }

    fn messages(&self) -> Option<Vec<&'static str>> {
        Some([&Message::NAMES[..], &["Part", "PartsWanted", "Request", "Response"]].concat())
    }

    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(names::COUNTERS.to_vec())
    }

    fn label(&self, packet: &Packet) -> Option<Label> {
        let (name, detail) = match codec().decode_any(&packet.payload).ok()? {
            Datagram::Member(envelope) => (envelope.message.name(), detail(&envelope.message)),
            Datagram::Request { request, .. } => (request.name(), request.detail()),
            Datagram::Response { response, .. } => (response.name(), response.detail()),
            Datagram::Part { part, .. } => ("Part", format!("{} of {}", part.number + 1, part.count)),
            Datagram::Wanted { wanted, .. } => {
                ("PartsWanted", format!("{} parts", wanted.runs.iter().map(|(_, many)| u64::from(*many)).sum::<u64>()))
            }
        };
        Some(Label { name: name.to_owned(), detail })
    }

    fn dissector(&self) -> Option<&'static str> {
        Some(include_str!("dissector.lua"))
    }

    fn drawn(&self, setup: &Setup<'_>) -> Result<Vec<Setting>, ScriptError> {
        setup.section::<Options>()?.drawn(setup)
    }

    fn drew(&self, setup: &Setup<'_>) -> Result<Vec<(String, String)>, ScriptError> {
        let options: Options = setup.section()?;
        let mut drew: Vec<_> =
            self.drawn(setup)?.iter().map(|set| (set.key().to_owned(), set.value().to_owned())).collect();
        drew.extend(options.clocks_drawn(setup)?.map(|clocks| ("raft.clock_drift".to_owned(), clocks)));
        Ok(drew)
    }

    fn sizes(&self, setup: &Setup<'_>) -> Result<Vec<Size>, ScriptError> {
        let nodes = setup.section::<Options>()?.cluster(setup)?.members().count() as u64;
        Ok(vec![Size { key: "nodes", value: nodes, least: 1 }])
    }

    fn patience(&self, setup: &Setup<'_>) -> Result<Duration, ScriptError> {
        Ok(setup.section::<Options>()?.cluster(setup)?.config.election_timeout_max * 2)
    }

    fn meaning(&self, event: &str, fields: &IndexMap<String, Value>) -> Option<Meaning> {
        let gauge = |name: &str, of: &str, less: u64| {
            let Value::Int(value) = fields.get(of)? else { return None };
            Some(Meaning::Gauge { name: name.to_owned(), value: value.saturating_sub(less) })
        };
        match event {
            "loaded-log" => return gauge("log", "last_index", 0),
            "appended" => return gauge("log", "last", 0),
            "truncated" => return gauge("log", "from", 1),
            "committed" => return gauge("committed", "index", 0),
            "called" => return Some(Meaning::Begins { request: "call".to_owned() }),
            "returned" => {
                let outcome = fields.get("outcome").map(ToString::to_string);
                let failure = outcome.filter(|outcome| outcome != "answered");
                return Some(Meaning::Ends { request: "call".to_owned(), failure });
            }
            _ => {}
        }
        let state = if event == "booted" { "follower" } else { event.strip_prefix("became-")? };
        let term = fields.get("term")?;
        Some(Meaning::State { of: None, state: state.to_owned(), detail: format!("term {term}") })
    }

    fn sometimes(&self, script: &Script) -> Vec<Sometimes> {
        let all = [
            ("a vote is split", "split votes"),
            ("a leader is deposed", "step-downs"),
            ("a lead is handed over", "leads handed over"),
            ("a vote is refused", "votes refused"),
            ("a broken datagram is rejected", "rejected datagrams"),
        ];
        let all = all.into_iter().map(|(name, counter)| Sometimes::counted(name, counter));
        script.chaos.iter().flat_map(|_| all.clone()).collect()
    }

    fn operate(&self, hosts: &[String], rng: &mut Rng) -> Vec<Action> {
        operate(hosts, rng)
    }

    fn exhaust(
        &self,
        bounds: &Bounds,
        goes_on: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Option<Result<Search, String>> {
        Some(exhaust::exhaust(bounds, goes_on))
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options: Options = setup.section()?;
        let expect: Expect = setup.expect()?;
        let plan = options.cluster(setup)?;
        let expected = expect.understand(&setup.script().expect.section, &plan.config)?;
        let cluster = Rc::new(Cluster::new(plan, expected));
        let callers = cluster.callers();
        for id in cluster.members() {
            let cluster = cluster.clone();
            match setup.lane() {
                Lane::Turmoil => setup.host(id.to_string(), move |host| cluster.clone().run(id, host)),
                Lane::Core => {
                    setup.core_host(id.to_string(), move |host| cluster.clone().run_in_core_lane(id, host));
                }
            }
        }

        for caller in callers {
            let cluster = cluster.clone();
            match setup.lane() {
                Lane::Turmoil => setup.host(caller.name(), move |host| cluster.clone().call_in_turmoil(caller, host)),
                Lane::Core => {
                    setup.core_host(caller.name(), move |host| cluster.clone().call_in_core_lane(caller, host));
                }
            }
        }

        let watching = cluster.clone();
        setup.watch_the_unusual(move |record| {
            let ended = matches!(
                record.what,
                What::Killed | What::PowerLost | What::Finished | What::Failed { .. } | What::Panicked { .. }
            );
            if let (Some(host), true) = (record.host, ended) {
                watching.down(host, (record.at, record.number));
            }
            None
        });

        let config = cluster.config();
        let (told, script) = (cluster.clone(), setup.script());
        let order = move |step: &Step, section: &_| step.order(section, &config);
        let validate = order.clone();
        let sections = script.expect.section.clone();
        setup.actions::<Step>(
            move |step, section| validate(step, section).map(drop),
            move |step, events| {
                let order = order(&step, &sections).expect("it was validated before the run");
                told.carry_out(&order, events);
            },
        )?;

        let calmed = cluster.clone();
        setup.calm(Calm::Healed, move |at| calmed.calm(at));
        let (led, agreed, leaderless) = (cluster.clone(), cluster.clone(), cluster.clone());
        setup.state("leader", move || led.agreement().of_majority.is_some());
        setup.state("agreed", move || agreed.agreement().of_all.is_some());
        setup.state("leaderless", move || leaderless.agreement().of_majority.is_none());
        for role in [Role::Leader, Role::Follower, Role::Candidate] {
            let cluster = cluster.clone();
            setup.role(names::role_name(role), move || names::who_is(&cluster, role));
        }
        if cluster.until_led() {
            let led = cluster.clone();
            setup.done(move || led.agreement().of_majority.is_some());
        }
        if cluster.until_answered() {
            let answered = cluster.clone();
            setup.done(move || answered.answered.get() > 0);
        }
        setup.at_end(move |report| cluster.judge(report));
        Ok(())
    }
}

/// What an operator does: a lead is handed over, to anybody, and perhaps at once to somebody again; and `TimeoutNow` may be
/// late, so that it comes in a term that is over.
fn operate(hosts: &[String], rng: &mut Rng) -> Vec<Action> {
    let hosts: Vec<&String> = hosts.iter().filter(|host| host.starts_with('n')).collect();
    let transfer = |rng: &mut Rng| {
        let to = &hosts[rng.random_range(0..hosts.len())];
        Action::System(SystemAction::new("raft", &format!("{{ transfer_to = \"{to}\" }}")))
    };
    let everyone = || vec![HostPattern("*".to_owned())];
    let late = MessageRule { from: everyone(), to: everyone(), message: Some("TimeoutNow".to_owned()), count: None };
    match rng.random_range(0..6) {
        0 => vec![Action::Hold(late), transfer(rng)],
        1 => vec![transfer(rng), transfer(rng)],
        _ => vec![transfer(rng)],
    }
}

/// How the nodes of every simulated cluster write their messages.
fn codec() -> Codec {
    Codec::new(ClusterId::named("simulated"), None)
}

/// What a message says, shortly.
fn detail(message: &Message) -> String {
    let term = message.term();
    match message {
        Message::PreVoteResponse(answer) => granted(term, answer.vote_granted),
        Message::RequestVoteResponse(answer) => granted(term, answer.vote_granted),
        Message::AppendEntries(append) if !append.entries.is_empty() => {
            let (first, last) = (append.prev_log_index + 1, append.prev_log_index + append.entries.len() as u64);
            let span = if first == last { first.to_string() } else { format!("{first}..{last}") };
            format!("{span} term {term}")
        }
        Message::AppendEntriesResponse(AppendEntriesResponse { success: false, conflict: Some(conflict), .. }) => {
            format!("term {term}, refused at {}", conflict.rejected)
        }
        Message::AppendEntriesResponse(answer) if !answer.success => format!("term {term}, refused"),
        Message::AppendEntriesResponse(answer) if answer.round > 0 => {
            format!("term {term}, up to {}", answer.match_index)
        }
        _ => format!("term {term}"),
    }
}

fn granted(term: u64, granted: bool) -> String {
    format!("term {term}, {}", if granted { "granted" } else { "refused" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use crate::sim::drawn;

    #[test]
    fn what_makes_no_sense_of_clients_and_their_log_is_an_error() {
        let refused = |table: &str| {
            let text = format!("about = 'x'\nsystem = 'raft'\nduration = '9s'\n[raft]\n{table}\n");
            let script = Script::parse("x.toml", &text).unwrap();
            drawn(&Raft, &script, Seed(0)).map(drop).expect_err("it makes no sense").to_string()
        };
        for (table, says) in [
            ("logs = 'drawn'\nclients = {}", "these stand in for logs, and here logs are replicated"),
            ("clients = { count = 0 }", "expected 1 to 1000"),
            ("clients = { keys = 0 }", "expected 1 to 10000"),
            ("clients = { hot = 1.5 }", "expected a share from 0 to 1"),
            ("clients = { reads = [] }", "expected one of log, index, lease and stale"),
            ("clients = { retry = '3s' }", "not above `give_up`"),
            ("clients = { over = 'http', mix = { scan = 1 } }", "there is none over HTTP"),
            ("clients = { every = '0s' }", "expected a time above 0"),
            ("clients = { every = '5ms', think = '5ms' }", "either this, an open loop, or `think`, a closed one"),
            ("clients = { mix = { get = 0, put = 0, delete = 0, cas = 0, append = 0 } }", "for one operation at least"),
            ("replication = { window = [5, 4] }", "a window of 5 to 4 messages"),
            ("leader_stickiness = false\nreplication = { lease = 0.1 }", "switch leader stickiness on"),
        ] {
            let error = refused(table);
            assert!(error.contains(says), "{table}: {error}");
        }
    }

    #[test]
    fn a_step_that_says_too_much_or_too_little_is_an_error() {
        let refused = |step: &str| {
            let text = format!("about = 'x'\nsystem = 'raft'\nduration = '9s'\n[[step]]\nraft = {{ {step} }}\n");
            let script = Script::parse("x.toml", &text).unwrap();
            drawn(&Raft, &script, Seed(0)).map(drop).expect_err("it makes no sense").to_string()
        };
        for (step, says) in [
            ("jump = 'n1'", "expected `by` beside it"),
            ("jump = 'n1', by = '0s'", "such a clock never goes back"),
            ("jump = ['n1', 'n9'], by = '1s'", "n9"),
            ("jump = 'n1', by = '1s', timeout = '1s'", "expected one of `pin` with a `timeout`"),
            ("pin = 'n1'", "expected a `timeout` beside it"),
            ("pin = 'n1', timeout = '0s'", "expected a time above 0"),
            ("transfer_to = 'n1', by = '1s'", "expected one of `pin` with a `timeout`"),
            ("propose = 'n1', transfer_to = 'n1'", "expected one of `pin` with a `timeout`"),
            ("propose = 'n1'", "its log stands still"),
        ] {
            let error = refused(step);
            assert!(error.contains(says), "{step}: {error}");
        }
    }

    #[test]
    fn what_a_seed_drew_is_said_beside_what_it_drew_from() {
        let text = "about = 'x'\nsystem = 'raft'\nduration = '20s'\n[raft]\nnodes = [3, 5]\npre_vote = 'drawn'\n\
                    clock_drift = 0.1\n[[step]]\nat = '1s..3s'\nkill = 'n1'\n[chaos]\nuntil = '10s'\n";
        let script = Script::parse("x.toml", text).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let drawn = drawn(&Raft, &script, Seed(seed)).unwrap();
            let of =
                |what: &str| drawn.iter().find(|drawn| drawn.what == what).unwrap_or_else(|| panic!("{what}")).clone();
            let (nodes, pre_vote) = (of("raft.nodes"), of("raft.pre_vote"));
            assert_eq!((nodes.from.as_deref(), pre_vote.from.as_deref()), (Some("[3, 5]"), Some("\"drawn\"")));
            let step = of("step 1");
            assert_eq!(step.from.as_deref(), Some("at 1s..3s"));
            assert!(step.value.starts_with("at "), "{step:?}");
            assert!(of("raft.clock_drift").value.starts_with("n1 "), "{drawn:?}");
            assert!(drawn.iter().any(|drawn| drawn.what == "chaos"), "{drawn:?}");
            seen.insert((nodes.value, pre_vote.value));
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }
}
