//! Standard output, for a person or a pipe.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstream::AutoStream;
use indicatif::{ProgressBar, ProgressStyle};

pub(super) use crate::report::json::quoted as word;
use crate::report::style::wrap;

/// The columns of a line where no terminal says how many there are.
const COLUMNS: usize = 120;

/// Standard output. When its reader goes away (`| head`), the rest is dropped without a word.
pub(super) struct Out {
    stream: BufWriter<AutoStream<StdoutLock<'static>>>,
    /// Of the terminal, if it is one.
    columns: Option<usize>,
    is_closed: bool,
}

impl Out {
    pub(super) fn new() -> Self {
        let choice = AutoStream::choice(&io::stdout());
        let stream = AutoStream::new(io::stdout().lock(), choice);
        let size = terminal_size::terminal_size_of(io::stdout());
        let columns = size.map(|(width, _)| usize::from(width.0).max(40));
        Self { stream: BufWriter::with_capacity(1 << 16, stream), columns, is_closed: false }
    }

    /// The columns that lines should fit.
    pub(super) fn columns(&self) -> usize {
        self.columns.unwrap_or(COLUMNS)
    }

    /// Prints a text that ends its own lines; a terminal gets the indented ones wrapped. Those at the margin, such as
    /// commands to paste, stay whole.
    pub(super) fn rows(&mut self, text: &str) -> anyhow::Result<()> {
        let Some(columns) = self.columns else { return self.text(text) };
        for line in text.lines() {
            let is_indented = anstream::adapter::strip_str(line).to_string().starts_with(' ');
            if is_indented { self.line(&wrap(line, columns))? } else { self.line(line)? }
        }
        Ok(())
    }

    /// Whether nobody reads it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Prints a text that ends its own lines. It may be kept back until [`Self::flush`].
    pub(super) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let written = self.stream.write_all(text.as_bytes());
        self.note(written)
    }

    /// Prints a line.
    pub(super) fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// Prints a value as one line of JSON.
    pub(super) fn json(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.line(&serde_json::to_string(value)?)
    }

    /// Lets the reader have all that was printed.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let flushed = self.stream.flush();
        self.note(flushed)
    }

    fn note(&mut self, result: io::Result<()>) -> anyhow::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            other => Ok(other?),
        }
    }
}

/// A progress bar, if a person watches: both output and errors go to a terminal.
pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    if !(io::stdout().is_terminal() && io::stderr().is_terminal()) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
