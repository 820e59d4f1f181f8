//! From an HTTP request to its answer, for every host that the proxy ends TLS for.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use serde_json::Value;

use crate::answers::{self, Problem, Recorded, TokenFault};
use crate::behaviour::Behaviour;
use crate::login;
use crate::shared::{Hold, Seen, Shared};
use crate::vault::Outcome;

const JSON: &str = "application/json; charset=utf-8";

/// A request, read to its end.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) host: String,
    /// Path and query as sent.
    pub(crate) target: String,
    pub(crate) bearer: Option<String>,
    pub(crate) client_request_id: Option<String>,
    pub(crate) body: Bytes,
}

impl Call {
    async fn read(host: &str, request: Request<Incoming>) -> Result<Self, Cut> {
        let (parts, body) = request.into_parts();
        let header = |name: &HeaderName| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let id = HeaderName::from_static("x-ms-client-request-id");
        let bearer = header(&AUTHORIZATION)
            .and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
        Ok(Self {
            method: parts.method.to_string(),
            host: host.to_owned(),
            target: parts.uri.to_string(),
            bearer,
            client_request_id: header(&id),
            body: body.collect().await.map_err(|_| Cut)?.to_bytes(),
        })
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen {
            method: self.method.clone(),
            host: self.host.clone(),
            path_and_query: self.target.clone(),
            has_bearer: self.bearer.is_some(),
        }
    }

    /// The parts of the path, decoded; the last is empty after a trailing slash.
    pub(crate) fn segments(&self) -> Vec<String> {
        let path = self.target.split('?').next().unwrap_or_default();
        path.split('/').skip(1).map(decoded).collect()
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        field(self.target.split_once('?')?.1, name)
    }

    /// The name of the secret in the path, if there is one.
    pub(crate) fn secret(&self) -> String {
        self.segments().get(1).cloned().unwrap_or_default()
    }
}

/// A field of a query or form, decoded.
pub(crate) fn field(form: &str, name: &str) -> Option<String> {
    form.split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| decoded(key) == name)
        .map(|(_, value)| decoded(&value.replace('+', "%20")))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = hex
            .and_then(|hex| str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers one request to `host`, or cuts the connection.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    host: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let call = Call::read(host, request).await?;
    if host == login::HOST {
        return Ok(login::answer(shared, &call).await);
    }
    let (behaviour, hold) = {
        let mut state = shared.state();
        let Some(vault) = state.vault(host) else {
            state.others.push(call.seen());
            return Ok(response(200, [(CONTENT_TYPE.as_str(), JSON)], EMPTY_PAGE));
        };
        vault.seen.push(call.seen());
        if let Err(problem) = admit(&mut state.tokens, &call) {
            return Ok(refusal(shared, &call, &problem, None));
        }
        let behaviour = state.behaviour(&call);
        let holds = behaviour.as_ref().is_some_and(Behaviour::holds);
        (behaviour, holds.then(|| shared.hold(&state)))
    };
    behave(shared, &call, behaviour, hold).await
}

/// What a host that is none of ours answers: enough for a client to believe that all is well.
const EMPTY_PAGE: &str = r#"{"value":[],"nextLink":null}"#;

async fn behave(
    shared: &Shared,
    call: &Call,
    behaviour: Option<Behaviour>,
    hold: Option<Hold>,
) -> Result<Response<Body>, Cut> {
    Ok(match behaviour {
        None => execute(shared, call),
        Some(Behaviour::CutAfterExecuting) => {
            execute(shared, call);
            return Err(Cut);
        }
        Some(Behaviour::Garbage200) => {
            response(200, [(CONTENT_TYPE.as_str(), JSON)], "<html>no JSON</html>")
        }
        Some(Behaviour::HalfBody) => {
            execute(shared, call).map(|body| body.with_rest(Rest::Cut { flushed: false }))
        }
        Some(Behaviour::Hang) => {
            hold.expect("made with the behaviour").await;
            execute(shared, call)
        }
        Some(Behaviour::NextLink(link)) => {
            answered(shared, call, execute_and_link(shared, call, link))
        }
        Some(Behaviour::Recorded(recorded)) => {
            refusal(shared, call, &recorded.problem(call), Some(recorded))
        }
        Some(Behaviour::Slow) => {
            let hold = hold.expect("made with the behaviour");
            execute(shared, call).map(|body| body.with_rest(Rest::Held(hold)))
        }
        Some(Behaviour::Status {
            status,
            headers,
            body,
        }) => response(status, headers, body),
    })
}

/// Checks the token before everything else, as the service does.
fn admit(tokens: &mut BTreeMap<String, bool>, call: &Call) -> Result<(), Problem> {
    let Some(bearer) = &call.bearer else {
        let message = "AKV10000: Request is missing a Bearer or PoP token.";
        return Err(Problem::unauthorized(message));
    };
    let Some(refused) = tokens.get_mut(bearer) else {
        return Err(TokenFault::SigningKey.problem());
    };
    if std::mem::take(refused) {
        return Err(TokenFault::Expired.problem());
    }
    Ok(())
}

fn execute(shared: &Shared, call: &Call) -> Response<Body> {
    let outcome = shared.state().execute(call);
    answered(shared, call, outcome)
}

fn execute_and_link(shared: &Shared, call: &Call, link: String) -> Outcome {
    let body = shared.state().execute(call)?;
    let mut body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    if let Some(next_link) = body.get_mut("nextLink") {
        *next_link = link.into();
    }
    Ok(body.to_string().into())
}

fn answered(shared: &Shared, call: &Call, outcome: Outcome) -> Response<Body> {
    match outcome {
        Ok(body) if body.is_empty() => response(204, answers::headers(call), body),
        Ok(body) => {
            let mut headers = answers::headers(call);
            headers.push((CONTENT_TYPE.to_string(), JSON.to_owned()));
            response(200, headers, body)
        }
        Err(problem) => refusal(shared, call, &problem, None),
    }
}

fn refusal(
    shared: &Shared,
    call: &Call,
    problem: &Problem,
    recorded: Option<Recorded>,
) -> Response<Body> {
    let mut headers = answers::headers(call);
    headers.push((CONTENT_TYPE.to_string(), JSON.to_owned()));
    // Recorded for a missing token; whether it comes with a bad one is not.
    if problem.status == 401 {
        let challenge = format!(
            r#"Bearer authorization="https://login.windows.net/{}", resource="https://vault.azure.net""#,
            shared.tenant
        );
        headers.push((WWW_AUTHENTICATE.to_string(), challenge));
    }
    if let Some(seconds) = recorded.and_then(Recorded::retry_after) {
        headers.push((RETRY_AFTER.to_string(), seconds.to_string()));
    }
    response(problem.status, headers, problem.body())
}

pub(crate) fn response<H: Into<String>>(
    status: u16,
    headers: impl IntoIterator<Item = (H, H)>,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let body = body.into();
    let mut builder = Response::builder().status(StatusCode::from_u16(status).expect("a status"));
    for (name, value) in headers {
        builder = builder.header(name.into(), value.into());
    }
    if status != 204 {
        builder = builder.header(CONTENT_LENGTH, body.len());
    }
    builder.body(Body::whole(body)).expect("valid headers")
}

/// The body of an answer, sent whole or not.
pub(crate) struct Body {
    first: Option<Bytes>,
    second: Option<Bytes>,
    rest: Rest,
}

/// What happens between the two halves.
enum Rest {
    /// There is one half only.
    None,
    /// The connection is cut.
    Cut {
        /// Whether the first half had its chance to be written.
        flushed: bool,
    },
    /// The second half waits.
    Held(Hold),
}

impl Body {
    pub(crate) fn whole(body: Bytes) -> Self {
        Self {
            first: Some(body),
            second: None,
            rest: Rest::None,
        }
    }

    fn with_rest(self, rest: Rest) -> Self {
        let mut first = self.first.unwrap_or_default();
        let second = first.split_off(first.len() / 2);
        Self {
            first: Some(first),
            second: Some(second),
            rest,
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.rest {
            Rest::None => return Poll::Ready(None),
            Rest::Cut { flushed: true } => return Poll::Ready(Some(Err(Cut))),
            // hyper writes out what it has when a body is not ready.
            Rest::Cut { flushed } => {
                *flushed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Rest::Held(hold) => ready!(hold.as_mut().poll(cx)),
        }
        self.rest = Rest::None;
        Poll::Ready(self.second.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::None) && self.first.as_ref().is_none_or(Bytes::is_empty)
    }
}

/// The connection is to be closed in the middle.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl Error for Cut {}
