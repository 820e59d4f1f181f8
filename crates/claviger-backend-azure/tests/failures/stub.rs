//! A transport that plays Azure without a socket, so that time can stand still, and counts its
//! requests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{AUTHORIZATION, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, StatusCode};
use azure_core::{Error, Result};
use claviger_stub::next_reply;
use tempfile::NamedTempFile;

/// The request for a token.
pub(crate) const LOGIN: &str = "POST /3f2504e0-4f89-11d3-9a0c-0305e82c3301/oauth2/v2.0/token";

/// One way to treat a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with this status, further headers and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Never answers.
    Hang,
    /// Takes the request; the answer gets lost.
    Lost,
    /// Cannot be reached.
    NotSent,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Answer(status, Vec::new(), body.into())
    }

    /// An error as Key Vault words it.
    pub(crate) fn error(status: u16, code: &str, inner: &str) -> Self {
        let inner = match inner {
            "" => String::new(),
            inner => format!(r#","innererror":{{"code":"{inner}"}}"#),
        };
        Self::json(
            status,
            format!(
                r#"{{"error":{{"code":"{code}","message":"upstream text\r\nCaller: appid=x"{inner}}}}}"#
            ),
        )
    }

    pub(crate) fn absent() -> Self {
        Self::error(404, "SecretNotFound", "")
    }

    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.to_owned()));
                Self::Answer(status, headers, body)
            }
            other @ (Self::Hang | Self::Lost | Self::NotSent) => other,
        }
    }
}

/// Replies by method and path.
pub(crate) type Script = claviger_stub::Script<Reply>;

#[derive(Default)]
struct State {
    script: Script,
    asked: Vec<String>,
    bodies: Vec<String>,
}

pub(crate) struct Stub {
    state: Mutex<State>,
    /// Its clients log in with this.
    pub(crate) secret_file: NamedTempFile,
}

impl Stub {
    pub(crate) fn new(script: Script) -> Arc<Self> {
        let secret_file = NamedTempFile::new().expect("a file");
        std::fs::write(secret_file.path(), "canary-client-secret\n").expect("written");
        let state = State {
            script,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            secret_file,
        })
    }

    /// Goes on with another script.
    pub(crate) fn play(&self, script: Script) {
        self.state().script = script;
    }

    /// How often this was asked for with a token; `""` is everything, logins and challenges too.
    pub(crate) fn count(&self, wanted: &str) -> usize {
        let state = self.state();
        let asked = state.asked.iter();
        asked
            .filter(|one| wanted.is_empty() || *one == wanted)
            .count()
    }

    /// The last body that was sent.
    pub(crate) fn body(&self) -> String {
        self.state().bodies.last().cloned().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, request: &Request) -> Reply {
        let url = request.url();
        let operation = format!("{} {}", request.method(), url.path());
        let is_login = url.host_str() != Some("acme.vault.azure.net");
        let has_token = request.headers().get_optional_str(&AUTHORIZATION).is_some();
        let mut state = self.state();
        if !is_login && !has_token {
            state.asked.push("challenge".to_owned());
            let challenge = r#"Bearer authorization="https://login.windows.net/t", resource="https://vault.azure.net""#;
            let body = r#"{"error":{"code":"Unauthorized","message":"AKV10000"}}"#;
            return Reply::json(401, body).header("www-authenticate", challenge);
        }
        state.asked.push(operation.clone());
        if let Body::Bytes(body) = request.body() {
            let body = String::from_utf8_lossy(body).into_owned();
            state
                .bodies
                .extend(Some(body).filter(|body| !body.is_empty()));
        }
        match next_reply(&mut state.script, &operation) {
            Some(reply) => reply,
            None if is_login => Reply::json(
                200,
                r#"{"token_type":"Bearer","expires_in":86399,"access_token":"token"}"#,
            ),
            None => panic!("{operation} is not in the script"),
        }
    }
}

#[async_trait]
impl HttpClient for Stub {
    async fn execute_request(&self, request: &Request) -> Result<AsyncRawResponse> {
        match self.reply(request) {
            Reply::Answer(status, given, body) => {
                let mut headers = Headers::new();
                for (name, value) in given {
                    headers.insert(name, value);
                }
                Ok(AsyncRawResponse::from_bytes(
                    StatusCode::from(status),
                    headers,
                    body,
                ))
            }
            Reply::Hang => std::future::pending().await,
            Reply::Lost => Err(Error::with_message(ErrorKind::Io, "connection reset")),
            Reply::NotSent => Err(Error::with_message(ErrorKind::Connection, "refused")),
        }
    }
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stub")
    }
}
