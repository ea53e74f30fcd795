//! Hosts as scripts name them, and other small shapes that several tables share.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::HostPattern;
use super::super::units::refuse;

const PATTERN_EXPECTED: &str = "a host's name, or its beginning and `*`";
const HOSTS_EXPECTED: &str = "a host such as \"n1\", or a list of hosts such as [\"n1\", \"c*\"]";

/// Hosts: one, or a list that is not empty and in which no host is twice.
#[derive(Clone, Debug)]
pub(super) struct Hosts(Vec<HostPattern>);

impl Hosts {
    pub(super) fn all() -> Self {
        Self(vec![HostPattern("*".to_owned())])
    }

    pub(super) fn patterns(&self) -> &[HostPattern] {
        &self.0
    }
}

impl From<Hosts> for Vec<HostPattern> {
    fn from(hosts: Hosts) -> Self {
        hosts.0
    }
}

fn pattern<E: de::Error>(text: &str) -> Result<HostPattern, E> {
    let name = text.strip_prefix('@').unwrap_or_else(|| text.strip_suffix('*').unwrap_or(text));
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text == "@" {
        return Err(refuse("a host's name cannot be empty", PATTERN_EXPECTED));
    }
    if !name.chars().all(usual) {
        return Err(refuse(format_args!("`{text}` names no host"), PATTERN_EXPECTED));
    }
    Ok(HostPattern(text.to_owned()))
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = HostPattern;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(PATTERN_EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HostPattern, E> {
                pattern(text)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;
        impl<'de> Visitor<'de> for TextOrList {
            type Value = Hosts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(HOSTS_EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hosts, E> {
                Ok(Hosts(vec![pattern(text)?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Hosts, A::Error> {
                let mut hosts: Vec<HostPattern> = Vec::new();
                while let Some(host) = list.next_element()? {
                    if hosts.contains(&host) {
                        return Err(de::Error::custom(format_args!("`{}` is in the list twice", host.0)));
                    }
                    hosts.push(host);
                }
                if hosts.is_empty() {
                    return Err(refuse("the list is empty", HOSTS_EXPECTED));
                }
                Ok(Hosts(hosts))
            }
        }
        deserializer.deserialize_any(TextOrList)
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> Cow<'static, str> {
        "Host".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A host's name, or its beginning and `*`; in a step also a role, such as `@leader` or `@any-follower`.",
            "type": "string",
            "pattern": "^([A-Za-z0-9._-]+\\*?|\\*|@[A-Za-z0-9._-]+)$",
        })
    }
}

impl JsonSchema for Hosts {
    fn schema_name() -> Cow<'static, str> {
        "Hosts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let host = generator.subschema_for::<HostPattern>();
        json_schema!({
            "description": "A host, or a list of hosts.",
            "anyOf": [host, { "type": "array", "items": host, "minItems": 1, "uniqueItems": true }],
            "examples": ["n1", "c*", ["n1", "n2"]],
        })
    }
}

/// A table, and only that: serde would read a struct from a list of its values too.
#[derive(Clone, Debug)]
pub(super) struct Table<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
            type Value = Table<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Table<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Table)
            }
        }
        deserializer.deserialize_map(Keys(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Table<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// `true`: the key stands for an action that has nothing more to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct True;

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            return Ok(Self);
        }
        Err(refuse("`false` says nothing", "`true`, or no such key"))
    }
}

impl JsonSchema for True {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "True".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": true })
    }
}
