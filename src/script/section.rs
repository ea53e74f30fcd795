//! Tables that a system reads with its own types.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Part, keep};
use super::{ScriptError, Section, Source};

impl Section {
    pub(super) fn new(source: &Arc<Source>, name: &str, taken: &'static [&'static str]) -> Self {
        Self { source: Arc::clone(source), name: name.to_owned(), step: None, taken }
    }

    /// The table of this name in the step at this place.
    pub(super) fn of_step(source: &Arc<Source>, step: usize, name: &str) -> Self {
        Self { step: Some(step), ..Self::new(source, name, &[]) }
    }

    /// Reads the table with a type of the system's own. A table that the script does not have reads as an empty one.
    ///
    /// For a mistake in it to be an error and not ignored, the type says `#[serde(deny_unknown_fields)]`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ScriptError> {
        let document = Document::parse(&self.source)?;
        let Some(mut table) = document.value(&self.path()).cloned() else {
            let nothing = Spanned::new(document.span(), DeValue::Table(DeTable::new()));
            return document.read(nothing, &|_| &[]).map_err(|mut error: ScriptError| {
                error.message += &[" in [", &self.name, "], a table that the script does not have"].concat();
                error
            });
        };
        if let DeValue::Table(keys) = table.get_mut() {
            keep(keys, |key| !self.taken.contains(&key));
        }
        document.read(table, &|_| self.taken)
    }

    /// The table as it is written, as a value; an empty one if the script has none.
    pub(super) fn value(&self) -> toml::Value {
        let root = toml::from_str::<toml::Table>(&self.source.text).unwrap_or_default();
        let step = |step| root.get("step").and_then(|steps| steps.get(step)).and_then(toml::Value::as_table);
        let around = self.step.map_or(Some(&root), step);
        around.and_then(|around| around.get(&self.name)).cloned().unwrap_or_else(|| toml::Table::new().into())
    }

    /// The line of one of its keys, for errors; a dotted key leads into tables. Of the table itself if there is no such
    /// key, and 1 if there is no table.
    pub fn line_of(&self, key: &str) -> usize {
        let path = self.path_to(key);
        Document::parse(&self.source).map_or(1, |document| document.line_at(&path))
    }

    /// An error about one of its keys; a dotted key leads into tables.
    pub fn error(&self, key: &str, message: impl Into<String>) -> ScriptError {
        self.error_at(&self.path_to(key), &message.into())
    }

    /// An error about the table as a whole.
    pub fn error_of_table(&self, message: impl Into<String>) -> ScriptError {
        self.error_at(&self.path(), &message.into())
    }

    fn error_at(&self, path: &[Part<'_>], message: &str) -> ScriptError {
        match Document::parse(&self.source) {
            Ok(document) => document.error_at(path, message),
            Err(error) => error,
        }
    }

    fn path(&self) -> Vec<Part<'_>> {
        let step = self.step.map(|step| [Part::Key("step"), Part::Index(step)]);
        step.into_iter().flatten().chain([Part::Key(&self.name)]).collect()
    }

    fn path_to<'a>(&'a self, key: &'a str) -> Vec<Part<'a>> {
        self.path().into_iter().chain(key.split('.').map(Part::Key)).collect()
    }
}
