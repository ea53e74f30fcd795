//! What is written to the log, beside all else that a node does.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::disk::Disk;
use crate::raft::LogWrite;
use crate::raft::segments::Segments;

/// A write that is under way: it gives back the files, and up to which number all is durable.
type Busy<D> = Pin<Box<dyn Future<Output = (Segments<D>, io::Result<u64>)>>>;

/// One write is under way at a time; what comes meanwhile goes in one piece with the next.
pub(crate) struct LogWriter<D> {
    idle: Option<Segments<D>>,
    busy: Option<Busy<D>>,
    queue: Vec<Rc<LogWrite>>,
}

impl<D: Disk> LogWriter<D> {
    pub(super) fn new(segments: Segments<D>) -> Self {
        Self { idle: Some(segments), busy: None, queue: Vec::new() }
    }

    /// Of a node whose log stands still.
    pub(super) fn none() -> Self {
        Self { idle: None, busy: None, queue: Vec::new() }
    }

    pub(super) fn push(&mut self, write: Rc<LogWrite>) {
        self.queue.push(write);
    }

    /// Resolves when more is durable, with the number up to which all is. Cancel-safe.
    pub(super) async fn synced(&mut self) -> io::Result<u64> {
        poll_fn(|cx| self.poll_synced(cx)).await
    }

    /// The same, to be polled.
    #[inline]
    pub(crate) fn poll_synced(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let busy = match (&mut self.busy, self.queue.is_empty()) {
            (Some(busy), _) => busy,
            (None, true) => return Poll::Pending,
            (idle, false) => {
                let mut segments = self.idle.take().expect("only a log that is replicated is written");
                let writes = std::mem::take(&mut self.queue);
                idle.insert(Box::pin(async move {
                    let result = segments.write(&writes).await;
                    let number = writes.last().map_or(0, |write| write.number);
                    (segments, result.map(|()| number))
                }))
            }
        };
        let Poll::Ready((segments, result)) = busy.as_mut().poll(cx) else { return Poll::Pending };
        (self.busy, self.idle) = (None, Some(segments));
        Poll::Ready(result)
    }
}
