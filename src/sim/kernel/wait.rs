//! How somebody waits for what is not there yet.

use std::task::{Context, Waker};

/// How the caller waits.
#[derive(Clone, Copy)]
pub(crate) enum Wait<'a> {
    /// Of those who wait so, the last one alone is woken, as with tokio's functions that are called `poll_…`.
    Last(&'a Waker),
    /// It is woken whoever else waits, as with tokio's async functions.
    Each(&'a Waker),
    /// Not at all, as with those that are called `try_…`.
    Not,
}

impl<'a> Wait<'a> {
    pub(crate) fn last(cx: &Context<'a>) -> Self {
        Self::Last(cx.waker())
    }

    pub(crate) fn each(cx: &Context<'a>) -> Self {
        Self::Each(cx.waker())
    }

    /// Remembers the caller, if it waits.
    pub(crate) fn remember(self, last: &mut Option<Waker>, each: &mut Wakers) {
        match self {
            Self::Last(waker) => *last = Some(waker.clone()),
            Self::Each(waker) => each.add(waker),
            Self::Not => {}
        }
    }
}

/// Those who wait for the same thing, whoever else does.
#[derive(Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    /// More than these are nobody's any more, most likely: who is woken in vain looks and waits again.
    const MOST: usize = 64;

    fn add(&mut self, waker: &Waker) {
        if self.0.iter().any(|known| known.will_wake(waker)) {
            return;
        }
        if self.0.len() == Self::MOST {
            self.wake();
        }
        self.0.push(waker.clone());
    }

    pub(crate) fn wake(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}
