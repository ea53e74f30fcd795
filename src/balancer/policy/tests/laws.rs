//! What holds whatever the clients, the backends and the reloads do.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;

/// What may happen to a balancer. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Debug)]
enum Step {
    Pick,
    Retry(Vec<u32>),
    Finish(usize, Outcome),
    Check(u32, bool),
    Pass(u64),
    /// The backends of this mask stay; a backend's weight is 1 or 2.
    Reload(u8, bool),
}

const IDS: u32 = 6;

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => (1_u64..500).prop_map(|latency| Outcome::Success { latency: ms(latency) }),
        2 => Just(Outcome::Failure(Failure::Status(500))),
        2 => Just(Outcome::Failure(Failure::ConnectRefused)),
        1 => Just(Outcome::Cancelled),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Pick),
        2 => proptest::collection::vec(1..=IDS, 1..3).prop_map(Step::Retry),
        12 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Finish(which, outcome)),
        2 => (1..=IDS, prop::bool::weighted(0.6)).prop_map(|(id, passes)| Step::Check(id, passes)),
        3 => prop_oneof![1_u64..50, 500_u64..1500, Just(12_000)].prop_map(Step::Pass),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(mask, is_weighted)| Step::Reload(mask, is_weighted)),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let policy = prop_oneof![Just(Policy::RoundRobin), Just(Policy::LeastConnections), Just(Policy::PeakEwma)];
    let percent = prop_oneof![Just(0), Just(50), Just(100)];
    let limit = prop_oneof![Just(None), Just(Some(2))];
    let slow_start = prop_oneof![Just(None), Just(Some(SlowStart::default()))];
    let most = prop_oneof![Just(20), Just(50), Just(100)];
    (policy, percent, limit, slow_start, most, any::<bool>()).prop_map(
        |(policy, panic_percent, in_flight_max, slow_start, ejected_percent_max, check_readmits)| {
            let rate = FailureRate { requests_min: 4, ..FailureRate::default() };
            let failure_rate = Some(rate);
            let ejection = Ejection { failure_rate, ejected_percent_max, check_readmits, ..Ejection::default() };
            Settings { policy, in_flight_max, panic_percent, ejection, slow_start, ..Settings::default() }
        },
    )
}

/// A balancer beside what a client of it knows: what is out, and what the events have told.
struct World {
    pool: Pool,
    /// What is out, with how often its backend had been half-open when it was picked.
    out: Vec<(Pick, u32)>,
    half_opened: BTreeMap<u32, u32>,
    configured: BTreeSet<u32>,
    unhealthy: BTreeSet<u32>,
    /// Those ejected, with the probes of the half-open ones.
    ejected: BTreeMap<u32, Option<u32>>,
    draining: BTreeSet<u32>,
    is_panic: bool,
    /// First attempts since the set of available backends last changed.
    turns: BTreeMap<u32, u32>,
    told: Vec<Event>,
}

impl World {
    fn new(settings: Settings) -> Self {
        Self {
            pool: Pool::new(settings, 4),
            out: Vec::new(),
            half_opened: BTreeMap::new(),
            configured: (1..=4).collect(),
            unhealthy: BTreeSet::new(),
            ejected: BTreeMap::new(),
            draining: BTreeSet::new(),
            is_panic: false,
            turns: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) -> Option<Result<BackendId, NoBackend>> {
        let mut picked = None;
        match step {
            Step::Pick => picked = Some(self.pick(&[])),
            Step::Retry(tried) => picked = Some(self.pick(&tried)),
            Step::Finish(which, outcome) if !self.out.is_empty() => {
                let (pick, half_opened) = self.out.swap_remove(which % self.out.len());
                let BackendId(id) = pick.id;
                // Only a probe that is cancelled leaves the backend half-open.
                if pick.is_probe && half_opened == self.half_opened[&id] && outcome == Outcome::Cancelled {
                    self.ejected.entry(id).and_modify(|probes| *probes = probes.map(|_| 0));
                }
                self.pool.finish(pick, outcome);
            }
            Step::Finish(..) => {}
            Step::Check(id, passes) => {
                self.pool.check(id, if passes { Ok(()) } else { Err(Failure::Timeout) });
            }
            Step::Pass(time) => self.pool.pass(time),
            Step::Reload(mask, is_weighted) => self.reload(mask, is_weighted),
        }
        self.learn();
        self.compare();
        picked
    }

    fn pick(&mut self, tried: &[u32]) -> Result<BackendId, NoBackend> {
        let pick = self.pool.try_pick(tried)?;
        let BackendId(id) = pick.id;
        self.learn();
        assert!(self.configured.contains(&id), "b{id} drains or is unknown");
        assert!(!tried.contains(&id), "b{id} was tried");
        assert_eq!(pick.in_panic, self.is_panic);
        if pick.is_probe {
            let probes = self.ejected.get_mut(&id).expect("only ejected ones are probed");
            let probes = probes.as_mut().expect("only half-open ones are probed");
            *probes += 1;
            assert_eq!(*probes, 1, "one probe at a time");
            assert!(!self.unhealthy.contains(&id), "who is unhealthy is not probed");
        } else if !pick.in_panic {
            assert!(self.is_available(id), "b{id} is not available");
        }
        // In panic a probe is whoever's turn it is.
        if tried.is_empty() && (pick.in_panic || !pick.is_probe) {
            *self.turns.entry(id).or_default() += 1;
        }
        self.out.push((pick, self.half_opened.get(&id).copied().unwrap_or(0)));
        Ok(BackendId(id))
    }

    fn reload(&mut self, mask: u8, is_weighted: bool) {
        let ids: Vec<_> = (1..=IDS).filter(|id| mask >> id & 1 == 1).collect();
        let weight = |id: &u32| if is_weighted { 1 + id % 2 } else { 1 };
        let list: Vec<_> = ids.iter().map(|id| (b(*id), weight(id))).collect();
        let settings = self.pool.backends.settings().clone();
        self.pool.backends.reconfigure(settings, &list, self.pool.now).expect("it makes sense");
        self.configured = ids.into_iter().collect();
        self.turns.clear();
    }

    fn is_available(&self, id: u32) -> bool {
        self.configured.contains(&id) && !self.unhealthy.contains(&id) && !self.ejected.contains_key(&id)
    }

    fn learn(&mut self) {
        for event in self.pool.events() {
            self.told.push(event);
            match event {
                Event::CheckFailed { id, .. } => drop(self.unhealthy.insert(id.0)),
                Event::CheckRecovered { id } => drop(self.unhealthy.remove(&id.0)),
                Event::Ejected { id, .. } => drop(self.ejected.insert(id.0, None)),
                Event::Readmitted { id, .. } => drop(self.ejected.remove(&id.0)),
                Event::HalfOpened { id } => {
                    *self.half_opened.entry(id.0).or_default() += 1;
                    self.ejected.insert(id.0, Some(0));
                }
                Event::DrainBegan { id, .. } => drop(self.draining.insert(id.0)),
                Event::DrainEnded { id } => drop(self.draining.remove(&id.0)),
                Event::Drained { id } => {
                    self.draining.remove(&id.0);
                    self.unhealthy.remove(&id.0);
                    self.ejected.remove(&id.0);
                }
                Event::PanicBegan { .. } => self.is_panic = true,
                Event::PanicEnded { .. } => self.is_panic = false,
                Event::Added { .. } | Event::SlowStartEnded { .. } => {}
            }
            if !matches!(event, Event::HalfOpened { .. }) {
                self.turns.clear();
            }
        }
    }

    /// The snapshot says what the events have told, and the limits hold.
    fn compare(&self) {
        let snapshot = self.pool.backends.snapshot(self.pool.now);
        for status in &snapshot.backends {
            let BackendId(id) = status.id;
            let out = self.out.iter().filter(|(pick, _)| pick.id == status.id).count();
            assert_eq!(status.in_flight as usize, out, "b{id}");
            let max = self.pool.backends.settings().in_flight_max;
            assert!(max.is_none_or(|max| status.in_flight <= max), "b{id}");
            assert_eq!(status.state == State::Draining, self.draining.contains(&id), "b{id}");
            let available = matches!(status.state, State::Healthy | State::SlowStart { .. });
            assert_eq!(available, self.is_available(id), "b{id}: {:?}", status.state);
            if let State::HalfOpen { is_probed } = status.state {
                assert_eq!(self.ejected[&id], Some(u32::from(is_probed)), "b{id}");
            }
        }
        let settings = self.pool.backends.settings();
        let configured = self.configured.len();
        let ejected = self.configured.iter().filter(|id| self.ejected.contains_key(id)).count();
        assert!(ejected * 100 <= configured * settings.ejection.ejected_percent_max as usize);
        let available = self.configured.iter().filter(|id| self.is_available(**id)).count();
        assert_eq!((snapshot.available, snapshot.configured), (available, configured));
        assert_eq!(self.is_panic, available * 100 < configured * settings.panic_percent as usize);
        assert_eq!(snapshot.is_panic, self.is_panic);
    }

    /// Everything that is out comes back.
    fn finish_all(&mut self) {
        for (pick, _) in std::mem::take(&mut self.out) {
            self.pool.finish(pick, success());
        }
        self.learn();
        self.compare();
    }
}

/// A law is worth what its schedules reach.
#[test]
fn the_schedules_reach_every_event_and_every_refusal() {
    let mut runner = TestRunner::deterministic();
    let schedules = (settings(), proptest::collection::vec(step(), 1..300));
    let (mut events, mut refusals, mut probes) = (BTreeSet::new(), BTreeSet::new(), 0);
    let name = |debug: String| debug.split([' ', '{']).next().expect("a name").to_owned();
    for _ in 0..200 {
        let (settings, steps) = schedules.new_tree(&mut runner).expect("it can be drawn").current();
        let mut world = World::new(settings);
        for step in steps {
            if let Some(Err(refusal)) = world.step(step) {
                refusals.insert(name(format!("{refusal:?}")));
            }
        }
        events.append(&mut world.told.iter().map(|event| name(format!("{event:?}"))).collect());
        let snapshot = world.pool.backends.snapshot(world.pool.now);
        probes += snapshot.backends.iter().map(|status| status.totals.probes).sum::<u64>();
    }
    assert_eq!((events.len(), refusals.len()), (12, 3), "{events:?} {refusals:?}");
    assert!(probes > 100, "{probes} probes");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_picked_who_may_not_be_and_nothing_leaks(
        settings in settings(),
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut world = World::new(settings);
        for step in steps {
            world.step(step);
        }
        world.finish_all();
        let snapshot = world.pool.backends.snapshot(world.pool.now);
        prop_assert!(snapshot.backends.iter().all(|status| status.in_flight == 0));
        prop_assert_eq!(snapshot.backends.len(), world.configured.len(), "who was removed is forgotten");
        for BackendStatus { totals, .. } in snapshot.backends {
            prop_assert_eq!(totals.picks, totals.successes + totals.failures + totals.cancelled);
        }
    }

    #[test]
    fn turns_differ_by_at_most_one_between_changes(
        settings in settings(),
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let settings = Settings { policy: Policy::RoundRobin, in_flight_max: None, slow_start: None, ..settings };
        let mut world = World::new(settings);
        for step in steps {
            let step = if let Step::Reload(mask, _) = step { Step::Reload(mask, false) } else { step };
            world.step(step);
            let in_turn = |id: &u32| world.is_panic || world.is_available(*id);
            let turns = world.configured.iter().filter(|id| in_turn(id)).map(|id| world.turns.get(id).unwrap_or(&0));
            let (least, most) = (turns.clone().min().unwrap_or(&0), turns.max().unwrap_or(&0));
            prop_assert!(most - least <= 1, "{:?}", world.turns);
        }
    }

    #[test]
    fn the_same_seed_and_calls_give_the_same_picks(
        settings in settings(),
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let run = || {
            let mut world = World::new(settings.clone());
            let picks: Vec<_> = steps.iter().cloned().map(|step| world.step(step)).collect();
            (picks, world.pool.backends.snapshot(world.pool.now))
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn a_reload_keeps_what_is_known_of_those_that_stay(
        settings in settings(),
        steps in proptest::collection::vec(step(), 1..200),
        stays in any::<prop::sample::Index>(),
    ) {
        let settings = Settings { ejection: Ejection { ejected_percent_max: 100, ..settings.ejection }, ..settings };
        let mut world = World::new(settings);
        for step in steps {
            world.step(step);
        }
        let configured: Vec<_> = world.configured.iter().copied().collect();
        prop_assume!(!configured.is_empty());
        let stays = configured[stays.index(configured.len())];
        let before = world.pool.status(stays);
        world.step(Step::Reload(1 << stays, false));
        prop_assert_eq!(world.pool.status(stays), BackendStatus { weight: 1, ..before });
    }
}
