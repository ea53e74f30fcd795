//! Standard output, for a person or a pipe.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fmt};

use anstream::AutoStream;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

pub(super) use crate::report::json::quoted as word;
use crate::report::style::{count, unpainted, wrap};

/// The folder that a file is to be written into, if it is not there.
pub(super) fn missing_folder(file: &Path) -> Option<&Path> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (!folder.is_dir()).then_some(folder)
}

/// The columns of a line where no terminal says how many there are.
const COLUMNS: usize = 120;

/// Standard output. When its reader goes away (`| head`), the rest is dropped without a word.
pub(super) struct Out {
    stream: BufWriter<AutoStream<Box<dyn Write>>>,
    pager: Option<Child>,
    /// Of the terminal, if it is one.
    columns: Option<usize>,
    is_closed: bool,
}

impl Out {
    pub(super) fn new() -> Self {
        let choice = AutoStream::choice(&io::stdout());
        let stream = AutoStream::new(Box::new(io::stdout().lock()) as Box<dyn Write>, choice);
        let size = terminal_size::terminal_size_of(io::stdout());
        let columns = size.map(|(width, _)| usize::from(width.0).max(40));
        Self { stream: BufWriter::with_capacity(1 << 16, stream), pager: None, columns, is_closed: false }
    }

    /// One that nobody reads.
    pub(super) fn silent() -> Self {
        let nothing = AutoStream::never(Box::new(io::sink()) as Box<dyn Write>);
        Self { stream: BufWriter::new(nothing), pager: None, columns: None, is_closed: false }
    }

    /// Lets a pager have what follows, if it is for a terminal and there is a pager: `$PAGER`, or `less`.
    pub(super) fn page(&mut self) {
        if !self.is_terminal() || self.pager.is_some() || self.flush().is_err() {
            return;
        }
        let named = env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
        let mut words = named.split_whitespace();
        let Some(program) = words.next().filter(|program| *program != "cat") else { return };
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::piped());
        if env::var_os("LESS").is_none() {
            // Quit if it fits the screen, keep colours, cut long lines, leave what was shown on the screen.
            command.env("LESS", "FRSX");
        }
        // A pager that is not there is not missed.
        let Ok(mut pager) = command.spawn() else { return };
        let Some(stdin) = pager.stdin.take() else { return };
        let choice = AutoStream::choice(&io::stdout());
        self.stream = BufWriter::with_capacity(1 << 16, AutoStream::new(Box::new(stdin) as Box<dyn Write>, choice));
        self.pager = Some(pager);
    }

    /// Whether a person reads it.
    pub(super) fn is_terminal(&self) -> bool {
        self.columns.is_some()
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
            let is_indented = unpainted(line).starts_with(' ');
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

impl Drop for Out {
    fn drop(&mut self) {
        let Some(mut pager) = self.pager.take() else { return };
        let nothing = AutoStream::never(Box::new(io::sink()) as Box<dyn Write>);
        drop(std::mem::replace(&mut self.stream, BufWriter::new(nothing)));
        let _ = pager.wait();
    }
}

/// `1,006`, or `3.2` of a slow one: how many there were in a second.
fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = out.write_str(&rate_text(state.per_sec()));
}

fn rate_text(rate: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate that is shown")]
    if rate < 10.0 { format!("{rate:.1}") } else { count(rate.round() as u64) }
}

/// A progress bar, if a person watches: both output and errors go to a terminal.
pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    if !(io::stdout().is_terminal() && io::stderr().is_terminal()) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.with_key("rate", rate).progress_chars("=> ")),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_no_more_digits_than_mean_something() {
        assert_eq!([0.25, 9.94, 1005.608, 2.5e6].map(rate_text), ["0.2", "9.9", "1,006", "2,500,000"]);
    }
}
