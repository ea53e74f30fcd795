//! Counts as Prometheus reads them: its text format, version 0.0.4.

use std::borrow::Borrow;
use std::fmt::{Display, Write as _};

use super::histogram::Histogram;

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
            let is = escaped(&is);
            _ = writeln!(self.0, "{name}{{{label}=\"{is}\"}} {value}");
        }
    }

    /// How long things took, in seconds. Without a label there is one of them.
    pub fn histogram<L: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: Option<&str>,
        values: impl IntoIterator<Item = (L, impl Borrow<Histogram>)>,
    ) {
        self.head(name, "histogram", help);
        for (is, histogram) in values {
            let histogram = histogram.borrow();
            let own = label.map(|label| format!("{label}=\"{}\"", escaped(&is)));
            let before = own.as_ref().map(|own| format!("{own},")).unwrap_or_default();
            let after = own.map(|own| format!("{{{own}}}")).unwrap_or_default();
            for (end, count) in histogram.at_most() {
                _ = writeln!(self.0, "{name}_bucket{{{before}le=\"{end}\"}} {count}");
            }
            let count = histogram.count();
            _ = writeln!(self.0, "{name}_bucket{{{before}le=\"+Inf\"}} {count}");
            _ = writeln!(self.0, "{name}_sum{after} {}", histogram.sum().as_secs_f64());
            _ = writeln!(self.0, "{name}_count{after} {count}");
        }
    }

    /// The page.
    pub fn text(self) -> String {
        self.0
    }
}

/// A label's value has `\\`, `"` and line feeds escaped; hosts' names have none of them but by mistake.
fn escaped(is: &impl Display) -> String {
    is.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_histogram_has_buckets_that_grow_and_a_sum() {
        let mut one = Histogram::default();
        one.add(Duration::from_micros(750));
        let mut page = Exposition::default();
        page.histogram("t_seconds", "Times.", Some("of"), [("x", &one)]);
        let text = page.text();
        assert!(text.starts_with("# HELP t_seconds Times.\n# TYPE t_seconds histogram\n"), "{text}");
        assert!(text.contains("t_seconds_bucket{of=\"x\",le=\"0.0005\"} 0\n"), "{text}");
        assert!(text.contains("t_seconds_bucket{of=\"x\",le=\"0.001\"} 1\n"), "{text}");
        let end =
            "t_seconds_bucket{of=\"x\",le=\"+Inf\"} 1\nt_seconds_sum{of=\"x\"} 0.00075\nt_seconds_count{of=\"x\"} 1\n";
        assert!(text.ends_with(end), "{text}");
        let mut page = Exposition::default();
        page.histogram("t_seconds", "Times.", None, [("", &one)]);
        let text = page.text();
        assert!(text.contains("t_seconds_bucket{le=\"0.001\"} 1\n") && text.contains("t_seconds_count 1\n"), "{text}");
    }

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
