//! Mutations that know what they change: words, numbers and lines of text, and lengths and fields of bytes.

use rand::Rng as _;
use stormglass::rng::{Rng, Seed};

/// Words that break readers.
const WORDS: [&str; 46] = [
    "0",
    "-1",
    "1",
    "65536",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "999999999999999999999",
    "0xffffffffffffffffffffffff",
    "0.0",
    "-0.0",
    "1e-300",
    "1e308",
    "1e999",
    "inf",
    "-inf",
    "nan",
    "true",
    "false",
    "\"\"",
    "\" \"",
    "\"0s\"",
    "\"1ns\"",
    "\"-1s\"",
    "\"99999999999999999999h\"",
    "\"1e9s\"",
    "\"5s..1s\"",
    "\"0ms..0ms\"",
    "\"1ms..\"",
    "\"*\"",
    "\"@\"",
    "\"@leader\"",
    "\"@others\"",
    "\"n*\"",
    "\"\\u0000\"",
    "\"\u{feff}é\u{1f600}\"",
    "[]",
    "[[]]",
    "{}",
    "[{}]",
    "{ a.b.c = 1 }",
    "1979-05-27",
    "\n",
    "[",
    "}",
];

/// Keys that stand somewhere in what is read.
const KEYS: [&str; 24] = [
    "about",
    "system",
    "duration",
    "tick",
    "lane",
    "waiting",
    "step",
    "at",
    "after",
    "for",
    "record",
    "kill",
    "link",
    "partition",
    "hold",
    "message",
    "count",
    "chaos",
    "every",
    "until",
    "raft",
    "nodes",
    "variant",
    "set",
];

/// One of what is right with some changes, always the same for a number and a name.
pub fn mutated(right: &[Vec<u8>], number: u64, name: &str) -> Vec<u8> {
    let mut rng = Seed(number).stream(name);
    let mut bytes = right[rng.random_range(0..right.len())].clone();
    for _ in 0..rng.random_range(1..5) {
        bytes = match String::from_utf8(bytes) {
            Ok(text) if rng.random_bool(0.85) => changed_text(&text, right, &mut rng).into_bytes(),
            Ok(text) => changed_bytes(text.into_bytes(), &mut rng),
            Err(error) => changed_bytes(error.into_bytes(), &mut rng),
        };
    }
    bytes
}

/// Where words begin and end: numbers, quoted texts, names.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut begun: Option<usize> = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let is_of_word = c.is_alphanumeric() || "\"'-_.*@+".contains(c);
        match begun {
            None if is_of_word => begun = Some(at),
            Some(from) if !is_of_word => {
                words.push((from, at));
                begun = None;
            }
            _ => {}
        }
    }
    words
}

fn changed_text(text: &str, right: &[Vec<u8>], rng: &mut Rng) -> String {
    let words = words(text);
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let line = rng.random_range(0..lines.len());
    match rng.random_range(0..8) {
        // A word is another.
        0..=2 if !words.is_empty() => {
            let (from, to) = words[rng.random_range(0..words.len())];
            let word = if rng.random_bool(0.8) {
                WORDS[rng.random_range(0..WORDS.len())]
            } else {
                KEYS[rng.random_range(0..KEYS.len())]
            };
            return format!("{}{word}{}", &text[..from], &text[to..]);
        }
        // Two words change places.
        3 if words.len() > 1 => {
            let (one, other) = (words[rng.random_range(0..words.len())], words[rng.random_range(0..words.len())]);
            let (one, other) = (one.min(other), one.max(other));
            if one.1 <= other.0 {
                let piece = |(from, to): (usize, usize)| &text[from..to];
                return [&text[..one.0], piece(other), &text[one.1..other.0], piece(one), &text[other.1..]].concat();
            }
        }
        // A line goes, comes twice, or stands elsewhere.
        4 => _ = lines.remove(line),
        5 => lines.insert(line, lines[rng.random_range(0..lines.len())].clone()),
        // A line of something else that is right.
        6 => {
            let other = String::from_utf8_lossy(&right[rng.random_range(0..right.len())]).into_owned();
            let other: Vec<&str> = other.split('\n').collect();
            lines.insert(line, other[rng.random_range(0..other.len())].to_owned());
        }
        // A key that means something elsewhere.
        _ => {
            let (key, word) = (KEYS[rng.random_range(0..KEYS.len())], WORDS[rng.random_range(0..WORDS.len())]);
            lines.insert(line, format!("{key} = {word}"));
        }
    }
    lines.join("\n")
}

fn changed_bytes(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![rng.random()];
    }
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..6) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'\r', b'\n', b' '][rng.random_range(0..8)],
        2 => bytes.truncate(at),
        3 => bytes.insert(at, rng.random()),
        // A number of several bytes.
        4 => {
            let end = (at + 8).min(bytes.len());
            bytes[at..end].fill(if rng.random_bool(0.5) { 0xff } else { 0 });
        }
        _ => {
            let end = rng.random_range(at..bytes.len());
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
    }
    bytes
}
