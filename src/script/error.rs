//! Errors in scripts: where, what, what was expected, and what was probably meant.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The text of a script and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's path, or another name that tells a person where to look.
    pub path: String,
    /// The text, without a byte order mark.
    pub text: String,
}

impl Source {
    /// A source from its path and its text; a byte order mark is taken off.
    pub fn new(path: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The line and the column, both counted from 1 and in characters, of a byte of the text.
    fn position(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (1 + before.matches('\n').count(), 1 + before[line_start..].chars().count())
    }

    fn line(&self, line: usize) -> Option<&str> {
        Some(self.text.split('\n').nth(line.checked_sub(1)?)?.trim_end_matches('\r'))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.path, self.text.len())
    }
}

/// A mistake in a script.
///
/// It displays with the file, the line, an excerpt, what was expected and, where one is close enough, the word that was
/// probably meant.
#[derive(Clone)]
pub struct ScriptError {
    /// The script.
    pub source: Arc<Source>,
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// The column, from 1, in characters; 0 if it is about the file as a whole.
    pub column: usize,
    /// How many characters to underline; 0 shows no excerpt.
    pub width: usize,
    /// What is wrong, with the key and its table.
    pub message: String,
    /// What was expected there.
    pub expected: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ScriptError {
    /// An error about the file as a whole.
    pub fn of_file(source: &Arc<Source>, message: impl Into<String>) -> Self {
        let (source, message) = (Arc::clone(source), message.into());
        Self { source, line: 0, column: 0, width: 0, message, expected: None, hint: None }
    }

    /// An error about a line, counted from 1; 0 stands for the file as a whole.
    pub fn at_line(source: &Arc<Source>, line: usize, message: impl Into<String>) -> Self {
        let mut error = Self::of_file(source, message);
        if let Some(text) = source.line(line) {
            error.line = line;
            error.column = 1 + text.chars().take_while(|c| c.is_whitespace()).count();
            error.width = text.trim().chars().count();
        }
        error
    }

    /// An error about a range of bytes of the text; of a range over several lines, the first line is shown.
    pub fn at_span(source: &Arc<Source>, span: &Range<usize>, message: impl Into<String>) -> Self {
        let (line, column) = source.position(span.start);
        let rest_of_line = source.line(line).map_or(0, |text| text.chars().count().saturating_sub(column - 1));
        let start = source.text.floor_char_boundary(span.start);
        let end = source.text.floor_char_boundary(span.end).max(start);
        let width = source.text[start..end].chars().count().min(rest_of_line).max(1);
        Self { line, column, width, ..Self::of_file(source, message) }
    }

    /// With what was expected: a phrase that goes after "expected".
    #[must_use]
    pub fn with_expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// With what to do about it: a sentence.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the word that was probably meant, if there is one.
    #[must_use]
    pub(crate) fn with_hint_of(self, nearest: Option<String>) -> Self {
        match nearest {
            Some(name) => self.with_hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    fn write_excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(text) = self.source.line(self.line).filter(|_| self.width > 0) else { return Ok(()) };
        let gutter = " ".repeat(self.line.to_string().len());
        // What a terminal would obey is shown as a mark; tabs stay, so that the underline stays under its word.
        let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
        let shown: String = text.chars().map(visible).collect();
        let indent: String = text.chars().take(self.column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        write!(f, "\n{gutter} |\n{} | {shown}\n{gutter} | {indent}{}", self.line, "^".repeat(self.width))
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source.path)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        self.write_excerpt(f)?;
        let gutter = if self.width > 0 { self.line.to_string().len() + 1 } else { 2 };
        if let Some(expected) = &self.expected {
            write!(f, "\n{:gutter$}= expected {expected}", "")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{:gutter$}= {hint}", "")?;
        }
        Ok(())
    }
}

/// As it displays, so that a test's `unwrap` shows what a person would see.
impl fmt::Debug for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ScriptError {}

/// Words that people use for what scripts call otherwise.
const ALSO_CALLED: [(&str, &str); 9] = [
    ("crash", "kill"),
    ("delay", "latency"),
    ("description", "about"),
    ("freeze", "pause"),
    ("isolate", "partition"),
    ("jitter", "latency"),
    ("start", "restart"),
    ("steps", "step"),
    ("stop", "kill"),
];

/// The candidate that was probably meant: at most a third of its letters differ, or it is abbreviated, or another word
/// is used for it.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let synonym = ALSO_CALLED.iter().find(|(name, _)| *name == word).map(|(_, key)| *key);
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let letters = word.chars().count().max(candidate.chars().count());
        let abbreviated = word.len() >= 3 && candidate.starts_with(&word);
        let distance = if synonym == Some(candidate.as_str()) {
            0
        } else if abbreviated {
            1
        } else {
            strsim::osa_distance(&word, &candidate)
        };
        (distance <= (letters / 3).clamp(1, 3) && distance < letters).then_some(distance)
    };
    let begins_alike = |candidate: &str| candidate.to_lowercase().chars().next() == word.chars().next();
    let scored = candidates.into_iter().filter_map(|candidate| Some((distance(candidate)?, candidate)));
    scored.min_by_key(|(distance, candidate)| (*distance, !begins_alike(candidate))).map(|(_, candidate)| candidate)
}

/// "did you mean", if a candidate is close enough.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Words in a list: "`a`", "`a` or `b`", "one of `a`, `b`, `c`".
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match &words[..] {
        [] => "nothing".to_owned(),
        [word] => word.clone(),
        [one, other] => format!("{one} or {other}"),
        many => format!("one of {}", many.join(", ")),
    }
}
