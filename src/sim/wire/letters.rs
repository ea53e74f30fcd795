//! Datagrams in the sockets that kernels keep.

use std::net::SocketAddr;
use std::task::Poll;

use crate::sim::kernel::wait::Wait;
use crate::sim::trace::HostId;

use super::{Inbox, Letter, Wire};

impl Inbox {
    pub(super) fn put(&mut self, letter: Letter) {
        self.bytes += letter.payload.len() as u64;
        self.letters.push_back(letter);
        self.waker.take().into_iter().for_each(std::task::Waker::wake);
        self.wakers.wake();
    }

    fn take(&mut self) -> Option<Letter> {
        let letter = self.letters.pop_front()?;
        self.bytes -= letter.payload.len() as u64;
        Some(letter)
    }
}

impl Wire {
    /// A kernel binds a socket.
    pub(crate) fn open_letter_box(&mut self, host: HostId, port: u16) {
        self.inboxes.insert(host, port, Inbox { open: true, is_letter_box: true, ..Inbox::default() });
    }

    /// Puts what does not come over the network into a socket, if one is bound and has room.
    pub(crate) fn drop_letter(&mut self, host: HostId, port: u16, letter: Letter) {
        let most = self.udp_buffer_bytes;
        if let Some(inbox) = self.inboxes.get_mut(host, port).filter(|inbox| inbox.is_letter_box)
            && inbox.refuses(letter.payload.len(), most).is_none()
        {
            inbox.put(letter);
        }
    }

    /// Whether a socket has a letter, from its peer if it has one: others get nowhere.
    pub(crate) fn has_letter(&mut self, host: HostId, port: u16, peer: Option<SocketAddr>, wait: Wait<'_>) -> Poll<()> {
        let Some(inbox) = self.inboxes.get_mut(host, port) else { return Poll::Pending };
        while inbox.letters.front().is_some_and(|letter| peer.is_some_and(|peer| peer != letter.from)) {
            inbox.take();
        }
        if inbox.letters.is_empty() {
            wait.remember(&mut inbox.waker, &mut inbox.wakers);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    pub(crate) fn take_letter(&mut self, host: HostId, port: u16) -> Option<Letter> {
        self.inboxes.get_mut(host, port)?.take()
    }

    pub(crate) fn first_letter(&mut self, host: HostId, port: u16) -> Option<&Letter> {
        self.inboxes.get_mut(host, port)?.letters.front()
    }
}
