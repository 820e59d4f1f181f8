//! The body of an answer, and what ends with it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use claviger_core::{Error, Reason, Uid};
use http::HeaderMap;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body as TonicBody;

use crate::door::bodies::Charge;
use crate::status::{refused_by_library, status_of};

/// Counts a call on a connection until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Busy {
    pub(crate) fn new(calls: &Arc<AtomicUsize>) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer.
#[derive(Default)]
pub(crate) struct Outgoing {
    body: TonicBody,
    staying: Option<(Stay, Charge)>,
    _busy: Option<Busy>,
}

/// How long an answer may go on.
pub(super) struct Stay(Pin<Box<Sleep>>);

impl Stay {
    pub(super) fn new(most: Duration) -> Self {
        Self(Box::pin(sleep(most)))
    }
}

impl From<TonicBody> for Outgoing {
    fn from(body: TonicBody) -> Self {
        Self {
            body,
            ..Self::default()
        }
    }
}

impl Outgoing {
    /// Ends when its time is over, and counts as a request under way until it ends.
    pub(super) fn staying(self, stay: Stay, charge: Charge) -> Self {
        Self {
            staying: Some((stay, charge)),
            ..self
        }
    }

    /// Keeps the connection busy until it ends.
    pub(crate) fn keeping(self, busy: Option<Busy>) -> Self {
        Self {
            _busy: busy,
            ..self
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let answer = Pin::new(&mut self.body).poll_frame(cx);
        let Poll::Pending = answer else {
            return answer.map(|frame| frame.map(|frame| frame.map(explained)));
        };
        let Some((Stay(end), _)) = &mut self.staying else {
            return Poll::Pending;
        };
        match end.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                self.staying = None;
                self.body = TonicBody::empty();
                let over = Error::new(Reason::DeadlineExceeded);
                Poll::Ready(Some(Ok(Frame::trailers(trailers(&over)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The frame, with our reason where the gRPC library ends a stream by itself.
fn explained(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.trailers_ref().and_then(refused_by_library) {
        Some(error) => Frame::trailers(trailers(&error)),
        None => frame,
    }
}

fn trailers(error: &Error) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Nothing in it but what a header can hold.
    let status = status_of(error, Uid::random());
    status.add_header(&mut trailers).ok();
    trailers
}
