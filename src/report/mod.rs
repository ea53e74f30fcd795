//! Runs as a person and as a program reads them: verdicts, numbers, records, in text and in JSON.
//!
//! The JSON shapes come first ([`json`], [`records`]); the text is made from them, so that both say the same and a
//! stored result can be shown later.

#[cfg(feature = "captures")]
pub mod capture;
#[cfg(feature = "cli")]
pub mod differ;
#[cfg(feature = "cli")]
pub mod exhaust;
#[cfg(feature = "cli")]
pub mod figure;
pub mod json;
pub mod judgement;
#[cfg(feature = "cli")]
pub mod lanes;
#[cfg(feature = "cli")]
pub mod page;
#[cfg(feature = "cli")]
pub mod perfetto;
#[cfg(feature = "cli")]
pub mod recording;
#[cfg(feature = "cli")]
pub mod records;
#[cfg(feature = "cli")]
pub mod show;
pub mod style;
pub mod text;
#[cfg(feature = "cli")]
pub mod topics;
#[cfg(feature = "cli")]
pub mod why;
