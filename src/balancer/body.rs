//! Bodies on their way through: each is given up when nothing of it has moved for too long, and the balancer learns how
//! it ended. [`upload`](super::upload) has those of requests.

use std::error::Error as _;
use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::framing::Rejection;

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// Nothing came for too long.
    Stalled,
    /// It came, and too slowly.
    TooSlow,
    /// There was more of it than is allowed.
    TooLarge,
    /// It was not what a body is.
    Refused(Rejection),
    /// Its sender went away, or it was not what its head promised.
    Broken,
}

impl BodyFault {
    /// What made hyper give a body up: what the guard before it refused, or the end of the connection.
    pub(super) fn of(error: &hyper::Error) -> Self {
        let refused = error.source().and_then(|error| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref());
        refused.map_or(Self::Broken, |rejection| Self::Refused(*rejection))
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stalled => "nothing of the body came for too long",
            Self::TooSlow => "the body comes too slowly",
            Self::TooLarge => "the body is larger than is allowed",
            Self::Refused(rejection) => rejection.reason,
            Self::Broken => "the body ended before its end",
        })
    }
}

impl std::error::Error for BodyFault {}

/// Gives up on what stands still. The timer is set only when something has to be waited for.
pub struct Patience {
    idle: Duration,
    moved: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(idle: Duration) -> Self {
        Self { idle, moved: true, timer: None }
    }

    fn moved(&mut self) {
        self.moved = true;
    }

    /// Whether nothing has moved for too long.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = Instant::now() + self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if std::mem::take(&mut self.moved) {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}

/// Who wants to know how an answer's body ended. Dropped before [`Ending::ended`], it was cut off by the client.
pub trait Ending {
    /// It has been passed on whole, or the backend has failed to send it.
    fn ended(self: Box<Self>, result: Result<(), BodyFault>);
}

/// An answer's body, for the client.
pub enum AnswerBody {
    /// The balancer's own.
    Own(Option<Bytes>),
    /// A backend's.
    Backend {
        /// What comes.
        inner: Incoming,
        /// How long nothing may come.
        patience: Patience,
        /// Who is told of its end.
        ending: Option<Box<dyn Ending>>,
    },
}

impl AnswerBody {
    /// A text of the balancer's own.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Own(Some(text.into()).filter(|text| !text.is_empty()))
    }

    /// What a backend sends.
    pub fn backend(inner: Incoming, idle: Duration, ending: Box<dyn Ending>) -> Self {
        if inner.is_end_stream() {
            // Nobody will ask for its end.
            ending.ended(Ok(()));
            return Self::Own(None);
        }
        Self::Backend { inner, patience: Patience::new(idle), ending: Some(ending) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let (inner, patience, ending) = match &mut *self {
            Self::Own(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Backend { inner, patience, ending } => (inner, patience, ending),
        };
        let mut end = |result| {
            if let Some(ending) = ending.take() {
                ending.ended(result);
            }
        };
        match Pin::new(&mut *inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                patience.moved();
                if inner.is_end_stream() {
                    // Whoever knows the length asks no further.
                    end(Ok(()));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                end(Err(BodyFault::Broken));
                Poll::Ready(Some(Err(BodyFault::Broken)))
            }
            Poll::Ready(None) => {
                end(Ok(()));
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(patience.poll_ended(cx));
                end(Err(BodyFault::Stalled));
                Poll::Ready(Some(Err(BodyFault::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_none(),
            Self::Backend { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Backend { inner, .. } => inner.size_hint(),
        }
    }
}
