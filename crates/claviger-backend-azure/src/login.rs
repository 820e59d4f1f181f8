//! From the answers of Entra, or of a machine's identity service, to a reason: by code and never by
//! message text.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use azure_core::http::headers::{Headers, RETRY_AFTER};
use claviger_backend::private_file::FileFault;
use claviger_backend::upstream::{self, RETRY_AFTER_MAX, cause_of_status, chain, find, plain};
use claviger_core::{Cause, SecretBytes};
use serde::Deserialize;
use serde::de::IgnoredAny;

const TENANT: &str =
    "Entra knows no such tenant; correct tenant_id to the directory id of the application's";
const APPLICATION: &str = "Entra knows no such application in this tenant; correct client_id or tenant_id, they \
                           belong together";
const WRONG_SECRET: &str =
    "the client secret is wrong; put the secret's value, not its id, into secret_file";
const EXPIRED_SECRET: &str = "the client secret has expired; create a new one for the application in Entra and put it into \
                              secret_file";
const WRONG_CERTIFICATE: &str = "Entra does not know the certificate; upload it to the application, or correct \
                                 certificate_file";
const EXPIRED_CERTIFICATE: &str = "the certificate has expired; upload a new one to the application in Entra and put it \
                                   into certificate_file";
const CLOCK: &str =
    "this machine's clock is off, so what proves the application is not valid; set the clock (NTP)";
const FEDERATION: &str = "the application has no federated credential for this service account; add one in \
                          Entra with its issuer and subject";
const DEACTIVATED: &str = "the application is deactivated in Entra; activate it or use another one";

const NOT_TEXT: &str =
    "names a file that is not UTF-8 text; put the credential into it as it was shown";

/// Error numbers of Entra (`AADSTS…`), with the remedy of each.
const CODES: &[(u32, &str)] = &[
    (70_021, FEDERATION),
    (90_002, TENANT),
    (700_016, APPLICATION),
    (700_024, CLOCK),
    (700_027, WRONG_CERTIFICATE),
    (700_211, FEDERATION),
    (700_212, FEDERATION),
    (700_213, FEDERATION),
    (900_023, TENANT),
    (1_000_502, EXPIRED_CERTIFICATE),
    (7_000_112, DEACTIVATED),
    (7_000_215, WRONG_SECRET),
    (7_000_222, EXPIRED_SECRET),
];

/// No token. Its text is for logs only.
#[derive(Clone, Debug)]
pub(crate) struct LoginFailure {
    /// Why whoever gives tokens was not heard; else it refused.
    pub(crate) unheard: Option<Cause>,
    /// Empty if only the kind of credential can tell.
    pub(crate) remedy: &'static str,
    pub(crate) retry_after: Option<Duration>,
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Option<String>,
    error_codes: Vec<u32>,
}

#[derive(Deserialize)]
struct Token {
    #[expect(dead_code, reason = "has to be there; the SDK reads it")]
    access_token: IgnoredAny,
}

impl LoginFailure {
    /// Looks for a token in an answer.
    ///
    /// # Errors
    /// The meaning of an answer without one.
    pub(crate) fn check(answer: &RawResponse) -> Result<(), Self> {
        let status = u16::from(answer.status());
        let unheard = |cause, text| Self {
            unheard: Some(cause),
            remedy: "",
            retry_after: retry_after(answer.headers()),
            text,
        };
        if (200..300).contains(&status) {
            let token = serde_json::from_slice::<Token>(answer.body());
            let text = format!("HTTP {status} without a token");
            return token
                .map(drop)
                .map_err(|_| unheard(Cause::ServerError, text));
        }
        let refusal: Option<Refusal> = serde_json::from_slice(answer.body()).ok();
        let is_refused = (400..500).contains(&status) && !matches!(status, 408 | 429);
        let Some(refusal) = refusal.filter(|_| is_refused) else {
            return Err(unheard(cause_of_status(status), format!("HTTP {status}")));
        };
        let known = CODES
            .iter()
            .find(|(code, _)| refusal.error_codes.contains(code));
        let name = plain(&refusal.error.unwrap_or_default());
        let is_passing = name == "temporarily_unavailable";
        Err(Self {
            unheard: is_passing.then_some(Cause::ServerError),
            remedy: known.map_or("", |(_, remedy)| *remedy),
            retry_after: retry_after(answer.headers()),
            text: format!("HTTP {status}, {name}, AADSTS {:?}", refusal.error_codes),
        })
    }

    /// Where tokens come from was not heard.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn unreachable(error: azure_core::Error) -> Self {
        Self {
            unheard: Some(cause_of(&error)),
            remedy: "",
            retry_after: None,
            text: chain(&error),
        }
    }

    /// The failure of a request for a token; `remedy` is for an answer that does not tell.
    pub(crate) fn of(error: &azure_core::Error, remedy: &'static str) -> Self {
        let found = find::<Self>(error).cloned();
        let failure = found.unwrap_or_else(|| Self {
            unheard: None,
            remedy: "",
            retry_after: None,
            text: chain(error),
        });
        match failure.remedy.is_empty() && failure.unheard.is_none() {
            true => Self { remedy, ..failure },
            false => failure,
        }
    }
}

impl From<FileFault> for LoginFailure {
    fn from(fault: FileFault) -> Self {
        Self {
            unheard: None,
            remedy: fault.remedy(),
            retry_after: None,
            text: chain(&fault),
        }
    }
}

impl From<LoginFailure> for azure_core::Error {
    fn from(failure: LoginFailure) -> Self {
        Self::new(ErrorKind::Credential, failure)
    }
}

impl fmt::Display for LoginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no token: {}", self.text)
    }
}

impl StdError for LoginFailure {}

/// Reads a file where waiting for a slow disk holds nobody up.
pub(crate) async fn in_background(
    read: impl FnOnce() -> Result<SecretBytes, FileFault> + Send + 'static,
) -> azure_core::Result<SecretBytes> {
    let content = tokio::task::spawn_blocking(read).await;
    let content = content.unwrap_or_else(|_| Err("could not be read".into()));
    content.map_err(|fault| LoginFailure::from(fault).into())
}

/// The content of a file, as the text it has to be.
pub(crate) fn text(content: SecretBytes) -> azure_core::Result<String> {
    String::from_utf8(content.into_exposed())
        .map_err(|_| LoginFailure::from(FileFault::Unusable(NOT_TEXT)).into())
}

/// When to come back, where an answer says so.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    let seconds = headers.get_optional_str(&RETRY_AFTER)?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// Why no usable answer came.
pub(crate) fn cause_of(error: &azure_core::Error) -> Cause {
    let is_unusable = matches!(error.kind(), ErrorKind::DataConversion | ErrorKind::Other);
    let is_late = || find::<reqwest::Error>(error).is_some_and(reqwest::Error::is_timeout);
    match is_unusable {
        true => Cause::ServerError,
        false if is_late() => Cause::Timeout,
        false => upstream::cause_of(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_sorted() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
