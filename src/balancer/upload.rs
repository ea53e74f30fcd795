//! A request's body on its way to the backend: at the client's pace, within limits that are the client's.
//!
//! Time counts against the client only while there is nothing of the body to pass on; while the backend takes nothing,
//! time counts against the backend. A body that its client sends only when it is told to (`Expect: 100-continue`,
//! RFC 9110 §10.1.1) stays where it is until the backend says so, or has said nothing for a while.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, StatusCode};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::BodyFault;
use super::config::Config;

/// How far a request's body has come, for those who wait for its answer.
#[derive(Debug, Default)]
pub struct Progress {
    /// What is wrong with what the client sends.
    pub fault: Cell<Option<BodyFault>>,
    /// When the backend was given the last of it.
    pub sent_at: Cell<Option<Instant>>,
    /// How many pieces the backend was given.
    pub pieces: Cell<u64>,
    /// Whether the next piece is the client's to send, or the client's to be asked for.
    pub is_awaited: Cell<bool>,
}

/// A request's body, for the backend.
pub struct RequestBody {
    /// `None`: there is no body, so that the request can be sent again.
    inner: Option<Incoming>,
    pace: Pace,
    bytes_left: u64,
    /// `None`: there is no body, and so nothing to tell of it.
    progress: Option<Rc<Progress>>,
    /// What keeps it back.
    gate: Option<Gate>,
}

impl RequestBody {
    /// The body of a request that came.
    pub fn new(inner: Incoming, config: &Config) -> Self {
        if inner.is_end_stream() {
            return Self::empty();
        }
        let pace = Pace::new(config.timeouts.idle, config.timeouts.upload, config.limits.upload_bytes_per_second_min);
        Self {
            inner: Some(inner),
            pace,
            bytes_left: config.limits.body_bytes_max,
            progress: Some(Rc::default()),
            gate: None,
        }
    }

    /// No body.
    pub fn empty() -> Self {
        let pace = Pace::new(Duration::ZERO, Duration::ZERO, 0);
        Self { inner: None, pace, bytes_left: 0, progress: None, gate: None }
    }

    /// How far it has come, where there is one.
    pub fn progress(&self) -> Option<Rc<Progress>> {
        self.progress.clone()
    }

    /// Whether there is nothing that could be sent only once.
    pub fn is_empty(&self) -> bool {
        self.inner.is_none()
    }

    /// Keeps the body of a request back until its backend has said `100 Continue`, or nothing for so long.
    pub fn hold_back(request: &mut Request<Self>, wait: Duration) {
        let (go_on, told) = oneshot::channel();
        let go_on = Mutex::new(Some(go_on));
        hyper::ext::on_informational(request, move |answer| {
            if answer.status() == StatusCode::CONTINUE
                && let Ok(mut go_on) = go_on.lock()
                && let Some(go_on) = go_on.take()
            {
                // A request that is given up waits for nothing.
                _ = go_on.send(());
            }
        });
        request.body_mut().gate = Some(Gate { wait, told, is_answered: false, timer: None });
    }

    fn tell(&self, tell: impl FnOnce(&Progress)) {
        if let Some(progress) = &self.progress {
            tell(progress);
        }
    }

    fn fail(&mut self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.tell(|progress| progress.fault.set(Some(fault)));
        Poll::Ready(Some(Err(fault)))
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(gate) = &mut self.gate {
            let opened = gate.poll_open(cx);
            self.tell(|progress| progress.is_awaited.set(true));
            ready!(opened);
            self.gate = None;
        }
        Poll::Ready(())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        ready!(this.poll_gate(cx));
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match Pin::new(&mut *inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                let is_sent = inner.is_end_stream() || frame.is_trailers();
                this.pace.moved(bytes);
                let Some(left) = this.bytes_left.checked_sub(bytes) else { return this.fail(BodyFault::TooLarge) };
                this.bytes_left = left;
                this.tell(|progress| {
                    progress.is_awaited.set(false);
                    progress.pieces.set(progress.pieces.get() + 1);
                    progress.sent_at.set(is_sent.then(Instant::now));
                });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(BodyFault::of(&error)),
            Poll::Ready(None) => {
                this.tell(|progress| progress.sent_at.set(progress.sent_at.get().or_else(|| Some(Instant::now()))));
                Poll::Ready(None)
            }
            Poll::Pending => {
                this.tell(|progress| progress.is_awaited.set(true));
                let fault = ready!(this.pace.poll_over(cx));
                this.fail(fault)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Keeps a body back whose client waits to be told to send it.
struct Gate {
    wait: Duration,
    /// The backend wants it; closed: it has answered without it, or the connection has ended.
    told: oneshot::Receiver<()>,
    is_answered: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_answered {
            match Pin::new(&mut self.told).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(()),
                Poll::Ready(Err(_)) => self.is_answered = true,
                Poll::Pending => {}
            }
        }
        if self.is_answered {
            // Nobody wants it any more: whoever has the connection ends it.
            return Poll::Pending;
        }
        let due = Instant::now() + self.wait;
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(due))).as_mut().poll(cx)
    }
}

/// How fast a client has to be. Its timer is set only when something has to be waited for.
struct Pace {
    /// Without a byte.
    idle: Duration,
    /// In all.
    upload: Duration,
    /// So many bytes are worth a second more.
    bytes_per_second: u64,
    bytes: u64,
    /// How long it has been waited for.
    waited: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What it will have been when the timer fires.
    fault: BodyFault,
}

impl Pace {
    fn new(idle: Duration, upload: Duration, bytes_per_second: u64) -> Self {
        let (waited, fault) = (Duration::ZERO, BodyFault::Stalled);
        Self { idle, upload, bytes_per_second, bytes: 0, waited, since: None, timer: None, fault }
    }

    fn moved(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// How long it may be waited for, for what has come.
    fn allowed(&self) -> Duration {
        let gained = self.bytes.saturating_mul(1000).checked_div(self.bytes_per_second).unwrap_or(0);
        self.upload.saturating_add(Duration::from_millis(gained))
    }

    /// Whether nothing has come for too long, or all that came has come too slowly.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<BodyFault> {
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            let left = self.allowed().saturating_sub(self.waited);
            self.fault = if left < self.idle { BodyFault::TooSlow } else { BodyFault::Stalled };
            let due = now + left.min(self.idle);
            self.timer.get_or_insert_with(|| Box::pin(sleep_until(due))).as_mut().reset(due);
        }
        let timer = self.timer.as_mut().expect("it was set when the waiting began");
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(self.fault)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Bytes come one at a time, with this between them: what the client is told in the end, and after how long.
    async fn trickle(pace: &mut Pace, pause: Duration) -> (BodyFault, Duration) {
        let began = Instant::now();
        loop {
            let waiting = tokio::time::timeout(pause, poll_fn(|cx| pace.poll_over(cx)));
            if let Ok(fault) = waiting.await {
                return (fault, began.elapsed());
            }
            pace.moved(1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_be_slow_for_so_long() {
        let secs = Duration::from_secs;
        let mut pace = Pace::new(secs(30), secs(60), 500);
        let (fault, after) = trickle(&mut pace, secs(1)).await;
        assert_eq!(fault, BodyFault::TooSlow);
        assert!((secs(60)..secs(61)).contains(&after), "{after:?}");
        let mut pace = Pace::new(secs(30), secs(60), 500);
        assert_eq!(trickle(&mut pace, secs(31)).await, (BodyFault::Stalled, secs(30)));
        // Two bytes a second gain what they take, so that only a standstill ends it; without a rate they gain nothing.
        let mut pace = Pace::new(secs(30), secs(60), 2);
        pace.bytes = 1000;
        assert_eq!(pace.allowed(), secs(560));
        pace.bytes_per_second = 0;
        assert_eq!(pace.allowed(), secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_backend_does_not_take_is_not_the_clients_time() {
        let secs = Duration::from_secs;
        let mut pace = Pace::new(secs(30), secs(60), 0);
        for _ in 0..5 {
            let waiting = tokio::time::timeout(secs(10), poll_fn(|cx| pace.poll_over(cx)));
            assert!(waiting.await.is_err());
            pace.moved(1);
            tokio::time::sleep(secs(100)).await;
        }
        assert_eq!(pace.waited, secs(50));
        assert_eq!(trickle(&mut pace, secs(20)).await, (BodyFault::TooSlow, secs(10)));
    }
}
