//! A path as a script: a step each 10 ms, each timer pinned to run out at its step, each message as late as its arrival is.
//!
//! What the path does not deliver takes longer than the run lasts, and no timer that is not pinned runs out in it. So the
//! script says what happens, and nothing else does.

use std::fmt::Write as _;
use std::time::Duration;

use toml::{Table, Value};

use super::machine::{Action, RaftModel, WINDOW};
use super::rehearsal::{Rehearsal, STEP};
use crate::model::{Broken, Model as _};
use crate::script::{TimeSpan, writer};

/// The path as a script, or why it cannot be one.
pub(super) fn write(model: &RaftModel, path: &[Action], broken: &Broken) -> Result<String, String> {
    // What is durable sooner than in the path leads to messages that never arrive.
    let model = &model.unbounded();
    let mut rehearsal = Rehearsal::new(model, path);
    for (number, action) in path.iter().enumerate() {
        rehearsal
            .perform(model, action)
            .map_err(|why| format!("step {} is more than a script can say: {why}", number + 1))?;
    }
    let packets = rehearsal.packets()?;
    let what = if model.replicates() { "script of a path" } else { "path" };
    let mut text = "#:schema ../schema.json\n".to_owned();
    let duration = rehearsal.duration();
    text += &writer::keys([
        ("about", format!("Breaks {}: no shorter {what} does.", broken.invariant).into()),
        ("system", "raft".into()),
        ("duration", time(duration)),
    ]);
    let _ = write!(text, "\n{}", writer::table("[raft]", &section(model)));
    if model.replicates() {
        let window = Value::Array(vec![i64::from(WINDOW).into(), i64::from(WINDOW).into()]);
        let table = Table::from_iter([("window".to_owned(), window)]);
        let _ = write!(text, "\n{}", writer::table("[raft.replication]", &table));
    }
    let _ = write!(text, "\n# What is not said below to arrive is too late for this run.\n");
    text += &writer::table(
        "[network]",
        &Table::from_iter([("latency".to_owned(), time(model.config.election_timeout_max))]),
    );
    let _ = writeln!(text);
    for (number, action) in path.iter().enumerate() {
        let at = TimeSpan(STEP * (u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1)));
        let _ = writeln!(text, "# {at}: {}", model.tell(action));
    }
    text += rehearsal.steps();
    text += &packets;
    let _ = write!(text, "\n{}", writer::table("[expect]", &Table::from_iter([("leader".to_owned(), "any".into())])));
    Ok(text)
}

fn section(model: &RaftModel) -> Table {
    let mut table = Table::new();
    let mut put = |key: &str, value: Value| table.insert(key.to_owned(), value);
    put("nodes", i64::try_from(model.bounds.nodes).expect("few nodes").into());
    put("election_timeout", time(model.config.election_timeout_max));
    put("heartbeat", time(model.config.heartbeat));
    for key in ["pre_vote", "check_quorum", "leader_stickiness", "resend"] {
        put(key, false.into());
    }
    if let Some(check) = &model.bounds.check {
        put("check", check.as_str().into());
    }
    table
}

pub(super) fn time(time: Duration) -> Value {
    Value::String(TimeSpan(time).to_string())
}
