//! What happened beside the packets, as entries of a journal: Wireshark shows them where they happened.

use std::borrow::Cow;

use pcap_file::pcapng::blocks::systemd_journal_export::SystemdJournalExportBlock;

use super::super::records::{RecordLine, WhatLine};

/// An entry, in the form in which systemd's journal exports them. `t_ns`: since the run began.
pub(super) fn entry(t_ns: u64, text: &str) -> SystemdJournalExportBlock<'static> {
    let micros = crate::sim::EPOCH_SECONDS * 1_000_000 + t_ns / 1_000;
    // A field ends with its line.
    let text = text.replace('\n', " ");
    let entry = format!("__REALTIME_TIMESTAMP={micros}\nSYSLOG_IDENTIFIER=stormglass\nMESSAGE={text}\n\n");
    SystemdJournalExportBlock { journal_entry: Cow::Owned(entry.into_bytes()) }
}

/// What a record says that a capture should: what the testbed did, and what broke.
pub(super) fn words(record: &RecordLine) -> Option<String> {
    let host = record.host.as_deref().unwrap_or("the testbed");
    let text = match &record.what {
        WhatLine::Fault { action, .. } => format!("fault: {action}"),
        WhatLine::FaultEnded { action, .. } => format!("fault ended: {action}"),
        WhatLine::Killed => format!("{host} was killed"),
        WhatLine::PowerLost => format!("{host} lost power"),
        WhatLine::Paused => format!("{host} stands still"),
        WhatLine::Resumed => format!("{host} goes on"),
        WhatLine::Panicked { message } => format!("{host} panicked: {message}"),
        WhatLine::Failed { message } => format!("{host} failed: {message}"),
        WhatLine::GivenUp { packet, attempts } => format!("{host} gave up packet {packet} after {attempts} tries"),
        WhatLine::Violated { invariant, message } => format!("{invariant}: {message}"),
        _ => return None,
    };
    Some(format!("record {}; {text}", record.n))
}
