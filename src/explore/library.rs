//! Which script a name stands for.
//!
//! `echo/tcp-loss` is `sims/echo/tcp-loss.toml` in the current directory or the nearest one above it that has `sims/`;
//! failing that, the script of that name that is built in. Anything that ends in `.toml` is a path. After either, `@`
//! and a name choose a variant of the script.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::report::json::set_arguments;
use crate::script::settings;
use crate::script::{Script, ScriptError, Setting, SettingError};
use crate::sim::System;

/// A script and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sim {
    /// As it was named, with its variant.
    pub name: String,
    /// Its path; `None`: built in.
    pub file: Option<PathBuf>,
    /// Its text, with all that was put on top of it.
    pub text: String,
    /// The variant of the script that it is.
    pub variant: Option<String>,
    /// What was set on top of that.
    pub set: Vec<Setting>,
    /// The script's text as it was written, where something was put on top of it.
    pub base: Option<String>,
}

/// Why a name stands for nothing.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// No sim has this name.
    #[error("no sim `{name}`{}", hint(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// Names that are close to it.
        nearest: Vec<String>,
    },
    /// A script cannot be read.
    #[error("cannot read {}: {error}", shown(.path))]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No case has this name.
    #[error("no case `{name}` {}{}", in_seeds(*.has_folder), hint(.nearest))]
    NoCase {
        /// The name.
        name: String,
        /// Whether there are saved cases here at all.
        has_folder: bool,
        /// Names that are close to it.
        nearest: Vec<String>,
    },
    /// A script has no variant of this name.
    #[error("{}", no_variant(.sim, .variant, .nearest))]
    NoVariant {
        /// The sim.
        sim: String,
        /// The name.
        variant: String,
        /// The variants that there are, the nearest first.
        nearest: Vec<String>,
    },
    /// A script that something is to be put on top of has a mistake.
    #[error(transparent)]
    Script(Box<ScriptError>),
    /// What is to be put on top of a script does not fit it.
    #[error(transparent)]
    Setting(Box<SettingError>),
}

fn no_variant(sim: &str, variant: &str, nearest: &[String]) -> String {
    let names: Vec<_> = nearest.iter().map(|name| format!("`{name}`")).collect();
    match &names[..] {
        [] => format!("`{sim}` has no variants, so no `{variant}`"),
        [name] => format!("`{sim}` has no variant `{variant}`; there is {name}"),
        names => format!("`{sim}` has no variant `{variant}`; there are {}", names.join(", ")),
    }
}

fn in_seeds(has_folder: bool) -> &'static str {
    if has_folder { "in seeds/" } else { "here: there is no folder `seeds` in this one or above" }
}

fn hint(nearest: &[String]) -> String {
    let names: Vec<_> = nearest.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

impl Sim {
    /// A script at a path.
    pub fn from_file(name: &str, path: &Path) -> Result<Self, LibraryError> {
        Ok(Self::as_written(name, Some(path.to_owned()), read(path)?))
    }

    fn as_written(name: &str, file: Option<PathBuf>, text: String) -> Self {
        Self { name: name.to_owned(), file, text, variant: None, set: Vec::new(), base: None }
    }

    /// One of its variants.
    pub fn variant(mut self, variant: &str) -> Result<Self, LibraryError> {
        let mut variants = self.script().map_err(|error| LibraryError::Script(Box::new(error)))?.variants;
        let Some(found) = variants.iter().find(|known| known.name == variant) else {
            variants.sort_by_cached_key(|known| strsim::osa_distance(variant, &known.name));
            let nearest = variants.into_iter().map(|known| known.name).collect();
            return Err(LibraryError::NoVariant { sim: self.name, variant: variant.to_owned(), nearest });
        };
        let text = found.apply(&self.text).map_err(|error| LibraryError::Setting(Box::new(error)))?;
        self.base.get_or_insert(std::mem::replace(&mut self.text, text));
        self.name = format!("{}@{variant}", self.name);
        self.variant = Some(variant.to_owned());
        Ok(self)
    }

    /// With settings on top.
    pub fn with(mut self, set: &[Setting]) -> Result<Self, LibraryError> {
        if set.is_empty() {
            return Ok(self);
        }
        self.script().map_err(|error| LibraryError::Script(Box::new(error)))?;
        let text = settings::apply(&self.text, set).map_err(|error| LibraryError::Setting(Box::new(error)))?;
        self.base.get_or_insert(std::mem::replace(&mut self.text, text));
        self.set.extend_from_slice(set);
        Ok(self)
    }

    /// The sim before anything was put on top of it, if anything was.
    pub fn base(&self) -> Option<Self> {
        let text = self.base.clone()?;
        let variant = self.variant.as_ref().map(|variant| format!("@{variant}")).unwrap_or_default();
        let name = self.name.strip_suffix(&variant).unwrap_or(&self.name);
        Some(Self::as_written(name, self.file.clone(), text))
    }

    /// Its name, and what was set on top of it as arguments of a call.
    pub fn title(&self) -> String {
        self.name.clone() + &set_arguments(&self.set)
    }

    /// Where it is, for a person.
    pub fn place(&self) -> String {
        self.file.as_ref().map_or("built in".to_owned(), |path| shown(path))
    }

    /// Its path, or what stands in for one in errors; what was put on top of it goes before, as it may be to blame.
    pub fn path(&self) -> String {
        let Some(base) = self.base() else {
            return self.file.as_ref().map_or_else(|| format!("{} (built in)", self.name), |path| shown(path));
        };
        let on_top = match &self.variant {
            Some(variant) if self.set.is_empty() => format!(" variant `{variant}`"),
            Some(variant) => format!(" variant `{variant}` with{}", set_arguments(&self.set)),
            None => set_arguments(&self.set),
        };
        format!("in{on_top}: {}", base.path())
    }

    /// The script.
    pub fn script(&self) -> Result<Script, ScriptError> {
        Script::parse(&self.path(), &self.text)
    }
}

/// The sims that names stand for.
#[derive(Debug)]
pub struct Library {
    /// Where each name is.
    found: BTreeMap<String, Place>,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    BuiltIn(&'static str),
}

impl Library {
    /// The sims of `sims/` in `directory` or above it, and those built into the systems.
    pub fn new(systems: &[&'static dyn System], directory: &Path) -> Result<Self, LibraryError> {
        let mut found = BTreeMap::new();
        for system in systems {
            for (name, text) in system.sims() {
                let name = name.strip_suffix(".toml").unwrap_or(name);
                let own = format!("{}/", system.name());
                let name = if name.starts_with(&own) { name.to_owned() } else { own + name };
                found.insert(name, Place::BuiltIn(text));
            }
        }
        if let Some(sims) = above(directory, "sims") {
            for folder in entries(&sims)?.into_iter().filter(|path| path.is_dir()) {
                for file in scripts(&folder)? {
                    found.insert(format!("{}/{}", stem(&folder), stem(&file)), Place::File(file));
                }
            }
        }
        Ok(Self { found })
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.found.keys().map(String::as_str)
    }

    /// The sim that a name or a path stands for.
    pub fn find(&self, name: &str) -> Result<Sim, LibraryError> {
        match split_variant(name) {
            (script, Some(variant)) => self.find_script(script)?.variant(variant),
            (script, None) => self.find_script(script),
        }
    }

    fn find_script(&self, name: &str) -> Result<Sim, LibraryError> {
        if is_path(name) {
            let path = Path::new(name);
            let sim = name.trim_end_matches(".toml");
            if !path.exists() && self.found.contains_key(sim) {
                return Err(LibraryError::Unknown { name: name.to_owned(), nearest: vec![sim.to_owned()] });
            }
            return Sim::from_file(name, path);
        }
        match self.found.get(name) {
            Some(Place::File(path)) => Sim::from_file(name, path),
            Some(Place::BuiltIn(text)) => Ok(Sim::as_written(name, None, (*text).to_owned())),
            None => Err(LibraryError::Unknown { name: name.to_owned(), nearest: self.nearest(name) }),
        }
    }

    /// Up to three names that are close: those in a folder for the folder, else `tcp-los` is to `echo/tcp-loss`, and so is `ehco/tcp-loss`.
    fn nearest(&self, name: &str) -> Vec<String> {
        let folder = format!("{}/", name.trim_end_matches('/'));
        let inside: Vec<_> = self.names().filter(|known| known.starts_with(&folder)).take(3).collect();
        if !inside.is_empty() {
            return inside.into_iter().map(str::to_owned).collect();
        }
        let short = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let likeness = |known: &str| {
            let whole = strsim::normalized_damerau_levenshtein(name, known);
            if name.contains('/') {
                whole
            } else {
                whole.max(strsim::normalized_damerau_levenshtein(name, &short(known)))
            }
        };
        let mut scored: Vec<_> = self.names().map(|known| (likeness(known), known)).collect();
        scored.retain(|(score, _)| *score >= 0.6);
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let best = scored.first().map_or(0.0, |(score, _)| *score);
        scored.into_iter().filter(|(score, _)| *score > best - 0.1).take(3).map(|(_, known)| known.to_owned()).collect()
    }
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, LibraryError> {
    fs::read_to_string(path).map_err(|error| {
        let is_text = error.kind() != io::ErrorKind::InvalidData;
        let error = if is_text { error } else { io::Error::new(error.kind(), "it is not UTF-8 text") };
        LibraryError::Unreadable { path: path.to_owned(), error }
    })
}

/// The name of a sim without its variant, and that.
pub(crate) fn split_variant(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('@') {
        Some((script, variant)) if !is_path(name) && !variant.contains('/') => (script, Some(variant)),
        _ => (name, None),
    }
}

/// Whether a sim or a case is given by its path.
pub(crate) fn is_path(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "toml")
}

/// The folder of this name in a directory or the nearest one above it.
pub fn above(directory: &Path, name: &str) -> Option<PathBuf> {
    directory.ancestors().map(|ancestor| ancestor.join(name)).find(|folder| folder.is_dir())
}

/// A path for a person: from the current directory, if it is below it.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// The `.toml` files of a folder, in order.
pub(crate) fn scripts(folder: &Path) -> Result<Vec<PathBuf>, LibraryError> {
    let is_script = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|extension| extension == "toml");
    Ok(entries(folder)?.into_iter().filter(is_script).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, LibraryError> {
    let unreadable = |error| LibraryError::Unreadable { path: folder.to_owned(), error };
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(names: &[&str]) -> Library {
        Library { found: names.iter().map(|name| ((*name).to_owned(), Place::BuiltIn(""))).collect() }
    }

    #[test]
    fn a_name_that_is_nearly_right_is_pointed_out() {
        let library = library(&["echo/tcp-loss", "echo/tcp-quiet", "raft/chaos"]);
        for name in ["echo/tcp-los", "ehco/tcp-loss", "tcp-loss"] {
            assert_eq!(library.nearest(name).first().map(String::as_str), Some("echo/tcp-loss"), "{name}");
        }
        assert_eq!(library.nearest("zzz"), Vec::<String>::new());
        for name in ["echo", "echo/"] {
            assert_eq!(library.nearest(name), ["echo/tcp-loss", "echo/tcp-quiet"], "{name}");
        }
        let error = library.find("echo/tcp-quiet.toml").unwrap_err().to_string();
        assert_eq!(error, "no sim `echo/tcp-quiet.toml`; did you mean `echo/tcp-quiet`?");
    }

    const RACE: &str = "about = 'x'\nsystem = 'a'\nduration = '9s'\n[a]\nn = 1\n\
                        [[variant]]\nname = 'two'\nabout = 'With 2.'\nset = { 'a.n' = 2 }\n\
                        [[variant]]\nname = 'three'\nabout = 'With 3.'\nset = { 'a.n' = 3 }\n";

    #[test]
    fn a_variant_is_a_sim_of_its_own() {
        let library = Library { found: BTreeMap::from([("a/race".to_owned(), Place::BuiltIn(RACE))]) };
        let sim = library.find("a/race@two").unwrap();
        assert_eq!(sim.text, "about = \"With 2.\"\nsystem = 'a'\nduration = '9s'\n[a]\nn = 2\n");
        assert_eq!(
            (sim.title(), sim.path()),
            ("a/race@two".to_owned(), "in variant `two`: a/race (built in)".to_owned())
        );
        let sim = sim.with(&["a.n=b c".parse().unwrap()]).unwrap();
        assert_eq!(sim.script().unwrap().section.read::<toml::Table>().unwrap()["n"].as_str(), Some("b c"));
        assert_eq!(sim.title(), "a/race@two --set 'a.n=b c'");
        assert_eq!(sim.path(), "in variant `two` with --set 'a.n=b c': a/race (built in)");
        assert_eq!(sim.base().unwrap().text, RACE);
        for (name, complaint) in [
            ("a/race@thre", "`a/race` has no variant `thre`; there are `three`, `two`"),
            ("a/race@", "`a/race` has no variant ``; there are `two`, `three`"),
            ("a/race@two@two", "no sim `a/race@two`; did you mean `a/race`?"),
            ("a/rac@two", "no sim `a/rac`; did you mean `a/race`?"),
        ] {
            assert_eq!(library.find(name).unwrap_err().to_string(), complaint);
        }
    }

    #[test]
    fn an_at_sign_in_a_path_is_no_variant() {
        for (name, split) in [
            ("a/b@c", ("a/b", Some("c"))),
            ("b.toml@c", ("b.toml", Some("c"))),
            ("b@c.toml", ("b@c.toml", None)),
            ("a@b/c", ("a@b/c", None)),
            ("a@b/c.toml@d", ("a@b/c.toml", Some("d"))),
        ] {
            assert_eq!(split_variant(name), split);
        }
    }

    #[test]
    fn the_folder_of_the_nearest_directory_counts() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sims/echo")).unwrap();
        fs::create_dir_all(root.path().join("deep/er")).unwrap();
        fs::write(root.path().join("sims/echo/a.toml"), "about = 'x'").unwrap();
        let library = Library::new(&[], &root.path().join("deep/er")).unwrap();
        assert_eq!(library.names().collect::<Vec<_>>(), ["echo/a"]);
        assert_eq!(library.find("echo/a").unwrap().text, "about = 'x'");
        assert_eq!(above(root.path(), "sims").unwrap(), root.path().join("sims"));
    }
}
