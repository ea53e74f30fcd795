//! Cases written: a file in `seeds/` for a run that is worth keeping.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use super::corpus::CaseError;
use super::library::{self, Sim, is_path};
use crate::script::{Setting, writer};
use crate::sim::trace::TraceHash;

/// A case that is to be written.
#[derive(Clone, Debug)]
pub struct NewCase<'a> {
    /// The sim, as a case names it: see [`named_from`].
    pub sim: String,
    /// What is set on top of it.
    pub set: &'a [Setting],
    /// The planted bug.
    pub bug: Option<&'a str>,
    /// The seed.
    pub seed: u64,
    /// The invariant that is violated; `None`: it passes.
    pub violation: Option<&'a str>,
    /// The hash of the run.
    pub hash: TraceHash,
    /// Why it is kept.
    pub why: &'a str,
}

impl NewCase<'_> {
    /// The text of its file.
    pub fn text(&self) -> String {
        let text = |text: &str| toml::Value::String(text.to_owned());
        let mut keys = vec![("sim", text(&self.sim))];
        if !self.set.is_empty() {
            let set = self.set.iter().map(|setting| (setting.key().to_owned(), setting.to_value()));
            keys.push(("set", toml::Value::Table(set.collect())));
        }
        keys.extend(self.bug.map(|bug| ("bug", text(bug))));
        // A seed of 64 bits is more than TOML's numbers promise; it is written all the same.
        let seed = i64::try_from(self.seed).map_or_else(|_| text("@"), toml::Value::Integer);
        keys.push(("seed", seed));
        keys.push(("verdict", text(if self.violation.is_some() { "violation" } else { "pass" })));
        keys.extend(self.violation.map(|violation| ("violation", text(violation))));
        keys.push(("hash", text(&self.hash.to_string())));
        keys.push(("why", text(self.why)));
        writer::keys(keys).replacen("= \"@\"\n", &format!("= {}\n", self.seed), 1)
    }
}

/// How a case in `folder` names a sim: by its name, or by the path of its script from there.
pub fn named_from(folder: &Path, sim: &Sim) -> Result<String, CaseError> {
    let variant = sim.variant.as_ref().map(|variant| format!("@{variant}")).unwrap_or_default();
    let script = sim.name.strip_suffix(&variant).unwrap_or(&sim.name);
    let (true, Some(file)) = (is_path(script), &sim.file) else { return Ok(sim.name.clone()) };
    let whole =
        |path: &Path| fs::canonicalize(path).map_err(|error| CaseError::Unwritable { path: path.to_owned(), error });
    Ok(relative(&whole(folder)?, &whole(file)?).display().to_string() + &variant)
}

/// The way from a folder to a file, both whole paths.
fn relative(folder: &Path, file: &Path) -> PathBuf {
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (folder.components().collect(), file.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    up.chain(to[common..].iter().copied()).collect()
}

/// Whether a text is the name of a case: that of its file, without `.toml`.
pub fn check_name(name: &str) -> Result<(), String> {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(usual) {
        return Err(format!(
            "`{name}` is not the name of a case: letters, digits, `-`, `_` and `.`, such as `split-vote-7`"
        ));
    }
    Ok(())
}

/// A name for a case of this sim and seed that no file of the folder has.
pub fn free_name(folder: &Path, stem: &str) -> String {
    let is_free = |name: &String| !folder.join(format!("{name}.toml")).exists();
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    [stem.to_owned()].into_iter().chain(numbered).find(is_free).unwrap_or_default()
}

/// What a case of this sim and seed is called unless it is named: `raft/chaos@x` and 7 make `raft-chaos-x-7`.
pub fn usual_name(sim: &str, seed: u64) -> String {
    let short = match sim.rsplit_once(".toml") {
        Some((path, rest)) => library::stem(Path::new(&format!("{path}.toml"))) + rest,
        None => sim.to_owned(),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("{}-{seed}", short.chars().map(plain).collect::<String>())
}

/// Writes a file that must not be there yet, and makes the folder for it if there is none.
pub fn write_new(path: &Path, text: &str) -> Result<(), CaseError> {
    let write = || -> io::Result<()> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|error| CaseError::Unwritable { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_written_as_it_is_read() {
        let set = ["network.loss=0.1", "raft.\"a.b\"=x"].map(|set| set.parse().unwrap());
        let case = NewCase {
            sim: "raft/chaos@x".to_owned(),
            set: &set,
            bug: Some("b"),
            seed: u64::MAX,
            violation: Some("E1 \"one\""),
            hash: TraceHash(7),
            why: "Because.",
        };
        let expected = "sim       = \"raft/chaos@x\"\n\
                        set       = { \"network.loss\" = 0.1, \"raft.\\\"a.b\\\"\" = \"x\" }\n\
                        bug       = \"b\"\nseed      = 18446744073709551615\nverdict   = \"violation\"\n\
                        violation = 'E1 \"one\"'\nhash      = \"0000000000000007\"\nwhy       = \"Because.\"\n";
        assert_eq!(case.text().replace("'raft.\"a.b\"'", "\"raft.\\\"a.b\\\"\""), expected);
    }

    #[test]
    fn the_way_to_a_script_begins_at_the_case() {
        let way = |file: &str| relative(Path::new("/a/seeds"), Path::new(file)).display().to_string();
        assert_eq!(way("/a/seeds/shrunk/x.toml"), "shrunk/x.toml");
        assert_eq!(way("/a/sims/raft/x.toml"), "../sims/raft/x.toml");
        assert_eq!(way("/b/x.toml"), "../../b/x.toml");
    }

    #[test]
    fn a_case_has_a_name_that_no_other_has() {
        assert_eq!(usual_name("raft/chaos@no-pre-vote", 7), "raft-chaos-no-pre-vote-7");
        assert_eq!(usual_name("../my sims/it.toml@v", 7), "it-v-7");
        let folder = tempfile::tempdir().unwrap();
        for name in ["a-7", "a-7-2", "a-7-3"] {
            assert_eq!(free_name(folder.path(), "a-7"), name);
            write_new(&folder.path().join(format!("{name}.toml")), "").unwrap();
        }
        assert!(write_new(&folder.path().join("a-7.toml"), "").is_err());
        assert!(check_name("a/b").is_err() && check_name("").is_err() && check_name("a-7_x.y").is_ok());
    }
}
