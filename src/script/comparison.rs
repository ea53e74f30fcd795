//! Bounds on counters, as a script writes them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::units::refuse;

const EXPECTED: &str =
    "a whole number, or text such as \"= 5\", \"!= 0\", \"> 0\", \">= 1\", \"< 3\", \"<= 3\", \"1..=5\"";

/// What a counter must be at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Exactly this: `5` or `"= 5"`.
    Equal(u64),
    /// Anything but this: `"!= 0"`.
    NotEqual(u64),
    /// More than this: `"> 0"`.
    Above(u64),
    /// This or more: `">= 1"`.
    AtLeast(u64),
    /// Less than this: `"< 3"`.
    Below(u64),
    /// This or less: `"<= 3"`.
    AtMost(u64),
    /// From the first to the second, both included: `"1..=5"`.
    Within(u64, u64),
}

impl Comparison {
    /// Whether a counter of this value is as it must be.
    pub fn holds(&self, value: u64) -> bool {
        match *self {
            Self::Equal(other) => value == other,
            Self::NotEqual(other) => value != other,
            Self::Above(other) => value > other,
            Self::AtLeast(other) => value >= other,
            Self::Below(other) => value < other,
            Self::AtMost(other) => value <= other,
            Self::Within(min, max) => (min..=max).contains(&value),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(other) => write!(f, "= {other}"),
            Self::NotEqual(other) => write!(f, "!= {other}"),
            Self::Above(other) => write!(f, "> {other}"),
            Self::AtLeast(other) => write!(f, ">= {other}"),
            Self::Below(other) => write!(f, "< {other}"),
            Self::AtMost(other) => write!(f, "<= {other}"),
            Self::Within(min, max) => write!(f, "{min}..={max}"),
        }
    }
}

impl FromStr for Comparison {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let text = text.trim();
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if digits { text.parse().ok() } else { None };
            number.ok_or_else(|| format!("`{text}` is not a whole number that a counter can have"))
        };
        if let Some((min, max)) = text.split_once("..=") {
            let (min, max) = (number(min)?, number(max)?);
            return if min <= max { Ok(Self::Within(min, max)) } else { Err(format!("the range `{text}` is empty")) };
        }
        if let Some((min, max)) = text.split_once("..") {
            return Err(format!("`{text}`: a range includes its end, `{}..={}`", min.trim(), max.trim()));
        }
        let operator = text.trim_start().len() - text.trim_start().trim_start_matches(['=', '!', '<', '>']).len();
        let (operator, other) = text.trim_start().split_at(operator);
        let comparison = match operator {
            "" | "=" => Self::Equal(number(other)?),
            "!=" => Self::NotEqual(number(other)?),
            ">" => Self::Above(number(other)?),
            ">=" => Self::AtLeast(number(other)?),
            "<" => Self::Below(number(other)?),
            "<=" => Self::AtMost(number(other)?),
            _ => return Err(format!("`{operator}` is not a comparison")),
        };
        if comparison == Self::Below(0) {
            return Err("no counter is below 0".to_owned());
        }
        Ok(comparison)
    }
}

impl<'de> Deserialize<'de> for Comparison {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl<'de> Visitor<'de> for NumberOrText {
            type Value = Comparison;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Comparison, E> {
                let value = u64::try_from(value);
                value.map(Comparison::Equal).map_err(|_| refuse("a counter cannot be negative", EXPECTED))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Comparison, E> {
                Ok(Comparison::Equal(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Comparison, E> {
                text.parse().map_err(|fault: String| refuse(fault, EXPECTED))
            }
            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Comparison, A::Error> {
                Err(refuse(
                    "a table is no bound on a counter",
                    "a name with a dot in quotes: \"packets.lost\" = \"> 0\"",
                ))
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

impl JsonSchema for Comparison {
    fn schema_name() -> Cow<'static, str> {
        "Comparison".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What a counter must be: a whole number, or a comparison with one.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^ *((=|!=|>|>=|<|<=)? *[0-9]+|[0-9]+ *\\.\\.= *[0-9]+) *$" },
            ],
            "examples": [5, "> 0", ">= 1", "1..=5"],
        })
    }
}
