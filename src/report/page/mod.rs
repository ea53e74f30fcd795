//! A run as one page for a browser: a space-time diagram, what happened in words, and every record.
//!
//! The page is one file. Style, scripts and data are in it, and its content security policy lets it fetch nothing. What a
//! page shows is worked out in the browser, from the records alone; the sources beside this file are what it runs, in the
//! order of [`SCRIPTS`]:
//!
//! - `places.js`, `numbers.js` are what the others count with; `words.js` is the vocabulary, `faults.js` that of steps;
//! - `model.js` decodes the [columns] and pairs each transmission with its fate; `levels.js` makes beforehand what is drawn
//!   of very many; `bands.js` knows what each host is; `story.js` tells;
//! - `state.js` is what the reader has chosen, and everything that draws listens to it; `search.js` finds;
//! - `lanes.js`, `gauges.js`, `marks.js`, `arrows.js`, `density.js`, `latency.js`, `overview.js` draw on canvas, at most once a frame;
//! - `head.js`, `legend.js`, `panels.js`, `table.js`, `filters.js`, `compare.js` are the rest of the page; `hits.js`,
//!   `pointer.js`, `keys.js` its handling.
//!
//! **Invariant:** nothing of a run can end the script element that carries it: every `<` in the data is escaped.

mod columns;
mod compare;

use serde::Serialize;

use self::columns::Columns;
use self::compare::Comparison;
use super::json::Violation;
use super::recording::{Meanings, Recording};
use super::records::HostLine;

/// A run, and what its system says of it.
#[derive(Clone, Copy)]
pub struct PageRun<'a> {
    /// The run.
    pub run: &'a Recording,
    /// What its events mean.
    pub meaning: &'a Meanings<'a>,
}

impl PageRun<'_> {
    fn title(&self) -> String {
        format!("{} seed {}", self.run.header.sim, self.run.header.seed)
    }
}

/// The page of one run.
pub fn page(run: PageRun<'_>) -> String {
    render(&run.title(), &[run], None)
}

/// The page of two runs beside each other.
pub fn comparison(a: PageRun<'_>, b: PageRun<'_>) -> String {
    render(&format!("{} | {}", a.title(), b.title()), &[a, b], Some(Comparison::new(a.run, b.run)))
}

fn render(title: &str, runs: &[PageRun<'_>], comparison: Option<Comparison>) -> String {
    let runs = runs.iter().map(Run::new).collect();
    let data = serde_json::to_string(&Data { title, runs, comparison }).expect("it is plain data");
    let parts = [
        ("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        ("TITLE", escaped(title)),
        ("STYLE", include_str!("page.css").replace("@DARK@", include_str!("dark.css"))),
        ("LICENCE", include_str!("vendor/LICENSE.d3").to_owned()),
        ("LIBRARY", include_str!("vendor/d3.min.js").to_owned()),
        ("SCRIPT", SCRIPTS.join("\n")),
        ("DATA", data.replace('<', "\\u003c")),
    ];
    fill(include_str!("page.html"), &parts)
}

/// The page's scripts, in the order in which they run.
const SCRIPTS: &[&str] = &[
    include_str!("places.js"),
    include_str!("numbers.js"),
    include_str!("words.js"),
    include_str!("faults.js"),
    include_str!("model.js"),
    include_str!("state.js"),
    include_str!("search.js"),
    include_str!("palette.js"),
    include_str!("bands.js"),
    include_str!("gauges.js"),
    include_str!("lanes.js"),
    include_str!("marks.js"),
    include_str!("arrows.js"),
    include_str!("density.js"),
    include_str!("levels.js"),
    include_str!("latency.js"),
    include_str!("hits.js"),
    include_str!("story.js"),
    include_str!("overview.js"),
    include_str!("table.js"),
    include_str!("panels.js"),
    include_str!("filters.js"),
    include_str!("legend.js"),
    include_str!("head.js"),
    include_str!("keys.js"),
    include_str!("pointer.js"),
    include_str!("compare.js"),
    include_str!("main.js"),
    include_str!("start.js"),
];

/// Puts each part in its `@PLACE@`, in one pass, so that a place's name in a part is left as it is.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let size: usize = parts.iter().map(|(_, part)| part.len()).sum();
    let mut out = String::with_capacity(template.len() + size);
    for (at, piece) in template.split('@').enumerate() {
        match parts.iter().find(|(place, _)| at % 2 == 1 && *place == piece) {
            Some((_, part)) => out.push_str(part),
            None => out.push_str(piece),
        }
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[derive(Serialize)]
struct Data<'a> {
    title: &'a str,
    runs: Vec<Run<'a>>,
    comparison: Option<Comparison>,
}

/// Record of the beginning, of the end, host, name, how it failed.
type Request = (u64, Option<u64>, usize, String, Option<String>);

#[derive(Serialize)]
struct Run<'a> {
    sim: &'a str,
    about: &'a str,
    settings: &'a [(String, String)],
    set: &'a [String],
    /// As text: a browser's numbers end at 2^53.
    seed: String,
    verdict: &'a str,
    as_expected: bool,
    hash: Option<&'a str>,
    live: bool,
    sim_ms: f64,
    reproduce: &'a str,
    violation: Option<&'a Violation>,
    reason: Option<&'a str>,
    hosts: &'a [HostLine],
    /// What the seed drew, if the header says so.
    drawn: Option<serde_json::Value>,
    #[serde(flatten)]
    columns: Columns,
    /// Record, host, state, detail.
    states: Vec<(u64, usize, String, String)>,
    requests: Vec<Request>,
    /// Record, host, name, value.
    gauges: Vec<(u64, usize, String, u64)>,
}

impl<'a> Run<'a> {
    fn new(of: &PageRun<'a>) -> Self {
        let Recording { about, settings, header, end, reproduce, records } = of.run;
        let host = |name: &str| header.hosts.iter().position(|host| host.name == name);
        let states = of.run.states(of.meaning).into_iter();
        let states =
            states.filter_map(|change| Some((change.record, host(&change.host)?, change.state, change.detail)));
        let requests = of.run.requests(of.meaning).into_iter();
        let requests =
            requests.filter_map(|span| Some((span.begin, span.end, host(&span.host)?, span.name, span.failure)));
        let gauges = of.run.gauges(of.meaning).into_iter();
        let gauges = gauges.filter_map(|change| Some((change.record, host(&change.host)?, change.name, change.value)));
        Self {
            sim: &header.sim,
            about,
            settings,
            set: &header.set,
            seed: header.seed.to_string(),
            verdict: &end.verdict,
            as_expected: end.exit_code == 0,
            hash: header.hash.as_deref(),
            live: header.live,
            sim_ms: end.sim_ms,
            reproduce,
            violation: end.violation.as_ref(),
            reason: end.reason.as_deref(),
            hosts: &header.hosts,
            drawn: serde_json::to_value(header).ok().and_then(|header| header.get("drawn").cloned()),
            columns: Columns::new(&header.hosts, records),
            states: states.collect(),
            requests: requests.collect(),
            gauges: gauges.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn a_part_goes_to_its_place_and_stays_as_it_is() {
        let parts = [("A", "@B@ & x@y".to_owned()), ("B", "2".to_owned())];
        assert_eq!(fill("<@A@><@B@>", &parts), "<@B@ & x@y><2>");
    }
}
