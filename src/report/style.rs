//! Colours, numbers and units, as they are printed.

use std::fmt::Display;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

/// What is as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What is not.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What says nothing.
pub const UNSURE: Style = AnsiColor::Yellow.on_default().bold();
/// What the eye may pass over.
pub const DIM: Style = Style::new().dimmed();
/// What needs no mark.
pub const PLAIN: Style = Style::new();
/// What the eye looks for.
pub const STRONG: Style = Style::new().bold();

/// A text in a style. The stream that it is written to takes the codes out again where they are not wanted.
pub fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 case`, `1,234 cases`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A time of a run, to the millisecond: `1.482s`.
pub fn moment(at: Duration) -> String {
    format!("{:.3}s", at.as_secs_f64())
}

/// A duration with three or four digits and the unit that suits it: `812 µs`, `3.02 ms`, `1.40 s`.
pub fn span(duration: Duration) -> String {
    let (value, unit) = match duration.as_nanos() {
        0..1_000 => return format!("{} ns", duration.as_nanos()),
        1_000..1_000_000 => (duration.as_secs_f64() * 1e6, "µs"),
        1_000_000..1_000_000_000 => (duration.as_secs_f64() * 1e3, "ms"),
        _ => (duration.as_secs_f64(), "s"),
    };
    let digits = usize::from(value < 9.995) + usize::from(value < 99.95);
    format!("{value:.digits$} {unit}")
}

/// A duration given in milliseconds.
pub fn from_milliseconds(value: f64) -> Duration {
    Duration::from_secs_f64(value / 1e3)
}

/// `30.000 s simulated in 0.41 s, 73 times real time`.
pub fn pace(simulated: Duration, wall: Duration) -> String {
    let took = if wall < Duration::from_millis(100) { span(wall) } else { seconds(wall) };
    format!("{} simulated in {took}, {}", long_seconds(simulated), ratio(simulated, wall))
}

/// `3,489.244 s`.
pub fn long_seconds(duration: Duration) -> String {
    format!("{}.{:03} s", count(duration.as_secs()), duration.subsec_millis())
}

/// `0.41 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// `73 times real time`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a ratio of two times, rounded")]
pub fn ratio(simulated: Duration, wall: Duration) -> String {
    let ratio = simulated.as_secs_f64() / wall.as_secs_f64().max(1e-9);
    if ratio < 9.95 {
        format!("{ratio:.1} times real time")
    } else {
        format!("{} times real time", count(ratio.round() as u64))
    }
}

/// A text without what [`paint`] puts around its words: sequences from an escape to an `m`.
pub fn unpainted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, painted)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = painted.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

/// Breaks a line that is longer than `columns` between words; what follows stands under the line's last column of text.
pub fn wrap(line: &str, columns: usize) -> String {
    let width = |text: &str| unpainted(text).chars().count();
    let plain = unpainted(line);
    let column = hang(&plain);
    let hang = " ".repeat(column.min(columns / 2));
    let (mut text, mut used) = (String::new(), 0);
    for (place, word) in line.split(' ').enumerate() {
        let own = width(word);
        if used > 0 && used >= column && used + 1 + own > columns {
            text.push('\n');
            text.push_str(&hang);
            used = hang.len();
        } else if place > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += own;
    }
    text
}

/// Where the last column of a line begins: behind the last gap of two spaces or more in its first half.
fn hang(plain: &str) -> usize {
    let chars: Vec<char> = plain.chars().take(40).collect();
    let begins = |place: &usize| chars[*place] != ' ' && chars[place.saturating_sub(2)..*place] == [' ', ' '];
    (2..chars.len()).rev().find(begins).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_goes_on_under_its_last_column() {
        assert_eq!(wrap("  name  one two three", 17), "  name  one two\n        three");
        assert_eq!(wrap("  name  one two three", 21), "  name  one two three");
        assert_eq!(wrap("  one two three", 9), "  one two\n  three");
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("  name  incomprehensible", 12), "  name  incomprehensible");
        let painted = format!("  {}  one two", paint(BAD, "name"));
        assert_eq!(wrap(&painted, 12), format!("  {}  one\n      two", paint(BAD, "name")));
    }

    #[test]
    fn paint_is_taken_off_again() {
        for text in ["", "plain", "ends in m", "[m"] {
            let painted = format!("a {}m {}", paint(BAD, text), paint(STRONG, "m"));
            assert_eq!(unpainted(&painted), format!("a {text}m m"));
        }
    }

    #[test]
    fn counts_have_separators() {
        let shown: Vec<_> = [0, 999, 1_000, 12_345, 1_234_567].into_iter().map(count).collect();
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn spans_have_a_unit_that_suits_them() {
        let shown: Vec<_> = [0, 999, 1_500, 812_000, 3_020_000, 42_000_000, 200_000_000, 1_400_000_000]
            .into_iter()
            .map(|nanos| span(Duration::from_nanos(nanos)))
            .collect();
        assert_eq!(shown, ["0 ns", "999 ns", "1.50 µs", "812 µs", "3.02 ms", "42.0 ms", "200 ms", "1.40 s"]);
    }

    #[test]
    fn the_pace_is_against_real_time() {
        let shown = pace(Duration::from_secs(30), Duration::from_millis(410));
        assert_eq!(shown, "30.000 s simulated in 0.41 s, 73 times real time");
        assert_eq!(long_seconds(Duration::from_millis(3_489_244)), "3,489.244 s");
    }
}
