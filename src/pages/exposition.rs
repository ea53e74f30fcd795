//! Counts as Prometheus reads them: its text format, version 0.0.4.

use std::fmt::{Display, Write as _};

/// The content type of a page in this format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that is being written.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        _ = writeln!(self.0, "{name} {value}");
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.one(name, "gauge", help, value);
    }

    /// A number that goes up.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.one(name, "counter", help, value);
    }

    /// Numbers that a label tells apart. `kind` is `gauge` or `counter`.
    pub fn family<L: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) {
        self.head(name, kind, help);
        for (is, value) in values {
            // A label's value has `\\`, `"` and line feeds escaped; hosts' names have none of them but by mistake.
            let is = is.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            _ = writeln!(self.0, "{name}{{{label}=\"{is}\"}} {value}");
        }
    }

    /// The page.
    pub fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_in_the_text_format() {
        let mut page = Exposition::default();
        page.counter("a_total", "All of a.", 3);
        page.family("b", "gauge", "Some b.", "of", [("x", 1), ("y\"\\\n", 0)]);
        let text = "# HELP a_total All of a.\n# TYPE a_total counter\na_total 3\n\
                    # HELP b Some b.\n# TYPE b gauge\nb{of=\"x\"} 1\nb{of=\"y\\\"\\\\\\n\"} 0\n";
        assert_eq!(page.text(), text);
    }
}
