//! From the answers of Snowflake, or none, to a reason: one table, by code and never by message
//! text.
//!
//! SECURITY: the connector's own texts quote statements, answers and values. Nothing of them leaves
//! this file but a code, a status and the id of a query.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use claviger_backend::upstream::{cause_of, cause_of_status, find, refusal, unreachable};
use claviger_core::{Cause, Error, Reason};
use snowflake_connector_rs::ErrorKind;

use crate::key::KeyProblem;
use crate::sql::Advice;

/// When to come back to a service that is too busy.
const COME_BACK: Duration = Duration::from_secs(5);

const CREDENTIALS: &str = "check user, role, account and this machine's clock, that the user has \
                           the key's public half (DESC USER), and its network policy; \
                           LOGIN_HISTORY has the cause";
const UNLISTED: &str =
    "Snowflake refused the statement; the log has its code and the id of the query";

/// The meaning of a code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// A bug of Claviger's own.
    Bug,
    /// A privilege is missing, or the object that it would be on.
    Denied,
    /// The session is over.
    Expired,
    /// There already.
    Exists,
    /// Not there, or hidden from the role.
    Missing,
    /// Nothing was done; later it may be.
    Unavailable,
    /// May have been done.
    Unknown,
}

/// Codes with their meanings, and the words for the log: as Snowflake's own drivers and its
/// documentation have them. None was recorded from a live account.
const CODES: &[(&str, Verdict, &str)] = &[
    ("000603", Verdict::Unknown, "internal error of Snowflake's"),
    ("000604", Verdict::Unknown, "cancelled"),
    (
        "000606",
        Verdict::Unavailable,
        "the warehouse is suspended or not usable; \
         ALTER WAREHOUSE … RESUME (or SET AUTO_RESUME), and GRANT USAGE ON it",
    ),
    (LOCKED, Verdict::Unavailable, "the table is locked"),
    (LATE, Verdict::Unknown, "statement time-out"),
    ("001003", Verdict::Bug, "syntax"),
    ("002002", Verdict::Exists, "exists"),
    ("002003", Verdict::Missing, "does not exist or hidden"),
    ("002043", Verdict::Missing, "does not exist or hidden"),
    ("002140", Verdict::Missing, "no such procedure"),
    ("002141", Verdict::Missing, "no such procedure"),
    ("003001", Verdict::Denied, "insufficient privileges"),
    ("003041", Verdict::Denied, "managed access schema"),
    (EXPIRED_STATUS, Verdict::Expired, "session not known"),
    ("390111", Verdict::Expired, "session gone"),
    ("390112", Verdict::Expired, "session expired"),
    ("390114", Verdict::Expired, "log-in too old"),
    (BUSY, Verdict::Unavailable, "too many requests"),
];

/// The code of an account that gets more requests than it takes.
const BUSY: &str = "390505";

/// The code of a statement that others, before it, keep from a table.
const LOCKED: &str = "000625";

/// The code of a statement that takes longer than the session lets it.
const LATE: &str = "000630";

/// The code that comes with HTTP 401.
const EXPIRED_STATUS: &str = "390104";

/// A call that brought no usable answer. Its text is for logs only.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// A step that the call needs first did not come about, so nothing of it was sent.
    BeforeSent(Box<Self>),
    /// Claviger's own fault, or a setting that `problems` should have found.
    Bug(&'static str),
    /// The private key cannot be used; nothing was sent.
    Key(KeyProblem),
    /// The request may have arrived, a usable answer did not.
    Lost(Cause, &'static str),
    /// No connection; nothing was sent.
    NotSent(Cause),
    /// Snowflake refused the statement.
    Refused { code: String, query: Option<String> },
    /// Snowflake refused the log-in, and the connector does not say with which code.
    Rejected,
    /// Something refused the request.
    Status(u16),
}

impl From<snowflake_connector_rs::Error> for Failure {
    fn from(error: snowflake_connector_rs::Error) -> Self {
        match error.kind() {
            ErrorKind::Auth => Self::Rejected,
            ErrorKind::BindEncode => Self::Bug("a bind"),
            ErrorKind::Config => Self::Bug("the connector's configuration"),
            ErrorKind::Network => network(&error),
            ErrorKind::Server | ErrorKind::SessionExpired => Self::Refused {
                code: code(error.snowflake_code().unwrap_or_default()),
                query: error.query_id().map(code),
            },
            ErrorKind::Timeout => Self::Lost(Cause::Timeout, "time-out"),
            ErrorKind::Protocol => Self::unusable("an answer that is not Snowflake's"),
            ErrorKind::Decode => Self::unusable("an answer of another form"),
            ErrorKind::Cancelled | ErrorKind::Internal | ErrorKind::Other | _ => {
                Self::unusable("the connector failed")
            }
        }
    }
}

impl Failure {
    /// Something came, and it is no answer.
    pub(crate) fn unusable(what: &'static str) -> Self {
        Self::Lost(Cause::ServerError, what)
    }

    fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Refused { code, .. } => row(code).map(|(_, verdict, _)| *verdict),
            Self::Status(401) => Some(Verdict::Expired),
            Self::Status(500..) | Self::Lost(..) => Some(Verdict::Unknown),
            Self::BeforeSent(_) | Self::Status(_) | Self::NotSent(_) => Some(Verdict::Unavailable),
            Self::Bug(_) => Some(Verdict::Bug),
            Self::Key(_) | Self::Rejected => None,
        }
    }

    /// The same of a log-in that came before a statement.
    pub(crate) fn before_sent(self) -> Self {
        match self.is_open() {
            true => Self::BeforeSent(Box::new(self)),
            false => self,
        }
    }

    /// Whether a fresh session may help. The statement was not looked at.
    pub(crate) fn is_expired(&self) -> bool {
        self.verdict() == Some(Verdict::Expired)
    }

    /// Whether there is nothing of that name, as far as the role can see.
    pub(crate) fn is_missing(&self) -> bool {
        self.verdict() == Some(Verdict::Missing)
    }

    /// Whether there is something of that name already.
    pub(crate) fn is_existing(&self) -> bool {
        self.verdict() == Some(Verdict::Exists)
    }

    /// Whether the statement was not understood.
    pub(crate) fn is_syntax(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "001003")
    }

    /// Whether a statement may have been executed.
    pub(crate) fn is_open(&self) -> bool {
        self.verdict() == Some(Verdict::Unknown)
    }

    /// The error of a call that changes nothing. `needed` says which privilege it takes.
    pub(crate) fn into_read_error(self, needed: &Advice) -> Error {
        let advice = |text: &str| Advice(text.to_owned());
        let (reason, remedy) = match (&self, self.verdict()) {
            (Self::Key(problem), _) => (Reason::VaultCredentialsRejected, advice(problem.remedy)),
            (_, Some(Verdict::Denied | Verdict::Missing)) => {
                (Reason::VaultAccessDenied, needed.clone())
            }
            (Self::Rejected, _) | (_, Some(Verdict::Expired)) => {
                (Reason::VaultCredentialsRejected, advice(CREDENTIALS))
            }
            (_, Some(Verdict::Bug)) => (Reason::Internal, advice("")),
            (_, Some(Verdict::Unavailable | Verdict::Unknown)) => {
                let retry_after = self.is_busy().then_some(COME_BACK);
                return unreachable(self.unheard(), retry_after, self);
            }
            (_, Some(Verdict::Exists) | None) => (Reason::VaultAccessDenied, advice(UNLISTED)),
        };
        refusal(reason, remedy, self)
    }

    /// Why Snowflake counts as not reached.
    fn unheard(&self) -> Cause {
        match self {
            Self::BeforeSent(cause) => cause.unheard(),
            Self::Lost(cause, _) | Self::NotSent(cause) => *cause,
            Self::Refused { code, .. } if code == BUSY => Cause::Throttled,
            Self::Refused { code, .. } if code == LATE => Cause::Timeout,
            // Also Snowflake's own, for an account that it does not know.
            Self::Status(403 | 404) => Cause::ServerError,
            Self::Status(status) => cause_of_status(*status),
            Self::Bug(_) | Self::Key(_) | Self::Refused { .. } | Self::Rejected => {
                Cause::ServerError
            }
        }
    }

    /// The error of a call that stores a value: refused only if Snowflake itself said so.
    pub(crate) fn into_write_error(self, needed: &Advice) -> Error {
        match self.is_open() {
            true => Error::new(Reason::WriteOutcomeUnknown).caused_by(self),
            false => self.into_read_error(needed),
        }
    }

    fn is_busy(&self) -> bool {
        match self {
            Self::BeforeSent(cause) => cause.is_busy(),
            Self::Status(status) => matches!(status, 429 | 503),
            Self::Refused { code, .. } => code == LOCKED || code == BUSY,
            Self::Bug(_) | Self::Key(_) | Self::Lost(..) | Self::NotSent(_) | Self::Rejected => {
                false
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeSent(cause) => write!(f, "not logged in: {cause}"),
            Self::Bug(what) => write!(f, "unusable: {what}"),
            Self::Key(problem) => write!(f, "{} {}", problem.setting, problem.remedy),
            Self::Lost(_, what) => write!(f, "no answer: {what}"),
            Self::NotSent(_) => f.write_str("not sent: no connection"),
            Self::Refused { code, query } => {
                write!(f, "Snowflake {code}")?;
                if let Some((_, _, meaning)) = row(code) {
                    write!(f, ", {meaning}")?;
                }
                match query {
                    Some(query) => write!(f, ", query {query}"),
                    None => Ok(()),
                }
            }
            Self::Rejected => f.write_str("the log-in was refused"),
            Self::Status(status) => write!(f, "HTTP {status}"),
        }
    }
}

impl StdError for Failure {}

fn row(code: &str) -> Option<&'static (&'static str, Verdict, &'static str)> {
    CODES.iter().find(|(known, ..)| *known == code)
}

/// The connector has the status in its text only, in front of the answer.
fn network(error: &snowflake_connector_rs::Error) -> Failure {
    let text = error.to_string();
    let status = text
        .strip_prefix("HTTP ")
        .and_then(|rest| rest.split(':').next())
        .and_then(|status| status.parse().ok());
    if let Some(status) = status {
        return Failure::Status(status);
    }
    // The guard, or who is behind it, gave no connection.
    let connecting = find::<hyper_util::client::legacy::Error>(error);
    match connecting.is_some_and(hyper_util::client::legacy::Error::is_connect) {
        true => Failure::NotSent(cause_of(error)),
        false => Failure::Lost(cause_of(error), "the connection broke"),
    }
}

/// Letters, digits and dashes of a code or an id, so that it cannot forge a log line.
fn code(text: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
    text.chars().filter(is_plain).take(64).collect()
}

#[cfg(test)]
mod tests {
    use claviger_core::Detail;

    use super::*;

    fn refused(code: &str) -> Failure {
        Failure::Refused {
            code: code.to_owned(),
            query: None,
        }
    }

    #[test]
    fn codes_are_listed_once_and_sorted() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn every_answer_has_its_reason_for_a_read_and_for_a_write() {
        let denied = Reason::VaultAccessDenied;
        let rejected = Reason::VaultCredentialsRejected;
        let unreachable = Reason::VaultUnreachable;
        let unknown = Reason::WriteOutcomeUnknown;
        for (failure, read, write) in [
            (refused("000603"), unreachable, unknown),
            (refused("000606"), unreachable, unreachable),
            (refused("000625"), unreachable, unreachable),
            (refused("000630"), unreachable, unknown),
            (refused("001003"), Reason::Internal, Reason::Internal),
            (refused("002003"), denied, denied),
            (refused("003001"), denied, denied),
            (refused("390104"), rejected, rejected),
            (refused("390114"), rejected, rejected),
            (refused("390505"), unreachable, unreachable),
            (refused("100357"), denied, denied),
            (refused(""), denied, denied),
            (Failure::Rejected, rejected, rejected),
            (Failure::NotSent(Cause::Dns), unreachable, unreachable),
            (Failure::unusable("x"), unreachable, unknown),
            (Failure::Status(401), rejected, rejected),
            (Failure::Status(403), unreachable, unreachable),
            (Failure::Status(429), unreachable, unreachable),
            (Failure::Status(503), unreachable, unknown),
            (Failure::Status(503).before_sent(), unreachable, unreachable),
        ] {
            let needed = Advice("GRANT X".to_owned());
            let shown = failure.to_string();
            let of_read = failure.clone().into_read_error(&needed);
            assert_eq!(of_read.reason(), read, "{shown}");
            let has_remedy = read != Reason::Internal;
            assert_eq!(
                of_read.detail(Detail::Remedy).is_some(),
                has_remedy,
                "{shown}"
            );
            assert_eq!(failure.into_write_error(&needed).reason(), write, "{shown}");
        }
    }

    #[test]
    fn who_was_not_reached_has_its_cause() {
        for (failure, cause) in [
            (refused("000606"), "SERVER_ERROR"),
            (refused("000625"), "SERVER_ERROR"),
            (refused("000630"), "TIMEOUT"),
            (refused("390505"), "THROTTLED"),
            (Failure::NotSent(Cause::Dns), "DNS"),
            (Failure::NotSent(Cause::Tls).before_sent(), "TLS"),
            (Failure::unusable("x"), "SERVER_ERROR"),
            (Failure::Lost(Cause::Timeout, "x").before_sent(), "TIMEOUT"),
            (Failure::Status(403), "SERVER_ERROR"),
            (Failure::Status(407), "PROXY"),
            (Failure::Status(429), "THROTTLED"),
            (Failure::Status(503), "SERVER_ERROR"),
            (Failure::Status(504), "TIMEOUT"),
        ] {
            let error = failure.into_read_error(&Advice(String::new()));
            assert_eq!(error.detail(Detail::Cause), Some(cause), "{error:?}");
        }
    }

    #[test]
    fn upstream_text_cannot_forge_a_log_line() {
        assert_eq!(code("00\r\n1003'; x"), "001003x");
    }
}
