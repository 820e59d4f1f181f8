//! One request, read to its end.

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;

/// One request that arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Verb.
    pub method: String,
    /// Host the request was for.
    pub host: String,
    /// Target as sent, nothing decoded; empty for `CONNECT`.
    pub path_and_query: String,
    /// Whether a bearer came with it.
    pub has_bearer: bool,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) host: String,
    /// Path and query as sent.
    pub(crate) target: Uri,
    pub(crate) bearer: Option<String>,
    pub(crate) client_request_id: Option<String>,
    pub(crate) body: Bytes,
}

impl Call {
    /// None if the client hangs up in the middle.
    pub(crate) async fn read(host: String, request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let header = |name: &str| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let bearer = header(AUTHORIZATION.as_str())
            .and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
        Some(Self {
            host,
            bearer,
            client_request_id: header("x-ms-client-request-id"),
            body: to_bytes(body, usize::MAX).await.ok()?,
            method: parts.method,
            target: parts.uri,
        })
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen {
            method: self.method.to_string(),
            host: self.host.clone(),
            path_and_query: self.target.to_string(),
            has_bearer: self.bearer.is_some(),
        }
    }

    /// The parts of the path, decoded; the last is empty after a trailing slash.
    pub(crate) fn segments(&self) -> Vec<String> {
        let segments = self.target.path().split('/').skip(1);
        let decoded = |segment| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        segments.map(decoded).collect()
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let mut parameters = form_urlencoded::parse(self.target.query()?.as_bytes());
        let (_, value) = parameters.find(|(key, _)| key == name)?;
        Some(value.into_owned())
    }

    /// The name of the secret in the path, if there is one.
    pub(crate) fn secret(&self) -> String {
        self.segments().get(1).cloned().unwrap_or_default()
    }
}
