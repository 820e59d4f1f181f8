//! The body of an answer, and what ends with it.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use claviger_core::{Error, Reason, Result, Uid};
use http::{HeaderMap, Response};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use prost::Message;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body as TonicBody;

use crate::door::bodies::Charge;
use crate::door::busy::Busy;
use crate::door::message::PREFIX_BYTES;
use crate::status::{self, refused_by_library, status_of};

/// A message of an answer behind its prefix, in a buffer of their size.
///
/// # Errors
/// `INTERNAL` if it is too long for gRPC.
pub(crate) fn framed(message: &impl Message) -> Result<Bytes> {
    let too_long = |_| Error::new(Reason::Internal);
    let bytes = message.encoded_len();
    let length = u32::try_from(bytes).map_err(too_long)?;
    let mut framed = Vec::with_capacity(PREFIX_BYTES + bytes);
    framed.push(0);
    framed.extend_from_slice(&length.to_be_bytes());
    let encoded = message.encode(&mut framed);
    encoded.map_err(|error| Error::new(Reason::Internal).caused_by(error))?;
    Ok(framed.into())
}

/// The body of an answer.
#[derive(Default)]
pub(crate) struct Outgoing {
    left: Left,
    /// Whether its peer gets no more of its kind than there are turns for them.
    pub(crate) is_in_turn: bool,
    _busy: Option<Busy>,
}

/// What is still to be sent.
#[derive(Default)]
enum Left {
    /// A message, and the trailers of an answer that has one.
    Message(Bytes),
    #[default]
    Nothing,
    /// What a public service answers.
    Stream(Box<(TonicBody, Staying)>),
    Trailers,
}

/// How long a stream may go on. It counts as a request under way until it ends.
pub(super) struct Staying {
    end: Pin<Box<Sleep>>,
    _charge: Charge,
}

impl Staying {
    pub(super) fn new(most: Duration, charge: Charge) -> Self {
        Self {
            end: Box::pin(sleep(most)),
            _charge: charge,
        }
    }
}

impl Outgoing {
    /// The answer with a message, which is behind its prefix.
    pub(super) fn message(message: Bytes) -> Response<Self> {
        let mut answer = Response::new(Self {
            left: Left::Message(message),
            ..Self::default()
        });
        *answer.headers_mut() = status::headers();
        answer
    }

    /// What a public service answers.
    pub(super) fn stream(body: TonicBody, staying: Staying) -> Self {
        Self {
            left: Left::Stream(Box::new((body, staying))),
            ..Self::default()
        }
    }

    /// Keeps the connection busy until it ends.
    pub(crate) fn keep(&mut self, busy: Option<Busy>) {
        self._busy = busy;
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match mem::take(&mut self.left) {
            Left::Message(message) => {
                self.left = Left::Trailers;
                Frame::data(message)
            }
            Left::Nothing => return Poll::Ready(None),
            Left::Stream(mut stream) => {
                let (body, staying) = &mut *stream;
                let answer = Pin::new(body).poll_frame(cx);
                if answer.is_ready() {
                    self.left = Left::Stream(stream);
                    return answer.map(|frame| frame.map(|frame| frame.map(explained)));
                }
                if staying.end.as_mut().poll(cx).is_pending() {
                    self.left = Left::Stream(stream);
                    return Poll::Pending;
                }
                Frame::trailers(trailers(&Error::new(Reason::DeadlineExceeded)))
            }
            Left::Trailers => Frame::trailers(status::trailers()),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.left {
            Left::Message(_) | Left::Trailers => false,
            Left::Nothing => true,
            Left::Stream(stream) => stream.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.left {
            // Nobody needs the header that would tell it.
            Left::Message(_) | Left::Trailers => SizeHint::default(),
            Left::Nothing => SizeHint::with_exact(0),
            Left::Stream(stream) => stream.0.size_hint(),
        }
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
