use std::sync::Arc;
use std::time::Duration;

use claviger_core::{SecretBytes, SystemClock};
use claviger_stripe::live::{BaseUrl, LiveSettings};
use claviger_stripe::oauth::{GrantFailure, OauthClient, Tokens};

use super::wanted::Wanted;
use crate::stop::Stop;

/// How long Stripe may take. An answer that is given up costs the walk.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What Stripe granted.
pub(super) struct Granted {
    pub(super) refresh_token: String,
    /// Empty if Stripe did not say.
    pub(super) account: String,
}

/// The way to Stripe, or to a stand-in for it.
pub(super) fn client(stand_in: Option<&BaseUrl>) -> Result<OauthClient, Stop> {
    let at = |url: &'static str, host| {
        BaseUrl::parse(url, &[host]).map_err(|problem| Stop::failed(format!("{url} {problem}")))
    };
    let (api, connect) = match stand_in {
        Some(stand_in) => (stand_in.clone(), stand_in.clone()),
        None => (
            at(BaseUrl::DEFAULT, BaseUrl::DEFAULT_HOST)?,
            at(BaseUrl::CONNECT, BaseUrl::CONNECT_HOST)?,
        ),
    };
    let settings = LiveSettings {
        timeout: TIMEOUT,
        ..LiveSettings::at(api, Some(connect))
    };
    Ok(OauthClient::new(&settings, Arc::new(SystemClock)))
}

/// Exchanges the code, once, and sees that the answer is what was asked for.
pub(super) async fn exchange(
    stripe: &OauthClient,
    wanted: &Wanted,
    client_secret: &SecretBytes,
    code: &SecretBytes,
) -> Result<Granted, Stop> {
    let flavor = wanted.stripe_flavor();
    let exchanged = stripe.exchange(flavor, client_secret, code).await;
    granted(
        wanted,
        exchanged.map_err(|failure| Stop::failed(text(failure)))?,
    )
}

fn granted(wanted: &Wanted, tokens: Tokens) -> Result<Granted, Stop> {
    let flavor = wanted.stripe_flavor();
    if let Some(other) = tokens.flavor.filter(|other| *other != flavor) {
        return Err(refused(&format!(
            "Stripe's answer is of {other}, and {flavor} was asked for; start again with the other \
            --flavor"
        )));
    }
    let mode = wanted.stripe_mode();
    if let Some(other) = tokens
        .mode
        .filter(|other| mode.is_some_and(|mode| mode != *other))
    {
        return Err(refused(&format!(
            "the connection is for mode {}, and the other one was asked for; start again with the \
            client ID of that mode",
            other.as_str()
        )));
    }
    let account = tokens.account.unwrap_or_default();
    if !wanted.account.is_empty() && account != wanted.account {
        let other = match account.as_str() {
            "" => "an account that Stripe does not name",
            account => account,
        };
        return Err(refused(&format!(
            "the connection is to {other}, and it had to be to {}; start again in a browser that is \
            signed in there, or with --account if the other one is right. Other profiles that this \
            app connects to {other} have to be connected again",
            wanted.account
        )));
    }
    let refresh_token = tokens.refresh_token.map(SecretBytes::into_exposed);
    let refresh_token = refresh_token.and_then(|token| String::from_utf8(token).ok());
    let refresh_token = refresh_token.ok_or_else(|| {
        refused(
            "Stripe's answer has no refresh token; see that the app or platform uses OAuth, and \
            start again",
        )
    })?;
    Ok(Granted {
        refresh_token,
        account,
    })
}

fn refused(cause: &str) -> Stop {
    Stop::failed(format!("nothing was stored: {cause}"))
}

fn text(failure: GrantFailure) -> &'static str {
    match failure {
        GrantFailure::NotSent => {
            "nothing was stored: Stripe cannot be reached from this host; see its way to \
            api.stripe.com and connect.stripe.com, and start again"
        }
        GrantFailure::Limited { .. } => {
            "nothing was stored: too many calls at a time for Stripe; start again in a minute"
        }
        GrantFailure::Lost => {
            "nothing was stored: Stripe's answer to the exchange was lost, and with it the code; \
            start again"
        }
        GrantFailure::InvalidGrant => {
            "nothing was stored: Stripe does not take the code: it is used, older than five \
            minutes, or of another app or mode than the client secret; start again"
        }
        GrantFailure::ClientRejected => {
            "nothing was stored: Stripe does not take the client secret; start again with the \
            secret key (sk_) of the account that owns the app or platform: Developers → API keys → \
            Secret key"
        }
        GrantFailure::Refused => {
            "nothing was stored: Stripe does not take the exchange; see that --flavor is that of \
            the app or platform, and start again"
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::environment::StripeMode;
    use claviger_stripe::Mode;
    use claviger_stripe::oauth::Flavor;

    use super::*;

    #[test]
    fn an_answer_that_is_not_what_was_asked_for_is_refused() {
        let wanted = Wanted {
            account: "acct_1".to_owned(),
            mode: StripeMode::Test,
            ..Wanted::default()
        };
        let secret = |text: &str| SecretBytes::new(text.into());
        let tokens = |account: Option<&str>, mode, flavor, refresh_token: Option<&str>| Tokens {
            access_token: secret("rk_test_cAnArY"),
            refresh_token: refresh_token.map(secret),
            account: account.map(str::to_owned),
            mode,
            flavor,
            life: None,
        };
        let (right, token) = (Some("acct_1"), Some("rt_cAnArY"));
        let (test, apps) = (Some(Mode::Test), Some(Flavor::Apps));
        for (tokens, part) in [
            (tokens(right, Some(Mode::Live), apps, token), "mode LIVE"),
            (tokens(Some("acct_2"), test, apps, token), "acct_2"),
            (tokens(None, test, apps, token), "does not name"),
            (tokens(right, test, Some(Flavor::Connect), token), "CONNECT"),
            (tokens(right, test, apps, None), "no refresh token"),
        ] {
            let said = granted(&wanted, tokens).err().unwrap().to_string();
            assert!(said.starts_with("nothing was stored: "), "{said}");
            assert!(
                said.contains(part) && said.contains("start again"),
                "{said}"
            );
            assert!(!said.contains("cAnArY"), "{said}");
        }
        for tokens in [
            tokens(right, test, apps, token),
            // What Stripe leaves out is not missing.
            tokens(right, None, None, token),
        ] {
            let granted = granted(&wanted, tokens).ok().unwrap();
            assert_eq!(granted.account, "acct_1");
            assert_eq!(granted.refresh_token, "rt_cAnArY");
        }
    }

    #[test]
    fn each_failure_says_that_nothing_was_stored_and_to_start_again() {
        for failure in [
            GrantFailure::NotSent,
            GrantFailure::Limited { retry_after: None },
            GrantFailure::Lost,
            GrantFailure::InvalidGrant,
            GrantFailure::ClientRejected,
            GrantFailure::Refused,
        ] {
            let said = text(failure);
            assert!(said.starts_with("nothing was stored: "), "{said}");
            assert!(said.contains("start again"), "{said}");
        }
    }
}
