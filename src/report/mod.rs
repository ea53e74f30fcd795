//! Runs as a person and as a program reads them: verdicts, numbers, records, in text and in JSON.
//!
//! The JSON shapes come first ([`json`], [`records`]); the text is made from them, so that both say the same and a
//! stored result can be shown later.

pub mod capture;
pub mod exhaust;
pub mod figure;
pub mod json;
pub mod judgement;
pub mod lanes;
pub mod page;
pub mod perfetto;
pub mod recording;
pub mod records;
pub mod show;
pub mod style;
pub mod text;
pub mod topics;
pub mod why;
