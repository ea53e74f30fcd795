//! Dialogues between two ends, one for each rule.

mod closing;
mod handshake;
mod losses;
mod sending;
mod windows;

use std::collections::VecDeque;
use std::rc::Rc;

use super::{Connection, Kind, Micros, Segment, Settings, State, Transmission, Wheel, Why};

type Loses = Box<dyn FnMut(&Transmission, bool) -> bool>;

/// Two ends with a path of constant latency between them, and a say over each transmission.
struct Pair {
    now: Micros,
    latency: Micros,
    settings: Rc<Settings>,
    client: Connection,
    server: Option<Connection>,
    path: VecDeque<(Micros, bool, Segment)>,
    /// What was sent so far: when, by the client or not, what.
    log: Vec<(Micros, bool, Transmission)>,
    /// Says whether a transmission is lost.
    loses: Loses,
    got: [Vec<u8>; 2],
    reads: bool,
}

const LATENCY: Micros = 5_000;
const MS: Micros = 1_000;

fn pair(settings: Settings, loses: impl FnMut(&Transmission, bool) -> bool + 'static) -> Pair {
    let settings = Rc::new(settings);
    let client = Connection::connect(&settings, Wheel::default(), 0);
    let mut pair = Pair {
        now: 0,
        latency: LATENCY,
        settings,
        client,
        server: None,
        path: VecDeque::new(),
        log: Vec::new(),
        loses: Box::new(loses),
        got: [Vec::new(), Vec::new()],
        reads: true,
    };
    pair.exchange();
    pair
}

/// A pair whose handshake is over.
fn open_pair(settings: Settings, loses: impl FnMut(&Transmission, bool) -> bool + 'static) -> Pair {
    let mut pair = pair(settings, |_, _| false);
    pair.run(3 * LATENCY);
    assert!(pair.client.is_open() && pair.server().is_open());
    pair.log.clear();
    pair.loses = Box::new(loses);
    pair
}

impl Pair {
    fn server(&mut self) -> &mut Connection {
        self.server.as_mut().expect("the SYN has arrived")
    }

    /// Puts on the path what the ends have to say.
    fn exchange(&mut self) {
        for by_client in [true, false] {
            let out = match (by_client, &mut self.server) {
                (true, _) => self.client.take_out(),
                (false, Some(server)) => server.take_out(),
                (false, None) => Vec::new(),
            };
            for transmission in out {
                let lost = (self.loses)(&transmission, by_client);
                if !lost {
                    self.path.push_back((self.now + self.latency, by_client, transmission.segment.clone()));
                }
                self.log.push((self.now, by_client, transmission));
            }
        }
    }

    /// Lets this much time pass.
    fn run(&mut self, time: Micros) {
        let until = self.now + time;
        loop {
            let due = self.path.front().map(|(at, ..)| *at);
            let deadlines = [self.client.deadline(), self.server.as_ref().and_then(Connection::deadline)];
            let Some(next) = due.into_iter().chain(deadlines.into_iter().flatten()).min().filter(|at| *at <= until)
            else {
                break;
            };
            self.now = self.now.max(next);
            if due.is_some_and(|at| at <= self.now) {
                let (_, by_client, segment) = self.path.pop_front().expect("there is one");
                self.deliver(by_client, &segment);
            } else {
                self.client.tick(self.now);
                if let Some(server) = &mut self.server {
                    server.tick(self.now);
                }
            }
            self.read();
            self.exchange();
        }
        self.now = until;
    }

    fn deliver(&mut self, by_client: bool, segment: &Segment) {
        match (&mut self.server, by_client) {
            (_, false) => self.client.arrives(segment, self.now),
            (Some(server), true) => server.arrives(segment, self.now),
            (None, true) => {
                self.server = Some(Connection::accept(&self.settings, Wheel::default(), segment, self.now));
            }
        }
    }

    fn read(&mut self) {
        if !self.reads {
            return;
        }
        let mut buffer = [0; 4096];
        for (end, got) in [Some(&mut self.client), self.server.as_mut()].into_iter().zip(&mut self.got) {
            let Some(end) = end else { continue };
            loop {
                let count = end.read(&mut buffer, self.now);
                if count == 0 {
                    break;
                }
                got.extend_from_slice(&buffer[..count]);
            }
        }
    }

    fn client_writes(&mut self, bytes: &[u8]) -> usize {
        let count = self.client.write(bytes, self.now);
        self.exchange();
        count
    }

    fn server_writes(&mut self, bytes: &[u8]) -> usize {
        let now = self.now;
        let count = self.server().write(bytes, now);
        self.exchange();
        count
    }

    /// What one end has sent of this: when, which attempt, and why.
    fn sent(&self, by_client: bool, wanted: impl Fn(Kind) -> bool) -> Vec<(Micros, u32, Option<Why>)> {
        let of = |(at, by, sent): &(Micros, bool, Transmission)| {
            (*by == by_client && wanted(sent.kind)).then_some((*at, sent.attempt, sent.why))
        };
        self.log.iter().filter_map(of).collect()
    }

    fn data(&self) -> Vec<(Micros, u32, Option<Why>)> {
        self.sent(true, |kind| matches!(kind, Kind::Data(_)))
    }

    fn acks(&self) -> Vec<Micros> {
        self.sent(false, |kind| kind == Kind::Ack).into_iter().map(|(at, ..)| at).collect()
    }
}

/// Loses the first transmissions of the client's data with these numbers.
fn first_of(numbers: &'static [u64]) -> impl FnMut(&Transmission, bool) -> bool {
    move |sent, by_client| {
        by_client && sent.attempt == 0 && matches!(sent.kind, Kind::Data(number) if numbers.contains(&number))
    }
}

fn linux() -> Settings {
    Settings::default()
}
