//! noraft in the testbed: a Raft of somebody else's that has no sockets, no clock and no disk, and asks its user for them.
//!
//! Read `node.rs` first: that is what any user of noraft writes. What is told of it, so that it can be checked, are the lines
//! with `tell`. This file is what the testbed has to know of the whole.
//!
//! ```sh
//! cargo run -- sweep noraft/chaos --seeds 0..200
//! cargo run -- sweep noraft/chaos@mended --seeds 0..200
//! cargo run -- replay
//! cargo test
//! ```

use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use stormglass::check::consensus::Settings;
use stormglass::consensus::NodeId;
use stormglass::script::ScriptError;
use stormglass::sim::trace::{Label, Packet};
use stormglass::sim::{Setup, System};
use stormglass::systems::consensus::{ROLES, STATES, Watch};

/// The host over noraft 0.4.0, in which a vote looks at how long a log is and not at its last term.
mod before {
    use noraft_0_4 as noraft;
    include!("node.rs");
}

/// The same host over noraft 0.5.0.
mod mended {
    use noraft_0_5 as noraft;
    include!("node.rs");
}

const ELECTION_TIMEOUT_MS: (u64, u64) = (150, 300);
const HEARTBEAT: Duration = Duration::from_millis(50);

struct Noraft;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    version: Version,
    nodes: u64,
}

#[derive(Clone, Copy, Deserialize)]
enum Version {
    #[serde(rename = "0.4.0")]
    Before,
    #[serde(rename = "0.5.0")]
    Mended,
}

impl System for Noraft {
    fn name(&self) -> &'static str {
        "noraft"
    }
    fn about(&self) -> &'static str {
        "noraft, a Raft without I/O: a leader with commands, over UDP"
    }
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[("chaos", include_str!("../sims/chaos.toml"))]
    }
    fn draws_from_tokio(&self) -> bool {
        false
    }
    fn states(&self) -> &'static [&'static str] {
        STATES
    }
    fn roles(&self) -> &'static [&'static str] {
        ROLES
    }
    fn label(&self, packet: &Packet) -> Option<Label> {
        mended::shown(&packet.payload).map(|(name, detail)| Label { name, detail })
    }
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { version, nodes } = setup.section()?;
        let (least, most) = ELECTION_TIMEOUT_MS;
        let settings = Settings {
            election_timeout: (Duration::from_millis(least), Duration::from_millis(most)),
            heartbeat: HEARTBEAT,
            ..Settings::new((1..=nodes).map(NodeId))
        };
        let l6 = "it is never idle: commands are messages, and so are entries of a log that is repaired";
        let watch = Watch::new(setup, &settings.exempt("L6", l6));
        for id in (1..=nodes).map(NodeId) {
            let watch = watch.clone();
            match version {
                Version::Before => {
                    setup.host(id.to_string(), move |host| before::live(watch.node(id, &host), host, id.0, nodes))
                }
                Version::Mended => {
                    setup.host(id.to_string(), move |host| mended::live(watch.node(id, &host), host, id.0, nodes))
                }
            }
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    stormglass::cli::main(&[&Noraft])
}

#[test]
fn a_longer_log_of_an_older_term_wins_a_vote_in_one_version_only() {
    use stormglass::{
        check::consensus::S1,
        rng::Seed,
        script::Script,
        sim::{RunOptions, Verdict, run},
    };
    let kept = include_str!("../seeds/shrunk/vote-looks-at-length.toml");
    let verdict = |text: &str| {
        let script = Script::parse("kept.toml", text).expect("a good script");
        run(&Noraft, &script, Seed(0), &RunOptions::default()).expect("it runs").verdict
    };
    assert!(matches!(verdict(kept), Verdict::Violation(found) if found.invariant == S1));
    assert_eq!(verdict(&kept.replace("0.4.0", "0.5.0")), Verdict::Pass);
    stormglass::testing::check(&Noraft, "noraft/chaos@mended", 0..10);
}
