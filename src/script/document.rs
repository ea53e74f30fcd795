//! A parsed TOML document that knows where everything in it stands, so that every error can point.

use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue, ValueDeserializer};

use super::error::{ScriptError, Source, did_you_mean, one_of};

/// One step of the way from the top of a document to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Into a table.
    Key(&'a str),
    /// Into an array.
    Index(usize),
}

/// A document and the text that it was parsed from.
pub(crate) struct Document<'a> {
    source: &'a Arc<Source>,
    root: Spanned<DeTable<'a>>,
}

/// Tells of the table at a path the keys that belong there but are read elsewhere.
pub(super) type ReadElsewhere<'k> = &'k dyn Fn(&[Part<'_>]) -> &'k [&'k str];

/// How a value is called in an error: the keys after the last table header, and that table.
struct Place {
    keys: String,
    table: String,
}

impl Place {
    /// "`latency` in [network]", "[network]", "`about`", or nothing for the top of the document.
    fn name(&self) -> String {
        match (self.keys.as_str(), self.table.as_str()) {
            ("", table) => table.to_owned(),
            (keys, "") => format!("`{keys}`"),
            (keys, table) => format!("`{keys}` in {table}"),
        }
    }

    /// " in [network]", or nothing for the top of the document.
    fn within(&self) -> String {
        let name = self.name();
        if name.is_empty() { name } else { format!(" in {name}") }
    }
}

impl<'a> Document<'a> {
    /// Parses the text; the error is about the first thing that is not TOML.
    pub(crate) fn parse(source: &'a Arc<Source>) -> Result<Self, ScriptError> {
        match DeTable::parse(&source.text) {
            Ok(root) => Self { source, root }.checked(),
            Err(error) => {
                let (message, expected) = error.message().split_once(", expected ").unwrap_or((error.message(), ""));
                let span = error.span().unwrap_or(0..0);
                let error = ScriptError::at_span(source, &span, format!("this is not TOML: {message}"));
                Err(if expected.is_empty() { error } else { error.with_expected(expected) })
            }
        }
    }

    /// It itself, if each of its whole numbers is one that fits: not all that read it say so of one that does not.
    fn checked(self) -> Result<Self, ScriptError> {
        let mut path = Vec::new();
        if !find_in(self.root(), &mut path, &|value| matches!(value, DeValue::Integer(number) if !fits(number))) {
            return Ok(self);
        }
        let error = self.error_at(&path, "the number is too large");
        Err(error.with_expected(format!("a whole number from {} to {}", i64::MIN, i64::MAX)))
    }

    /// The text that it was parsed from.
    pub(super) fn source(&self) -> &'a Arc<Source> {
        self.source
    }

    /// The table at the top.
    pub(super) fn root(&self) -> &DeTable<'a> {
        self.root.get_ref()
    }

    /// From the first byte to the last.
    pub(super) fn span(&self) -> Range<usize> {
        self.root.span()
    }

    /// The value at the end of a path.
    pub(super) fn value(&self, path: &[Part<'_>]) -> Option<&Spanned<DeValue<'a>>> {
        self.entry(path).map(|(_, value)| value)
    }

    /// The span of the last key of a path, if it ends in one, and the value.
    fn entry(&self, path: &[Part<'_>]) -> Option<(Option<Range<usize>>, &Spanned<DeValue<'a>>)> {
        let step = |table: &'_ DeTable<'a>, key: &str| table.get_key_value(key).map(|(key, _)| key.span());
        let mut found: Option<(Option<Range<usize>>, &Spanned<DeValue<'a>>)> = None;
        for part in path {
            let table = match found {
                None => Some(self.root()),
                Some((_, value)) => value.get_ref().as_table(),
            };
            found = Some(match *part {
                Part::Key(key) => (step(table?, key), table?.get(key)?),
                Part::Index(index) => (None, found?.1.get_ref().as_array()?.get(index)?),
            });
        }
        found
    }

    /// The line of a key, or of an element of an array; of the nearest thing around it if there is no such value, and 1
    /// at the top.
    pub(super) fn line_at(&self, path: &[Part<'_>]) -> usize {
        let Some((_, around)) = path.split_last() else { return 1 };
        let Some((key, value)) = self.entry(path) else { return self.line_at(around) };
        ScriptError::at_span(self.source, &key.unwrap_or(value.span()), "").line
    }

    /// How a value is called in errors.
    pub(super) fn name(&self, path: &[Part<'_>]) -> String {
        self.place(path).name()
    }

    /// An error about a value, whose name goes before the message.
    pub(super) fn error_at(&self, path: &[Part<'_>], message: &str) -> ScriptError {
        let name = self.place(path).name();
        let message = if name.is_empty() { message.to_owned() } else { format!("{name}: {message}") };
        self.point_at(path, message)
    }

    /// An error about a text in the value at a path, which points at the text.
    pub(super) fn error_at_text(&self, path: &[Part<'_>], text: &str, message: &str) -> ScriptError {
        let error = self.error_at(path, message);
        match self.value(path).and_then(|value| span_of_text(value, text)) {
            Some(span) => ScriptError { message: error.message, ..ScriptError::at_span(self.source, &span, "") },
            None => error,
        }
    }

    /// An error that points at a value, or at the nearest thing around it.
    pub(super) fn point_at(&self, path: &[Part<'_>], message: String) -> ScriptError {
        match (self.entry(path), path.split_last()) {
            (Some((_, value)), _) => ScriptError::at_span(self.source, &value.span(), message),
            (None, Some((_, around))) => self.point_at(around, message),
            (None, None) => self.at_top(message),
        }
    }

    /// An error that points at the last key of a path.
    pub(super) fn point_at_key(&self, path: &[Part<'_>], message: String) -> ScriptError {
        match self.entry(path) {
            Some((Some(key), _)) => ScriptError::at_span(self.source, &key, message),
            _ => self.point_at(path, message),
        }
    }

    /// An error about the top of the document, where no single word is to blame.
    fn at_top(&self, message: String) -> ScriptError {
        ScriptError { line: 1, column: 1, ..ScriptError::of_file(self.source, message) }
    }

    /// Reads a table with a type of its own; `also` tells of a table the keys that belong there but are read elsewhere.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        table: Spanned<DeValue<'a>>,
        also: ReadElsewhere<'_>,
    ) -> Result<T, ScriptError> {
        T::deserialize(ValueDeserializer::from(table)).map_err(|error| self.translate(&error, also))
    }

    /// The whole document as a value, to take things out of and to read.
    pub(super) fn to_value(&self) -> Spanned<DeValue<'a>> {
        Spanned::new(self.root.span(), DeValue::Table(self.root().clone()))
    }

    /// Turns serde's errors, which know a span and some English, into ours.
    fn translate(&self, error: &toml::de::Error, also: ReadElsewhere<'_>) -> ScriptError {
        let span = error.span().unwrap_or(0..0);
        let mut path = Vec::new();
        if span != self.root.span() {
            locate(self.root(), &span, &mut path);
        }
        let new = |message: String| match path[..] {
            [] => self.at_top(message),
            _ => ScriptError::at_span(self.source, &span, message),
        };
        let name = self.place(&path).name();
        let message = error.message();
        if message.starts_with("unknown field `") {
            let Some((Part::Key(key), around)) = path.split_last() else { return new(message.to_owned()) };
            let unknown = new(format!("unknown key `{key}`{}", self.place(around).within()));
            return with_candidates(unknown, key, message, also(around));
        }
        if let Some(key) = quoted(message, "missing field ") {
            return with_example(new(format!("missing key `{key}`{}", self.place(&path).within())), key);
        }
        if let Some(word) = quoted(message, "unknown variant ") {
            return with_candidates(new(format!("{name}: unknown value `{word}`")), word, message, &[]);
        }
        let mismatch = ["invalid type: ", "invalid value: ", "invalid length "];
        if let Some(rest) = mismatch.iter().find_map(|start| message.strip_prefix(start))
            && let Some((found, expected)) = rest.rsplit_once(", expected ").or_else(|| rest.split_once(", expected "))
        {
            let (found, expected) = (in_toml_words(found), in_toml_words(expected));
            let error = new(format!("{name} cannot be {found}"));
            return match name.strip_prefix('[').filter(|_| expected == "a list") {
                Some(rest) => error.with_expected(format!("[[{rest}], in double brackets: one such table for each")),
                None => error.with_expected(expected),
            };
        }
        let (message, expected) = message.split_once('\n').unwrap_or((message, ""));
        let error = new(if name.is_empty() { message.to_owned() } else { format!("{name}: {message}") });
        if expected.is_empty() { error } else { error.with_expected(expected) }
    }

    fn place(&self, path: &[Part<'_>]) -> Place {
        let (mut tables, mut number, mut keys) = (Vec::new(), None, Vec::new());
        for (depth, part) in path.iter().enumerate() {
            match *part {
                Part::Key(key) if keys.is_empty() && self.has_header(&path[..=depth]) => tables.push(key),
                Part::Key(key) => keys.push(key),
                Part::Index(index) if keys.is_empty() => number = Some(index + 1),
                Part::Index(_) => {}
            }
        }
        let table = match number {
            _ if tables.is_empty() => String::new(),
            Some(number) => format!("[[{}]] number {number}", tables.join(".")),
            None => format!("[{}]", tables.join(".")),
        };
        Place { keys: keys.join("."), table }
    }

    /// Whether a value is a table with a header of its own, or an array of tables.
    fn has_header(&self, path: &[Part<'_>]) -> bool {
        match self.value(path).map(|value| (value.get_ref(), self.first_char(value))) {
            Some((DeValue::Table(_), Some('['))) => true,
            // `[network]` is there too if only `[network.tcp]` is written.
            Some((DeValue::Table(table), start)) if start != Some('{') => {
                table.values().any(|inner| inner.get_ref().is_table() && self.first_char(inner) == Some('['))
            }
            Some((DeValue::Array(elements), _)) => elements.first().is_some_and(|first| first.get_ref().is_table()),
            _ => false,
        }
    }

    fn first_char(&self, value: &Spanned<DeValue<'_>>) -> Option<char> {
        self.source.text.get(value.span().start..)?.chars().next()
    }
}

fn fits(number: &DeInteger<'_>) -> bool {
    i64::from_str_radix(number.as_str(), number.radix()).is_ok()
}

/// Finds the first value, table by table, that is one of those; `path` leads to it.
fn find_in<'t>(table: &'t DeTable<'_>, path: &mut Vec<Part<'t>>, is_sought: &dyn Fn(&DeValue<'_>) -> bool) -> bool {
    table.iter().any(|(key, value)| {
        path.push(Part::Key(key.get_ref()));
        let found = find_in_value(value.get_ref(), path, is_sought);
        if !found {
            path.pop();
        }
        found
    })
}

fn find_in_value<'t>(
    value: &'t DeValue<'_>,
    path: &mut Vec<Part<'t>>,
    is_sought: &dyn Fn(&DeValue<'_>) -> bool,
) -> bool {
    match value {
        DeValue::Table(table) => find_in(table, path, is_sought),
        DeValue::Array(elements) => elements.iter().enumerate().any(|(index, element)| {
            path.push(Part::Index(index));
            let found = find_in_value(element.get_ref(), path, is_sought);
            if !found {
                path.pop();
            }
            found
        }),
        other => is_sought(other),
    }
}

/// Where a text stands in a value.
fn span_of_text(value: &Spanned<DeValue<'_>>, text: &str) -> Option<Range<usize>> {
    match value.get_ref() {
        DeValue::String(found) if found.as_ref() == text => Some(value.span()),
        DeValue::Array(elements) => elements.iter().find_map(|element| span_of_text(element, text)),
        DeValue::Table(table) => table.values().find_map(|value| span_of_text(value, text)),
        _ => None,
    }
}

/// Takes the keys out of a table that are not wanted.
pub(super) fn keep(table: &mut DeTable<'_>, wanted: impl Fn(&str) -> bool) {
    *table = std::mem::take(table).into_iter().filter(|(key, _)| wanted(key.get_ref())).collect();
}

/// Finds the innermost value, or the key, that a span belongs to.
fn locate<'t>(table: &'t DeTable<'_>, span: &Range<usize>, path: &mut Vec<Part<'t>>) -> bool {
    table.iter().any(|(key, value)| {
        path.push(Part::Key(key.get_ref()));
        let found = key.span() == *span || locate_in(value, span, path);
        if !found {
            path.pop();
        }
        found
    })
}

fn locate_in<'t>(value: &'t Spanned<DeValue<'_>>, span: &Range<usize>, path: &mut Vec<Part<'t>>) -> bool {
    let inside = match value.get_ref() {
        DeValue::Table(table) => locate(table, span, path),
        DeValue::Array(elements) => elements.iter().enumerate().any(|(index, element)| {
            path.push(Part::Index(index));
            let found = locate_in(element, span, path);
            if !found {
                path.pop();
            }
            found
        }),
        _ => false,
    };
    inside || (value.span().start <= span.start && span.end <= value.span().end)
}

/// The word in backticks after a beginning.
fn quoted<'m>(message: &'m str, start: &str) -> Option<&'m str> {
    let rest = message.strip_prefix(start)?.strip_prefix('`')?;
    let end = rest.rfind("`, ").or_else(|| rest.strip_suffix('`').map(str::len))?;
    let end = rest.find("`, expected ").unwrap_or(end);
    Some(&rest[..end])
}

/// Adds the words that serde expected, and the nearest of them.
fn with_candidates(error: ScriptError, word: &str, message: &str, also: &[&str]) -> ScriptError {
    let list = message.rsplit_once("`, expected ").map_or("", |(_, list)| list);
    let candidates: Vec<&str> = list.split('`').skip(1).step_by(2).chain(also.iter().copied()).collect();
    let error = error.with_expected(one_of(candidates.iter().copied()));
    match did_you_mean(word, candidates) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Shows how a required key is written.
fn with_example(error: ScriptError, key: &str) -> ScriptError {
    let example = match key {
        "about" => "about = \"One sentence: what happens, and what is expected.\"",
        "duration" | "until" => &format!("{key} = \"20s\""),
        "enter" => "enter = 0.02",
        "leave" => "leave = 0.25",
        "chance" => "chance = 0.1",
        "extra" | "sync" => &format!("{key} = \"5ms..20ms\""),
        "from" | "to" => &format!("{key} = \"n1\""),
        _ => return error,
    };
    error.with_expected(format!("a key such as `{example}`"))
}

/// Serde's words for types in the words of TOML.
fn in_toml_words(words: &str) -> String {
    let article = |kind: &str, rest: &str| format!("the {kind} {rest}");
    for kind in ["integer", "string", "boolean"] {
        if let Some(rest) = words.strip_prefix(kind).and_then(|rest| rest.strip_prefix(' ')) {
            return article(kind, rest);
        }
    }
    if let Some(rest) = words.strip_prefix("floating point ") {
        return article("number", rest);
    }
    match words {
        "map" | "a map" => "a table",
        "sequence" | "a sequence" => "a list",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        _ if words.starts_with("struct ") => "a table",
        _ => words,
    }
    .to_owned()
}
