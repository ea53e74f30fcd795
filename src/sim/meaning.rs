//! What a system's event means to one who looks at a run without knowing the system.

/// What an event says of its host, or of the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A host is something else from now on.
    State {
        /// Which host; `None`: the one that tells it.
        of: Option<String>,
        /// What it is, in a word or two: `leader`.
        state: String,
        /// What else there is to say: `term 3`. May be empty.
        detail: String,
    },
    /// A number of the host, such as how long its log is, is this from now on.
    Gauge {
        /// What it counts, in a word: `log`. The page fills the area below the one that is told first.
        name: String,
        /// How much.
        value: u64,
    },
    /// A request of the host begins, or is tried again.
    Begins {
        /// Which one, by a name that is its own at this host while it is open: `request 25`.
        request: String,
    },
    /// A request of the host is over.
    Ends {
        /// Which one.
        request: String,
        /// How it failed, in a word or two; `None`: it did not.
        failure: Option<String>,
    },
}
