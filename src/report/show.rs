//! Records as text, one a line.
//!
//! ```text
//!      17    0.003000s c1      sent packet 4: UDP to server 192.168.0.1:8081 (13 bytes) request 3 "hello\n"
//!      21    0.006000s server  got packet 4: UDP from c1 <- 17
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::records::{HostLine, RecordLine, SentLine, WhatLine};
use super::style::{BAD, DIM, PLAIN, STRONG, UNSURE, paint, unpainted};
use crate::events::Value;

/// Turns records into lines. It must see them all, in order: a line about a packet says which one it is.
#[derive(Debug, Default)]
pub struct Lines {
    host_width: usize,
    columns: usize,
    packets: BTreeMap<u64, Known>,
}

/// What is known of a packet that was sent.
#[derive(Clone, Debug)]
struct Known {
    /// `UDP`.
    transport: String,
    from: String,
    to: String,
    /// Its message's name, and what else the system says of it.
    words: String,
}

impl Lines {
    /// For records of these hosts, in lines that no payload makes longer than `columns`.
    pub fn new(hosts: &[HostLine], columns: usize) -> Self {
        let widths = hosts.iter().map(|host| host.name.chars().count());
        Self { host_width: widths.max().unwrap_or(0).max(1), columns, packets: BTreeMap::new() }
    }

    /// Takes in a record that is not shown: later ones may be about its packet.
    pub fn see(&mut self, record: &RecordLine) {
        match &record.what {
            WhatLine::Sent(sent) => {
                let words: Vec<String> = words(sent).collect();
                let (from, to, words) = (sent.from.clone(), sent.to.clone(), words.join(" "));
                self.packets.insert(sent.packet, Known { transport: transport(sent), from, to, words });
            }
            WhatLine::Duplicated { packet, copy } => {
                if let Some(original) = self.packets.get(packet).cloned() {
                    self.packets.insert(*copy, original);
                }
            }
            _ => {}
        }
    }

    /// What is to be said of a record beside a drawing that shows its host and between whom its packet goes, in so
    /// many columns.
    pub fn beside_lanes(&mut self, record: &RecordLine, columns: usize) -> String {
        self.see(record);
        let cause = cause(record);
        let (style, text) = match &record.what {
            WhatLine::Sent(sent) => {
                let bytes = if sent.len > 0 { format!(" ({} B)", sent.len) } else { String::new() };
                (PLAIN, format!("{}{bytes}", self.named(sent.packet)))
            }
            WhatLine::Delivered { packet, attempt } => (PLAIN, format!("{}{}", self.named(*packet), again(*attempt))),
            WhatLine::Retransmitted { packet, attempt, why, .. } => {
                (UNSURE, format!("{} again, attempt {attempt}: {}", self.named(*packet), why_again(why)))
            }
            WhatLine::Lost { packet, attempt, reason } => {
                (UNSURE, format!("{}{} lost: {reason}", self.named(*packet), again(*attempt)))
            }
            WhatLine::GivenUp { packet, attempts } => {
                (UNSURE, format!("{} given up after {attempts} tries", self.named(*packet)))
            }
            WhatLine::Duplicated { packet, copy } => (UNSURE, format!("{} twice, as {copy}", self.named(*packet))),
            WhatLine::Corrupted { packet, bit } => (UNSURE, format!("{} bit {bit} flipped", self.named(*packet))),
            WhatLine::Held { packet } => (UNSURE, format!("{} held", self.named(*packet))),
            WhatLine::Released { packet } => (UNSURE, format!("{} released", self.named(*packet))),
            other => {
                let host = record.host.as_ref().map(|host| format!("{host} ")).unwrap_or_default();
                let painted = self.what(other, columns);
                let style = match other {
                    WhatLine::Violated { .. } | WhatLine::Failed { .. } | WhatLine::Panicked { .. } => BAD,
                    WhatLine::Event { .. } => PLAIN,
                    WhatLine::Ended { .. } => STRONG,
                    _ => UNSURE,
                };
                (style, format!("{host}{}", unpainted(&painted)))
            }
        };
        let text = cut(&text, columns.saturating_sub(cause.chars().count()));
        let text = if style == PLAIN { text } else { paint(style, text) };
        if cause.is_empty() { text } else { text + &paint(DIM, cause) }
    }

    /// `4 RequestVote term=3`, or `4 TCP data 7`.
    fn named(&self, packet: u64) -> String {
        match self.packets.get(&packet) {
            Some(known) if known.words.is_empty() => format!("{packet} {}", known.transport),
            Some(known) => format!("{packet} {}", known.words),
            None => packet.to_string(),
        }
    }

    /// One record's line.
    pub fn line(&mut self, record: &RecordLine) -> String {
        self.see(record);
        let number = paint(DIM, format_args!("{:>7}", record.n));
        let time = format!("{:.6}s", Duration::from_nanos(record.t_ns).as_secs_f64());
        let host = format!("{:width$}", record.host.as_deref().unwrap_or("-"), width = self.host_width);
        let mut line = format!("{number} {time:>12} {host}  ");
        let cause = cause(record);
        let used = 7 + 1 + time.len().max(12) + 1 + self.host_width.max(host.chars().count()) + 2 + cause.len();
        line.push_str(&self.what(&record.what, self.columns.saturating_sub(used)));
        if !cause.is_empty() {
            line.push_str(&paint(DIM, cause));
        }
        line
    }

    fn what(&self, what: &WhatLine, columns: usize) -> String {
        match what {
            WhatLine::Started { incarnation: 0 } => "started".to_owned(),
            WhatLine::Started { incarnation } => format!("started again, incarnation {incarnation}"),
            WhatLine::Finished => "finished".to_owned(),
            WhatLine::Failed { message } => paint(BAD, format_args!("ended with an error: {}", one_line(message))),
            WhatLine::Panicked { message } => paint(BAD, format_args!("panicked: {}", one_line(message))),
            WhatLine::Killed => paint(UNSURE, "was killed"),
            WhatLine::PowerLost => paint(UNSURE, "lost power"),
            WhatLine::Paused => paint(UNSURE, "was paused"),
            WhatLine::Resumed => paint(UNSURE, "goes on"),
            WhatLine::Sent(packet) => sent(packet, columns),
            WhatLine::Lost { packet, attempt, reason } => {
                paint(UNSURE, format_args!("lost {}, {reason}", self.packet(*packet, *attempt)))
            }
            WhatLine::Retransmitted { packet, attempt, why, .. } => {
                format!("sent again {}: {}", self.packet(*packet, *attempt), why_again(why))
            }
            WhatLine::GivenUp { packet, attempts } => {
                paint(UNSURE, format_args!("gave up {} after {attempts} tries", self.packet(*packet, 0)))
            }
            WhatLine::Duplicated { packet, copy } => format!("duplicated {} as {copy}", self.packet(*packet, 0)),
            WhatLine::Corrupted { packet, bit } => format!("flipped bit {bit} of {}", self.packet(*packet, 0)),
            WhatLine::Held { packet } => format!("held {}", self.packet(*packet, 0)),
            WhatLine::Released { packet } => format!("released {}", self.packet(*packet, 0)),
            WhatLine::Delivered { packet, attempt } => format!("got {}", self.packet(*packet, *attempt)),
            WhatLine::Fault { step, action } => paint(UNSURE, format_args!("fault {step}: {}", one_line(action))),
            WhatLine::FaultEnded { step, action } => {
                paint(UNSURE, format_args!("end of fault {step}: {}", one_line(action)))
            }
            WhatLine::Event { name, fields } => {
                let mut text = one_line(name);
                for (key, value) in fields {
                    let _ = write!(text, " {}={}", one_line(key), scalar(value));
                }
                text
            }
            WhatLine::Ended { verdict } => format!("the run is over: {verdict}"),
            WhatLine::Violated { invariant, message } => {
                paint(BAD, format_args!("VIOLATED {}: {}", one_line(invariant), one_line(message)))
            }
        }
    }

    /// `packet 4: UDP from c1 to server`.
    fn packet(&self, id: u64, attempt: u32) -> String {
        let attempt = again(attempt);
        match self.packets.get(&id) {
            Some(Known { transport, from, to, .. }) => {
                format!("packet {id}: {transport} from {from} to {to}{attempt}")
            }
            None => format!("packet {id}{attempt}"),
        }
    }
}

/// ` <- 17`, and whether a timer stands between the two.
fn cause(record: &RecordLine) -> String {
    let timer = if record.timer { " (timer)" } else { "" };
    record.cause.map(|cause| format!(" <- {cause}{timer}")).unwrap_or_default()
}

fn again(attempt: u32) -> String {
    if attempt == 0 { String::new() } else { format!(", attempt {attempt}") }
}

/// A message's name, and what else the system says of it.
fn words(packet: &SentLine) -> impl Iterator<Item = String> {
    let said = [&packet.label, &packet.detail].into_iter().flatten();
    said.filter(|words| !words.is_empty()).map(|words| one_line(words))
}

/// Why a segment is sent again, in words.
pub(crate) fn why_again(why: &str) -> &str {
    match why {
        "fast" => "fast retransmission, later ones arrived",
        "probe" => "tail loss probe, nothing was heard for two round trips",
        "timeout" => "timeout",
        "after-timeout" => "lost with what the timeout was of",
        "asked" => "the other end asked again",
        other => other,
    }
}

/// A text of at most so many columns.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

fn transport(packet: &SentLine) -> String {
    let name = match packet.transport.as_str() {
        "udp" => "UDP",
        "tcp-syn" => "TCP SYN",
        "tcp-data" => "TCP data",
        "tcp-syn-ack" => "TCP SYN-ACK",
        "tcp-ack" => "TCP ACK",
        "tcp-fin" => "TCP FIN",
        "tcp-rst" => "TCP RST",
        other => other,
    };
    packet.segment.map_or(name.to_owned(), |segment| format!("{name} {segment}"))
}

fn sent(packet: &SentLine, columns: usize) -> String {
    let port = packet.dst.rsplit(':').next().unwrap_or_default();
    let mut text = format!("sent packet {}: {} to {}:{port}", packet.packet, transport(packet), packet.to);
    if packet.len > 0 {
        let _ = write!(text, " ({} {})", packet.len, if packet.len == 1 { "byte" } else { "bytes" });
    }
    for words in words(packet) {
        let _ = write!(text, " {words}");
    }
    let room = columns.saturating_sub(text.chars().count() + 1);
    if packet.len > 0 && room >= 8 {
        let _ = write!(text, " {}", paint(DIM, excerpt(&packet.payload_hex, room)));
    }
    text
}

/// The beginning of a payload, quoted, escaped, and cut to `columns`.
fn excerpt(hex: &str, columns: usize) -> String {
    let room = columns - 3;
    let mut text = String::from("\"");
    for place in (0..hex.len() / 2).map(|place| place * 2) {
        let byte = u8::from_str_radix(&hex[place..place + 2], 16).unwrap_or(b'?');
        let escaped = byte.escape_ascii().to_string();
        if text.len() + escaped.len() > room {
            text.push('…');
            break;
        }
        text.push_str(&escaped);
    }
    text.push('"');
    text
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        // Quoted by its host already.
        Value::Text(text) if text.len() > 1 && text.starts_with('"') && text.ends_with('"') => one_line(text),
        Value::Text(text) if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            text.clone()
        }
        Value::Text(text) => format!("{text:?}"),
    }
}

/// A text without what would break the line or drive the terminal.
fn one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: usize = 120;

    fn plain(line: &str) -> String {
        unpainted(line)
    }

    fn packet(payload: &[u8]) -> WhatLine {
        let hex = payload.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        WhatLine::Sent(SentLine {
            packet: 4,
            from: "c1".to_owned(),
            to: "server".to_owned(),
            src: "192.168.0.2:49152".to_owned(),
            dst: "192.168.0.1:8081".to_owned(),
            transport: "udp".to_owned(),
            segment: None,
            len: payload.len(),
            payload_hex: hex,
            label: Some("request".to_owned()),
            detail: Some("3".to_owned()),
            tcp: None,
        })
    }

    fn record(n: u64, what: WhatLine) -> RecordLine {
        RecordLine { n, t_ns: 3_000_000, host: Some("c1".to_owned()), cause: None, timer: false, what }
    }

    fn lines() -> Lines {
        Lines::new(&[HostLine { name: "server".to_owned(), addr: "192.168.0.1".to_owned() }], COLUMNS)
    }

    #[test]
    fn a_packet_is_known_by_its_number() {
        let mut lines = lines();
        let sent = lines.line(&record(17, packet(b"hello\n")));
        assert_eq!(
            plain(&sent),
            "     17    0.003000s c1      sent packet 4: UDP to server:8081 (6 bytes) request 3 \"hello\\n\""
        );
        let got = RecordLine { cause: Some(17), ..record(21, WhatLine::Delivered { packet: 4, attempt: 0 }) };
        let got = lines.line(&got);
        assert_eq!(plain(&got), "     21    0.003000s c1      got packet 4: UDP from c1 to server <- 17");
    }

    #[test]
    fn a_payload_is_escaped_and_cut_to_the_line() {
        let sent = RecordLine { cause: Some(16), ..record(17, packet(&[0x1b; 500])) };
        let line = plain(&lines().line(&sent));
        assert!(line.contains(r#""\x1b\x1b"#) && line.ends_with("…\" <- 16"), "{line}");
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }

    #[test]
    fn a_text_is_quoted_once() {
        let shown = ["plain", "two words", "", "\"quoted already\""].map(|text| scalar(&text.into()));
        assert_eq!(shown, ["plain", "\"two words\"", "\"\"", "\"quoted already\""]);
    }

    #[test]
    fn nothing_that_a_host_says_drives_the_terminal() {
        let line = lines().line(&record(1, WhatLine::Failed { message: "a\nb\x1b[2J".to_owned() }));
        assert!(plain(&line).contains(r"a\nb\u{1b}[2J"), "{line}");
    }
}
