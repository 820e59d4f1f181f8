//! From Stripe's answers to their meaning. Nothing of a text is kept.

use claviger_core::SecretBytes;
use reqwest::StatusCode;
use serde::Deserialize;

use super::outcome::{LiveVerdict, Outcome};
use crate::Mode;

/// The permission for this question, by all names that Stripe has had for it.
const BALANCE_READ: &str = "balance_read";

#[derive(Deserialize)]
struct Balance {
    object: String,
    livemode: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    error: Cause,
}

#[derive(Default, Deserialize)]
struct Cause {
    code: Option<String>,
    message: Option<String>,
}

pub(super) fn taken(body: &SecretBytes, demanded: Option<Mode>) -> LiveVerdict {
    let mode = match serde_json::from_slice(body.expose()) {
        Ok(Balance { object, livemode }) if object == "balance" => {
            livemode.map(|live| if live { Mode::Live } else { Mode::Test })
        }
        Ok(_) | Err(_) => return Outcome::Unexpected.into(),
    };
    match (demanded, mode) {
        (Some(demanded), Some(mode)) if demanded != mode => Outcome::WrongMode.into(),
        (Some(_) | None, mode) => LiveVerdict {
            mode,
            ..Outcome::Works.into()
        },
    }
}

/// The code decides where there is one; several refusals have none, and are told apart by words
/// that Stripe has kept for years.
pub(crate) fn refused(status: StatusCode, body: &SecretBytes) -> LiveVerdict {
    if status.is_server_error() {
        return Outcome::Unreachable.into();
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Outcome::Overloaded.into();
    }
    if !status.is_client_error() {
        return Outcome::Unexpected.into();
    }
    let refusal: Refusal = serde_json::from_slice(body.expose()).unwrap_or_default();
    let message = refusal.error.message.as_deref().unwrap_or_default();
    let outcome = of_code(refusal.error.code.as_deref());
    let outcome = outcome.unwrap_or_else(|| of_message(status, message));
    LiveVerdict {
        missing_permission: (outcome == Outcome::Limited && message.contains(BALANCE_READ))
            .then_some(BALANCE_READ),
        ..outcome.into()
    }
}

fn of_code(code: Option<&str>) -> Option<Outcome> {
    match code? {
        "api_key_expired" => Some(Outcome::Expired),
        "platform_api_key_expired" => Some(Outcome::Revoked),
        "account_invalid" | "no_account" | "platform_account_required" => {
            Some(Outcome::WrongAccount)
        }
        "rate_limit" | "lock_timeout" => Some(Outcome::Overloaded),
        "secret_key_required" => Some(Outcome::NotAServerKey),
        _ => None,
    }
}

fn of_message(status: StatusCode, message: &str) -> Outcome {
    let has = |words: &str| message.contains(words);
    if has("made with a publishable API key") {
        return Outcome::NotAServerKey;
    }
    if has("include the Stripe-Context header") {
        return Outcome::ContextRequired;
    }
    if has("does not allow requests from your IP address") {
        return Outcome::IpNotAllowed;
    }
    if has("does not have access to account") {
        return Outcome::WrongAccount;
    }
    match status {
        // Of something in between, which knows nothing of keys.
        _ if message.is_empty() => Outcome::Unexpected,
        StatusCode::UNAUTHORIZED if has("access may have been revoked") => Outcome::Revoked,
        StatusCode::UNAUTHORIZED if has("Expired API Key") => Outcome::Expired,
        StatusCode::UNAUTHORIZED => Outcome::Revoked,
        StatusCode::FORBIDDEN if has("permission") || has("scope") => Outcome::Limited,
        _ => Outcome::Unexpected,
    }
}
