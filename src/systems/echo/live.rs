//! The echo services as real processes: `tcp-echo` and `udp-echo`, which tell their events as lines of JSON.
//!
//! All that is checked of a simulated run is checked of what they told and of what the relay did, once the run is over: an
//! arrival may be heard of after what came of it, so that a datagram is held to have come as often as it was taken in by the
//! end, and not at each moment.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::check::echo::EchoCheck;
use crate::echo::Event;
use crate::echo::cli::Told;
use crate::events::Line;
use crate::script::{ScriptError, SystemAction, show_duration};
use crate::sim::trace::{HostId, Record, What};
use crate::sim::{Breach, Ending, Heard, Judgement, PacketBytes, Process, Processes, Setup, Watcher, Witness};

use super::super::told::interned;
use super::expect::{Expect, Over, Unmet};
use super::{Counted, Options, PORT, TransportName, counted};

/// The server and the clients of a script as processes.
pub(super) fn processes(setup: &Setup<'_>) -> Result<Processes, ScriptError> {
    let options = Options::read(setup)?;
    let expect: Expect = setup.expect()?;
    options.validate(setup)?;
    let hosts = std::iter::once(server(&options))
        .chain(options.client_hosts().map(|(name, here)| client(name, here, &options)));
    let packets = match options.transport {
        TransportName::Tcp => PacketBytes::Ethernet,
        TransportName::Udp => PacketBytes::Datagrams,
    };
    let witness = Echoes::new(options.clone(), expect);
    Ok(Processes { hosts: hosts.collect(), packets, witness: Box::new(witness) })
}

fn program(options: &Options) -> &'static str {
    match options.transport {
        TransportName::Tcp => "tcp-echo",
        TransportName::Udp => "udp-echo",
    }
}

fn server(options: &Options) -> Process {
    let mut arguments = vec![
        "serve".to_owned(),
        "--events".to_owned(),
        format!("--listen={{addr}}:{PORT}"),
        format!("--prefix={}", options.prefix),
    ];
    if let TransportName::Tcp = options.transport {
        arguments.extend([
            format!("--max-line={}", options.max_line.0),
            format!("--idle-timeout={}", show_duration(options.idle_timeout.0)),
            format!("--max-connections={}", options.max_connections),
        ]);
    }
    let (name, ready) = ("server".to_owned(), Some("^listening on "));
    Process { name, program: Some(program(options)), arguments, files: Vec::new(), last: false, workload: false, ready }
}

/// So many clients on a host. An incarnation numbers its requests anew: its name is part of theirs.
fn client(name: String, here: u64, options: &Options) -> Process {
    let mut arguments = vec![
        "send".to_owned(),
        "--events".to_owned(),
        format!("--to=server:{PORT}"),
        format!("--numbered={name}.{{incarnation}}"),
        format!("--count={}", options.requests()),
        format!("--size={}", options.size.0),
        format!("--timeout={}", show_duration(options.timeout.0)),
        format!("--retries={}", options.retries),
        format!("--pipeline={}", options.pipeline),
    ];
    arguments.extend(options.rate().map(|rate| format!("--rate={rate}")));
    if here > 1 {
        arguments.push(format!("--clients={here}"));
    }
    if let (TransportName::Tcp, Some(delay)) = (options.transport, options.read_delay) {
        arguments.push(format!("--read-delay={}", show_duration(delay.0)));
    }
    Process {
        name,
        program: Some(program(options)),
        arguments,
        files: Vec::new(),
        last: false,
        workload: true,
        ready: None,
    }
}

/// What was seen of a run beside what its processes told.
#[derive(Default)]
struct Seen {
    check: Option<EchoCheck>,
    /// Which start of each host it is, by the host's place.
    incarnations: Vec<u32>,
    /// Clients that died in the middle of their work, by the beginning of their names.
    dead: Vec<String>,
}

impl Seen {
    fn record(&mut self, record: &Record) {
        self.check.iter_mut().for_each(|check| check.record(record));
        let Some(HostId(place)) = record.host else { return };
        let place = usize::from(place);
        match record.what {
            What::Started { incarnation } => {
                let known = self.incarnations.len().max(place + 1);
                self.incarnations.resize(known, 0);
                self.incarnations[place] = incarnation;
            }
            // The server is host 0, then come the clients' hosts.
            What::Killed | What::PowerLost if place > 0 => {
                let incarnation = self.incarnations.get(place).copied().unwrap_or_default();
                self.dead.push(format!("c{place}.{incarnation}"));
            }
            _ => {}
        }
    }
}

struct Echoes {
    options: Options,
    expect: Expect,
    seen: Rc<RefCell<Seen>>,
    /// What was told, in the order in which it was heard: that of each process is its own.
    told: Vec<((Duration, u64), Told)>,
    requests: u64,
    answers: u64,
    /// Requests that are tried again.
    retried: BTreeSet<(String, u64)>,
}

impl Echoes {
    fn new(options: Options, expect: Expect) -> Self {
        let mut check = EchoCheck::new(options.transport.into(), Bytes::from(options.prefix.clone()));
        options.refusal().into_iter().for_each(|refusal| check.refused_with(refusal));
        let seen = Rc::new(RefCell::new(Seen { check: Some(check), ..Seen::default() }));
        Self { options, expect, seen, told: Vec::new(), requests: 0, answers: 0, retried: BTreeSet::new() }
    }

    fn count(&mut self, Told { client, event }: &Told, heard: &mut Heard) {
        let Counted { name, work } = counted(event);
        heard.counts.extend(name.map(|name| (name, 1)));
        heard.work = work;
        let request = |id: &u64| (client.clone().unwrap_or_default(), *id);
        match event {
            Event::Sent { attempt: 1, .. } => self.requests += 1,
            Event::Retry { id, .. } => _ = self.retried.insert(request(id)),
            Event::Answered { id, rtt, .. } => {
                self.answers += 1;
                heard.time = Some(("rtt", *rtt));
                if self.retried.remove(&request(id)) {
                    heard.counts.push(("retries answered", 1));
                }
            }
            _ => {}
        }
    }

    /// The first thing that is broken by all that was told.
    fn broken(&mut self, check: &mut EchoCheck) -> Option<Breach> {
        let mut found = None;
        for (seen, Told { client, event }) in std::mem::take(&mut self.told) {
            let breach = match client {
                Some(client) => check.client(&client, seen, &event),
                None => check.server(&event),
            };
            found = found.or(breach);
        }
        self.seen.borrow().dead.iter().for_each(|host| check.died(host));
        found
    }
}

impl Witness for Echoes {
    fn line(&mut self, _: &str, seen: (Duration, u64), line: &str) -> Option<Heard> {
        let Line { event, fields, fact, .. } = Line::<Told>::read(line)?;
        let told = fact?;
        let fields = fields.into_iter().map(|(name, value)| (interned(name), value)).collect();
        let mut heard = Heard { name: event.map(interned), fields, ..Heard::default() };
        self.count(&told, &mut heard);
        self.told.push((seen, told));
        Some(heard)
    }

    fn watcher(&mut self) -> Option<Watcher> {
        let seen = self.seen.clone();
        Some(Box::new(move |record| {
            seen.borrow_mut().record(record);
            None
        }))
    }

    fn ended(&mut self, _: &str, _: (Duration, u64)) {}

    fn holds(&self, state: &str) -> bool {
        match state {
            "answering" => self.answers > 0,
            _ => self.answers >= self.options.clients * self.options.requests() / 2,
        }
    }

    fn who(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn is_done(&self, _: usize, _: &SystemAction) -> bool {
        false
    }

    fn judge(&mut self, end: &Ending) -> Judgement {
        let mut judgement = Judgement::default();
        let Some(mut check) = self.seen.borrow_mut().check.take() else { return judgement };
        judgement.breach = self.broken(&mut check);
        let is_expected = self.options.refusal().is_none() || self.expect.answered.is_some();
        if judgement.breach.is_none() && is_expected {
            let over = Over {
                requests: self.requests,
                answers: self.answers,
                is_cut_off: end.is_cut_off,
                healed: end.healed,
                tried_for: self.options.tried_for(),
            };
            match self.expect.unmet(&over, &check) {
                Some(Unmet::Breach(breach)) => judgement.breach = Some(breach),
                Some(Unmet::Note(note)) => judgement.notes.push(note),
                None => {}
            }
        }
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::request::request;
    use crate::rng::Seed;
    use crate::script::Script;

    fn of(echo: &str) -> Processes {
        let text = format!("about = 'x'\nsystem = 'echo'\nduration = '60s'\n[echo]\n{echo}");
        let script = Script::parse("x.toml", &text).expect("a script");
        processes(&Setup::built(&super::super::Echo, &script, Seed(0)).expect("it is valid")).expect("it can be had")
    }

    fn tell(witness: &mut dyn Witness, client: Option<&str>, event: Event) -> Heard {
        let fields = event.fields();
        let line = Line::named(1, event.name(), fields);
        let line = Line { fact: Some(Told { client: client.map(str::to_owned), event }), ..line };
        let line = serde_json::to_string(&line).expect("JSON");
        witness.line("c1", (Duration::ZERO, 1), &line).expect("it tells an event")
    }

    fn sent(id: u64) -> Event {
        Event::Sent { id, attempt: 1, payload: request("c1.0", id, 0) }
    }

    fn answer(id: u64) -> Bytes {
        [b"Echo: ", &request("c1.0", id, 0)[..]].concat().into()
    }

    fn end(witness: &mut dyn Witness) -> Option<String> {
        let end = Ending { healed: Some(Duration::ZERO), ..Ending::default() };
        witness.judge(&end).breach.map(|breach| format!("{}: {}", breach.invariant, breach.message))
    }

    #[test]
    fn hosts_have_the_arguments_of_their_script() {
        let hosts =
            of("clients = 3\nclients_per_host = 2\ninterval = '0s'\nread_delay = '1500ms'\nmax_line = '1KiB'").hosts;
        let lines: Vec<String> = hosts
            .iter()
            .map(|host| format!("{} {}", host.program.unwrap_or_default(), host.arguments.join(" ")))
            .collect();
        assert_eq!(
            lines,
            [
                "tcp-echo serve --events --listen={addr}:8080 --prefix=Echo:  --max-line=1024 --idle-timeout=5m --max-connections=1024",
                "tcp-echo send --events --to=server:8080 --numbered=c1.{incarnation} --count=100 --size=32 --timeout=1s \
                 --retries=20 --pipeline=1 --clients=2 --read-delay=1.5s",
                "tcp-echo send --events --to=server:8080 --numbered=c2.{incarnation} --count=100 --size=32 --timeout=1s \
                 --retries=20 --pipeline=1 --read-delay=1.5s",
            ]
        );
        let udp = of("transport = 'udp'\ninterval = '8ms'");
        assert_eq!(udp.packets, PacketBytes::Datagrams);
        assert!(udp.hosts[1].arguments.contains(&"--rate=125".to_owned()), "{:?}", udp.hosts[1]);
    }

    #[test]
    fn an_answer_counts_as_in_a_simulated_run() {
        let mut witness = of("requests = 2\nclients = 1").witness;
        tell(&mut *witness, Some("c1.0"), sent(0));
        tell(&mut *witness, Some("c1.0"), Event::Retry { id: 0, attempt: 2 });
        assert!(!witness.holds("answering"));
        let rtt = Duration::from_millis(3);
        let heard = tell(&mut *witness, Some("c1.0"), Event::Answered { id: 0, rtt, payload: answer(0) });
        assert_eq!(heard.counts, [("answers", 1), ("retries answered", 1)]);
        assert_eq!((heard.work, heard.time), (1, Some(("rtt", rtt))));
        assert!(witness.holds("answering") && witness.holds("half-done"));
        assert_eq!(end(&mut *witness), None);
    }

    #[test]
    fn who_is_not_answered_is_found_unless_he_was_killed() {
        for (killed, found) in [(false, true), (true, false)] {
            let mut witness = of("requests = 1\nclients = 1").witness;
            let mut watch = witness.watcher().expect("it watches");
            let mut record =
                |what| watch(&Record { number: 0, at: Duration::ZERO, host: Some(HostId(1)), cause: None, what });
            record(What::Started { incarnation: 0 });
            if killed {
                record(What::Killed);
                record(What::Started { incarnation: 1 });
            }
            // What it said before it was killed may be heard after that.
            tell(&mut *witness, Some("c1.0"), sent(0));
            let breach = end(&mut *witness);
            assert_eq!(breach.is_some_and(|breach| breach.starts_with("every client is served: c1.0 sent 1")), found);
        }
    }

    #[test]
    fn what_is_no_echo_and_what_never_arrived_is_found() {
        let mut witness = of("clients = 1").witness;
        tell(&mut *witness, Some("c1.0"), sent(0));
        tell(&mut *witness, Some("c1.0"), Event::Answered { id: 0, rtt: Duration::ZERO, payload: answer(1) });
        assert!(end(&mut *witness).is_some_and(|text| text.starts_with("an answer is the echo of a request")));
        let mut witness = of("transport = 'udp'\nclients = 1").witness;
        tell(&mut *witness, None, Event::Echoed { peer: ([10, 88, 0, 2], 9).into(), payload: answer(0) });
        assert!(end(&mut *witness).is_some_and(|text| text.starts_with("only the network multiplies datagrams")));
    }
}
