//! A time, or a range of times of which each seed draws one.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::latency::{Latency, TEXT_EXPECTED, text_pattern};
use super::units::{refuse, show_duration};

/// The times from `min` to `max`, each as likely: `"1s..3s"`, or `"2s"`, which is one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The least.
    pub min: Duration,
    /// The most, not below `min`.
    pub max: Duration,
}

impl TimeRange {
    /// The times that are at most `spread` after `min`.
    pub fn after(min: Duration, spread: Duration) -> Self {
        Self { min, max: min + spread }
    }

    /// How far apart its ends are.
    pub fn spread(self) -> Duration {
        self.max - self.min
    }
}

/// As in scripts, without the quotes.
impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_duration(self.min))?;
        if self.min == self.max { Ok(()) } else { write!(f, "..{}", show_duration(self.max)) }
    }
}

impl<'de> Deserialize<'de> for TimeRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = TimeRange;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(TEXT_EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeRange, E> {
                match text.parse::<Latency>() {
                    Ok(Latency::Uniform { min, max }) => Ok(TimeRange { min, max }),
                    // The text forms are no others.
                    Ok(time) => Ok(TimeRange { min: time.middle(), max: time.middle() }),
                    Err(fault) => Err(refuse(fault, TEXT_EXPECTED)),
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for TimeRange {
    fn schema_name() -> Cow<'static, str> {
        "TimeRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time, or a range of times of which each seed draws one.",
            "type": "string",
            "pattern": text_pattern(),
            "examples": ["500ms", "1s..3s"],
        })
    }
}
