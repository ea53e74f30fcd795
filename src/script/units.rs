//! Durations, sizes and chances as a script writes them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::error::nearest;

const TIME_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

pub(super) const DURATION_EXPECTED: &str = "a duration such as \"150ms\": a number and one of ns, us, ms, s, m, h";
const SIZE_EXPECTED: &str = "a size in bytes such as 4096 or \"64KiB\": a whole number and one of B, KiB, MiB, GiB";

/// A duration from its text: a number, which may have decimals, and its unit. The error says what is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, nanos_per_unit) = split_unit(text, &TIME_UNITS)?;
    decimal_times(number, nanos_per_unit).map(Duration::from_nanos).map_err(|fault| match fault {
        DecimalFault::Malformed => format!("`{number}` is not a number"),
        DecimalFault::TooFine => format!("`{text}` is finer than a nanosecond"),
        DecimalFault::TooLarge => format!("`{text}` is too long: a duration is at most 584 years"),
    })
}

/// The shortest text that [`parse_duration`] reads back as the same duration, in the largest unit that suits it.
///
/// A duration beyond 584 years is shown as that.
pub fn show_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let whole = |unit: &(&'static str, u64)| nanos.is_multiple_of(unit.1);
    let suits = |unit: &&(&'static str, u64)| match unit.0 {
        "µs" => false,
        "m" | "h" => nanos >= unit.1 && whole(unit),
        _ => nanos >= unit.1,
    };
    let Some((name, nanos_per_unit)) = TIME_UNITS.iter().rev().find(suits) else { return "0s".to_owned() };
    let (whole, rest) = (nanos / nanos_per_unit, nanos % nanos_per_unit);
    let digits = nanos_per_unit.ilog10() as usize;
    match format!("{rest:0digits$}").trim_end_matches('0') {
        "" => format!("{whole}{name}"),
        decimals => format!("{whole}.{decimals}{name}"),
    }
}

/// Splits `150ms` into its number and what its unit stands for.
fn split_unit<'a>(text: &'a str, units: &[(&'static str, u64)]) -> Result<(&'a str, u64), String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    if let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit && !number.is_empty()) {
        return Ok((number, *factor));
    }
    Err(match (number, unit) {
        ("", "") => "the text is empty".to_owned(),
        ("", _) if text.starts_with('-') => format!("`{text}` is negative"),
        ("", _) => format!("`{text}` does not begin with a number"),
        (_, "") => format!("`{text}` has no unit"),
        _ if units.iter().any(|(name, _)| *name == unit.trim()) => format!("`{text}` has a space in it"),
        _ => match nearest(unit, units.iter().map(|(name, _)| *name)) {
            Some(name) => format!("`{unit}` is not a unit: did you mean `{number}{name}`?"),
            None => format!("`{unit}` is not a unit"),
        },
    })
}

enum DecimalFault {
    Malformed,
    TooFine,
    TooLarge,
}

/// A decimal number times a factor, exactly.
fn decimal_times(number: &str, factor: u64) -> Result<u64, DecimalFault> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || decimals.is_empty() || decimals.contains('.') {
        return Err(DecimalFault::Malformed);
    }
    let decimals = decimals.trim_end_matches('0');
    // No unit has more than 13 decimals before it is finer than one.
    let scale = u32::try_from(decimals.len()).ok().filter(|digits| *digits <= 18).ok_or(DecimalFault::TooFine)?;
    let scale = 10_u128.pow(scale);
    let decimals: u128 = if decimals.is_empty() { 0 } else { decimals.parse().map_err(|_| DecimalFault::Malformed)? };
    let parts = decimals * u128::from(factor);
    if !parts.is_multiple_of(scale) {
        return Err(DecimalFault::TooFine);
    }
    let whole: u128 = whole.parse().map_err(|_| DecimalFault::TooLarge)?;
    let total = whole.checked_mul(u128::from(factor)).and_then(|total| total.checked_add(parts / scale));
    total.and_then(|total| u64::try_from(total).ok()).ok_or(DecimalFault::TooLarge)
}

/// A refusal of a text, in the form that [`super::document`] splits into message and expectation.
pub(super) fn refuse<E: de::Error>(message: impl fmt::Display, expected: impl fmt::Display) -> E {
    E::custom(format_args!("{message}\n{expected}"))
}

/// A duration in a script or in a system's own table: `"150ms"`, `"1.5s"`, `"2m"`, `"250us"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = TimeSpan;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(DURATION_EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeSpan, E> {
                parse_duration(text).map(TimeSpan).map_err(|fault| refuse(fault, DURATION_EXPECTED))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration: a number and its unit.",
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h)$",
            "examples": ["150ms", "1.5s", "2m", "250us"],
        })
    }
}

/// A number of bytes in a script or in a system's own table: `4096` or `"64KiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &&(&str, u64)| self.0 >= unit.1 && self.0.is_multiple_of(unit.1);
        let (name, factor) = SIZE_UNITS.iter().rev().find(fits).unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{name}", self.0 / factor)
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (number, bytes_per_unit) = split_unit(text, &SIZE_UNITS)?;
    if number.contains('.') {
        return Err(format!("`{number}` is not a whole number"));
    }
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(bytes_per_unit));
    bytes.ok_or_else(|| format!("`{text}` is too large"))
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse().or_else(|_| parse_size(text));
        parsed.map(Self).map_err(|fault| format!("{fault}; expected {SIZE_EXPECTED}"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SIZE_EXPECTED)
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                let bytes = u64::try_from(bytes);
                bytes.map(ByteSize).map_err(|_| refuse("a size cannot be negative", SIZE_EXPECTED))
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                parse_size(text).map(ByteSize).map_err(|fault| refuse(fault, SIZE_EXPECTED))
            }
        }
        deserializer.deserialize_any(Size)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, or a whole number and its unit.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" },
            ],
            "examples": [4096, "64KiB", "1MiB"],
        })
    }
}

/// A chance in a script or in a system's own table: a number in `[0, 1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Chance(pub f64);

impl fmt::Display for Chance {
    /// In percent: `1 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = (self.0 * 1e8).round() / 1e6;
        if percent == 0.0 && self.0 > 0.0 { write!(f, "{:e} %", self.0 * 100.0) } else { write!(f, "{percent} %") }
    }
}

impl<'de> Deserialize<'de> for Chance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Chance;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a chance: a number from 0 to 1")
            }
            fn visit_f64<E: de::Error>(self, chance: f64) -> Result<Chance, E> {
                if (0.0..=1.0).contains(&chance) {
                    return Ok(Chance(chance));
                }
                let message = format_args!("{chance} is not a chance");
                if chance > 1.0 && chance <= 100.0 {
                    return Err(refuse(
                        message,
                        format_args!("a number from 0 to 1; {chance} % is {}", chance / 100.0),
                    ));
                }
                Err(refuse(message, "a number from 0 to 1"))
            }
            fn visit_i64<E: de::Error>(self, chance: i64) -> Result<Chance, E> {
                self.visit_f64(chance as f64)
            }
        }
        deserializer.deserialize_f64(Number)
    }
}

impl Serialize for Chance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl JsonSchema for Chance {
    fn schema_name() -> Cow<'static, str> {
        "Chance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A chance: a number from 0 (never) to 1 (always).",
            "type": "number",
            "minimum": 0,
            "maximum": 1,
        })
    }
}
