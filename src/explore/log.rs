//! Log lines of a run, on standard error: each with its simulated time, the number of the record that it follows, and
//! its host.
//!
//! They stand beside the trace and change nothing in it, at whatever level.

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::report::style::{BAD, DIM, GOOD, UNSURE, moment, paint};
use crate::sim::log_context;

/// Reads a filter: a level, or levels by target, as `warn,stormglass::raft=debug`.
pub fn parse(text: &str) -> Result<Targets, String> {
    let level_of = |part: &str| {
        let level = part.rsplit('=').next().unwrap_or_default().trim();
        let known = ["off", "error", "warn", "info", "debug", "trace"];
        if known.contains(&level) {
            Ok(())
        } else {
            Err(format!(
                "`{level}` is no level: there are {}, and `target=level`, with commas between",
                known.join(", ")
            ))
        }
    };
    text.split(',').try_for_each(level_of)?;
    text.parse().map_err(|error| format!("{error}"))
}

/// From now on the log lines of this process that pass the filter are printed.
pub fn install(filter: &str, colour: bool) -> Result<(), String> {
    let filter = parse(filter)?;
    if filter.iter().all(|(_, level)| level == LevelFilter::OFF) && filter.default_level() == Some(LevelFilter::OFF) {
        return Ok(());
    }
    let lines = tracing_subscriber::fmt::layer().event_format(Line { colour }).with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry().with(filter).with(lines.with_ansi(colour));
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())
}

/// `  1.482s #3071 n3 INFO message`.
struct Line {
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let place = match log_context() {
            Some(place) => {
                let host = place.host.as_deref().unwrap_or("-");
                format!("{:>10} #{} {host}", moment(place.at), place.record)
            }
            None => format!("{:>10}", "-"),
        };
        let level = *event.metadata().level();
        if self.colour {
            let style = match level {
                Level::ERROR => BAD,
                Level::WARN => UNSURE,
                Level::INFO => GOOD,
                _ => DIM,
            };
            write!(out, "{} {} ", paint(DIM, place), paint(style, format_args!("{level:>5}")))?;
        } else {
            write!(out, "{place} {level:>5} ")?;
        }
        context.format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        for text in ["info", "off", "warn,stormglass::raft=debug"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in ["loud", "", "stormglass", "info,turmoil=loud"] {
            assert!(parse(text).unwrap_err().contains("is no level"), "{text}");
        }
    }
}
