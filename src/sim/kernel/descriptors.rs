//! What a process has open: sockets that the kernel keeps, by their numbers.
//!
//! A number can be sent anywhere; what it stands for cannot. So a socket of [`crate::sim`] that is `Send` is a number, and
//! whatever is done with it is done in the thread of the run. When the process dies its numbers stand for nothing any more,
//! wherever they are kept.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use crate::sim::outside::Outside;
use crate::sim::shared::Shared;
use crate::sim::trace::HostId;

use super::Kernel;
use super::datagrams::Datagrams;
use super::stream::{SimListener, SimStream};

/// What a number stands for.
#[derive(Clone)]
enum Open {
    Listener(Rc<SimListener>),
    Stream(Rc<SimStream>),
    Datagrams(Rc<Datagrams>),
}

/// All that one process has open.
#[derive(Default)]
pub(crate) struct Descriptors {
    open: RefCell<BTreeMap<u64, Open>>,
    next: Cell<u64>,
}

/// A number that stands for something open. It is closed when this is dropped.
pub(crate) struct Descriptor {
    outside: Arc<Outside>,
    host: HostId,
    number: u64,
}

impl Kernel {
    pub(crate) fn open_listener(&self, listener: SimListener) -> Descriptor {
        self.describe(Open::Listener(Rc::new(listener)))
    }

    pub(crate) fn open_stream(&self, stream: SimStream) -> Descriptor {
        self.describe(Open::Stream(Rc::new(stream)))
    }

    pub(crate) fn open_datagrams(&self, datagrams: Datagrams) -> Descriptor {
        self.describe(Open::Datagrams(Rc::new(datagrams)))
    }

    fn describe(&self, open: Open) -> Descriptor {
        let number = self.descriptors.next.get();
        self.descriptors.next.set(number + 1);
        self.descriptors.open.borrow_mut().insert(number, open);
        Descriptor { outside: self.shared.outside.clone(), host: self.host, number }
    }

    /// The process is dead: nothing of it stays open, whoever kept it.
    pub(crate) fn close_all(&self) {
        drop(self.descriptors.open.take());
    }
}

impl Descriptor {
    /// Where it is open.
    pub(crate) fn kernel(&self) -> io::Result<Rc<Kernel>> {
        let kernel = Shared::in_thread().filter(|shared| Arc::ptr_eq(&shared.outside, &self.outside));
        let kernel = kernel.and_then(|shared| shared.kernel(self.host));
        kernel.ok_or_else(|| {
            self.outside.note(self.host);
            io::Error::other("a simulated socket was used in another thread than its run's, or behind the run's end")
        })
    }

    fn open(&self) -> io::Result<Open> {
        let open = self.kernel()?.descriptors.open.borrow().get(&self.number).cloned();
        open.ok_or_else(|| io::Error::other("the process that had this socket open is dead"))
    }

    pub(crate) fn listener(&self) -> io::Result<Rc<SimListener>> {
        let Open::Listener(listener) = self.open()? else { unreachable!("it was opened as a listener") };
        Ok(listener)
    }

    pub(crate) fn stream(&self) -> io::Result<Rc<SimStream>> {
        let Open::Stream(stream) = self.open()? else { unreachable!("it was opened as a stream") };
        Ok(stream)
    }

    pub(crate) fn datagrams(&self) -> io::Result<Rc<Datagrams>> {
        let Open::Datagrams(datagrams) = self.open()? else { unreachable!("it was opened for datagrams") };
        Ok(datagrams)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Elsewhere than in the run's thread it stays open until the process dies.
        let shared = Shared::in_thread().filter(|shared| Arc::ptr_eq(&shared.outside, &self.outside));
        if let Some(kernel) = shared.and_then(|shared| shared.kernel(self.host)) {
            let closed = kernel.descriptors.open.borrow_mut().remove(&self.number);
            drop(closed);
        }
    }
}
