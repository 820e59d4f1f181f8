//! From what Entra, or a machine's identity service, answers to a reason: by code and never by
//! message text.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use claviger_backend::upstream::{chain, find, plain};
use claviger_core::Reason;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::retry_after;
use crate::Credential;
use crate::files::FileProblem;

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
    pub(super) reason: Reason,
    /// Empty if only the kind of credential can tell.
    pub(super) remedy: &'static str,
    pub(super) retry_after: Option<Duration>,
    cause: String,
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
    /// What an answer without one means.
    pub(crate) fn check(answer: &RawResponse) -> Result<(), Self> {
        let status = u16::from(answer.status());
        if (200..300).contains(&status) {
            let token = serde_json::from_slice::<Token>(answer.body());
            return token.map(drop).map_err(|_| Self {
                reason: Reason::VaultUnreachable,
                remedy: "",
                retry_after: None,
                cause: format!("HTTP {status} without a token"),
            });
        }
        let refusal: Option<Refusal> = serde_json::from_slice(answer.body()).ok();
        let is_refused = (400..500).contains(&status) && !matches!(status, 408 | 429);
        let Some(refusal) = refusal.filter(|_| is_refused) else {
            return Err(Self {
                reason: Reason::VaultUnreachable,
                remedy: "",
                retry_after: retry_after(answer.headers()),
                cause: format!("HTTP {status}"),
            });
        };
        let known = CODES
            .iter()
            .find(|(code, _)| refusal.error_codes.contains(code));
        let name = plain(&refusal.error.unwrap_or_default());
        let is_passing = name == "temporarily_unavailable";
        Err(Self {
            reason: match is_passing {
                true => Reason::VaultUnreachable,
                false => Reason::VaultCredentialsRejected,
            },
            remedy: known.map_or("", |(_, remedy)| *remedy),
            retry_after: retry_after(answer.headers()),
            cause: format!("HTTP {status}, {name}, AADSTS {:?}", refusal.error_codes),
        })
    }

    /// Where tokens come from was not heard.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn unreachable(error: azure_core::Error) -> Self {
        Self {
            reason: Reason::VaultUnreachable,
            remedy: "",
            retry_after: None,
            cause: chain(&error),
        }
    }

    /// What a request for a token came to, said for this credential.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn of(error: azure_core::Error, credential: &Credential) -> Self {
        let found = find::<Self>(&error).cloned();
        let failure = found.unwrap_or_else(|| Self {
            reason: Reason::VaultCredentialsRejected,
            remedy: "",
            retry_after: None,
            cause: chain(&error),
        });
        let is_bare =
            failure.remedy.is_empty() && failure.reason == Reason::VaultCredentialsRejected;
        match is_bare {
            true => Self {
                remedy: remedy_of(credential),
                ..failure
            },
            false => failure,
        }
    }
}

/// What to look at where the answer does not tell.
fn remedy_of(credential: &Credential) -> &'static str {
    match credential {
        Credential::AzureCli => {
            "the Azure CLI gives no token; run az login as the daemon's user, and see the log"
        }
        Credential::ClientCertificate { .. } => {
            "Entra refuses the application; check tenant_id, client_id and certificate_file, and see \
             the log for Entra's code"
        }
        Credential::ClientSecret { .. } => {
            "Entra refuses the application; check tenant_id, client_id and secret_file, and see the \
             log for Entra's code"
        }
        Credential::ManagedIdentity { .. } => {
            "this machine has no such identity; assign it to the machine, and check client_id"
        }
        Credential::WorkloadIdentity { .. } => {
            "Entra gives this pod no token; check the service account's annotation and label, \
             tenant_id, client_id and token_file, and see the log"
        }
    }
}

impl From<FileProblem> for LoginFailure {
    fn from(problem: FileProblem) -> Self {
        Self {
            reason: Reason::VaultCredentialsRejected,
            remedy: problem.remedy,
            retry_after: None,
            cause: chain(&problem),
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
        write!(f, "no token: {}", self.cause)
    }
}

impl StdError for LoginFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_sorted() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
