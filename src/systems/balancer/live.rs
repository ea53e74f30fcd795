//! The balancer as a real process: `load-balancer`, among clients and backends whose code is that of simulated runs, played
//! by this program in processes of their own.
//!
//! What clients and backends tell is checked over all of it, by the processes' clocks, which are one and the same on one
//! machine. What goes by the balancer's own moments is not: they are told behind what came of them, by who has more to do.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::check::balancer::{BalancerCheck, End, Request};
use crate::events::{Line, Value};
use crate::net::real::{self, RealNet};
use crate::rng::Rng;
use crate::script::document::Part as At;
use crate::script::{Action, ScriptError, SystemAction};
use crate::sim::trace::{Record, What};
use crate::sim::{
    Breach, Ending, Heard, HostResult, Judgement, PacketBytes, Part, Process, Processes, Setup, Watcher, Witness,
};
use crate::systems::told::interned;
use crate::watched;

use super::book::{self, Book};
use super::options::{Condition, Expect, Options, origin};
use super::place::{Place, Told};
use super::{BALANCER, ONE_HOP, PORT, backend, client};

/// What is checked of a live run.
const CHECKED: [&str; 3] =
    ["a POST runs at most once", "a request arrives as it was sent", "an answer belongs to its request"];
const NOTE: &str = "not checked live: whom the balancer blames, avoids and asks, its shares and budgets, what is lost that \
                    could be served, and that nothing leaks";

/// The hosts of a script as processes.
pub(super) fn processes(setup: &Setup<'_>) -> Result<Processes, ScriptError> {
    let options = Options::read(setup)?;
    let expect: Expect = setup.expect()?;
    expect.validate(&setup.script().expect.section)?;
    let config = options.validate(setup)?;
    refuse(setup, &options)?;
    let script = &setup.table().source.text;
    let clients = options.clients().chain(options.slow_clients());
    let hosts = std::iter::once(balancer(script, &options))
        .chain(options.backends().map(|name| Process::played(setup, name, false)))
        .chain(clients.map(|name| Process::played(setup, name, true)))
        .collect();
    let witness = Fleet::new(BalancerCheck::new(&config, options.deadline.0), expect);
    Ok(Processes { hosts, packets: PacketBytes::Ethernet, witness: Box::new(witness) })
}

/// What nobody does to, or is among, real processes.
fn refuse(setup: &Setup<'_>, options: &Options) -> Result<(), ScriptError> {
    let (table, script) = (setup.table(), setup.script());
    let cannot = "no live run can be made of it";
    if options.talks().next().is_some() {
        return Err(table.error("talks", format!("clients that speak word for word are simulated only: {cannot}")));
    }
    if options.smugglers().next().is_some() {
        return Err(table.error("smugglers", format!("smugglers are simulated only: {cannot}")));
    }
    if options.has_bug() {
        return Err(table.error("bug", format!("`load-balancer` has no planted bugs: {cannot}")));
    }
    for (index, step) in script.steps.iter().enumerate() {
        if let Action::System(action) = &step.action {
            let message = format!("nobody tells a real balancer, its backends or clients what to do: {cannot}");
            return Err(action.section.error_of_table(message));
        }
        if step.action.has_roles() {
            let message = format!("how busy backends are is the balancer's to know: {cannot}");
            return Err(script.error_at_key(&[At::Key("step"), At::Index(index)], &message));
        }
    }
    Ok(())
}

/// The balancer, with its settings as a file.
fn balancer(script: &str, options: &Options) -> Process {
    let settings = script.parse::<toml::Table>().ok().and_then(|mut script| script.remove("balancer"));
    let settings = settings.and_then(|mut table| table.as_table_mut()?.remove("settings"));
    let mut settings = settings.and_then(|settings| settings.try_into::<toml::Table>().ok()).unwrap_or_default();
    settings.entry("backend").or_insert_with(|| {
        let one = |name: String| toml::Table::from_iter([("url".to_owned(), origin(&name).to_string().into())]);
        options.backends().map(one).collect::<Vec<_>>().into()
    });
    let arguments = ["--events", "--config={dir}/balancer.toml"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("--listen={{addr}}:{PORT}")]);
    Process {
        name: BALANCER.to_owned(),
        program: Some("load-balancer"),
        arguments: arguments.collect(),
        files: vec![("balancer.toml", settings.to_string())],
        // It asks its backends as soon as it is there.
        last: true,
        workload: false,
        ready: Some("^listening on "),
    }
}

/// In a process of its own.
struct Alone {
    options: Options,
    part: Part,
    began: Instant,
    load: watched::Sender<f64>,
    stop: watched::Sender<bool>,
}

/// Plays a backend or a client.
pub(super) fn play(setup: &Setup<'_>, part: Part) -> Option<HostResult> {
    let options = match Options::read(setup) {
        Ok(options) => options,
        Err(error) => return Some(Err(error.into())),
    };
    let is_in = |mut all: Box<dyn Iterator<Item = String>>| all.any(|name| name == part.host);
    let [backend, asks, dawdles] = [
        is_in(Box::new(options.backends())),
        is_in(Box::new(options.clients())),
        is_in(Box::new(options.slow_clients())),
    ];
    let tell = part.tell.clone();
    let listening = move |addr: std::net::SocketAddr| {
        tell("listening", vec![("addr", addr.to_string().into())], serde_json::Value::Null);
    };
    let life = async move {
        let (load, stop) = (watched::Sender::new(options.rate), watched::Sender::new(false));
        let place = Alone { options, part, began: Instant::now(), load, stop };
        match (backend, asks, dawdles) {
            (true, ..) => backend::serve(place, listening).await,
            (_, true, _) => client::ask(place).await,
            _ => client::dawdle(place).await,
        }
    };
    (backend || asks || dawdles).then(|| real::run(life)?)
}

impl Place for Alone {
    type Net = RealNet;

    fn host(&self) -> &str {
        &self.part.host
    }

    fn incarnation(&self) -> u32 {
        self.part.incarnation
    }

    fn net(&self) -> &RealNet {
        &RealNet
    }

    fn rng(&self) -> Rng {
        self.part.rng.clone()
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn condition(&self) -> Condition {
        Condition::default()
    }

    fn felt(&self) {}

    fn load(&self) -> watched::Receiver<f64> {
        self.load.subscribe()
    }

    fn stopped(&self) -> watched::Receiver<bool> {
        self.stop.subscribe()
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn tell(&self, told: Told) {
        let mut page = Page::default();
        match &told {
            Told::Sends(request) => _ = book::sends(&mut page, request),
            Told::Ends { request, took, end } => _ = book::ends(&mut page, request, *took, end),
            Told::Executes { method, id, .. } => _ = book::executes(&mut page, method, id),
            Told::OneHop { .. } | Told::Counts(_) => page.0.name = Some("told"),
            // These are for checks that a live run does not make.
            _ => return,
        }
        let fact = serde_json::to_value(&told).unwrap_or_default();
        (self.part.tell)(page.0.name.unwrap_or_default(), page.0.fields, fact);
    }
}

/// What is written down of one event.
#[derive(Default)]
struct Page(Heard);

impl Book for Page {
    fn event(&mut self, name: &'static str, fields: Vec<(&'static str, Value)>) -> u64 {
        (self.0.name, self.0.fields) = (Some(name), fields);
        0
    }

    fn count(&mut self, counter: &'static str) {
        self.0.counts.push((counter, 1));
    }

    fn work(&mut self) {
        self.0.work += 1;
    }

    fn time(&mut self, name: &'static str, time: Duration) {
        self.0.time = Some((name, time));
    }
}

/// What was told: when by its process's clock, by whom, and when and where that stands in the trace.
struct Said {
    t_ns: u64,
    host: String,
    seen: (Duration, u64),
    told: Told,
}

struct Fleet {
    check: BalancerCheck,
    expect: Expect,
    said: Vec<Said>,
    answers: u64,
    /// Why each backend is avoided, as far as it is.
    avoided: BTreeMap<String, BTreeSet<&'static str>>,
    /// Steps that have fired.
    faults: Rc<RefCell<Vec<Record>>>,
}

impl Fleet {
    fn new(check: BalancerCheck, expect: Expect) -> Self {
        let (said, answers, avoided) = (Vec::new(), 0, BTreeMap::new());
        Self { check, expect, said, answers, avoided, faults: Rc::default() }
    }

    fn hear(&mut self, told: &Told, page: &mut Page) {
        match told {
            Told::Sends(request) => _ = book::sends(page, request),
            Told::Ends { request, took, end } => {
                self.answers += u64::from(end.is_success());
                _ = book::ends(page, request, *took, end);
            }
            Told::Executes { method, id, .. } => _ = book::executes(page, method, id),
            Told::Counts(counter) => page.count(interned(counter.clone().into_owned())),
            _ => {}
        }
    }

    /// The balancer's standing of a backend.
    fn stands(&mut self, event: &str, fields: &[(&'static str, Value)]) {
        let Some((_, backend)) = fields.iter().find(|(name, _)| *name == "backend") else { return };
        let why = self.avoided.entry(backend.to_string()).or_default();
        match event {
            "unhealthy" => _ = why.insert("unhealthy"),
            "ejected" => _ = why.insert("ejected"),
            "healthy" => _ = why.remove("unhealthy"),
            "readmitted" => _ = why.remove("ejected"),
            "removed" | "drained" => why.clear(),
            _ => {}
        }
    }

    /// The first thing that is broken by what was told, and the latencies by parts of the run.
    fn replay(&mut self) -> (Option<Breach>, Vec<(&'static str, Duration)>) {
        let (mut found, mut times) = (None, Vec::new());
        // What stands in the same nanosecond stays in the order in which it was heard.
        self.said.sort_by_key(|said| said.t_ns);
        for Said { host, seen, told, .. } in std::mem::take(&mut self.said) {
            let breach = match told {
                Told::Sends(request) => {
                    self.check.sent(seen, &request);
                    None
                }
                Told::Executes { method, id, body } => self.check.executed(seen, &host, method == "POST", &id, body),
                Told::Ends { request, took, end } => self.ended(seen, &request, took, &end, &mut times),
                Told::OneHop { text } => Some(Breach::new(ONE_HOP, text)),
                _ => None,
            };
            let is_checked = |breach: &Breach| [&CHECKED[..], &[ONE_HOP]].concat().contains(&breach.invariant.as_str());
            found = found.or(breach.filter(is_checked));
        }
        (found, times)
    }

    fn ended(
        &mut self,
        seen: (Duration, u64),
        request: &Request,
        took: Duration,
        end: &End,
        times: &mut Vec<(&'static str, Duration)>,
    ) -> Option<Breach> {
        if end.is_success() {
            times.push((book::latency(self.check.phase(seen.0.saturating_sub(took))), took));
        }
        self.check.ended(seen, request, end)
    }
}

impl Witness for Fleet {
    fn line(&mut self, host: &str, seen: (Duration, u64), line: &str) -> Option<Heard> {
        let Line { t_ns, event, fields, fact } = Line::<Told>::read(line)?;
        let mut page = Page::default();
        if let Some(told) = fact {
            self.hear(&told, &mut page);
            self.said.push(Said { t_ns, host: host.to_owned(), seen, told });
            return Some(page.0);
        }
        let name = interned(event?);
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| (interned(name), value)).collect();
        self.stands(name, &fields);
        book::counter(name).into_iter().for_each(|counter| page.count(counter));
        page.event(name, fields);
        Some(page.0)
    }

    fn watcher(&mut self) -> Option<Watcher> {
        let faults = self.faults.clone();
        Some(Box::new(move |record| {
            if let What::Fault { .. } = record.what {
                faults.borrow_mut().push(record.clone());
            }
            None
        }))
    }

    fn ended(&mut self, _: &str, _: (Duration, u64)) {}

    fn holds(&self, state: &str) -> bool {
        match state {
            "answering" => self.answers > 0,
            _ => self.avoided.values().any(|why| !why.is_empty()),
        }
    }

    fn who(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn is_done(&self, _: usize, _: &SystemAction) -> bool {
        false
    }

    fn judge(&mut self, end: &Ending) -> Judgement {
        self.faults.take().iter().for_each(|fault| self.check.record(fault, &[]));
        end.healed.into_iter().for_each(|at| self.check.calm(at));
        let (found, times) = self.replay();
        let recovered = || match (self.expect.recovers_within, self.expect.recovers) {
            _ if end.is_cut_off => None,
            (Some(within), _) => self.check.has_recovered(within.0).err(),
            (None, Some(false)) => self.check.has_not_recovered().err(),
            _ => None,
        };
        // Latencies are also the machine's, which may have had less time for these processes after than before.
        let doubt = recovered()
            .map(|breach| format!("{}: {}; live, that may be this machine's doing", breach.invariant, breach.message));
        Judgement { breach: found, doubt, times, notes: vec![NOTE.to_owned()], untold: &[] }
    }
}
