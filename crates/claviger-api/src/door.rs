//! What a call passes before a service sees it.
//!
//! The caller is found out from the headers, before a byte of the body is read; then the one
//! message of the request is read, within bounds for the caller, for all that its peer has under
//! way, and for the process. The public services (health and reflection) ask for no caller: their
//! messages are small, and their streams end.

mod attempt;
mod bodies;
mod busy;
mod message;
mod outgoing;
#[cfg(test)]
mod tests;
mod timeout;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use claviger_access::Caller;
use claviger_core::{Detail, Error, Reason, Result, Uid};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body, Bytes};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tonic::body::Body as TonicBody;
use tonic::service::Routes;
use tower::ServiceExt as _;

use crate::Peer;
use crate::counts::Counts;
use crate::door::attempt::Attempt;
use crate::door::message::{Reading, Streamed, request_bytes};
use crate::door::outgoing::Staying;
use crate::door::timeout::client_timeout;
use crate::handler::Api;
use crate::limits::{Limits, SMALL_BYTES_MAX};
use crate::page::Page;
use crate::rpc::{self, Row};
use crate::serve::Certificate;
use crate::status::{is_refusal, refused_by_library, status_of};

pub use bodies::Bodies;
pub(crate) use busy::{Bounded, Busy, Calls};
pub(crate) use outgoing::{Outgoing, framed};

/// Longest request, in bytes.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// What a refusal counts for while it waits for its turn.
const WAITING_BYTES: usize = 8 * 1024;

/// What a stream of reflection counts for while it lasts: its answers are about as long.
const REFLECTION_BYTES: usize = 64 * 1024;

/// The services of a listener, behind their door.
#[derive(Clone, Debug)]
pub struct Door {
    /// The public ones.
    routes: Routes,
    /// None where all services are public.
    own: Option<Api>,
    bodies: Arc<Bodies>,
    counts: Arc<Counts>,
    /// What clients without gRPC get here, if there is something.
    page: Option<Page>,
}

impl Door {
    pub(crate) fn new(routes: Routes, own: Option<Api>, bodies: Arc<Bodies>) -> Self {
        Self {
            routes,
            own,
            bodies,
            counts: Counts::new(),
            page: None,
        }
    }

    /// The same with a page for clients that speak HTTP/1.1.
    pub(crate) fn with_page(self, page: Page) -> Self {
        Self {
            page: Some(page),
            ..self
        }
    }

    /// What is counted here.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    pub(crate) fn page(&self) -> Option<&Page> {
        self.page.as_ref()
    }
}

/// The header that says how the messages of a request are compressed.
static GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The door as one peer meets it.
#[derive(Clone, Debug)]
pub(crate) struct Doorway {
    pub(crate) door: Door,
    pub(crate) peer: Peer,
    /// That of a client which has shown one.
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) limits: Limits,
}

impl Doorway {
    /// The row of a request for a service that asks for a caller.
    pub(crate) fn row<B>(&self, request: &Request<B>) -> Option<Row> {
        self.door.own.as_ref()?;
        rpc::named(method(request)).filter(|_| is_grpc(request.headers()))
    }

    /// Takes any other request from the connection, and the beginning of its answer back.
    pub(crate) async fn other<B>(&self, request: Request<B>) -> Response<Outgoing>
    where
        B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
    {
        if !is_grpc(request.headers()) {
            let mut foreign = Response::new(Outgoing::default());
            *foreign.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return foreign;
        }
        let method = method(&request);
        if method.starts_with("grpc.health.") && self.limits.serves_health {
            let most = self.limits.connection_age;
            return self.public(SMALL_BYTES_MAX, 1, most, request).await;
        }
        if method.starts_with("grpc.reflection.") && self.limits.serves_reflection {
            let most = self.limits.stream;
            // The other half is for health, and for requests.
            return self.public(REFLECTION_BYTES, 2, most, request).await;
        }
        refusal(&Error::new(Reason::MethodUnknown), Uid::random())
    }

    /// Waits until a refusal may be told, if its peer may have one more that waits.
    pub(crate) async fn wait(&self, due: Instant) {
        let mut charge = self.door.bodies.charge(self.peer);
        if due > Instant::now() && charge.cover(WAITING_BYTES).is_ok() {
            sleep_until(due).await;
        }
    }

    /// The answer to one call more than there may be.
    pub(crate) fn one_too_many(&self, row: Row) -> Response<Outgoing> {
        let error = Error::new(Reason::Overloaded);
        self.door.counts.begin(row.number).end(Some(error.reason()));
        refusal(&error, Uid::random())
    }

    /// Takes one call from the connection to its handler, and its answer back. The request stays
    /// where it is: what is moved from future to future is copied each time.
    pub(crate) async fn call<B>(&self, row: Row, request: &mut Request<B>) -> Response<Outgoing>
    where
        B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
    {
        let Some(api) = &self.door.own else {
            return refusal(&Error::new(Reason::MethodUnknown), Uid::random());
        };
        let counting = self.door.counts.begin(row.number);
        let id = api.next_call_id();
        let answer = self.answer(api, row, id, counting.began(), request).await;
        counting.end(answer.as_ref().err().map(Error::reason));
        match answer {
            Ok(message) => Outgoing::message(message),
            Err(error) => refusal(&error, id),
        }
    }

    async fn answer<B>(
        &self,
        api: &Api,
        row: Row,
        id: Uid,
        began: Instant,
        request: &mut Request<B>,
    ) -> Result<Bytes>
    where
        B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
    {
        let time = match client_timeout(request.headers()) {
            Some(timeout) => timeout.min(self.limits.request),
            None => self.limits.request,
        };
        let deadline = began + time;
        let attempt = Attempt::new(api, id, row.rpc, &self.peer);
        let entering = async {
            let caller = attempt
                .authenticate(self.certificate.as_deref(), request.headers())
                .await?;
            check_encoding(request.headers())?;
            let message = self.message(api, &caller, request).await?;
            Ok((caller, message))
        };
        let entered = by(deadline.min(began + self.limits.body), pin!(entering)).await;
        match entered {
            Ok((caller, message)) => {
                let mut answering = (row.handler)(api, attempt.begin(caller), &message)?;
                // SECURITY: it may hold a value, and shares its memory with other requests.
                drop(message);
                by(deadline, answering.as_mut()).await
            }
            Err(error) => Err(Box::pin(attempt.refuse(error)).await),
        }
    }

    /// Reads the message. A caller without any grant has no use for a long one.
    async fn message<B>(
        &self,
        api: &Api,
        caller: &Caller,
        request: &mut Request<B>,
    ) -> Result<Bytes>
    where
        B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
    {
        let mut reading = Reading::new(request, &self.door.bodies, self.peer);
        let mut limit = SMALL_BYTES_MAX;
        let mut is_complete = reading.up_to(limit).await?;
        if !is_complete && Box::pin(api.broker.has_grants(&caller.principal)).await? {
            limit = REQUEST_BYTES_MAX;
            is_complete = reading.up_to(limit).await?;
        }
        match is_complete {
            true => reading.into_message(),
            false => Err(Error::new(Reason::RequestTooLarge).with(Detail::Limit, limit)),
        }
    }

    /// Calls a public service, which may answer for so long.
    async fn public<B>(
        &self,
        bytes: usize,
        part: usize,
        most: Duration,
        request: Request<B>,
    ) -> Response<Outgoing>
    where
        B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
    {
        let id = Uid::random();
        if let Err(error) = check_encoding(request.headers()) {
            return refusal(&error, id);
        }
        let mut charge = self.door.bodies.charge(self.peer);
        if let Err(error) = charge.cover_of(bytes + request_bytes(&request), part) {
            let mut refusal = refusal(&error, id);
            refusal.body_mut().is_in_turn = true;
            return refusal;
        }
        let staying = Staying::new(most, charge);
        let request = request.map(|body| TonicBody::new(Streamed::new(body, self.limits.idle)));
        let routes = self.door.routes.clone();
        let answering = pin!(async {
            let Ok(answer) = routes.oneshot(request).await;
            match refused_by_library(answer.headers()) {
                Some(error) => Err(error),
                None => Ok(answer),
            }
        });
        match by(Instant::now() + self.limits.request, answering).await {
            Ok(answer) => answer.map(|body| Outgoing::stream(body, staying)),
            Err(error) => refusal(&error, id),
        }
    }
}

/// What comes of it by then. No timer is made for what need not wait, or only for the others of its
/// turn.
fn by<T>(
    deadline: Instant,
    mut doing: Pin<&mut (impl Future<Output = Result<T>> + ?Sized)>,
) -> impl Future<Output = Result<T>> {
    let mut late = None;
    let mut has_waited = false;
    poll_fn(move |cx| {
        if let Poll::Ready(done) = doing.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        if !std::mem::replace(&mut has_waited, true) {
            let is_over = pin!(yield_now()).poll(cx).is_ready();
            if !is_over {
                return Poll::Pending;
            }
        }
        let late = late.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(late.as_mut().poll(cx));
        Poll::Ready(Err(Error::new(Reason::DeadlineExceeded)))
    })
}

/// Checks that a request does not say that its messages are compressed.
fn check_encoding(headers: &HeaderMap) -> Result<()> {
    match headers.get(&GRPC_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Error::new(Reason::CompressionUnsupported)),
        Some(_) | None => Ok(()),
    }
}

/// An answer that says no more than why there is none.
fn refusal(error: &Error, id: Uid) -> Response<Outgoing> {
    let mut answer: Response<Outgoing> = status_of(error, id).into_http();
    answer.body_mut().is_in_turn = is_refusal(error);
    answer
}

/// The full name of the method that is called; empty if the target is not just that.
fn method<B>(request: &Request<B>) -> &str {
    let uri = request.uri();
    match uri.query() {
        Some(_) => "",
        None => uri.path().strip_prefix('/').unwrap_or_default(),
    }
}

/// Whether a request says that it speaks gRPC.
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}
