//! Records as columns: what a page carries of 100,000 of them without saying each key 100,000 times.
//!
//! Records of one kind with the same fields are a shape; a shape has a column for each field. Texts are numbers into one
//! list. A kind or a field that is new needs nothing here.

use indexmap::{IndexMap, IndexSet};
use serde::Serialize;
use serde_json::Value;

use super::super::records::{HostLine, RecordLine, WhatLine};

/// The most of a payload that a page carries, in bytes: enough for every message of ours.
const PAYLOAD_MAX: usize = 512;

/// The most of all payloads together, in bytes. Where they are more, each is carried up to [`PAYLOAD_SHORT`] bytes: a page
/// opens in the time that its size takes.
const PAYLOADS_MAX: usize = 8 << 20;
const PAYLOAD_SHORT: usize = 16;

/// The records of a run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Columns {
    /// Every text, once.
    words: IndexSet<String>,
    /// What kinds of records there are, each with its fields.
    shapes: Vec<Shape>,
    columns: Common,
}

/// What every record has.
#[derive(Debug, Default, Serialize)]
struct Common {
    /// The time since the record before, in nanoseconds.
    dt_ns: Vec<u64>,
    /// The host's place; -1: the testbed.
    host: Vec<i32>,
    /// How many records back the cause is; 0: none is known.
    back: Vec<u64>,
    /// The records that a timer led to.
    timer: Vec<u64>,
    /// The shape's place; the record is the next row of it.
    shape: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct Shape {
    kind: String,
    columns: IndexMap<String, Column>,
}

/// A field of every record of a shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Column {
    /// Places in the list of texts; null where there is none.
    Words(Vec<Option<usize>>),
    /// Numbers, and whether or not.
    Values(Vec<Value>),
}

impl Columns {
    pub(super) fn new(hosts: &[HostLine], records: &[RecordLine]) -> Self {
        let hosts: IndexMap<&str, i32> = hosts.iter().map(|host| host.name.as_str()).zip(0..).collect();
        let mut columns = Self::default();
        let mut known = IndexSet::new();
        let mut before_ns = 0;
        let payload_max = payload_max(records);
        for record in records {
            let host = record.host.as_deref().and_then(|name| hosts.get(name).copied());
            columns.columns.dt_ns.push(record.t_ns.saturating_sub(before_ns));
            before_ns = record.t_ns;
            columns.columns.host.push(host.unwrap_or(-1));
            columns.columns.back.push(record.cause.map_or(0, |cause| record.n.saturating_sub(cause)));
            columns.columns.timer.extend(record.timer.then_some(record.n));
            let shape = columns.row(&mut known, record, payload_max);
            columns.columns.shape.push(shape);
        }
        columns
    }

    /// Adds a record's own fields to its shape.
    fn row(&mut self, known: &mut IndexSet<Vec<String>>, record: &RecordLine, payload_max: usize) -> usize {
        let (kind, fields) = fields(record, payload_max);
        let key = [kind.clone()].into_iter().chain(fields.iter().map(|(name, value)| sort(name, value)));
        let (place, is_new) = known.insert_full(key.collect());
        if is_new {
            let empty =
                |value: &Value| if is_text(value) { Column::Words(Vec::new()) } else { Column::Values(Vec::new()) };
            let columns = fields.iter().map(|(name, value)| (name.clone(), empty(value)));
            self.shapes.push(Shape { kind, columns: columns.collect() });
        }
        for (column, (_, value)) in self.shapes[place].columns.values_mut().zip(fields) {
            match (column, value) {
                (Column::Words(words), Value::String(text)) => words.push(Some(self.words.insert_full(text).0)),
                (Column::Words(words), _) => words.push(None),
                (Column::Values(values), value) => values.push(exact(value)),
            }
        }
        place
    }
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Null)
}

/// What tells the columns of two shapes apart.
fn sort(name: &str, value: &Value) -> String {
    format!("{name}{}", if is_text(value) { "" } else { "#" })
}

/// A number that a browser would round is a text there.
fn exact(value: Value) -> Value {
    match value.as_u64() {
        Some(number) if number > 1 << 53 => Value::String(number.to_string()),
        _ => value,
    }
}

/// How much of each payload is carried.
fn payload_max(records: &[RecordLine]) -> usize {
    let lengths = records.iter().map(|record| match &record.what {
        WhatLine::Sent(packet) => packet.len.min(PAYLOAD_MAX),
        _ => 0,
    });
    if lengths.sum::<usize>() > PAYLOADS_MAX { PAYLOAD_SHORT } else { PAYLOAD_MAX }
}

/// A record's kind and its own fields, flat: an event's are `fields.term`, those of a table within are `tcp.seq`.
fn fields(record: &RecordLine, payload_max: usize) -> (String, Vec<(String, Value)>) {
    if let WhatLine::Event { name, fields } = &record.what {
        let own = fields.iter().map(|(key, value)| (format!("fields.{key}"), serde_json::json!(value)));
        return (
            "event".to_owned(),
            [("name".to_owned(), Value::from(name.as_str()))].into_iter().chain(own).collect(),
        );
    }
    let Ok(Value::Object(what)) = serde_json::to_value(&record.what) else { return (String::new(), Vec::new()) };
    let mut kind = String::new();
    let mut fields = Vec::with_capacity(what.len());
    for (name, value) in what {
        match (name.as_str(), value) {
            ("kind", Value::String(name)) => kind = name,
            ("payload_hex", Value::String(mut hex)) => {
                hex.truncate(payload_max * 2);
                fields.push((name, Value::String(hex)));
            }
            (_, Value::Object(table)) => {
                fields.extend(table.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            (_, value) => fields.push((name, value)),
        }
    }
    (kind, fields)
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn record(n: u64, t_ns: u64, cause: Option<u64>, what: WhatLine) -> RecordLine {
        RecordLine { n, t_ns, host: Some("n2".to_owned()), cause, timer: n == 1, what }
    }

    #[test]
    fn many_payloads_are_carried_short() {
        let sent = |n: u64| {
            let packet = serde_json::json!({
                "n": n, "t_ns": n, "host": "n1", "cause": null, "kind": "sent", "packet": n, "from": "n1", "to": "n2",
                "src": "192.168.0.1:7", "dst": "192.168.0.2:7", "transport": "udp", "segment": null, "len": 4 << 20,
                "payload_hex": "ab".repeat(600), "label": null, "detail": null,
            });
            serde_json::from_value::<RecordLine>(packet).unwrap()
        };
        let few: Vec<_> = (0..2).map(sent).collect();
        let many: Vec<_> = (0..=PAYLOADS_MAX as u64 / PAYLOAD_MAX as u64).map(sent).collect();
        let payload = |records: &[RecordLine]| {
            let (_, fields) = fields(&records[0], payload_max(records));
            fields.into_iter().find(|(name, _)| name == "payload_hex").unwrap().1
        };
        assert_eq!(payload(&few), "ab".repeat(PAYLOAD_MAX));
        assert_eq!(payload(&many), "ab".repeat(PAYLOAD_SHORT));
    }

    #[test]
    fn records_of_a_shape_share_its_columns() {
        let hosts = ["n1", "n2"].map(|name| HostLine { name: name.to_owned(), addr: String::new() });
        let event = |name: &str, term: u64| WhatLine::Event {
            name: name.to_owned(),
            fields: IndexMap::from([("term".to_owned(), term.into())]),
        };
        let records = [
            record(0, 5, None, event("a", 1)),
            record(1, 9, Some(0), event("b", u64::MAX)),
            record(2, 9, Some(0), WhatLine::Paused),
        ];
        let columns = serde_json::to_value(Columns::new(&hosts, &records)).unwrap();
        let expected = serde_json::json!({
            "words": ["a", "b"],
            "shapes": [
                { "kind": "event", "columns": {
                    "name": { "words": [0, 1] },
                    "fields.term": { "values": [1, "18446744073709551615"] },
                } },
                { "kind": "paused", "columns": {} },
            ],
            "columns": { "dt_ns": [5, 4, 0], "host": [1, 1, 1], "back": [0, 1, 2], "timer": [1], "shape": [0, 0, 1] },
        });
        assert_eq!(columns, expected);
    }
}
