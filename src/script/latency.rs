//! Distributions of a time, as a script writes them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::units::{TimeSpan, parse_duration, refuse, show_duration};

pub(super) const TEXT_EXPECTED: &str = "a duration such as \"5ms\", or a range of durations such as \"1ms..5ms\"";
const EXPECTED: &str = "a latency: \"5ms\", \"1ms..5ms\", { mean, sd }, { median, sigma } or { min, median, p99 }";

/// How a time is distributed: the latency of packets, and other times that a seed draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Always the same: `"5ms"`.
    Constant(Duration),
    /// Every time from `min` to `max` is as likely: `"1ms..5ms"`.
    Uniform {
        /// The least.
        min: Duration,
        /// The most, not below `min`.
        max: Duration,
    },
    /// A normal distribution: `{ mean = "5ms", sd = "1ms" }`.
    Normal {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        sd: Duration,
    },
    /// A log-normal distribution: `{ median = "5ms", sigma = 0.5 }`.
    LogNormal {
        /// The median, above 0.
        median: Duration,
        /// The standard deviation of the time's logarithm: finite, not negative.
        sigma: f64,
    },
    /// A distribution by what one measures: `{ min = "1ms", median = "2ms", p99 = "20ms" }`, each above the one before.
    Quantiles {
        /// The least.
        min: Duration,
        /// Half of the times are below it.
        median: Duration,
        /// 99 of 100 times are below it.
        p99: Duration,
    },
}

impl Latency {
    /// That of a link about which a script says nothing.
    pub const DEFAULT: Self = Self::Uniform { min: Duration::from_millis(1), max: Duration::from_millis(5) };

    /// A time in the middle of the distribution: its median, which is its mean where it is symmetric.
    pub fn middle(&self) -> Duration {
        match *self {
            Self::Constant(time) => time,
            Self::Uniform { min, max } => min + max.saturating_sub(min) / 2,
            Self::Normal { mean, .. } => mean,
            Self::LogNormal { median, .. } | Self::Quantiles { median, .. } => median,
        }
    }
}

/// What the text forms look like.
pub(super) fn text_pattern() -> String {
    let number = r"[0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h)";
    format!(r"^{number}( *\.\. *{number})?$")
}

/// Reads the text forms, not the tables.
impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((min, max)) = text.split_once("..") else { return parse_duration(text).map(Self::Constant) };
        let (min, max) = (parse_duration(min.trim())?, parse_duration(max.trim())?);
        if min > max {
            return Err(format!("the range `{text}` is empty: it ends before it begins"));
        }
        Ok(Self::Uniform { min, max })
    }
}

/// As in scripts; the text forms without their quotes.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = show_duration;
        match *self {
            Self::Constant(time) => f.write_str(&show(time)),
            Self::Uniform { min, max } => write!(f, "{}..{}", show(min), show(max)),
            Self::Normal { mean, sd } => write!(f, r#"{{ mean = "{}", sd = "{}" }}"#, show(mean), show(sd)),
            Self::LogNormal { median, sigma } => {
                write!(f, r#"{{ median = "{}", sigma = {sigma:?} }}"#, show(median))
            }
            Self::Quantiles { min, median, p99 } => {
                let (min, median, p99) = (show(min), show(median), show(p99));
                write!(f, r#"{{ min = "{min}", median = "{median}", p99 = "{p99}" }}"#)
            }
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mean: Option<TimeSpan>,
    sd: Option<TimeSpan>,
    median: Option<TimeSpan>,
    sigma: Option<f64>,
    min: Option<TimeSpan>,
    p99: Option<TimeSpan>,
}

impl Table {
    fn distribution(self) -> Result<Latency, &'static str> {
        let Self { mean, sd, median, sigma, min, p99 } = self;
        match (mean, sd, median, sigma, min, p99) {
            (Some(TimeSpan(mean)), Some(TimeSpan(sd)), None, None, None, None) => Ok(Latency::Normal { mean, sd }),
            (None, None, Some(TimeSpan(median)), Some(sigma), None, None) => {
                if !sigma.is_finite() || sigma < 0.0 {
                    return Err("`sigma` must be a finite number of at least 0");
                }
                if median.is_zero() {
                    return Err("`median` must be above 0");
                }
                Ok(Latency::LogNormal { median, sigma })
            }
            (None, None, Some(TimeSpan(median)), None, Some(TimeSpan(min)), Some(TimeSpan(p99))) => {
                if min < median && median < p99 {
                    return Ok(Latency::Quantiles { min, median, p99 });
                }
                Err("`min` must be below `median`, and `median` below `p99`")
            }
            _ => Err("these keys make no distribution"),
        }
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = Latency;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Latency, E> {
                text.parse().map_err(|fault: String| refuse(fault, TEXT_EXPECTED))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Latency, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                table.distribution().map_err(|fault| refuse(fault, EXPECTED))
            }
        }
        deserializer.deserialize_any(TextOrTable)
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let times: &[(&str, Duration)] = match self {
            Self::Constant(_) | Self::Uniform { .. } => return serializer.collect_str(self),
            Self::Normal { mean, sd } => &[("mean", *mean), ("sd", *sd)],
            Self::LogNormal { median, .. } => &[("median", *median)],
            Self::Quantiles { min, median, p99 } => &[("min", *min), ("median", *median), ("p99", *p99)],
        };
        let mut map = serializer.serialize_map(None)?;
        for (key, time) in times {
            map.serialize_entry(key, &TimeSpan(*time))?;
        }
        if let Self::LogNormal { sigma, .. } = self {
            map.serialize_entry("sigma", sigma)?;
        }
        map.end()
    }
}

impl JsonSchema for Latency {
    fn schema_name() -> Cow<'static, str> {
        "Latency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let duration = generator.subschema_for::<TimeSpan>();
        let table = |description: &str, keys: &[&str]| {
            let mut schema = json_schema!({
                "description": description,
                "type": "object",
                "required": keys,
                "additionalProperties": false,
            });
            let property = |key: &&str| match *key {
                "sigma" => ((*key).to_owned(), serde_json::json!({ "type": "number", "minimum": 0 })),
                _ => ((*key).to_owned(), duration.clone().to_value()),
            };
            let properties: serde_json::Map<_, _> = keys.iter().map(property).collect();
            schema.insert("properties".to_owned(), properties.into());
            schema
        };
        json_schema!({
            "description": "A time, or how it is distributed.",
            "anyOf": [
                {
                    "description": "Always the same, or uniform over a range.",
                    "type": "string",
                    "pattern": text_pattern(),
                    "examples": ["5ms", "1ms..5ms"],
                },
                table("A normal distribution, by mean and standard deviation.", &["mean", "sd"]),
                table("A log-normal distribution; `sigma` is the deviation of the logarithm.", &["median", "sigma"]),
                table("A distribution by what one measures.", &["min", "median", "p99"]),
            ],
        })
    }
}
