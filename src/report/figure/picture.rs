//! A figure as a picture, before it is drawn.

/// What a picture shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Above it.
    pub title: String,
    /// Below the axis of times.
    pub axis: String,
    /// The ends of the axis of times, in milliseconds.
    pub range_ms: (f64, f64),
    /// Whether equal distances on it are equal ratios.
    pub logarithmic: bool,
    /// The curves.
    pub lines: Vec<Line>,
}

/// A curve of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// In the legend.
    pub label: String,
    /// The times of its trials in milliseconds, in order.
    pub sorted_ms: Vec<f64>,
    /// How many trials there were, with those whose time never came.
    pub trials: u64,
    /// What was published: times, and the share of trials that take no longer.
    pub published: Vec<(f64, f64)>,
}
