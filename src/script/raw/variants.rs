//! The variants of a script.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::document::Document;
use super::super::document::Part::{self, Index, Key};
use super::super::settings::{self, Entry};
use super::super::{Script, ScriptError, Setting, Source, Variant};
use super::hosts::Table;

/// What a variant says by itself, or cannot change.
const NOT_SET: [(&str, &str); 2] = [
    ("about", "the variant's own `about` takes its place"),
    ("system", "a script of another system is another script"),
];

/// The script with other settings, under a name of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Variant")]
pub(super) struct RawVariant {
    /// Its name: lower case letters, digits and `-`. The sim is called by the script's name, `@` and this.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]*$"))]
    name: String,
    /// One sentence: what is different, and what comes of it.
    #[schemars(length(min = 1))]
    about: String,
    /// What is set on top of the script: dotted keys, such as "network.loss", and their values. A list or a table
    /// replaces the whole of the script's.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>", extend("minProperties" = 1))]
    set: Table<toml::Table>,
}

pub(super) fn build(
    document: &Document<'_>,
    source: &Arc<Source>,
    raw: Vec<Table<RawVariant>>,
) -> Result<Vec<Variant>, ScriptError> {
    let mut variants: Vec<Variant> = Vec::new();
    for (index, Table(raw)) in raw.into_iter().enumerate() {
        let at = |key| [Key("variant"), Index(index), Key(key)];
        check_words(document, &raw, &at)?;
        if variants.iter().any(|variant| variant.name == raw.name) {
            return Err(document.error_at(&at("name"), &format!("another variant is called `{}` too", raw.name)));
        }
        let variant = Variant { settings: settings_of(document, source, index)?, name: raw.name, about: raw.about };
        check_result(document, source, &variant, &at("set"))?;
        variants.push(variant);
    }
    Ok(variants)
}

fn check_words<'a>(
    document: &Document<'_>,
    raw: &RawVariant,
    at: &impl Fn(&'a str) -> [Part<'a>; 3],
) -> Result<(), ScriptError> {
    let RawVariant { name, about, set: Table(set) } = raw;
    let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(usual) {
        let error = document.error_at(&at("name"), &format!("`{name}` is not the name of a variant"));
        return Err(error.with_expected("lower case letters, digits and `-`, such as \"no-pre-vote\""));
    }
    if about.trim().is_empty() {
        let error = document.error_at(&at("about"), "the text is empty");
        return Err(error.with_expected("one sentence: what is different, and what comes of it"));
    }
    if set.is_empty() {
        let error = document.error_at(&at("set"), "the table is empty");
        return Err(error.with_expected("a setting such as `\"network.loss\" = 0.1`"));
    }
    Ok(())
}

fn settings_of(document: &Document<'_>, source: &Arc<Source>, index: usize) -> Result<Vec<Setting>, ScriptError> {
    let mut read: Vec<Setting> = Vec::new();
    for Entry { place, setting } in settings::read(&source.text, Some(index)) {
        let around = [Key("variant"), Index(index), Key("set")];
        let at: Vec<_> = around.into_iter().chain(place.iter().map(|key| Key(key))).collect();
        let error = |message: &str| document.point_at_key(&at, format!("{}: {message}", document.name(&around)));
        let setting = setting.map_err(|message| error(&message))?;
        if let Some((key, hint)) = NOT_SET.iter().find(|(key, _)| setting.path() == [*key]) {
            return Err(error(&format!("`{key}` cannot be set")).with_hint(*hint));
        }
        if read.iter().any(|other| other.path() == setting.path()) {
            return Err(error(&format!("`{}` is set twice", setting.key())));
        }
        read.push(setting);
    }
    Ok(read)
}

/// A variant that is no script is a mistake of the script that it is in.
fn check_result(
    document: &Document<'_>,
    source: &Arc<Source>,
    variant: &Variant,
    at: &[Part<'_>],
) -> Result<(), ScriptError> {
    let merged = variant.apply(&source.text).map_err(|error| {
        document.point_at(at, format!("{}: `{}`: {}", document.name(at), error.setting.key(), error.message))
    })?;
    // Applied, it has no variants: if it has, it could not be, and reading it again would not end.
    if merged == source.text {
        return Err(document.error_at(at, "the script is written in a way in which nothing can be set"));
    }
    let Err(error) = Script::parse(&source.path, &merged) else { return Ok(()) };
    let here = document.point_at(at, format!("{}: with it, {}", document.name(at), error.message));
    Err(ScriptError { expected: error.expected, hint: error.hint, ..here })
}
