//! Verdicts on the fields of a profile, without asking anybody: what was pasted, where it belongs,
//! and where to copy the right one.
//!
//! SECURITY: no text has anything of a value in it.

use std::fmt;

use claviger_core::{Error, Public, Reason, Result, SecretBytes, refuse_pasted};

use super::client::OauthClient;
use super::disconnect;
use super::server::Flavor;
use crate::settings::{is_account, is_context, is_id};
use crate::shape::{self, Shape};
use crate::{Class, Finding, Mode};

/// Checks `profile.oauth.flavor`.
///
/// # Errors
/// `FIELD_INVALID` if there is no host to ask for it.
pub fn flavor(flavor: Flavor, client: &OauthClient) -> Result<()> {
    match client.serves(flavor) {
        true => Ok(()),
        false => Err(Error::new(Reason::FieldInvalid)
            .violation("profile.oauth.flavor", disconnect::NO_CONNECT)),
    }
}

/// Checks `profile.oauth.client_id`.
///
/// # Errors
/// `FIELD_INVALID` with the field and the remedy.
pub fn client_id(text: &str) -> Result<()> {
    let field = Field {
        name: "profile.oauth.client_id",
        starts: &["ca_"],
        otherwise: "is not a client id (ca_ and letters or digits)",
        remedy: "copy the Client ID: for APPS of the app (Developers → Apps → the app), for CONNECT \
                 of the platform (Settings → Connect → Onboarding options → OAuth)",
    };
    field.judge(text.as_bytes())?;
    field.demand(is_id(text, "ca_"))?;
    refuse_pasted(Reason::FieldInvalid, field.name, text)
}

/// Checks `profile.oauth.client_secret`.
///
/// # Errors
/// `FIELD_INVALID` with the field and the remedy.
pub fn client_secret(value: &SecretBytes) -> Result<()> {
    let field = Field {
        name: "profile.oauth.client_secret",
        starts: &["sk_live_", "sk_test_"],
        otherwise: "is not a secret key (sk_live_ or sk_test_)",
        remedy: "copy the secret key of the account that owns the app or platform, in the mode of \
                 the install: Developers → API keys → Secret key",
    };
    field.judge(value.expose())?;
    field.demand(mode_of(value).is_some())
}

/// Checks `profile.oauth.refresh_token`. The text of a warning for one that begins like nothing
/// known: how they begin is not documented.
///
/// # Errors
/// `FIELD_INVALID` with the field and the remedy.
pub fn refresh_token(value: &SecretBytes) -> Result<Option<&'static str>> {
    let field = Field {
        name: "profile.oauth.refresh_token",
        starts: &["rt_"],
        otherwise: "is not a refresh token alone",
        remedy: "copy the refresh_token (rt_…) of Stripe's answer to the exchange of the \
                 authorization code",
    };
    field.judge(value.expose())?;
    field.demand(shape::is_bearer_token(value.expose()))?;
    let is_usual = value.expose().starts_with(b"rt_");
    Ok((!is_usual).then_some(
        "the refresh token does not begin like Stripe's (rt_); see that it is the refresh_token of \
         Stripe's answer to the exchange of the authorization code",
    ))
}

/// Checks the account of either kind of profile, in this field.
///
/// # Errors
/// `FIELD_INVALID` with the field and the remedy.
pub fn account(name: &'static str, text: &str) -> Result<()> {
    let field = Field {
        name,
        starts: &["acct_"],
        otherwise: "is not the id of an account (acct_ and letters or digits)",
        remedy: "copy it from Connect → Connected accounts, or leave it out",
    };
    field.judge(text.as_bytes())?;
    field.demand(is_account(text))?;
    refuse_pasted(Reason::FieldInvalid, field.name, text)
}

/// Checks `profile.oauth.app`.
///
/// # Errors
/// `FIELD_INVALID` with the field and the remedy.
pub fn app(text: &str) -> Result<()> {
    let field = Field {
        name: "profile.oauth.app",
        starts: &["app_"],
        otherwise: "is not the id of an app (app_ and letters or digits)",
        remedy: "copy it from Developers → Apps → the app, or leave it out: it is for \
                 DisconnectInstall alone",
    };
    field.judge(text.as_bytes())?;
    field.demand(is_id(text, "app_"))?;
    refuse_pasted(Reason::FieldInvalid, field.name, text)
}

/// Checks the context of a profile, in this field.
///
/// # Errors
/// `FIELD_INVALID` with the field and the remedy.
pub fn context(name: &'static str, text: &str) -> Result<()> {
    let field = Field {
        name,
        starts: &["acct_"],
        otherwise: "is not an account (acct_…) or a path of accounts (acct_…/acct_…)",
        remedy: "copy the id from the account's Settings → Business → Account details, or leave it \
                 out",
    };
    field.judge(text.as_bytes())?;
    field.demand(is_context(text))?;
    refuse_pasted(Reason::FieldInvalid, field.name, text)
}

/// Which mode a client secret is for; none if it is no secret key.
pub fn mode_of(client_secret: &SecretBytes) -> Option<Mode> {
    let shape = Shape::of(client_secret.expose());
    shape.mode.filter(|_| shape.class == Class::Secret)
}

/// What people have at hand, by its beginning; longer before shorter where one begins another.
const STARTS: &[(&str, &str)] = &[
    (
        "ac_",
        "is an authorization code (ac_), which is good for one exchange within five minutes",
    ),
    (
        "acct_",
        "is the id of an account (acct_), which belongs in account",
    ),
    ("app_", "is the id of an app (app_), which belongs in app"),
    ("ca_", "is a client id (ca_), which belongs in client_id"),
    (
        "ek_",
        "is an ephemeral key (ek_), made for one device and soon over",
    ),
    (
        "pk_",
        "is a publishable key (pk_), which is for browsers and apps",
    ),
    ("rk_", RESTRICTED),
    ("rkcs_", RESTRICTED),
    (
        "rt_",
        "is a refresh token (rt_), which belongs in refresh_token",
    ),
    (
        "sk_org_",
        "is an organization key (sk_org_), which Stripe's OAuth does not take",
    ),
    (
        "sk_",
        "is a secret key (sk_), which belongs in client_secret, or in api_key where that is used",
    ),
    ("we_", "is the id of a webhook endpoint (we_)"),
    (
        "whsec_",
        "is a webhook signing secret (whsec_), which opens nothing",
    ),
];

const RESTRICTED: &str = "is a restricted key or an access token (rk_): Claviger gets access \
                          tokens itself, and a key of your own belongs in api_key";

struct Field {
    name: &'static str,
    /// How the right ones begin.
    starts: &'static [&'static str],
    /// The fault of a value that is none of anything known.
    otherwise: &'static str,
    remedy: &'static str,
}

impl Field {
    /// Refuses what is not in one piece, and what belongs elsewhere.
    fn judge(&self, value: &[u8]) -> Result<()> {
        let own = |prefix: &str| self.starts.iter().any(|start| start.starts_with(prefix));
        let others = STARTS.iter().filter(|(prefix, _)| !own(prefix));
        let begins = |prefix: &str| value.starts_with(prefix.as_bytes());
        let other = others.clone().find(|(prefix, _)| begins(prefix));
        let fault = fault(value).or_else(|| other.map(|(_, fault)| *fault));
        fault.map_or(Ok(()), |fault| Err(self.refusal(fault)))
    }

    fn demand(&self, is_right: bool) -> Result<()> {
        match is_right {
            true => Ok(()),
            false => Err(self.refusal(self.otherwise)),
        }
    }

    fn refusal(&self, fault: &'static str) -> Error {
        let remedy = self.remedy;
        Error::new(Reason::FieldInvalid).violation(self.name, Description { fault, remedy })
    }
}

struct Description {
    fault: &'static str,
    remedy: &'static str,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.fault, self.remedy)
    }
}

/// Both are written in this file.
impl Public for Description {}

/// Why a value cannot be right anywhere, in the form that it came in.
fn fault(value: &[u8]) -> Option<&'static str> {
    // Not a class of the keys; what follows may not be taken for words.
    let core = value.strip_prefix(b"rt_").unwrap_or(value);
    let finding = *Shape::of(core).faults.first()?;
    let mut known = FAULTS.iter().filter(|(known, _)| *known == finding);
    Some(known.next().map_or(FAULT, |(_, fault)| *fault))
}

const SPACE: &str = "has white space or a line break in it or around it";

const FAULTS: &[(Finding, &str)] = &[
    (
        Finding::Bearer,
        "begins like a header (Authorization, Bearer)",
    ),
    (
        Finding::ByteOrderMark,
        "begins with a byte-order mark, as some editors write it",
    ),
    (Finding::Empty, "is empty, or only a beginning"),
    (Finding::InnerSpace, SPACE),
    (Finding::Json, "is a JSON document"),
    (
        Finding::Masked,
        "is masked: a part of it is only shown as dots or stars",
    ),
    (
        Finding::NotAscii,
        "has characters that none has (an invisible one, or a foreign letter)",
    ),
    (
        Finding::Placeholder,
        "is a placeholder, or only a beginning",
    ),
    (Finding::Quotes, "has quotes around it"),
    (Finding::SurroundingSpace, SPACE),
];

const FAULT: &str = "has other text around it";

#[cfg(test)]
mod tests;
