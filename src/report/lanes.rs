//! A run as a space-time diagram in text: a lane for each host, a row for each record.
//!
//! ```text
//!  record       time  n1    n2    n3    n4    n5
//!      41   0.153000  C     F     F─────●     F     n3 became-candidate term=1 <- 12 (timer)
//!      42   0.153000  C     ●╌╌╌╌╌╌╌╌╌╌▷F     F     RequestVote term=1
//! ```
//!
//! A lane's letter is what its host is, `│` where it has no name for that, blank while its process is dead, `¦` while it
//! stands still. A band at the left margin stands beside what happens while a fault is in force.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;

use super::recording::{Meanings, Recording, StateChange};
use super::records::{RecordLine, WhatLine};
use super::show::Lines;
use super::style::{BAD, DIM, GOOD, PLAIN, STRONG, UNSURE, paint};

/// How many rows there are between two headings.
const HEADING_EVERY: usize = 40;

/// The least that a text beside the lanes needs, in columns.
const TEXT_COLUMNS_MIN: usize = 40;

/// The columns of the margin, the number and the time.
const MARGIN_COLUMNS: usize = 2 + 7 + 1 + 10 + 2;

/// The least and the most columns of a lane.
const LANE_COLUMNS: (usize, usize) = (3, 8);

/// Draws the records of one run, in order.
pub struct Lanes<'a> {
    run: &'a Recording,
    columns: usize,
    lane: usize,
    lines: Lines,
    changes: BTreeMap<u64, StateChange>,
    letters: BTreeMap<String, char>,
    hosts: Vec<Lane>,
    places: BTreeMap<&'a str, usize>,
    /// Of each packet: the lanes of its sender and its receiver, and its name.
    packets: BTreeMap<u64, (usize, usize, String)>,
    /// Steps in force, with their first words.
    faults: BTreeMap<usize, String>,
    /// Rows since the last heading.
    rows: usize,
}

/// A host as it is at the row being drawn.
#[derive(Clone, Debug, Default)]
struct Lane {
    life: Life,
    state: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Dead,
    Runs,
    Stands,
}

impl<'a> Lanes<'a> {
    /// `None` where the hosts are too many for lines of so many columns.
    pub fn new(run: &'a Recording, meaning: &Meanings<'_>, columns: usize) -> Option<Self> {
        let count = run.hosts().len();
        let names = run.hosts().iter().map(|host| host.name.chars().count());
        let widest = names.max().unwrap_or(0) + 1;
        let room = columns.checked_sub(MARGIN_COLUMNS + TEXT_COLUMNS_MIN)?;
        let lane = (room / count.max(1)).min(widest.clamp(LANE_COLUMNS.0 + 2, LANE_COLUMNS.1));
        if lane < LANE_COLUMNS.0 {
            return None;
        }
        let changes = run.states(meaning);
        let letters = letters(&changes);
        Some(Self {
            run,
            columns,
            lane,
            lines: Lines::new(run.hosts(), columns),
            changes: changes.into_iter().map(|change| (change.record, change)).collect(),
            letters,
            hosts: vec![Lane::default(); count],
            places: run.hosts().iter().enumerate().map(|(place, host)| (host.name.as_str(), place)).collect(),
            packets: BTreeMap::new(),
            faults: BTreeMap::new(),
            rows: 0,
        })
    }

    /// What the letters and marks mean.
    pub fn legend(&self) -> String {
        let mut words: Vec<String> = self.letters.iter().map(|(state, letter)| format!("{letter} {state}")).collect();
        words.sort();
        words.extend(["●╌▷ sent", "○─▶ received", "●╌✗ lost", "◆ event", "▌ a fault is in force"].map(str::to_owned));
        words.join("   ")
    }

    /// Takes in a record. If it is `shown`, returns its rows: itself, and a heading before it now and again.
    pub fn record(&mut self, record: &RecordLine, shown: bool) -> String {
        let band = self.take_in(record);
        if !shown {
            // The list's lines need to have seen every packet.
            self.lines.see(record);
            return String::new();
        }
        let heading = if self.rows.is_multiple_of(HEADING_EVERY) { self.heading() } else { String::new() };
        self.rows += 1;
        let number = paint(DIM, format_args!("{:>7}", record.n));
        let time = format!("{:>10.6}", Duration::from_nanos(record.t_ns).as_secs_f64());
        let (lanes, text) = (self.draw(record), self.text(record));
        format!("{heading}{band} {number} {time}  {lanes} {text}\n")
    }

    /// The names of the hosts, and what each is.
    fn heading(&self) -> String {
        let width = self.lane;
        let names = self.run.hosts().iter().map(|host| {
            let name: String = host.name.chars().take(width - 1).collect();
            format!("{name:width$}")
        });
        let states = self.hosts.iter().map(|host| {
            let detail = host.state.as_ref().map_or("", |(_, detail)| detail);
            let digits: String = detail.chars().filter(char::is_ascii_digit).collect();
            let state: String = format!("{}{digits}", self.letter(host).0).chars().take(width - 1).collect();
            format!("{state:width$}")
        });
        let names: String = names.collect();
        let mut heading = format!("{}\n", paint(STRONG, format_args!("   record       time  {}", names.trim_end())));
        if self.hosts.iter().any(|host| host.state.is_some()) {
            let states: String = states.collect();
            let _ = writeln!(heading, "{}{}", " ".repeat(MARGIN_COLUMNS), states.trim_end());
        }
        heading
    }

    /// Brings hosts and faults up to date; returns the margin.
    fn take_in(&mut self, record: &RecordLine) -> String {
        let was_faulty = !self.faults.is_empty();
        match &record.what {
            WhatLine::Fault { step, action } => {
                // A host that is down or stands still has a lane that says so.
                match action.split(' ').next().unwrap_or_default() {
                    kind @ ("partition" | "cut" | "link" | "disk" | "hold" | "drop") => {
                        self.faults.insert(*step, kind.to_owned());
                    }
                    "heal" => self.faults.clear(),
                    "release" => self.faults.retain(|_, kind| kind != "hold"),
                    _ => {}
                }
            }
            WhatLine::FaultEnded { step, .. } => _ = self.faults.remove(step),
            _ => {}
        }
        if let WhatLine::Sent(sent) = &record.what {
            let lane = |name: &str| self.places.get(name).copied().unwrap_or(0);
            let words = [&sent.label, &sent.detail].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            self.packets.insert(sent.packet, (lane(&sent.from), lane(&sent.to), words));
        }
        if let WhatLine::Duplicated { packet, copy } = &record.what
            && let Some(original) = self.packets.get(packet).cloned()
        {
            self.packets.insert(*copy, original);
        }
        if let Some(place) = record.host.as_deref().and_then(|name| self.places.get(name)) {
            let lane = &mut self.hosts[*place];
            match record.what {
                WhatLine::Started { .. } => (lane.life, lane.state) = (Life::Runs, None),
                WhatLine::Resumed => lane.life = Life::Runs,
                WhatLine::Paused => lane.life = Life::Stands,
                WhatLine::Killed
                | WhatLine::PowerLost
                | WhatLine::Finished
                | WhatLine::Failed { .. }
                | WhatLine::Panicked { .. } => (lane.life, lane.state) = (Life::Dead, None),
                _ => {}
            }
        }
        if let Some(change) = self.changes.get(&record.n)
            && let Some(place) = self.places.get(change.host.as_str())
        {
            self.hosts[*place].state = Some((change.state.clone(), change.detail.clone()));
        }
        if was_faulty || !self.faults.is_empty() { paint(UNSURE, "▌") } else { " ".to_owned() }
    }

    fn letter(&self, lane: &Lane) -> (char, Style) {
        match (lane.life, &lane.state) {
            (Life::Dead, _) => (' ', PLAIN),
            (Life::Stands, _) => ('¦', UNSURE),
            (Life::Runs, None) => ('│', DIM),
            (Life::Runs, Some((state, _))) => {
                let style = match state.as_str() {
                    "leader" => GOOD,
                    "follower" => DIM,
                    _ => STRONG,
                };
                (self.letters.get(state).copied().unwrap_or('│'), style)
            }
        }
    }

    fn draw(&self, record: &RecordLine) -> String {
        let mut cells = vec![(' ', PLAIN); self.lane * self.hosts.len()];
        for (place, lane) in self.hosts.iter().enumerate() {
            cells[place * self.lane] = self.letter(lane);
        }
        let own = record.host.as_deref().and_then(|name| self.places.get(name)).copied();
        let mut arrow = |packet: u64, draw: &Arrow| {
            if let Some((from, to, _)) = self.packets.get(&packet) {
                draw.over(&mut cells, from * self.lane, to * self.lane);
            }
        };
        match &record.what {
            WhatLine::Sent(sent) => arrow(sent.packet, &SENT),
            WhatLine::Retransmitted { packet, .. } | WhatLine::Released { packet } => arrow(*packet, &SENT),
            WhatLine::Duplicated { copy, .. } => arrow(*copy, &SENT),
            WhatLine::Delivered { packet, .. } => arrow(*packet, &RECEIVED),
            WhatLine::Lost { packet, .. } | WhatLine::GivenUp { packet, .. } => arrow(*packet, &LOST),
            WhatLine::Held { packet } | WhatLine::Corrupted { packet, .. } => arrow(*packet, &STOPPED),
            WhatLine::Event { .. } => {
                // A host's new letter says more than a mark.
                if let (Some(place), false) = (own, self.changes.contains_key(&record.n)) {
                    cells[place * self.lane] = ('◆', PLAIN);
                }
            }
            WhatLine::Killed | WhatLine::PowerLost | WhatLine::Failed { .. } | WhatLine::Panicked { .. } => {
                own.into_iter().for_each(|place| cells[place * self.lane] = ('✗', BAD));
            }
            WhatLine::Fault { .. } | WhatLine::FaultEnded { .. } => {
                cells.iter_mut().filter(|cell| cell.0 == ' ').for_each(|cell| *cell = ('·', UNSURE));
            }
            _ => {}
        }
        painted(&cells)
    }

    /// What the lanes do not say.
    fn text(&mut self, record: &RecordLine) -> String {
        let room = self.columns.saturating_sub(MARGIN_COLUMNS + self.lane * self.hosts.len() + 1);
        self.lines.beside_lanes(record, room)
    }
}

/// How a packet is drawn: its beginning, its way and its end.
struct Arrow {
    tail: char,
    shaft: char,
    heads: [char; 2],
    /// Whether it ends half-way.
    half: bool,
    style: Style,
}

const SENT: Arrow = Arrow { tail: '●', shaft: '╌', heads: ['◁', '▷'], half: false, style: PLAIN };
const RECEIVED: Arrow = Arrow { tail: '○', shaft: '─', heads: ['◀', '▶'], half: false, style: PLAIN };
const LOST: Arrow = Arrow { tail: '●', shaft: '╌', heads: ['✗', '✗'], half: true, style: UNSURE };
const STOPPED: Arrow = Arrow { tail: '●', shaft: '╌', heads: ['■', '■'], half: true, style: UNSURE };

impl Arrow {
    /// Draws it over the cells from one column to another.
    fn over(&self, cells: &mut [(char, Style)], from: usize, to: usize) {
        let end = if self.half { usize::midpoint(from, to) } else { to };
        let (low, high) = (from.min(end), from.max(end));
        cells[low..=high].iter_mut().for_each(|cell| *cell = (self.shaft, self.style));
        cells[end] = (self.heads[usize::from(to > from)], self.style);
        cells[from] = (self.tail, self.style);
    }
}

/// Cells as text, each run of one style painted once.
fn painted(cells: &[(char, Style)]) -> String {
    let runs = cells.chunk_by(|one, other| one.1 == other.1);
    let paint_run = |run: &[(char, Style)]| {
        let text: String = run.iter().map(|cell| cell.0).collect();
        if run[0].1 == PLAIN { text } else { paint(run[0].1, text) }
    };
    runs.map(paint_run).collect()
}

/// A letter for each state: its first that no other has, in the order in which they come up.
fn letters(changes: &[StateChange]) -> BTreeMap<String, char> {
    let mut letters: BTreeMap<String, char> = BTreeMap::new();
    for StateChange { state, .. } in changes {
        if letters.contains_key(state) {
            continue;
        }
        let free = |letter: &char| letter.is_alphanumeric() && !letters.values().any(|taken| taken == letter);
        let letter = state.to_uppercase().chars().find(|letter| free(letter)).unwrap_or('?');
        letters.insert(state.clone(), letter);
    }
    letters
}
