//! The wire, in both directions: where requests may go, and how long an answer may be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, RawResponse, Request, Url};
use claviger_backend::count_request;
use claviger_core::{Error, Reason, Result};
use futures_util::TryStreamExt as _;
use reqwest::redirect::Policy;

use crate::login::LoginFailure;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest answer of a vault, in bytes: a page of 25 secrets with all their tags is shorter.
const VAULT_LEN_MAX: usize = 1024 * 1024;

/// Longest answer to a request for a token.
const LOGIN_LEN_MAX: usize = 64 * 1024;

/// Connections that follow no redirect. Those to the machine's own identity service know no proxy.
pub(crate) fn connections(timeout: Duration, is_local: bool) -> Result<Arc<dyn HttpClient>> {
    let builder = reqwest::Client::builder()
        .connect_timeout(timeout.min(CONNECT_MAX))
        .redirect(Policy::none());
    let builder = match is_local {
        true => builder.no_proxy(),
        false => builder,
    };
    Ok(Arc::new(builder.build().map_err(|error| {
        Error::new(Reason::Internal).caused_by(error)
    })?))
}

/// An answer that has come in whole; one that is longer is left where it is.
async fn whole(response: AsyncRawResponse, len_max: usize) -> azure_core::Result<RawResponse> {
    let (status, headers, mut body) = response.deconstruct();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.try_next().await? {
        if bytes.len() + chunk.len() > len_max {
            return Err(azure_core::Error::with_message(
                ErrorKind::Other,
                "the answer is too long",
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(RawResponse::from_bytes(status, headers, bytes))
}

/// Lets requests go to the vault only.
///
/// SECURITY: the SDK follows a page's link to whatever host it names, with the token.
pub(crate) struct OwnOrigin {
    pub(crate) inner: Arc<dyn HttpClient>,
    pub(crate) url: Url,
}

#[async_trait]
impl HttpClient for OwnOrigin {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        if request.url().origin() != self.url.origin() {
            return Err(azure_core::Error::with_message(
                ErrorKind::Other,
                "the vault's answer leads to another host",
            ));
        }
        count_request();
        let response = self.inner.execute_request(request).await?;
        let answer = whole(response, VAULT_LEN_MAX).await?;
        let (status, headers, body) = answer.deconstruct();
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

impl fmt::Debug for OwnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnOrigin").finish_non_exhaustive()
    }
}

/// Reads the answers of Entra: the SDK loses the code of a refusal whose text has an escape.
pub(crate) struct Login(pub(crate) Arc<dyn HttpClient>);

#[async_trait]
impl HttpClient for Login {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answered = async {
            let response = self.0.execute_request(request).await?;
            whole(response, LOGIN_LEN_MAX).await
        };
        let answer = answered.await.map_err(LoginFailure::unreachable)?;
        LoginFailure::check(&answer)?;
        let (status, headers, body) = answer.deconstruct();
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}
