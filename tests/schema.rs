//! `sims/schema.json`, with which editors complete scripts: it is current, scripts name it, and it tells right from wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const RENEW: &str = "cargo run --release -- schema > sims/schema.json";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn kept() -> String {
    fs::read_to_string(root().join("sims/schema.json")).expect("sims/schema.json can be read")
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(&kept()).expect("it is JSON")).expect("it is a JSON Schema")
}

/// All scripts with their texts.
fn scripts() -> Vec<(PathBuf, String)> {
    let files = |folder: &Path| fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        files(&root().join("sims")).filter(|path| path.is_dir()).flat_map(|path| files(&path)).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(paths.len() >= 12, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("a script can be read"))).collect()
}

/// What a script says, as the schema sees it.
fn data(text: &str) -> Value {
    let table: toml::Table = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    serde_json::to_value(table).expect("scripts are plain data")
}

#[test]
fn the_schema_is_current() {
    let output = Command::new(env!("CARGO_BIN_EXE_stormglass")).arg("schema").output().expect("the program starts");
    assert!(output.status.success());
    let current = String::from_utf8(output.stdout).expect("output is UTF-8");
    assert!(current == kept(), "sims/schema.json is out of date; renew it: {RENEW}");
}

#[test]
fn every_script_names_the_schema_and_fits_it() {
    let validator = validator();
    let schema = root().join("sims/schema.json").canonicalize().expect("it is there");
    for (path, text) in scripts() {
        let named = text.lines().next().and_then(|line| line.strip_prefix("#:schema "));
        let named = named.unwrap_or_else(|| panic!("{}: its first line is `#:schema ../schema.json`", path.display()));
        let found = path.parent().expect("it is in a folder").join(named).canonicalize();
        assert_eq!(found.ok().as_ref(), Some(&schema), "{}: {named}", path.display());
        let errors: Vec<_> = validator.iter_errors(&data(&text)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

#[test]
fn a_misspelt_key_does_not_fit() {
    let right = "about = 'x'\nsystem = 'echo'\nduration = '1s'\n[echo]\nclients = 3\n[network]\nloss = 0.1\n\
                 [[step]]\nat = '1s'\nkill = 'server'\n[chaos]\nuntil = '1s'\nhosts = ['server']\n";
    let validator = validator();
    assert!(validator.is_valid(&data(right)), "{:?}", validator.iter_errors(&data(right)).next());
    for (key, misspelt) in [
        ("duration", "durations"),
        ("echo]", "ehco]"),
        ("clients", "client"),
        ("loss", "lost"),
        ("kill", "kills"),
        ("at =", "att ="),
        ("until", "untill"),
    ] {
        let wrong = right.replacen(key, misspelt, 1);
        assert_ne!(wrong, right);
        assert!(!validator.is_valid(&data(&wrong)), "{wrong}");
    }
}

#[test]
fn every_script_is_built_in_as_it_is() {
    let mut built_in = Vec::new();
    for system in stormglass::systems::all() {
        for (name, text) in system.sims() {
            built_in.push((root().join(format!("sims/{}/{name}.toml", system.name())), (*text).to_owned()));
        }
    }
    built_in.sort();
    let names = |scripts: &[(PathBuf, String)]| scripts.iter().map(|script| script.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&built_in), names(&scripts()), "systems/*.rs and sims/ name the same scripts");
    assert!(built_in == scripts(), "a built-in script differs from its file");
}
