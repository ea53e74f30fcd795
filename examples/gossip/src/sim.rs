//! The service in the testbed: its members, and what must hold.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use stormglass::disk::Disk as _;
use stormglass::rng::between;
use stormglass::script::ScriptError;
use stormglass::sim::trace::{Label, Packet};
use stormglass::sim::{Host, HostResult, Setup, System};
use tokio::time::sleep;

use crate::service::Member;

/// The system `gossip`.
pub struct Gossip;

/// The table `[gossip]` of a script.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    members: u64,
    /// Whether members keep their generation. Without it one that has started anew is taken for an old message.
    #[serde(default = "yes")]
    generations: bool,
}

fn yes() -> bool {
    true
}

/// The generation that each member last had, and whom each then takes for alive: by name, with the generation.
#[derive(Default)]
struct Seen {
    generations: BTreeMap<String, u64>,
    views: BTreeMap<String, BTreeMap<String, u64>>,
}

async fn member(host: Host, Options { members, generations }: Options, seen: Rc<RefCell<Seen>>) -> HostResult {
    let Host { name, disk, mut rng, events, .. } = host;
    if !generations {
        disk.write("generation", b"0").await?;
    }
    // Each knows the next two: the others it hears of.
    let own: u64 = name.trim_start_matches('n').parse()?;
    let seeds = [own % members + 1, (own + 1) % members + 1].map(|seed| format!("n{seed}:7946"));
    let entropy = between(&mut rng, 0, u64::MAX);
    let member = Member::start(&name, &format!("{name}:7946"), seeds.to_vec(), &disk, entropy).await?;
    let mut before = member.members();
    seen.borrow_mut().generations.insert(name.clone(), before[&name].state.generation);
    loop {
        sleep(Duration::from_millis(100)).await;
        let now = member.members();
        let mut view = BTreeMap::new();
        for (other, known) in &now {
            if known.is_alive() {
                view.insert(other.clone(), known.state.generation);
            }
            let Some(was) = before.get(other) else { continue };
            if known.state < was.state {
                let message = format!("{name} knew {:?} of {other}, and then {:?}", was.state, known.state);
                events.violation("what is known never gets older", message);
            }
        }
        let told = seen.borrow_mut().views.insert(name.clone(), view.clone());
        for (other, generation) in told.unwrap_or_default() {
            if !view.contains_key(&other) {
                events.count("deaths", 1);
                events.event("takes-for-dead", vec![("member", other.into()), ("generation", generation.into())]);
            }
        }
        events.work(1);
        before = now;
    }
}

impl System for Gossip {
    fn name(&self) -> &'static str {
        "gossip"
    }

    fn about(&self) -> &'static str {
        "members that gossip over UDP about who is alive"
    }

    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("chaos", include_str!("../sims/chaos.toml")),
            ("without-generations", include_str!("../sims/without-generations.toml")),
        ]
    }

    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(vec!["deaths"])
    }

    fn label(&self, packet: &Packet) -> Option<Label> {
        let text = std::str::from_utf8(&packet.payload).ok()?;
        let name = if text.ends_with("\"asks\":true}") { "push" } else { "pull" };
        Some(Label { name: name.to_owned(), detail: String::new() })
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options: Options = setup.section()?;
        let seen = Rc::new(RefCell::new(Seen::default()));
        for number in 1..=options.members {
            let seen = seen.clone();
            setup.process(format!("n{number}"), move |host| member(host, options, seen.clone()));
        }
        setup.at_end(move |report| {
            let Seen { generations, views } = &*seen.borrow();
            if let Some((name, view)) = views.iter().find(|(_, view)| *view != generations) {
                let message = format!("{name} takes {view:?} for alive, and {generations:?} are");
                report.violation("in the end all know all", message);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_end_all_know_all() {
        stormglass::testing::check(&Gossip, "gossip/chaos", 0..5);
    }

    #[test]
    fn without_generations_one_that_starts_anew_stays_dead() {
        stormglass::testing::check(&Gossip, "gossip/without-generations", 0..3);
    }
}
