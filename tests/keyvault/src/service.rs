//! The data plane: from a request to a vault to its answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use crate::answers::{self, Outcome, Problem, Recorded, TokenFault};
use crate::behaviour::Behaviour;
use crate::call::Call;
use crate::shared::{Hold, Shared};

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

/// The answer of a host that is none of ours: enough for a client to believe that all is well.
const EMPTY_PAGE: &str = r#"{"value":[],"nextLink":null}"#;

/// Serves one host. The service checks name, version and method in an order of its own, so nothing
/// is routed here.
pub(crate) fn router(shared: Arc<Shared>, host: String) -> Router {
    Router::new().fallback(answer).with_state((shared, host))
}

async fn answer(State((shared, host)): State<(Arc<Shared>, String)>, request: Request) -> Response {
    let Some(call) = Call::read(host, request).await else {
        return cut();
    };
    let (behaviour, hold) = {
        let mut state = shared.state();
        let Some(vault) = state.vault(&call.host) else {
            state.others.push(call.seen());
            return ([JSON], Body::from(EMPTY_PAGE)).into_response();
        };
        vault.seen.push(call.seen());
        if let Err(problem) = admit(&mut state.tokens, &call) {
            return refusal(&shared, &call, &problem, None);
        }
        let behaviour = state.behaviour(&call);
        let holds = behaviour.as_ref().is_some_and(Behaviour::holds);
        (behaviour, holds.then(|| shared.hold(&state)))
    };
    behave(&shared, &call, behaviour, hold).await
}

async fn behave(
    shared: &Shared,
    call: &Call,
    behaviour: Option<Behaviour>,
    hold: Option<Hold>,
) -> Response {
    match behaviour {
        None => execute(shared, call),
        Some(Behaviour::CutAfterExecuting) => {
            execute(shared, call);
            cut()
        }
        Some(Behaviour::Garbage200) => ([JSON], Body::from("<html>no JSON</html>")).into_response(),
        Some(Behaviour::HalfBody) => {
            halved(execute(shared, call), async {
                // hyper writes out its buffer while a body is not ready.
                tokio::task::yield_now().await;
                Err(Cut)
            })
            .await
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
            halved(execute(shared, call), async move {
                hold.await;
                Ok(())
            })
            .await
        }
        Some(Behaviour::Status {
            status,
            headers,
            body,
        }) => response(status, headers, body),
    }
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

fn execute(shared: &Shared, call: &Call) -> Response {
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

fn answered(shared: &Shared, call: &Call, outcome: Outcome) -> Response {
    match outcome {
        Ok(body) if body.is_empty() => response(204, answers::headers(call), body),
        Ok(body) => ([JSON], response(200, answers::headers(call), body)).into_response(),
        Err(problem) => refusal(shared, call, &problem, None),
    }
}

fn refusal(
    shared: &Shared,
    call: &Call,
    problem: &Problem,
    recorded: Option<Recorded>,
) -> Response {
    let mut headers = answers::headers(call);
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
    ([JSON], response(problem.status, headers, problem.body())).into_response()
}

fn response(status: u16, headers: Vec<(String, String)>, body: impl Into<Body>) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, AppendHeaders(headers), body.into()).into_response()
}

/// Closes the connection without an answer: an answer is written out only when its body has begun.
fn cut() -> Response {
    Body::from_stream(stream::once(async { Err::<Bytes, _>(Cut) })).into_response()
}

/// Sends one half of the body, and the other if and when the pause ends well.
async fn halved(
    response: Response,
    pause: impl Future<Output = Result<(), Cut>> + Send + 'static,
) -> Response {
    let (mut parts, body) = response.into_parts();
    let mut first = to_bytes(body, usize::MAX).await.expect("our own");
    parts.headers.insert(CONTENT_LENGTH, first.len().into());
    let second = first.split_off(first.len() / 2);
    let halves = stream::once(async { Ok(first) })
        .chain(stream::once(async { pause.await.map(|()| second) }));
    Response::from_parts(parts, Body::from_stream(halves))
}

/// The connection is to be closed in the middle.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl Error for Cut {}
