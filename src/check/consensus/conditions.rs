//! How long things may take, and how many messages, under what a cluster has to live with.
//!
//! A bound that knows nothing of the links, disks and clocks of a run fails a Raft that is right. So every bound of time
//! and number is derived from them; where they leave too little room for one, it is not checked, and the run says why.

use std::time::Duration;

use super::Settings;
use super::liveness::{L1, L2, L3, L6};
use crate::consensus::Part;

/// A chance below which nothing comes about in all the runs that anybody makes.
const NEVER: f64 = 1e-10;

/// An election that fails more often than this is a matter of luck.
const HOPELESS: f64 = 0.9;

/// What links, disks and clocks do, once nothing disturbs them beyond what is always so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// The least and the most that a message takes one way.
    pub latency: (Duration, Duration),
    /// The most that it takes to write term and vote.
    pub write: Duration,
    /// By how much clocks run fast or slow at most, as a fraction.
    pub drift: f64,
    /// Times are rounded up to this.
    pub tick: Duration,
    /// The share of messages that are lost. Nothing is checked of some bounds where it is above 0.
    pub loss: f64,
    /// Messages come twice now and then, and are answered as often.
    pub copies: bool,
    /// All logs are the same: everybody can win an election.
    pub same_logs: bool,
}

impl Default for Conditions {
    /// Those of nodes that share a memory.
    fn default() -> Self {
        let zero = Duration::ZERO;
        Self { latency: (zero, zero), write: zero, drift: 0.0, tick: zero, loss: 0.0, copies: false, same_logs: true }
    }
}

/// A bound, or why there is none.
pub(super) type Bound<T> = Result<T, String>;

/// The bounds for a cluster under its conditions.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// L1: how long it may take until a majority has a leader.
    pub(super) election: Bound<Duration>,
    /// L2: how long what was under way may still lead to an election.
    pub(super) quiet: Bound<Duration>,
    /// L3: for how long a leader may go on without a majority.
    /// `None`: it promises nothing of the kind.
    pub(super) alone: Option<Bound<Duration>>,
    /// L6: how many messages it may take to elect a leader, for each term.
    pub(super) to_elect: Bound<u64>,
    /// L6: how many heartbeats a leader sends each peer in a time: so many times the time, and so many more.
    pub(super) heartbeats: Bound<(f64, f64)>,
}

impl Bounds {
    pub(super) fn new(settings: &Settings, conditions: &Conditions) -> Self {
        let wait = Waits::new(settings, conditions);
        let alone = || Ok(wait.slow(settings.election_timeout.1) * 2 + wait.jitter);
        Self {
            election: settings.allows(L1, &[Part::Roles]).and_then(|()| wait.election()),
            quiet: settings.allows(L2, &[Part::Roles]).and_then(|()| wait.quiet()),
            alone: settings
                .check_quorum
                .then(|| settings.allows(L3, &[Part::Roles, Part::Answers]).and_then(|()| alone())),
            to_elect: settings.allows(L6, &[Part::Roles, Part::Messages]).and_then(|()| wait.to_elect()),
            heartbeats: settings.allows(L6, &[Part::Roles, Part::Messages]).and_then(|()| wait.heartbeats()),
        }
    }
}

/// Why nobody can ever be elected, if that is so: the answers to a candidate come when it has given up on them.
pub fn unelectable(settings: &Settings, conditions: &Conditions) -> Option<String> {
    let round_trip = conditions.latency.0 * 2;
    let longest = Waits::new(settings, conditions).slow(settings.election_timeout.1);
    (settings.members.len() > 1 && round_trip >= longest).then(|| {
        format!(
            "a round trip takes {round_trip:?} at least and an election timeout {longest:?} at most, so that no candidate \
             lives to count its votes: an election timeout is to be several round trips"
        )
    })
}

struct Waits<'a> {
    settings: &'a Settings,
    conditions: &'a Conditions,
    /// How much later than its time something may come.
    jitter: Duration,
}

impl<'a> Waits<'a> {
    fn new(settings: &'a Settings, conditions: &'a Conditions) -> Self {
        Self { settings, conditions, jitter: conditions.tick * 4 }
    }

    /// How long a slow clock takes to show this.
    fn slow(&self, shown: Duration) -> Duration {
        shown.div_f64((1.0 - self.conditions.drift).max(0.01))
    }

    /// How long a fast clock takes.
    fn fast(&self, shown: Duration) -> Duration {
        shown.div_f64(1.0 + self.conditions.drift)
    }

    /// The most that a question and its answer take, if the answer is to be written first.
    fn answer(&self) -> Duration {
        self.conditions.latency.1 * 2 + self.conditions.write + self.jitter
    }

    /// How often a question is asked until its answer has come.
    fn asked(&self) -> u64 {
        if !self.settings.resend {
            return 1;
        }
        let again = self.fast(self.settings.heartbeat).as_nanos().max(1);
        // Whoever is asked may have to write what came before, too.
        u64::try_from((self.answer() + self.conditions.write).as_nanos() / again).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The chance that an election fails: votes are split, or lost (dissertation, chapter 9).
    fn failure(&self) -> f64 {
        let members = self.settings.members.len();
        if members == 1 {
            return 0.0;
        }
        let (low, high) = (self.fast(self.settings.election_timeout.0), self.slow(self.settings.election_timeout.1));
        let phases = if self.settings.pre_vote { 2.0 } else { 1.0 };
        // Whoever wakes before it is asked for its vote is a rival.
        let window = (self.conditions.latency.1 + self.conditions.write + self.jitter).as_secs_f64()
            + (phases - 1.0) * self.answer().as_secs_f64();
        let range = high.saturating_sub(low).as_secs_f64();
        let rivals = if range == 0.0 { 1.0 } else { (window / range).min(1.0) };
        let needed = members - members / 2 + 1;
        let split: f64 = (needed - 1..=members).map(|count| binomial(members, count, rivals)).sum();
        // The timeout drawn has to outlast the questions.
        let outlasts = {
            let least = self.answer().as_secs_f64();
            let above = high.as_secs_f64() - least;
            if above <= 0.0 { 0.0 } else { (above / range.max(1e-9)).min(1.0) }
        };
        let tries = if self.settings.resend {
            1 + self.settings.election_timeout.0.saturating_sub(self.answer()).as_nanos()
                / self.settings.heartbeat.as_nanos().max(1)
        } else {
            1
        };
        let there_and_back = (1.0 - self.conditions.loss) * (1.0 - self.conditions.loss);
        let heard = 1.0 - libm::pow(1.0 - there_and_back, tries as f64);
        let won: f64 = (members / 2..members).map(|count| binomial(members - 1, count, heard)).sum();
        // Of those whose logs are behind, half at most cannot win.
        let can_win = if self.conditions.same_logs { 1.0 } else { 0.5 };
        1.0 - (1.0 - split) * libm::pow(outlasts * won, phases) * can_win
    }

    fn election(&self) -> Bound<Duration> {
        let failure = self.failure();
        if failure > HOPELESS {
            let timeouts = (self.settings.election_timeout.0, self.settings.election_timeout.1);
            return Err(format!(
                "with round trips of up to {:?} and timeouts of {:?} to {:?} most elections fail",
                self.answer(),
                timeouts.0,
                timeouts.1
            ));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 10 and some 200")]
        let rounds = libm::ceil(libm::log(NEVER) / libm::log(failure.max(NEVER))).max(10.0) as u32;
        Ok((self.slow(self.settings.election_timeout.1) + self.conditions.write) * rounds + self.answer())
    }

    fn quiet(&self) -> Bound<Duration> {
        let Conditions { latency: (least, most), write, loss, .. } = *self.conditions;
        if loss > 0.0 {
            return Err("messages are lost".to_owned());
        }
        let beat = self.slow(self.settings.heartbeat);
        let (silence, patience) = (beat + (most - least) + self.jitter, self.fast(self.settings.election_timeout.0));
        if silence >= patience {
            return Err(format!("heartbeats may come {silence:?} apart, and a timeout may be {patience:?}"));
        }
        let (answered, patience) = (beat + self.answer() + write, self.fast(self.settings.election_timeout.1));
        if self.settings.check_quorum && answered >= patience {
            let text = format!("answers to a leader may take {answered:?}, and it waits for {patience:?}");
            return Err(text);
        }
        Ok(self.slow(self.settings.election_timeout.1) + beat + most * 2 + write * 2 + self.jitter)
    }

    fn to_elect(&self) -> Bound<u64> {
        let members = self.settings.members.len() as u64;
        if self.conditions.loss > 0.0 {
            return Err("messages are lost".to_owned());
        }
        if self.conditions.copies {
            return Err("messages come twice".to_owned());
        }
        if !self.conditions.same_logs {
            return Err("logs differ, and who cannot win asks in vain".to_owned());
        }
        if self.answer() + self.conditions.write >= self.fast(self.settings.election_timeout.0) {
            let text = format!("a question may take {:?} to be answered, longer than a timeout", self.answer());
            return Err(text);
        }
        Ok(5 * members * (members - 1) * self.asked())
    }

    fn heartbeats(&self) -> Bound<(f64, f64)> {
        if self.conditions.copies {
            return Err("messages come twice".to_owned());
        }
        let each = 1.0 / self.fast(self.settings.heartbeat).as_secs_f64();
        Ok((each, 3.0 + (self.answer() + self.conditions.write).as_secs_f64() * each))
    }
}

/// The chance of exactly so many of `all`.
fn binomial(all: usize, count: usize, chance: f64) -> f64 {
    let ways: f64 = (0..count).map(|nth| (all - nth) as f64 / (nth + 1) as f64).product();
    ways * libm::pow(chance, count as f64) * libm::pow(1.0 - chance, (all - count) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::NodeId;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn bounds(nodes: u64, change: impl FnOnce(&mut Settings, &mut Conditions)) -> Bounds {
        let mut settings = Settings::new((1..=nodes).map(NodeId));
        (settings.pre_vote, settings.check_quorum, settings.resend) = (true, true, true);
        let mut conditions = Conditions { latency: (ms(1), ms(5)), tick: ms(1), ..Conditions::default() };
        change(&mut settings, &mut conditions);
        Bounds::new(&settings, &conditions)
    }

    #[test]
    fn on_quick_links_the_bounds_are_the_known_ones() {
        let usual = bounds(3, |_, _| {});
        assert_eq!(usual.to_elect, Ok(30));
        let election = usual.election.expect("it is bounded");
        assert!((ms(3000)..ms(4500)).contains(&election), "{election:?}");
        assert_eq!(usual.alone, Some(Ok(ms(604))));
        assert!(usual.heartbeats.is_ok_and(|(each, more)| each * 0.05 < 1.01 && more < 4.0));
        assert!(usual.quiet.is_ok_and(|quiet| (ms(300)..ms(400)).contains(&quiet)));
    }

    #[test]
    fn slow_links_disks_and_clocks_widen_them() {
        let usual = bounds(3, |_, _| {});
        let slow = bounds(3, |settings, conditions| {
            settings.election_timeout = (ms(500), ms(1000));
            conditions.latency = (ms(60), ms(60));
        });
        assert_eq!(slow.to_elect, Ok(90), "asked again twice until the answer is there");
        let disks = bounds(3, |_, conditions| conditions.write = ms(40));
        assert!(disks.to_elect.as_ref().is_ok_and(|count| *count > 30), "{disks:?}");
        let drifting = bounds(3, |_, conditions| conditions.drift = 0.5);
        let alone = |bounds: &Bounds| bounds.alone.clone().and_then(Result::ok).expect("it is bounded");
        assert!(alone(&drifting) > alone(&usual) * 19 / 10);
        assert!(drifting.heartbeats.is_ok_and(|(each, _)| each > 20.0 * 1.4), "clocks half as fast again");
        assert!(bounds(3, |_, conditions| conditions.copies = true).heartbeats.is_err());
    }

    #[test]
    fn what_leaves_no_room_for_a_bound_is_said() {
        let lossy = bounds(3, |_, conditions| conditions.loss = 0.1);
        assert_eq!((lossy.quiet, lossy.to_elect), (Err("messages are lost".into()), Err("messages are lost".into())));
        assert!(lossy.election.is_ok(), "it only takes longer");
        let equal = bounds(3, |settings, _| settings.election_timeout.1 = settings.election_timeout.0);
        assert!(equal.election.is_err_and(|why| why.contains("most elections fail")));
        let rare = bounds(3, |settings, _| settings.heartbeat = ms(149));
        assert!(rare.quiet.is_err_and(|why| why.contains("heartbeats may come")));
        assert_eq!(bounds(1, |_, _| {}).election.map(|time| time >= ms(3000)), Ok(true));
    }

    #[test]
    fn what_is_not_told_or_not_promised_has_no_bound() {
        let bare = bounds(3, |settings, _| {
            *settings = settings.clone().lacks(Part::Answers, "it keeps them").exempt("L2", "it is made to");
        });
        assert_eq!(bare.alone, Some(Err("it is not told which followers answer (it keeps them)".to_owned())));
        assert_eq!((bare.quiet, bare.election.is_ok()), (Err("it is made to".to_owned()), true));
        assert_eq!(bounds(3, |settings, _| settings.check_quorum = false).alone, None);
    }

    #[test]
    fn nobody_is_elected_whose_votes_come_too_late() {
        let settings = Settings::new((1..=3).map(NodeId));
        let far = |one_way| Conditions { latency: (ms(one_way), ms(one_way)), ..Conditions::default() };
        assert_eq!(unelectable(&settings, &far(149)), None);
        let why = unelectable(&settings, &far(150)).expect("it is hopeless");
        assert!(why.contains("a round trip takes 300ms at least and an election timeout 300ms at most"), "{why}");
        assert_eq!(unelectable(&Settings::new([NodeId(1)]), &far(150)), None, "who is alone asks nobody");
    }
}
