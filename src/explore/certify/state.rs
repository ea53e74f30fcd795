//! How far a certificate is, in a file, so that it goes on where it was interrupted.
//!
//! A line of JSON each: what it is a certificate of, then what came of each fault, in any order. A line that was cut off
//! in its middle is made again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Survival;
use crate::explore::library::shown;

/// What it is a certificate of. A state is of use only where all of it is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The script's text.
    pub script: String,
    /// The seed.
    pub seed: u64,
    /// The hash of the run that passes.
    pub hash: String,
    /// How long late packets take, how long hosts are down, and how long a run is, in nanoseconds.
    pub times: [u64; 3],
    /// Whether hosts lose power.
    pub power: bool,
    /// How many faults there are.
    pub faults: usize,
    /// How many of them are tried.
    pub tried: usize,
}

/// The file, and what it says.
pub struct State {
    path: PathBuf,
    file: File,
    /// What came of faults, by their place among all.
    pub done: BTreeMap<usize, Survival>,
}

/// Why the state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("cannot keep how far it is in {}: {error}", shown(.path))]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is there, and of something else.
    #[error(
        "{} is of another run ({what}): remove it to begin anew, or choose another folder with `--output`", shown(.path)
    )]
    Other {
        /// Its path.
        path: PathBuf,
        /// What is different.
        what: &'static str,
    },
}

impl State {
    /// Goes on with the file, or begins it.
    pub fn open(path: &Path, header: &Header) -> Result<Self, StateError> {
        let io = |error| StateError::Io { path: path.to_owned(), error };
        let other = |what| StateError::Other { path: path.to_owned(), what };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io(error)),
        };
        let mut done = BTreeMap::new();
        // The last line may have been cut off.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        if let Some(first) = lines.next() {
            let found: Header = serde_json::from_str(first).map_err(|_| other("its first line says of none"))?;
            if let Some(what) = difference(&found, header) {
                return Err(other(what));
            }
            done.extend(lines.filter_map(|line| serde_json::from_str::<(usize, Survival)>(line).ok()));
        }
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(path).map_err(io)?;
        file.set_len(whole.len() as u64).map_err(io)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(io)?;
        let mut state = Self { path: path.to_owned(), file, done };
        if whole.is_empty() {
            state.write(header)?;
        }
        Ok(state)
    }

    /// Takes down what came of a fault.
    pub fn add(&mut self, place: usize, survival: Survival) -> Result<(), StateError> {
        self.write(&(place, &survival))?;
        self.done.insert(place, survival);
        Ok(())
    }

    fn write(&mut self, value: &impl Serialize) -> Result<(), StateError> {
        let mut line = serde_json::to_vec(value).unwrap_or_default();
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| StateError::Io { path: self.path.clone(), error })
    }

    /// All is done: the file goes.
    pub fn remove(self) -> Result<(), StateError> {
        fs::remove_file(&self.path).map_err(|error| StateError::Io { path: self.path, error })
    }
}

fn difference(found: &Header, wanted: &Header) -> Option<&'static str> {
    let differs = [
        (found.script != wanted.script, "its script is another one"),
        (found.seed != wanted.seed, "its seed is another one"),
        (found.hash != wanted.hash, "the same script and seed gave another hash then"),
        (found != wanted, "its faults are others"),
    ];
    differs.into_iter().find_map(|(differs, what)| differs.then_some(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_behind_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let header = Header {
            script: "s".to_owned(),
            seed: 7,
            hash: "h".to_owned(),
            times: [1, 2, 3],
            power: false,
            faults: 9,
            tried: 9,
        };
        let mut state = State::open(&path, &header).unwrap();
        state.add(3, Survival::Survived).unwrap();
        state.add(5, Survival::Broke("i".to_owned(), "m\n".to_owned())).unwrap();
        drop(state);
        let text = fs::read_to_string(&path).unwrap();
        for cut in 0..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let mut state = State::open(&path, &header).unwrap();
            let known: Vec<usize> = state.done.keys().copied().collect();
            assert!([3, 5].starts_with(&known), "{known:?}");
            [3, 5][known.len()..].iter().for_each(|place| state.add(*place, Survival::Survived).unwrap());
            let again = State::open(&path, &header).unwrap();
            assert_eq!(again.done.keys().copied().collect::<Vec<_>>(), [3, 5], "cut at {cut}");
        }
        let other = Header { hash: "g".to_owned(), ..header };
        let error = State::open(&path, &other).err().unwrap().to_string();
        assert!(error.contains("gave another hash"), "{error}");
        fs::write(&path, "what\n").unwrap();
        assert!(State::open(&path, &other).is_err());
    }
}
