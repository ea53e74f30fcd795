//! The corpus: saved cases, each a sim, a seed and what must come of it.
//!
//! ```toml
//! sim     = "echo/tcp-loss"
//! seed    = 7
//! verdict = "pass"                # or "violation", with the invariant's name in `violation`
//! hash    = "7c3f09d2b1a45e86"
//! why     = "The first run that anybody makes."
//! ```
//!
//! `sim` may be a variant, and a table `set = { "network.loss" = 0.3 }` sets on top of it what `--set` would. `bug` names
//! a planted bug that the case shows: only a build that has them can make its run.
//!
//! A seed may be any of 64 bits, up to 18446744073709551615. TOML promises no more than 63, so other programs may refuse
//! a case with a seed above 9223372036854775807; this one reads it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::library::{self, Library, LibraryError, Sim};
use crate::script::{ScriptError, Setting, Source, settings};
use crate::sim::Verdict;
use crate::sim::trace::TraceHash;

/// A case as its file holds it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    /// The sim: a name, or the path of a script from the case's own folder.
    #[schemars(with = "String")]
    sim: Spanned<String>,
    /// What is set on top of the sim's script: dotted keys and their values.
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    set: Option<Spanned<toml::Table>>,
    /// The planted bug that the system runs with.
    #[schemars(with = "Option<String>")]
    bug: Option<Spanned<String>>,
    /// The seed, of up to 64 bits.
    #[schemars(with = "u64")]
    seed: Spanned<i128>,
    /// `pass` or `violation`.
    #[schemars(with = "String")]
    verdict: Spanned<String>,
    /// The invariant that is violated.
    #[schemars(with = "Option<String>")]
    violation: Option<Spanned<String>>,
    /// The trace hash: 16 hexadecimal digits.
    #[schemars(with = "String")]
    hash: Spanned<String>,
    /// Why the case is kept.
    #[schemars(with = "String")]
    why: Spanned<String>,
}

/// The JSON Schema of a case.
pub fn case_schema() -> schemars::Schema {
    schemars::schema_for!(CaseFile)
}

/// A saved case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name: that of its file.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The sim.
    pub sim: Sim,
    /// The planted bug that the system runs with: it is among the sim's settings.
    pub bug: Option<String>,
    /// The seed.
    pub seed: u64,
    /// The invariant that must be violated; `None`: the run must pass.
    pub violation: Option<String>,
    /// The hash that the run must have.
    pub hash: TraceHash,
    /// Why it is kept.
    pub why: String,
    source: Arc<Source>,
    /// Where the hash stands in the text, with its quotes.
    hash_span: std::ops::Range<usize>,
}

/// Why a case cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The file says something wrong.
    #[error("{0}")]
    Wrong(Box<ScriptError>),
    /// A file cannot be found or read.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A file cannot be written.
    #[error("cannot write {}: {error}", library::shown(.path))]
    Unwritable {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Case {
    /// Reads a case.
    pub fn load(path: &Path, library: &Library) -> Result<Self, CaseError> {
        Self::parse(path, &library::read(path)?, library)
    }

    fn parse(path: &Path, text: &str, library: &Library) -> Result<Self, CaseError> {
        let source = Arc::new(Source::new(&library::shown(path), text));
        let wrong = |span: std::ops::Range<usize>, message: &str| {
            CaseError::Wrong(Box::new(ScriptError::at_span(&source, &span, message)))
        };
        let file: CaseFile = toml::from_str(&source.text).map_err(|error| match error.span() {
            Some(span) if !span.is_empty() => wrong(span, error.message()),
            _ => CaseError::Wrong(Box::new(ScriptError::of_file(&source, error.message()))),
        })?;
        let seed = u64::try_from(*file.seed.get_ref())
            .map_err(|_| wrong(file.seed.span(), &format!("`seed` is a number from 0 to {}", u64::MAX)))?;
        let hash = TraceHash::try_from(file.hash.get_ref().clone()).map_err(|error| wrong(file.hash.span(), &error))?;
        let violation = match (file.verdict.get_ref().as_str(), file.violation) {
            ("pass", None) => None,
            ("pass", Some(violation)) => return Err(wrong(violation.span(), "a case that passes has no `violation`")),
            ("violation", Some(violation)) => Some(violation.into_inner()),
            ("violation", None) => {
                return Err(wrong(file.verdict.span(), "the invariant's name is missing: `violation = \"…\"`"));
            }
            _ => return Err(wrong(file.verdict.span(), "`verdict` is \"pass\" or \"violation\"")),
        };
        if file.why.get_ref().trim().is_empty() {
            return Err(wrong(file.why.span(), "`why` says why the case is kept"));
        }
        let sim =
            find(library, path, file.sim.get_ref()).map_err(|error| wrong(file.sim.span(), &error.to_string()))?;
        let sim = match file.set {
            Some(set) => with_settings(sim, &source.text).map_err(|message| wrong(set.span(), &message))?,
            None => sim,
        };
        let sim = match &file.bug {
            Some(bug) => plant(sim, bug.get_ref()).map_err(|message| wrong(bug.span(), &message))?,
            None => sim,
        };
        let bug = file.bug.map(Spanned::into_inner);
        let hash_span = file.hash.span();
        let (name, path, why) = (library::stem(path), path.to_owned(), file.why.into_inner());
        Ok(Self { name, path, sim, bug, seed, violation, hash, why, source, hash_span })
    }

    /// What the case expects, in words.
    pub fn expected(&self) -> String {
        self.violation.as_ref().map_or("pass".to_owned(), |violation| format!("violation of {violation}"))
    }

    /// Whether a verdict is the one that the case expects.
    pub fn expects(&self, verdict: &Verdict) -> bool {
        match (verdict, &self.violation) {
            (Verdict::Pass, None) => true,
            (verdict, violation) => {
                violation.is_some() && verdict.finding().map(|finding| &finding.invariant) == violation.as_ref()
            }
        }
    }

    /// Writes another hash into the case's file and leaves all else as it is.
    pub fn bless(&self, hash: TraceHash) -> Result<(), CaseError> {
        let unwritable = |error| CaseError::Unwritable { path: self.path.clone(), error };
        let mut text = self.source.text.clone();
        text.replace_range(self.hash_span.clone(), &format!("\"{hash}\""));
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A second file and a rename: whoever reads it meanwhile sees one or the other.
        let beside = folder.join(format!(".{}.{}", library::stem(&self.path), std::process::id()));
        let write = || {
            fs::File::create(&beside)?.write_all(text.as_bytes())?;
            fs::rename(&beside, &self.path)
        };
        write().map_err(unwritable)
    }
}

/// The sim with what the case's table `set` sets.
fn with_settings(sim: Sim, case: &str) -> Result<Sim, String> {
    let entries = settings::read(case, None);
    let set = entries.into_iter().map(|entry| entry.setting).collect::<Result<Vec<_>, _>>()?;
    if set.is_empty() {
        return Err("`set` is empty: it holds settings such as `\"network.loss\" = 0.1`".to_owned());
    }
    sim.with(&set).map_err(|error| error.to_string())
}

/// The sim with a bug planted in its system.
fn plant(sim: Sim, bug: &str) -> Result<Sim, String> {
    let system = sim.script().map_err(|error| error.to_string())?.system;
    let setting = Setting::new(&format!("{system}.bug"), bug)?;
    sim.with(&[setting]).map_err(|error| error.to_string())
}

/// The sim of a case: a name, or a path from the folder of the case.
fn find(library: &Library, case: &Path, sim: &str) -> Result<Sim, LibraryError> {
    let (script, variant) = library::split_variant(sim);
    if !library::is_path(script) {
        return library.find(sim);
    }
    let path = case.parent().unwrap_or(Path::new("")).join(script);
    let found = Sim::from_file(&library::shown(&path), &path)?;
    variant.map_or(Ok(found.clone()), |variant| found.variant(variant))
}

/// The files of the cases that are meant: all of `seeds/` in `directory` or above it, or those that are named by path
/// or by name.
pub fn files(directory: &Path, named: &[String]) -> Result<Vec<PathBuf>, LibraryError> {
    let folder = library::above(directory, "seeds");
    if named.is_empty() {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no such folder here or above");
        let Some(folder) = folder else {
            return Err(LibraryError::Unreadable { path: PathBuf::from("seeds/"), error: missing() });
        };
        return library::scripts(&folder);
    }
    named.iter().map(|name| file(folder.as_deref(), name)).collect()
}

/// The file of one case, named by path or by name.
fn file(folder: Option<&Path>, name: &str) -> Result<PathBuf, LibraryError> {
    if library::is_path(name) {
        return Ok(PathBuf::from(name));
    }
    let path = folder.map(|folder| folder.join(format!("{name}.toml")));
    if let Some(path) = path.filter(|path| path.is_file()) {
        return Ok(path);
    }
    let there = folder.map(library::scripts).transpose()?.unwrap_or_default();
    let mut near: Vec<_> = there.iter().map(|path| library::stem(path)).collect();
    near.sort_by_cached_key(|known| strsim::osa_distance(name, known));
    near.truncate(3);
    Err(LibraryError::NoCase { name: name.to_owned(), has_folder: folder.is_some(), nearest: near })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: &str = "# Kept.\nsim = \"s.toml\" # here\nseed = 7\nverdict = \"pass\"\n\
                        hash = '0123456789abcdef' # old\nwhy = \"Because.\"\n";

    fn parse(change: (&str, &str)) -> Result<Case, CaseError> {
        let folder = tempfile::tempdir().unwrap();
        let script = "about = 'x'\nsystem = 'a'\nduration = '9s'\n\
                      [[variant]]\nname = 'v'\nabout = 'y'\nset = { duration = '8s' }\n";
        fs::write(folder.path().join("s.toml"), script).unwrap();
        let library = Library::new(&[], folder.path()).unwrap();
        Case::parse(&folder.path().join("case.toml"), &CASE.replace(change.0, change.1), &library)
    }

    #[test]
    fn a_blessed_case_keeps_its_comments() {
        let mut case = parse(("", "")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        case.path = folder.path().join("case.toml");
        case.bless(TraceHash(0xfedc_ba98_7654_3210)).unwrap();
        let written = fs::read_to_string(&case.path).unwrap();
        assert_eq!(written, CASE.replace("'0123456789abcdef'", "\"fedcba9876543210\""));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_case_sets_what_a_call_can() {
        let case = parse(("s.toml\"", "s.toml@v\"\nset = { \"a.n\" = 3, tick = \"2ms\", a.m.\"x.y\" = 'z' }")).unwrap();
        let title = case.sim.title();
        assert!(title.contains("s.toml@v --set a.n=3 --set 'tick=\"2ms\"' --set "), "{title}");
        let script =
            "about = \"y\"\nsystem = 'a'\nduration = '8s'\ntick = \"2ms\"\n\n[a]\nn = 3\nm = { \"x.y\" = 'z' }\n";
        assert_eq!(case.sim.text, script);
    }

    #[test]
    fn a_seed_has_all_of_its_64_bits() {
        assert_eq!(parse(("= 7", "= 18446744073709551615")).unwrap().seed, u64::MAX);
        let error = parse(("= 7", "= 18446744073709551616")).unwrap_err().to_string();
        assert!(error.contains("case.toml:3:8: `seed` is a number from 0 to 18446744073709551615"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_case_is_said_with_its_line() {
        for (change, reason) in [
            (("why = \"Because.\"\n", ""), "missing field `why`"),
            (("why", "way"), "case.toml:6:1: unknown field `way`"),
            (("Because.", " "), "`why` says why"),
            (("= 7", "= -7"), "case.toml:3:8: `seed` is a number from 0 to"),
            (("= 7", "= \"7\""), "case.toml:3:8: invalid type"),
            (("\"pass\"", "\"fail\""), "case.toml:4:11: `verdict` is \"pass\" or \"violation\""),
            (("\"pass\"", "\"violation\""), "the invariant's name is missing"),
            (("\"pass\"", "\"pass\"\nviolation = \"x\""), "has no `violation`"),
            (("abcdef", "xyz"), "a trace hash has 16 hexadecimal digits"),
            (("s.toml", "t.toml"), "cannot read"),
            (("s.toml", "echo/none"), "case.toml:2:7: no sim `echo/none`"),
            (("s.toml", "s.toml@w"), "s.toml` has no variant `w`; there is `v`"),
            (("seed", "set = {}\nseed"), "case.toml:3:7: `set` is empty: it holds settings such as"),
            (("seed", "set = 3\nseed"), "case.toml:3:7: invalid type"),
            (("seed", "set = { 'a..b' = 3 }\nseed"), "case.toml:3:7: `a..b` is not a key"),
            (("seed", "set = { duration.x = 3 }\nseed"), "in --set duration.x=3: `duration` is a string"),
        ] {
            let error = parse(change).unwrap_err().to_string();
            assert!(error.contains(reason), "{change:?}: {error}");
        }
    }
}
