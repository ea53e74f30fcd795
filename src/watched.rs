//! A value whose changes wake all that wait for them: tokio's `watch`, without what that draws.
//!
//! tokio spreads the waiting tasks of a `watch` over several lists by its own generator, which is seeded by the operating
//! system unless the whole program is built with `--cfg tokio_unstable`; so the order in which they wake differs from run
//! to run. Here they wake in the order in which they began to wait, in every build. For tasks of one thread.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

/// The value's owner is gone: it changes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value changes no more: its owner is gone")]
pub struct Closed;

#[derive(Debug)]
struct Shared<T> {
    value: RefCell<T>,
    version: Cell<u64>,
    is_closed: Cell<bool>,
    changes: Notify,
}

/// Changes the value.
#[derive(Debug)]
pub struct Sender<T>(Rc<Shared<T>>);

/// Sees the value, and waits for changes. A clone has seen what the original has.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    seen: u64,
}

impl<T> Sender<T> {
    /// A value that nobody waits for yet.
    pub fn new(value: T) -> Self {
        let changes = Notify::new();
        let (value, version, is_closed) = (RefCell::new(value), Cell::new(0), Cell::new(false));
        Self(Rc::new(Shared { value, version, is_closed, changes }))
    }

    /// One more who waits. The value as it is now counts as seen.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver { shared: self.0.clone(), seen: self.0.version.get() }
    }

    /// Whether anybody could see it.
    pub fn has_receivers(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Changes the value, wakes all that wait, and returns what it was.
    pub fn send_replace(&self, value: T) -> T {
        let was = self.0.value.replace(value);
        self.0.version.set(self.0.version.get() + 1);
        self.0.changes.notify_waiters();
        was
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.is_closed.set(true);
        self.0.changes.notify_waiters();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Receiver<T> {
    /// The value as it is.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.value.borrow()
    }

    /// The value as it is, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.shared.version.get();
        self.shared.value.borrow()
    }

    /// Whether the value was changed and not seen.
    pub fn has_changed(&self) -> bool {
        self.seen != self.shared.version.get()
    }

    /// Waits for a change that was not seen, and sees it. Cancel-safe.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            // A change between the look and the waiting is not missed: it is told to whoever was made before it.
            let told = self.shared.changes.notified();
            if self.has_changed() {
                self.seen = self.shared.version.get();
                return Ok(());
            }
            if self.shared.is_closed.get() {
                return Err(Closed);
            }
            told.await;
        }
    }

    /// Waits until the value is as wanted, which it may be at once. Cancel-safe.
    pub async fn wait_for(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> Result<(), Closed> {
        loop {
            if is_wanted(&self.borrow_and_update()) {
                return Ok(());
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "local")]
    async fn those_who_wait_wake_in_the_order_in_which_they_began() {
        let sender = Sender::new(0);
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for nth in 0..40 {
            let (mut receiver, order) = (sender.subscribe(), order.clone());
            tasks.spawn_local(async move {
                receiver.changed().await.unwrap();
                order.borrow_mut().push(nth);
            });
        }
        tokio::task::yield_now().await;
        assert_eq!(sender.send_replace(1), 0);
        while tasks.join_next().await.is_some() {}
        assert_eq!(*order.borrow(), (0..40).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "local")]
    async fn a_change_is_seen_once_and_not_missed() {
        let sender = Sender::new('a');
        let mut receiver = sender.subscribe();
        assert!(!receiver.has_changed());
        sender.send_replace('b');
        assert!(receiver.has_changed() && receiver.clone().has_changed());
        assert_eq!((receiver.changed().await, *receiver.borrow()), (Ok(()), 'b'));
        assert!(!receiver.has_changed());
        receiver.wait_for(|value| *value == 'b').await.unwrap();
        sender.send_replace('c');
        drop(sender);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.changed().await, Err(Closed));
        assert_eq!(receiver.wait_for(|value| *value == 'd').await, Err(Closed));
        assert_eq!(receiver.wait_for(|value| *value == 'c').await, Ok(()));
    }
}
