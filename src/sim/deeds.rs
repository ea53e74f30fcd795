//! Which of a run's steps did anything.
//!
//! A step that stood and touched no packet, no connection and no process is *inert*: what its script claims to try was
//! not tried. Whoever carries a step's effect says so here when it takes hold: the links when they stop, lose or bend a
//! packet, the disks when they are slow, the hosts when they die.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What the steps of a run have done, by their place. Clones are the same book.
#[derive(Clone, Default)]
pub(crate) struct Deeds(Rc<Book>);

#[derive(Default)]
struct Book {
    steps: RefCell<Vec<State>>,
    /// The step that is being carried out.
    current: Cell<Option<usize>>,
}

#[derive(Clone, Copy, Default)]
struct State {
    has_begun: bool,
    is_over: bool,
    has_acted: bool,
}

impl Deeds {
    /// Of a run with so many steps.
    pub(crate) fn new(steps: usize) -> Self {
        let steps = RefCell::new(vec![State::default(); steps]);
        Self(Rc::new(Book { steps, current: Cell::new(None) }))
    }

    fn change(&self, step: usize, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.0.steps.borrow_mut().get_mut(step) {
            change(state);
        }
    }

    /// A step fires, and is the one that is being carried out until [`done`](Self::done).
    pub(crate) fn begin(&self, step: usize) {
        self.change(step, |state| *state = State { has_begun: true, ..State::default() });
        self.0.current.set(Some(step));
    }

    /// The step has been carried out; it goes on to stand, if `stands`.
    pub(crate) fn done(&self, step: usize, stands: bool) {
        self.0.current.set(None);
        if !stands {
            self.over(step);
        }
    }

    /// A step stands no more.
    pub(crate) fn over(&self, step: usize) {
        self.change(step, |state| state.is_over = true);
    }

    /// A step has done something.
    #[inline]
    pub(crate) fn acted(&self, step: usize) {
        self.change(step, |state| state.has_acted = true);
    }

    /// The step that is being carried out has done something.
    pub(crate) fn current_acted(&self) {
        self.0.current.get().into_iter().for_each(|step| self.acted(step));
    }

    /// What a step of a system's own does from now on, for the system to say; until then it has done nothing.
    pub(crate) fn take(&self) -> Option<Deed> {
        let step = self.0.current.get()?;
        self.change(step, |state| state.has_acted = false);
        Some(Deed { deeds: self.clone(), step })
    }

    /// Whether a step stands that has fired.
    pub(crate) fn stand(&self) -> bool {
        self.0.steps.borrow().iter().any(|state| state.has_begun && !state.is_over)
    }

    /// The steps that have done something, by their place.
    pub(crate) fn acting(&self) -> Vec<usize> {
        let steps = self.0.steps.borrow();
        steps.iter().enumerate().filter(|(_, state)| state.has_acted).map(|(step, _)| step).collect()
    }

    /// The steps that have fired and did nothing, by their place. Of a run that was cut short, what still stood might
    /// have done something yet.
    pub(crate) fn inert(&self, cut_short: bool) -> Vec<usize> {
        let steps = self.0.steps.borrow();
        let is_inert = |state: &State| state.has_begun && !state.has_acted && (state.is_over || !cut_short);
        steps.iter().enumerate().filter(|(_, state)| is_inert(state)).map(|(step, _)| step).collect()
    }
}

/// What one step of a system's own does, which the system says itself.
#[derive(Clone)]
pub struct Deed {
    deeds: Deeds,
    step: usize,
}

impl Deed {
    /// It has done something: to a process, a connection or a packet.
    pub fn acted(&self) {
        self.deeds.acted(self.step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_inert_if_it_fired_and_did_nothing_while_it_stood() {
        let deeds = Deeds::new(5);
        // One that acts at once, one that stands and acts late, one that stands in vain, one that does nothing at once.
        for (step, stands) in [(0, false), (1, true), (2, true), (3, false)] {
            deeds.begin(step);
            if step == 0 {
                deeds.current_acted();
            }
            deeds.done(step, stands);
        }
        deeds.acted(1);
        assert_eq!(deeds.inert(true), [3], "what stands may still do something");
        assert_eq!(deeds.inert(false), [2, 3], "at the end it has not");
        deeds.over(2);
        assert_eq!(deeds.inert(true), [2, 3], "and the one that never fired is not inert");
    }

    #[test]
    fn a_system_says_itself_what_its_steps_do() {
        let deeds = Deeds::new(2);
        deeds.begin(0);
        deeds.current_acted();
        let deed = deeds.take().expect("a step is being carried out");
        deeds.done(0, false);
        assert_eq!(deeds.inert(false), [0]);
        deed.acted();
        assert!(deeds.inert(false).is_empty());
        assert!(deeds.take().is_none(), "none is being carried out");
    }
}
