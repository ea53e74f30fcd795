//! One reader, named by `READER`, under libFuzzer: see `benches/fuzz.sh`.

#![no_main]

#[path = "../../../tests/reading/readers.rs"]
mod readers;

use std::sync::OnceLock;

use readers::READERS;

static READ: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let read = READ.get_or_init(|| {
        let wanted = std::env::var("READER").unwrap_or_default();
        let found = READERS.iter().find(|(name, _)| *name == wanted).map(|(_, read)| *read);
        found.unwrap_or_else(|| panic!("READER is one of {:?}", READERS.map(|(name, _)| name)))
    });
    read(bytes);
});
