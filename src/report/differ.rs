//! In what two records differ: their fields by name, and of long ones the place.

use serde_json::Value;

use super::records::RecordLine;

/// How much of a long value is shown from shortly before the place at which it differs, in bytes.
const BEFORE: usize = 12;
const SHOWN: usize = 44;

/// The fields in which two records of one kind differ, a line each; none if they are of two kinds, which shows by itself.
pub fn fields(one: &RecordLine, other: &RecordLine) -> Vec<String> {
    let [Ok(Value::Object(one)), Ok(Value::Object(other))] = [one, other].map(serde_json::to_value) else {
        return Vec::new();
    };
    if one["kind"] != other["kind"] {
        return Vec::new();
    }
    let mut found = Vec::new();
    differing("", &Value::Object(one), &Value::Object(other), &mut found);
    found
}

/// In what two values differ, a line each.
pub fn values(name: &str, one: &Value, other: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differing(name, one, other, &mut found);
    found
}

fn differing(name: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: Vec<_> = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name))).collect();
            for inner in names {
                let path = if name.is_empty() || name == "fields" { inner.clone() } else { format!("{name}.{inner}") };
                let [one, other] = [one, other].map(|values| values.get(inner).unwrap_or(&Value::Null));
                differing(&path, one, other, found);
            }
        }
        (one, other) if one == other => {}
        (Value::String(one), Value::String(other)) if name == "payload_hex" => {
            found.push(place("payload", &bytes(one), &bytes(other)));
        }
        (Value::String(one), Value::String(other)) => found.push(place(name, one.as_bytes(), other.as_bytes())),
        (one, other) => found.push(format!("{name}: {one} and {other}")),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let pair = |place| u8::from_str_radix(hex.get(place..place + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(|place| pair(place).unwrap_or(b'?')).collect()
}

/// `payload, at byte 137: "… 12:40:01 GMT" and "… 12:40:02 GMT"`.
fn place(name: &str, one: &[u8], other: &[u8]) -> String {
    let at = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let is_short = one.len().max(other.len()) <= SHOWN;
    let from = if is_short { 0 } else { at.saturating_sub(BEFORE) };
    let [one, other] = [one, other].map(|bytes| {
        let to = bytes.len().min(from + SHOWN);
        let (before, after) = (if from > 0 { "…" } else { "" }, if to < bytes.len() { "…" } else { "" });
        format!("\"{before}{}{after}\"", bytes[from.min(to)..to].escape_ascii())
    });
    let whereabouts = if is_short { String::new() } else { format!(", at byte {at}") };
    format!("{name}{whereabouts}: {one} and {other}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::records::{SentLine, WhatLine};

    fn sent(payload: &str, label: &str) -> RecordLine {
        let payload_hex = payload.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let sent = SentLine {
            packet: 0,
            from: "c1".to_owned(),
            to: "s".to_owned(),
            src: "192.168.0.1:1".to_owned(),
            dst: "192.168.0.2:1".to_owned(),
            transport: "udp".to_owned(),
            segment: None,
            len: payload.len(),
            payload_hex,
            label: Some(label.to_owned()),
            detail: None,
            tcp: None,
        };
        RecordLine { n: 0, t_ns: 5, host: None, cause: None, timer: false, what: WhatLine::Sent(sent) }
    }

    #[test]
    fn a_payload_that_differs_far_behind_its_beginning_is_shown_there() {
        let answer =
            |second: u8| format!("HTTP/1.1 200 OK\r\n{}date: 12:40:0{second} GMT\r\n\r\n", "x-a: b\r\n".repeat(20));
        let found = fields(&sent(&answer(1), "a"), &sent(&answer(2), "a"));
        assert_eq!(found, [r#"payload, at byte 190: "…ate: 12:40:01 GMT\r\n\r\n" and "…ate: 12:40:02 GMT\r\n\r\n""#]);
    }

    #[test]
    fn every_field_that_differs_is_named_and_the_rest_is_not() {
        assert_eq!(fields(&sent("a", "x"), &sent("a", "x")), [""; 0]);
        let other = RecordLine { t_ns: 6, ..sent("ab", "y") };
        let mut found = fields(&sent("a", "x"), &other);
        found.sort();
        assert_eq!(found, [r#"label: "x" and "y""#, "len: 1 and 2", r#"payload: "a" and "ab""#, "t_ns: 5 and 6"]);
        let killed = RecordLine { what: WhatLine::Killed, ..sent("a", "x") };
        assert_eq!(fields(&sent("a", "x"), &killed), [""; 0], "another kind shows by itself");
    }

    #[test]
    fn numbers_within_a_part_are_named_by_their_path() {
        let [one, other] = [3, 4].map(|n| serde_json::json!({ "answers": n, "asked": 9 }));
        assert_eq!(values("counters", &one, &other), ["counters.answers: 3 and 4"]);
    }
}
