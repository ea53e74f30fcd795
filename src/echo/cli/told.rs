//! What happens as lines of JSON, for whoever runs a server or a client: `--events`.

use serde::{Deserialize, Serialize};

use super::super::Event;
use crate::events::{Sink, Value};
use crate::service::Teller;

/// What checks go by: an event, payloads and all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The name that stands in the numbered messages of the client whose event it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The event.
    pub event: Event,
}

/// Takes the events of one client, or of a server, and tells them. `number`: which of several clients it is.
pub(super) fn sink(teller: Teller, client: Option<String>, number: Option<u64>) -> Sink<Event> {
    Sink::new(move |event: &Event| {
        let told = Told { client: client.clone(), event: event.clone() };
        teller.tell(event.name(), fields(event, number), Some(told));
    })
}

fn fields(event: &Event, number: Option<u64>) -> impl Iterator<Item = (&'static str, Value)> {
    event.fields().into_iter().chain(number.map(|number| ("client", Value::from(number))))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::echo::{Closed, Disconnected};
    use crate::events::Line;

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
            let (name, fact) = (told.event.name(), Some(told.clone()));
            let line = Line { fact, ..Line::named(9, name, fields(&told.event, Some(2))) };
            let read = Line::<Told>::read(&serde_json::to_string(&line).expect("JSON"));
            assert_eq!(read.as_ref(), Some(&line), "{told:?}");
            assert_eq!(
                (line.event.as_deref(), line.fields.last()),
                (Some(told.event.name()), Some((&"client".to_owned(), &Value::Int(2))))
            );
        }
    }
}
