//! The calls about tokens.

use std::sync::Arc;
use std::time::Duration;

use claviger_core::{Clock, SecretBytes};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};

use super::answer::{self, GrantFailure, Tokens};
use super::server::{Flavor, Reuse};
use crate::live::{self, BaseUrl, LiveClient, LiveSettings, Outcome};
use crate::{Settings, http};

/// Who answers with a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountAnswer {
    /// Its meaning: a token that is over is [`Outcome::Revoked`] or [`Outcome::Expired`].
    pub outcome: Outcome,
    /// With [`Outcome::Works`]: the account, `acct_…`.
    pub account: Option<String>,
}

/// The way to the token endpoints.
#[derive(Debug)]
pub struct OauthClient {
    pub(super) api: LiveClient,
    connect: Option<BaseUrl>,
    reuse: Reuse,
    refresh_before: Duration,
}

impl OauthClient {
    /// Asks nobody yet. Questions about accounts are not counted: whoever asks them bounds them.
    pub fn new(settings: &LiveSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            api: LiveClient::new(settings.base_url.clone(), settings.timeout, u32::MAX, clock),
            connect: settings.connect_url.clone(),
            reuse: settings.refresh_token_reuse,
            refresh_before: settings.oauth_refresh_before,
        }
    }

    /// Whether the server bears a spent refresh token.
    pub fn reuse(&self) -> Reuse {
        self.reuse
    }

    /// The longest that a call takes.
    pub fn timeout(&self) -> Duration {
        self.api.timeout
    }

    /// How long before its end a token of this life is refreshed.
    pub fn refresh_before(&self, life: Duration) -> Duration {
        self.refresh_before.min(life / 2)
    }

    /// Whether there is a host to ask for this flavor.
    pub fn serves(&self, flavor: Flavor) -> bool {
        self.base(flavor).is_some()
    }

    /// Asks for new tokens, once. From the moment of the call until its end nobody knows which
    /// refresh token is the right one, so it must run to its end.
    ///
    /// # Errors
    /// What is known about the refresh token after it.
    pub async fn refresh(
        &self,
        flavor: Flavor,
        client_secret: &SecretBytes,
        refresh_token: &SecretBytes,
    ) -> Result<Tokens, GrantFailure> {
        let token = ("refresh_token", refresh_token);
        self.tokens(flavor, client_secret, "refresh_token", token)
            .await
    }

    /// Exchanges an authorization code, once. It must never be sent again: with Connect a second time
    /// revokes the connection.
    ///
    /// # Errors
    /// What is known about the code after it.
    pub async fn exchange(
        &self,
        flavor: Flavor,
        client_secret: &SecretBytes,
        code: &SecretBytes,
    ) -> Result<Tokens, GrantFailure> {
        let code = ("code", code);
        self.tokens(flavor, client_secret, "authorization_code", code)
            .await
    }

    async fn tokens(
        &self,
        flavor: Flavor,
        client_secret: &SecretBytes,
        grant_type: &str,
        (name, grant): (&str, &SecretBytes),
    ) -> Result<Tokens, GrantFailure> {
        let base = self.base(flavor).ok_or(GrantFailure::NotSent)?;
        let path = match flavor {
            Flavor::Apps => "/v1/oauth/token",
            Flavor::Connect => "/oauth/token",
        };
        let client = http::client(base, self.timeout()).map_err(|_| GrantFailure::NotSent)?;
        let call = form([
            ("grant_type", grant_type.as_bytes()),
            (name, grant.expose()),
        ]);
        let call = authenticated(client.post(base.at(path)), client_secret)
            .ok_or(GrantFailure::ClientRejected)?
            .header(CONTENT_TYPE, FORM)
            .body(call);
        // SECURITY: no error is kept, because the call may be in it.
        let response = call
            .send()
            .await
            .map_err(|error| match error.is_connect() {
                true => GrantFailure::NotSent,
                false => GrantFailure::Lost,
            })?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = retry_after(response.headers());
            return Err(GrantFailure::Limited { retry_after });
        }
        let Ok(Some(body)) = http::body(response).await else {
            return Err(GrantFailure::Lost);
        };
        match status {
            StatusCode::OK => Tokens::read(&body).ok_or(GrantFailure::Lost),
            _ => Err(answer::refused(status, &body)),
        }
    }

    /// Asks which account a token is for. Never refreshes.
    pub async fn account(&self, token: &SecretBytes, settings: &Settings) -> AccountAnswer {
        let (outcome, account) = match self.api.ask("/v1/account", token, settings).await {
            Ok((StatusCode::OK, body)) => match answer::account(&body) {
                Some(account) => (Outcome::Works, Some(account)),
                None => (Outcome::Unexpected, None),
            },
            Ok((status, body)) => (live::refused(status, &body).outcome, None),
            Err(outcome) => (outcome, None),
        };
        AccountAnswer { outcome, account }
    }

    pub(super) fn base(&self, flavor: Flavor) -> Option<&BaseUrl> {
        match flavor {
            Flavor::Apps => Some(&self.api.base),
            Flavor::Connect => self.connect.as_ref(),
        }
    }
}

/// How a form says that it is one.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn form<const N: usize>(fields: [(&str, &[u8]); N]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        form.extend([name, "="]);
        form.extend(form_urlencoded::byte_serialize(value));
    }
    form
}

/// With the client's secret as the name of the user, and no password; none for a secret that is not
/// even text.
pub(super) fn authenticated(
    call: RequestBuilder,
    client_secret: &SecretBytes,
) -> Option<RequestBuilder> {
    let name = str::from_utf8(client_secret.expose()).ok()?;
    Some(call.basic_auth(name, None::<&str>))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}
