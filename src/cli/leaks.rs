//! What `verify` says of a run that depends on more than its script and its seed.

use std::fmt::Write as _;

use crate::explore::leak::{Leak, Leaks};
use crate::explore::verify::Difference;
use crate::report::differ;
use crate::report::records::RecordLine;
use crate::report::show::Lines;
use crate::report::style::{BAD, UNSURE, paint};

/// How many records before the first difference are shown.
const CONTEXT: usize = 5;

/// The first record that differs, with some before it, and in what it differs.
pub(super) fn records(difference: &Difference, columns: usize) -> String {
    // A word stands before each line.
    let mut lines = Lines::new(&difference.hosts, columns.saturating_sub(9));
    let same: Vec<_> = difference.same.iter().map(|record| lines.line(record)).collect();
    let mut text = format!("the first record that differs is {}:\n", difference.same.len());
    for line in &same[same.len().saturating_sub(CONTEXT)..] {
        let _ = writeln!(text, "         {line}");
    }
    for (which, record) in ["first", "second"].into_iter().zip(&difference.next) {
        let line = record.as_ref().map_or("        ends here".to_owned(), |record: &RecordLine| lines.line(record));
        let _ = writeln!(text, "  {} {line}", paint(BAD, format_args!("{which:<6}")));
    }
    if let [Some(one), Some(other)] = &difference.next {
        for field in differ::fields(one, other) {
            let _ = writeln!(text, "         {field}");
        }
    }
    text
}

/// What was found out of a run that came to something else the second time.
pub(super) fn differing(leaks: &Leaks) -> String {
    let mut text = String::new();
    let mut say = |what: &str| row(&mut text, "leak", what);
    for (leak, _) in &leaks.moved {
        say(&format!("{}: runs within one second come to the same", name(*leak)));
    }
    if !leaks.threads.is_empty() {
        say(&format!(
            "a thread: the run starts {}, and when a thread does what is up to the machine",
            listed(&leaks.threads)
        ));
    }
    match (leaks.is_more, leaks.is_held) {
        (true, true) => say(
            "not the wall clock, nor hash order, nor entropy of the C library: this program holds them. What is left is what \
             nothing holds: threads, addresses in memory, the process's number, its environment, its files, a clock or \
             entropy that it has from the kernel or the processor itself",
        ),
        (true, false) => {
            let or = if leaks.threads.is_empty() { "" } else { "or " };
            say(&format!(
                "{or}a clock finer than a second, hash order, entropy, or the process itself (its number, addresses in \
                 memory, its environment, its files): which of them, this program cannot tell. With `stormglass::hold_clock_and_entropy!();` beside its \
                 `main`, `verify` moves each alone and names it",
            ));
        }
        (false, _) => {}
    }
    text
}

/// What a run would depend on if its program did not hold it.
pub(super) fn held(leaks: &Leaks, columns: usize) -> String {
    let mut text = String::new();
    for (leak, difference) in &leaks.moved {
        let (word, says) = match leak {
            Leak::Thread => ("leak", "started late, it makes another run; nothing holds it"),
            Leak::Clock => ("held", "with another, hours away, it is another run"),
            _ => ("held", "with other bytes, it is another run"),
        };
        row(&mut text, word, &format!("{}: {says}", name(*leak)));
        if let Some(difference) = difference {
            text += &records(difference, columns);
        }
    }
    if !leaks.threads.is_empty() {
        row(&mut text, "note", &format!("the run starts threads: {}", listed(&leaks.threads)));
    }
    text
}

fn row(text: &mut String, word: &str, what: &str) {
    let _ = writeln!(text, "{}  {what}", paint(UNSURE, word));
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn name(leak: Leak) -> &'static str {
    match leak {
        Leak::Clock => "the wall clock",
        Leak::WholeSeconds => "the wall clock in whole seconds, as in a `Date` header, or in more",
        Leak::HashOrder => "hash order",
        Leak::Entropy => "entropy",
        Leak::Thread => "a thread",
    }
}
