//! From the answers of Key Vault, or none, to a reason: one table, by status and code and never by
//! message text. The answers of Entra are in
//! `login`.
//!
//! A refusal with a code is Azure speaking. Anything else, a bare 503 or 403 of something in between
//! or a body that cannot be read, says only that Azure was not heard: harmless for a read, but a
//! write may have been taken.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use azure_core::http::headers::HeaderName;
use claviger_backend::upstream::{cause_of_status, chain, find, plain, refusal, unreachable};
use claviger_core::{Cause, Error, Reason};
use serde::Deserialize;

use crate::login::{LoginFailure, cause_of, retry_after};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

const TOKEN: &str = "the token is for another tenant or no longer valid; check that the credential belongs \
                     to the vault's tenant, and this machine's clock";
const ROLE: &str = "no role allows it; assign Key Vault Secrets Officer (to read only: Key Vault Secrets User) \
                    on the vault, and see the log for the action; a new role takes minutes";
const POLICY: &str = "the vault's access policy does not allow it; add the permissions get, list and set for \
                      secrets, and recover to bring deleted ones back";
const FORBIDDEN: &str = "a policy forbids it; see the log for the operation";
const PLACE: &str =
    "Key Vault does not take this name or version; write them as the portal shows them";

/// An answer with this status, code and inner code; its reason, and the remedy where a reason
/// has several.
type Row = (u16, &'static str, &'static str, Reason, &'static str);

/// Recorded from Azure, or quoted from it.
const RECORDED: &[Row] = &[
    (400, "BadParameter", "", Reason::LocationInvalid, PLACE),
    (
        401,
        "Unauthorized",
        "",
        Reason::VaultCredentialsRejected,
        TOKEN,
    ),
    (
        403,
        "Forbidden",
        "AccessDenied",
        Reason::VaultAccessDenied,
        POLICY,
    ),
    (
        403,
        "Forbidden",
        "ForbiddenByConnection",
        Reason::VaultUnreachable,
        "",
    ),
    (
        403,
        "Forbidden",
        "ForbiddenByFirewall",
        Reason::VaultUnreachable,
        "",
    ),
    (
        403,
        "Forbidden",
        "ForbiddenByPolicy",
        Reason::VaultAccessDenied,
        FORBIDDEN,
    ),
    (
        403,
        "Forbidden",
        "ForbiddenByRbac",
        Reason::VaultAccessDenied,
        ROLE,
    ),
    (403, "Forbidden", DISABLED, Reason::VersionDisabled, ""),
    (404, "SecretNotFound", "", Reason::SecretNotFound, ""),
    (
        409,
        "Conflict",
        "ObjectIsBeingDeleted",
        Reason::WriteInProgress,
        "",
    ),
    (
        409,
        "Conflict",
        "ObjectIsDeletedButRecoverable",
        Reason::SecretDeleted,
        "",
    ),
    (429, "Throttled", "", Reason::VaultUnreachable, ""),
];

/// Unrecorded: as the documentation has them.
const UNRECORDED: &[Row] = &[(
    409,
    "Conflict",
    "ObjectIsBeingRecovered",
    Reason::WriteInProgress,
    "",
)];

const DISABLED: &str = "SecretDisabled";

/// A call that brought no usable answer. Its text is for logs only.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something answered.
    Answered(Answer),
    /// No token; the vault was not asked.
    Login(LoginFailure),
    /// The request may have arrived, a usable answer did not.
    Lost(Cause, String),
    /// No connection; nothing was sent.
    NotSent(Cause, String),
}

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    code: String,
    inner: String,
    message: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    error: ErrorCode,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorCode {
    code: Option<String>,
    message: Option<String>,
    innererror: Option<InnerCode>,
}

#[derive(Deserialize)]
struct InnerCode {
    code: Option<String>,
}

impl From<azure_core::Error> for Failure {
    /// Takes apart a report of the SDK. SECURITY: of its own texts, one quotes the body of an
    /// answer; that one is left out.
    fn from(error: azure_core::Error) -> Self {
        if let Some(login) = find::<LoginFailure>(&error) {
            return Self::Login(login.clone());
        }
        match error.kind() {
            ErrorKind::HttpResponse {
                status,
                raw_response,
                ..
            } => Self::Answered(Answer::of((*status).into(), raw_response.as_deref())),
            ErrorKind::Connection => Self::NotSent(cause_of(&error), chain(&error)),
            ErrorKind::DataConversion => {
                Self::Lost(cause_of(&error), "the answer cannot be read".to_owned())
            }
            ErrorKind::Io | ErrorKind::Credential | ErrorKind::Other => {
                Self::Lost(cause_of(&error), chain(&error))
            }
        }
    }
}

impl Failure {
    /// Whether Key Vault has nothing of that name.
    pub(crate) fn is_absent(&self) -> bool {
        self.comes_to(Reason::SecretNotFound)
    }

    /// Whether the version is switched off, which hides everything else about it.
    pub(crate) fn is_disabled(&self) -> bool {
        self.comes_to(Reason::VersionDisabled)
    }

    /// Whether Key Vault knows us and does not let us do this.
    pub(crate) fn is_denied(&self) -> bool {
        self.comes_to(Reason::VaultAccessDenied)
    }

    /// Whether the secret is on its way between there and deleted; nothing was stored.
    pub(crate) fn is_changing(&self) -> bool {
        self.comes_to(Reason::WriteInProgress) || self.comes_to(Reason::SecretDeleted)
    }

    /// Whether a write may have been taken.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Answered(answer) => answer.status >= 500 || answer.verdict().is_none(),
            Self::Lost(..) => true,
            Self::Login(_) | Self::NotSent(..) => false,
        }
    }

    fn comes_to(&self, reason: Reason) -> bool {
        matches!(self, Self::Answered(answer)
            if answer.verdict().is_some_and(|(found, _)| found == reason))
    }

    /// The error of a call that changes nothing.
    pub(crate) fn into_read_error(self) -> Error {
        let (cause, retry_after) = match &self {
            Self::Answered(answer) => match answer.verdict() {
                Some((reason, remedy)) if reason != Reason::VaultUnreachable => {
                    return refusal(reason, remedy, self);
                }
                _ => (answer.cause(), answer.retry_after),
            },
            Self::Login(login) => match login.unheard {
                None => {
                    return refusal(Reason::VaultCredentialsRejected, login.remedy, self);
                }
                Some(cause) => (cause, login.retry_after),
            },
            Self::Lost(cause, _) | Self::NotSent(cause, _) => (*cause, None),
        };
        unreachable(cause, retry_after, self)
    }

    /// The error of a call that stores a value: refused only if Azure itself said so.
    pub(crate) fn into_write_error(self) -> Error {
        match self.is_open() {
            true => Error::new(Reason::WriteOutcomeUnknown).caused_by(self),
            false => self.into_read_error(),
        }
    }
}

impl Answer {
    fn of(status: u16, response: Option<&RawResponse>) -> Self {
        let body = response.and_then(|response| serde_json::from_slice(response.body()).ok());
        let ErrorBody { error } = body.unwrap_or_default();
        let header = |name| response.and_then(|response| response.headers().get_optional_str(name));
        let inner = error.innererror.and_then(|inner| inner.code);
        // Of the others, some quote the request.
        let message = error.message.filter(|_| status == 403);
        Self {
            status,
            code: plain(&error.code.unwrap_or_default()),
            inner: plain(&inner.unwrap_or_default()),
            message: message.as_deref().map(plain),
            request_id: header(&REQUEST_ID).map(plain),
            retry_after: response.and_then(|response| retry_after(response.headers())),
        }
    }

    /// The row of status and code; `None` if it was not Azure that refused.
    fn verdict(&self) -> Option<(Reason, &'static str)> {
        if self.status == 429 {
            return Some((Reason::VaultUnreachable, ""));
        }
        if self.code.is_empty() {
            return None;
        }
        let mut rows = RECORDED.iter().chain(UNRECORDED);
        let row = rows.find(|(status, code, inner, _, _)| {
            (*status, *code, *inner) == (self.status, &self.code, &self.inner)
        });
        match row {
            Some((_, _, _, reason, remedy)) => Some((*reason, *remedy)),
            None if self.status == 401 => Some((Reason::VaultCredentialsRejected, TOKEN)),
            // An answer that is not listed is not understood: it may have been said after all was
            // done.
            None => None,
        }
    }

    /// Why Azure counts as not reached by who got this answer.
    fn cause(&self) -> Cause {
        match self.verdict() {
            Some(_) if self.status == 403 => Cause::Firewall,
            None if (400..500).contains(&self.status) && !self.code.is_empty() => {
                Cause::ServerError
            }
            _ => cause_of_status(self.status),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => {
                write!(f, "HTTP {}", answer.status)?;
                for part in [&answer.code, &answer.inner] {
                    if !part.is_empty() {
                        write!(f, ", {part}")?;
                    }
                }
                if let Some(message) = &answer.message {
                    write!(f, ", {message}")?;
                }
                if let Some(id) = &answer.request_id {
                    write!(f, ", request {id}")?;
                }
                Ok(())
            }
            Self::Login(login) => login.fmt(f),
            Self::Lost(_, text) => write!(f, "no answer: {text}"),
            Self::NotSent(_, text) => write!(f, "not sent: {text}"),
        }
    }
}

impl StdError for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_listed_once_and_sorted() {
        let key = |row: &Row| (row.0, row.1, row.2);
        for table in [RECORDED, UNRECORDED] {
            assert!(table.is_sorted_by(|a, b| key(a) < key(b)));
        }
        let is_recorded = |row| RECORDED.iter().any(|recorded| key(recorded) == key(row));
        assert!(!UNRECORDED.iter().any(is_recorded));
    }

    #[test]
    fn reasons_with_several_causes_always_name_the_remedy() {
        for (status, code, inner, reason, remedy) in RECORDED.iter().chain(UNRECORDED) {
            let has_one = matches!(
                reason,
                Reason::LocationInvalid
                    | Reason::VaultAccessDenied
                    | Reason::VaultCredentialsRejected
            );
            assert_eq!(!remedy.is_empty(), has_one, "{status} {code} {inner}");
        }
    }
}
