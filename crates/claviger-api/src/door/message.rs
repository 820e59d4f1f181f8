//! Reading requests: a whole message, or a stream that must not stand still.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use claviger_core::{Error, Reason, Result, Uid};
use http::Request;
use hyper::body::{Body, Buf as _, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::Peer;
use crate::door::bodies::{Bodies, Charge};
use crate::status::{header_bytes, status_of};

/// Five bytes before each message of gRPC say how long it is.
pub(super) const PREFIX_BYTES: usize = 5;

/// A unary call, whose body is one message behind its prefix, as far as it is read.
pub(super) struct Reading<'a, B> {
    request: &'a mut Request<B>,
    message: Bytes,
    bodies: &'a Arc<Bodies>,
    peer: Peer,
    /// Covers all of the request whenever the rest of it is not there yet: one that comes at once
    /// costs the budget nothing.
    charge: Option<Charge>,
}

impl<'a, B> Reading<'a, B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    pub(super) fn new(request: &'a mut Request<B>, bodies: &'a Arc<Bodies>, peer: Peer) -> Self {
        Self {
            request,
            message: Bytes::new(),
            bodies,
            peer,
            charge: None,
        }
    }

    /// Reads until the message is complete, or is longer than `limit`: then it says false.
    ///
    /// # Errors
    /// `OVERLOADED`; `CANCELLED` if the client goes away.
    pub(super) async fn up_to(&mut self, limit: usize) -> Result<bool> {
        while self.message.len() <= PREFIX_BYTES + limit {
            match self.next().await? {
                Some(data) => self.message = joined(std::mem::take(&mut self.message), data),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The message.
    ///
    /// # Errors
    /// `COMPRESSION_UNSUPPORTED`; `REQUEST_MALFORMED` if it is not one whole message.
    pub(super) fn into_message(mut self) -> Result<Bytes> {
        let malformed = || Error::new(Reason::RequestMalformed);
        let parts = self.message.split_first_chunk::<PREFIX_BYTES>();
        let (&[flag, length @ ..], message) = parts.ok_or_else(malformed)?;
        match flag {
            0 if usize::try_from(u32::from_be_bytes(length)) == Ok(message.len()) => {
                self.message.advance(PREFIX_BYTES);
                Ok(self.message)
            }
            1 => Err(Error::new(Reason::CompressionUnsupported)),
            _ => Err(malformed()),
        }
    }

    /// The next bytes of the body; `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.request.body().is_end_stream() {
            return Ok(None);
        }
        poll_fn(|cx| {
            let Poll::Ready(frame) = Pin::new(self.request.body_mut()).poll_frame(cx) else {
                let covered = self.cover();
                return covered.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending);
            };
            Poll::Ready(match frame {
                None => Ok(None),
                // Trailers of a request mean nothing in gRPC.
                Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
                Some(Err(error)) => Err(Error::new(Reason::Cancelled).caused_by(error)),
            })
        })
        .await
    }

    /// Has the budget cover what there is of the request.
    fn cover(&mut self) -> Result<()> {
        let bytes = request_bytes(self.request) + self.message.len();
        let none = || self.bodies.charge(self.peer);
        self.charge.get_or_insert_with(none).cover(bytes)
    }
}

/// One piece as it is; more are copied together.
fn joined(message: Bytes, data: Bytes) -> Bytes {
    if message.is_empty() {
        return data;
    }
    let mut buffer = message
        .try_into_mut()
        .unwrap_or_else(|message| message.as_ref().into());
    buffer.extend_from_slice(&data);
    buffer.freeze()
}

/// The body of a call to a public service: ends the call if nothing comes for too long.
pub(super) struct Streamed<B> {
    body: B,
    idle: Duration,
    due: Pin<Box<Sleep>>,
}

impl<B> Streamed<B> {
    pub(super) fn new(body: B, idle: Duration) -> Self {
        Self {
            body,
            idle,
            due: Box::pin(sleep(idle)),
        }
    }
}

impl<B> Body for Streamed<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let due = Instant::now() + self.idle;
            self.due.as_mut().reset(due);
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| ended(Reason::Cancelled))));
        }
        ready!(self.due.as_mut().poll(cx));
        Poll::Ready(Some(Err(ended(Reason::DeadlineExceeded))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn ended(reason: Reason) -> Status {
    status_of(&Error::new(reason), Uid::random())
}

/// What a request takes up besides its body.
pub(super) fn request_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    header_bytes(request.headers())
        + uri.path().len()
        + uri
            .authority()
            .map_or(0, |authority| authority.as_str().len())
}
