//! What happens as lines of JSON, for whoever runs a server or a client: `--events`.

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::super::Event;
use crate::events::{Line, Sink, Value};
use crate::service::{Stdout, since_1970};

/// What checks go by: an event, payloads and all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The name that stands in the numbered messages of the client whose event it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The event.
    pub event: Event,
}

/// Prints events as [`Line`]s of [`Told`].
#[derive(Clone, Debug)]
pub struct Teller {
    stdout: Rc<Stdout>,
    last_ns: Rc<Cell<u64>>,
}

impl Teller {
    /// Prints to stdout, until nobody reads it.
    pub fn new(stdout: Rc<Stdout>) -> Self {
        Self { stdout, last_ns: Rc::default() }
    }

    /// Takes the events of one client, or of a server. `number`: which of several clients it is.
    pub fn sink(&self, client: Option<String>, number: Option<u64>) -> Sink<Event> {
        let teller = self.clone();
        Sink::new(move |event: &Event| {
            let told = Told { client: client.clone(), event: event.clone() };
            let line = line(told, number, teller.now_ns());
            serde_json::to_string(&line).into_iter().for_each(|line| teller.stdout.print_line(line));
        })
    }

    fn now_ns(&self) -> u64 {
        let now_ns = u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX);
        self.last_ns.set(self.last_ns.get().max(now_ns));
        self.last_ns.get()
    }
}

fn line(told: Told, number: Option<u64>, t_ns: u64) -> Line<Told> {
    let number = number.map(|number| ("client", Value::from(number)));
    let (name, fields) = (told.event.name(), told.event.fields());
    Line::of(t_ns, name, fields.into_iter().chain(number), told)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::echo::{Closed, Disconnected};

    #[test]
    fn every_event_comes_out_of_its_line_as_it_went_in() {
        let (peer, payload) = (([127, 0, 0, 1], 80).into(), Bytes::from_static(b"a \"text\"\n"));
        let bytes = Bytes::from_static(&[0xff, 0, b'"']);
        let all = [
            Event::Listening { addr: peer },
            Event::Echoed { peer, payload: bytes.clone() },
            Event::Closed { peer, why: Closed::Error(ErrorKind::ConnectionReset) },
            Event::Closed { peer, why: Closed::Forced },
            Event::Oversize { peer, bytes: 65_513 },
            Event::SocketError { why: ErrorKind::ConnectionRefused },
            Event::Connected,
            Event::ConnectFailed { why: ErrorKind::TimedOut },
            Event::Disconnected { why: Disconnected::Error(ErrorKind::BrokenPipe) },
            Event::Sent { id: 3, attempt: 2, payload },
            Event::Answered { id: 3, rtt: Duration::new(1, 7), payload: Bytes::new() },
            Event::Mismatch { id: None, payload: bytes },
            Event::GaveUp { id: u64::MAX },
        ];
        for event in all {
            let told = Told { client: Some("c1.0.2".to_owned()), event };
            let line = line(told.clone(), Some(2), 9);
            let read = Line::<Told>::read(&serde_json::to_string(&line).expect("JSON"));
            assert_eq!(read.as_ref(), Some(&line), "{told:?}");
            assert_eq!(
                (line.event.as_deref(), line.fields.last()),
                (Some(told.event.name()), Some((&"client".to_owned(), &Value::Int(2))))
            );
        }
    }
}
