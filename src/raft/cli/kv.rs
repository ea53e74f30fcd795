//! A client of a cluster's store, for one call.
//!
//! It ends with 0 when the call was done, 1 when it was not (nothing is there, another value is there, nobody answered a
//! read), and 4 when it cannot be known: what writes was sent, and no answer came.

use std::io;
use std::process::ExitCode;

use super::KvCall;
use crate::net::real::RealNet;
use crate::raft::caller::Caller;
use crate::raft::client::{NotDone, Outcome};
use crate::raft::kv::Answer;
use crate::rng::fresh_seed;
use crate::service::{self, Stdout};

const NOT_DONE: u8 = 1;
const UNKNOWN: u8 = 4;

/// Calls a cluster once, and prints what comes of it.
///
/// # Errors
/// There is no socket to be had, or no member is found.
pub async fn kv(call: KvCall) -> io::Result<ExitCode> {
    let KvCall { servers, patience, operation, consistency } = call;
    let waited = patience.deadline;
    let mut caller = Caller::new(&RealNet, &servers, patience, &mut fresh_seed().stream("raft-kv")).await?;
    let code = match caller.call(operation, consistency).await {
        Outcome::Answered { answer, .. } => told(&answer),
        Outcome::Unknown => {
            service::note(format_args!(
                "unknown: no answer came for {waited:?}; it may have been done, or may still be"
            ));
            UNKNOWN
        }
        Outcome::NotDone(NotDone::NoAnswer) => {
            service::note(format_args!("not done: nobody led the cluster and answered for {waited:?}"));
            NOT_DONE
        }
        Outcome::NotDone(NotDone::Refused(failure)) => {
            service::note(format_args!("not done: {}", failure.name()));
            NOT_DONE
        }
    };
    Ok(ExitCode::from(code))
}

fn told(answer: &Answer) -> u8 {
    let stdout = Stdout::default();
    match answer {
        Answer::Value(Some(value)) => stdout.print_bytes(&[value, b"\n"]),
        Answer::Value(None) => {
            service::note("nothing is there");
            return NOT_DONE;
        }
        Answer::Done | Answer::Swapped(true) => {}
        Answer::Swapped(false) => {
            service::note("not written: another value is there");
            return NOT_DONE;
        }
        Answer::Pairs(pairs) => pairs.iter().for_each(|(key, value)| stdout.print_bytes(&[key, b"\t", value, b"\n"])),
        Answer::Failed(failure) => {
            service::note(format_args!("not done: {}", failure.name()));
            return NOT_DONE;
        }
    }
    0
}
