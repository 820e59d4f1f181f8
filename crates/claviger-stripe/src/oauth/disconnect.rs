//! The end of an install, at Stripe's side.

use std::fmt;

use claviger_core::{Public, SecretBytes};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;

use super::client::{FORM, OauthClient, authenticated, form};
use super::server::Flavor;
use crate::http;
use crate::settings::is_word;

/// The version that the installs of apps are documented for.
const VERSION: &str = "2026-09-30.endive";

/// What to end.
#[derive(Clone, Copy, Debug)]
pub enum Disconnect<'a> {
    /// An app in an account: it is uninstalled.
    Apps {
        /// `app_…`
        app: &'a str,
        /// `acct_…`
        account: &'a str,
    },
    /// A platform's access to an account: it is deauthorized.
    Connect {
        /// `ca_…`
        client_id: &'a str,
        /// `acct_…`
        account: &'a str,
    },
}

/// Why an install has not been ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisconnectFailure {
    /// Stripe does not take the client secret, or it may not do this.
    ClientRejected,
    /// There is no host to ask.
    NotConfigured,
    /// Stripe knows no such install.
    NotFound,
    /// Too many calls for Stripe.
    Overloaded,
    /// An answer that says nothing about the install.
    Unexpected,
    /// No answer in time; the install may have ended.
    Unreachable,
}

impl DisconnectFailure {
    /// Its meaning and the remedy.
    pub fn text(self) -> &'static str {
        match self {
            Self::ClientRejected => {
                "Stripe does not take the client secret for this; put the secret key (sk_) of the \
                 account that owns the app or platform"
            }
            Self::NotConfigured => NO_CONNECT,
            Self::NotFound => {
                "Stripe knows no such install; it has ended already, or client secret, app and \
                 account do not belong together"
            }
            Self::Overloaded => "too many calls at a time for Stripe; try again in a minute",
            Self::Unexpected => {
                "Stripe's address answers, but not as Stripe does; end the install in the \
                 dashboard of the account: Settings → Installed apps"
            }
            Self::Unreachable => "Stripe did not answer in time; try again",
        }
    }
}

/// Why nothing of CONNECT can be done.
pub(super) const NO_CONNECT: &str = "CONNECT needs a host that the daemon may not ask; add \
                                     connect.stripe.com to stripe.hosts of its configuration";

impl fmt::Display for DisconnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Public for DisconnectFailure {}

impl OauthClient {
    /// Ends an install at Stripe. An app is gone some seconds after.
    ///
    /// # Errors
    /// Why it has not ended.
    pub async fn disconnect(
        &self,
        what: &Disconnect<'_>,
        client_secret: &SecretBytes,
    ) -> Result<(), DisconnectFailure> {
        match *what {
            Disconnect::Apps { app, account } => self.uninstall(app, account, client_secret).await,
            Disconnect::Connect { client_id, account } => {
                self.deauthorize(client_id, account, client_secret).await
            }
        }
    }

    async fn uninstall(
        &self,
        app: &str,
        account: &str,
        client_secret: &SecretBytes,
    ) -> Result<(), DisconnectFailure> {
        let authorization = http::bearer(client_secret).ok_or(DisconnectFailure::ClientRejected)?;
        let client = self.http(Flavor::Apps)?;
        let with_headers = |call: RequestBuilder| {
            call.header(AUTHORIZATION, &authorization)
                .header("Stripe-Version", VERSION)
        };
        let mut list = self.api.base.at("/v1/apps/installs");
        list.query_pairs_mut()
            .extend_pairs([("app", app), ("account", account)]);
        let body = settled(with_headers(client.get(list))).await?;
        let installs: Installs =
            serde_json::from_slice(body.expose()).map_err(|_| DisconnectFailure::Unexpected)?;
        if installs.data.is_empty() {
            return Err(DisconnectFailure::NotFound);
        }
        for Install { id } in installs.data {
            // SECURITY: it becomes a part of the path.
            if !is_word(&id) {
                return Err(DisconnectFailure::Unexpected);
            }
            let url = self
                .api
                .base
                .at(&format!("/v1/apps/installs/{id}/uninstall"));
            let call = with_headers(client.post(url)).header("Stripe-Account", account);
            settled(call).await?;
        }
        Ok(())
    }

    async fn deauthorize(
        &self,
        client_id: &str,
        account: &str,
        client_secret: &SecretBytes,
    ) -> Result<(), DisconnectFailure> {
        let base = self.base(Flavor::Connect);
        let base = base.ok_or(DisconnectFailure::NotConfigured)?;
        let call = self
            .http(Flavor::Connect)?
            .post(base.at("/oauth/deauthorize"));
        let call = authenticated(call, client_secret).ok_or(DisconnectFailure::ClientRejected)?;
        let fields = form([
            ("client_id", client_id.as_bytes()),
            ("stripe_user_id", account.as_bytes()),
        ]);
        settled(call.header(CONTENT_TYPE, FORM).body(fields)).await?;
        Ok(())
    }

    fn http(&self, flavor: Flavor) -> Result<reqwest::Client, DisconnectFailure> {
        let base = self.base(flavor).ok_or(DisconnectFailure::NotConfigured)?;
        http::client(base, self.timeout()).map_err(|_| DisconnectFailure::Unreachable)
    }
}

#[derive(Deserialize)]
struct Installs {
    data: Vec<Install>,
}

#[derive(Deserialize)]
struct Install {
    id: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The body of an answer that says yes.
async fn settled(call: RequestBuilder) -> Result<SecretBytes, DisconnectFailure> {
    // SECURITY: no error is kept, because the call may be in it.
    let response = call.send().await;
    let response = response.map_err(|_| DisconnectFailure::Unreachable)?;
    let status = response.status();
    let body = http::body(response).await;
    let body = body.map_err(|_| DisconnectFailure::Unreachable)?;
    let body = body.ok_or(DisconnectFailure::Unexpected)?;
    // Connect's word for an account that is not connected, too.
    let is_invalid_client = || {
        let refusal: Result<Refusal, _> = serde_json::from_slice(body.expose());
        refusal.is_ok_and(|refusal| refusal.error == "invalid_client")
    };
    Err(match status {
        StatusCode::OK => return Ok(body),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED if is_invalid_client() => {
            DisconnectFailure::NotFound
        }
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => DisconnectFailure::ClientRejected,
        StatusCode::NOT_FOUND => DisconnectFailure::NotFound,
        StatusCode::TOO_MANY_REQUESTS => DisconnectFailure::Overloaded,
        _ if status.is_server_error() => DisconnectFailure::Unreachable,
        _ => DisconnectFailure::Unexpected,
    })
}
