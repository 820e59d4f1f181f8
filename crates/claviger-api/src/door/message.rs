//! Reading requests: a whole message, or a stream that must not stand still.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use claviger_core::{Error, Reason, Result, Uid};
use hyper::body::{Body, Buf as _, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::door::bodies::Charge;
use crate::status::status_of;

/// Five bytes before each message of gRPC say how long it is.
pub(super) const PREFIX_BYTES: usize = 5;

/// The body of a unary call, which is one message behind its prefix, as far as it is read.
pub(super) struct Reading<B> {
    body: B,
    message: Bytes,
    charge: Charge,
    /// What the request takes up besides.
    beside: usize,
}

impl<B> Reading<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    /// `charge` covers the bytes read and those `beside` them whenever the rest is not there yet: a
    /// request that comes at once costs the budget nothing.
    pub(super) fn new(body: B, charge: Charge, beside: usize) -> Self {
        Self {
            body,
            message: Bytes::new(),
            charge,
            beside,
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
        if self.body.is_end_stream() {
            return Ok(None);
        }
        poll_fn(|cx| match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => match self.charge.cover(self.beside + self.message.len()) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            // Trailers of a request mean nothing in gRPC.
            Poll::Ready(Some(Ok(frame))) => {
                Poll::Ready(Ok(Some(frame.into_data().unwrap_or_default())))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Err(Error::new(Reason::Cancelled).caused_by(error)))
            }
        })
        .await
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
