//! From the answers of AWS, or none, to a reason: one table, by code and never by message text.
//!
//! A refusal with a code that is listed, or with 401 or 403, is AWS speaking. Anything else, a bare
//! 503 or 403 of something in between, a code nobody has seen or a body that cannot be read, leaves
//! open how the call ended: a read is as if AWS had not been heard, because a refusal would
//! purge all that is known of the secret; a write may have been taken.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::imds::client::error::ImdsError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::primitives::{DateTime, DateTimeFormat};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use claviger_backend::upstream::{
    RETRY_AFTER_MAX, cause_of, cause_of_status, chain, find, plain, refusal, unreachable,
};
use claviger_core::{Cause, Error, Reason};

/// AWS takes signatures that are up to 15 minutes off; less is not the clock's fault.
const SKEW_MAX: Duration = Duration::from_secs(14 * 60);

/// The header that says after how many seconds to come back.
const RETRY_AFTER: &str = "retry-after";

/// AWS's own, in milliseconds.
const RETRY_AFTER_MILLIS: &str = "x-amz-retry-after";

const KEY: &str = "AWS KMS does not let the secret's key be used; see the key's state and policy, and \
                   kms:Decrypt and kms:GenerateDataKey in Claviger's";
const POLICY: &str = "a policy forbids it; see Claviger's IAM policy and the secret's own, and the log for the action";
const STATE: &str = "the secret is in a state that forbids it, or another AWS service manages it; see \
                     it in the AWS console";
const EXPIRED: &str = "they have expired; renew them where Claviger gets them from";
const UNKNOWN_KEY: &str = "AWS does not know the access key or its session token; check that both were \
                           copied whole and are not deactivated";
const CLOCK: &str =
    "this machine's clock is off, so its signatures are not valid; set the clock (NTP)";
const SIGNATURE: &str =
    "the signature does not fit; check the secret access key, and this machine's clock";
const WRONG_SECRET: &str =
    "the signature does not fit although the clock is right; check the secret access key";
const NOT_LOADED: &str = "none were found; set up the environment, a profile, a role or the machine's \
                          identity, each completely";
const PROVIDER: &str = "they could not be obtained; see the log for what the profile, role or identity \
                        service answered";
const QUOTA: &str = "store more: a quota of the AWS account is used up";
const PLACE: &str =
    "AWS does not take this name or version; write them as the AWS console shows them";
const UNLISTED: &str = "AWS refused the request; the log has its code";

pub(crate) const NOT_FOUND: &str = "ResourceNotFoundException";
pub(crate) const WRONG_STATE: &str = "InvalidRequestException";
pub(crate) const DENIED: &str = "AccessDeniedException";

/// The verdict on a call that nobody confirmed or refused.
const OPEN: (Reason, &str) = (Reason::WriteOutcomeUnknown, "");

/// The reason of an answer with this code for a write, and the remedy where a reason has several. A
/// read is the same, but `VAULT_UNREACHABLE` where a write is left open. All codes that are listed
/// with `VAULT_UNREACHABLE` say that there were too many calls.
type Row = (&'static str, Reason, &'static str);

/// Recorded from AWS, or from tests that were validated against it.
const RECORDED: &[Row] = &[
    ("AccessDeniedException", Reason::VaultAccessDenied, POLICY),
    ("InvalidParameterException", Reason::LocationInvalid, PLACE),
    ("InvalidRequestException", Reason::VaultAccessDenied, STATE),
    (
        "InvalidSignatureException",
        Reason::VaultCredentialsRejected,
        SIGNATURE,
    ),
    ("ResourceExistsException", Reason::WriteInProgress, ""),
    ("ResourceNotFoundException", Reason::SecretNotFound, ""),
    (
        "UnrecognizedClientException",
        Reason::VaultCredentialsRejected,
        UNKNOWN_KEY,
    ),
    ("ValidationException", Reason::LocationInvalid, PLACE),
];

/// Unrecorded: as the SDK's model, or AWS's list of common errors, has them.
const UNRECORDED: &[Row] = &[
    ("AccessDenied", Reason::VaultAccessDenied, POLICY),
    ("BandwidthLimitExceeded", Reason::VaultUnreachable, ""),
    ("DecryptionFailure", Reason::VaultAccessDenied, KEY),
    ("DecryptionFailureException", Reason::VaultAccessDenied, KEY),
    ("EncryptionFailure", Reason::VaultAccessDenied, KEY),
    ("EncryptionFailureException", Reason::VaultAccessDenied, KEY),
    ("ExpiredToken", Reason::VaultCredentialsRejected, EXPIRED),
    (
        "ExpiredTokenException",
        Reason::VaultCredentialsRejected,
        EXPIRED,
    ),
    (
        "IncompleteSignature",
        Reason::VaultCredentialsRejected,
        SIGNATURE,
    ),
    (
        "InvalidClientTokenId",
        Reason::VaultCredentialsRejected,
        UNKNOWN_KEY,
    ),
    (
        "LimitExceededException",
        Reason::VaultCapabilityMissing,
        QUOTA,
    ),
    (
        "MissingAuthenticationToken",
        Reason::VaultCredentialsRejected,
        NOT_LOADED,
    ),
    (
        "MissingAuthenticationTokenException",
        Reason::VaultCredentialsRejected,
        NOT_LOADED,
    ),
    ("NotAuthorized", Reason::VaultAccessDenied, POLICY),
    ("PriorRequestNotComplete", Reason::VaultUnreachable, ""),
    (
        "ProvisionedThroughputExceededException",
        Reason::VaultUnreachable,
        "",
    ),
    ("RequestExpired", Reason::VaultCredentialsRejected, CLOCK),
    ("RequestLimitExceeded", Reason::VaultUnreachable, ""),
    ("RequestThrottled", Reason::VaultUnreachable, ""),
    ("RequestThrottledException", Reason::VaultUnreachable, ""),
    (
        "RequestTimeTooSkewed",
        Reason::VaultCredentialsRejected,
        CLOCK,
    ),
    (
        "SignatureDoesNotMatch",
        Reason::VaultCredentialsRejected,
        SIGNATURE,
    ),
    ("SlowDown", Reason::VaultUnreachable, ""),
    ("ThrottledException", Reason::VaultUnreachable, ""),
    ("Throttling", Reason::VaultUnreachable, ""),
    ("ThrottlingException", Reason::VaultUnreachable, ""),
    ("TooManyRequestsException", Reason::VaultUnreachable, ""),
    (
        "TransactionInProgressException",
        Reason::VaultUnreachable,
        "",
    ),
    ("ValidationError", Reason::LocationInvalid, PLACE),
];

/// A call that brought no usable answer. Its text is for logs only.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something answered.
    Answered(Answer),
    /// No credentials to sign with; nothing was sent.
    Credentials {
        remedy: &'static str,
        /// Why whoever gives them was not heard; else they were refused.
        unheard: Option<Cause>,
        text: String,
    },
    /// The request may have arrived, its answer did not.
    Lost(Cause, String),
    /// No connection; nothing was sent.
    NotSent(Cause, String),
}

/// An answer that is not a success, or one that cannot be read.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    /// How far this machine's clock is from the one of the answer.
    skew: Option<Duration>,
}

impl Failure {
    /// Takes apart a report of the SDK. `now` is compared with the answer's date.
    pub(crate) fn of<E>(error: &SdkError<E, HttpResponse>, now: SystemTime) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        if let Some(credentials) = find::<CredentialsError>(error) {
            return Self::of_credentials(credentials, now);
        }
        if let Some(response) = error.raw_response() {
            return Self::Answered(Answer::of(response, error.as_service_error(), now));
        }
        let connecting = find::<hyper_util::client::legacy::Error>(error);
        let is_unsent = matches!(error, SdkError::ConstructionFailure(_))
            || connecting.is_some_and(hyper_util::client::legacy::Error::is_connect);
        let is_late = match error {
            SdkError::TimeoutError(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_timeout(),
            SdkError::ConstructionFailure(_)
            | SdkError::ResponseError(_)
            | SdkError::ServiceError(_)
            | _ => false,
        };
        let cause = match is_late {
            true => Cause::Timeout,
            false => cause_of(error),
        };
        match is_unsent {
            true => Self::NotSent(cause, chain(error)),
            false => Self::Lost(cause, chain(error)),
        }
    }

    fn of_credentials(error: &CredentialsError, now: SystemTime) -> Self {
        let (remedy, unheard) = match error {
            CredentialsError::ProviderTimedOut(_) => ("", Some(Cause::Timeout)),
            CredentialsError::CredentialsNotLoaded(_)
            | CredentialsError::InvalidConfiguration(_) => (NOT_LOADED, None),
            CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) | _ => {
                (PROVIDER, unheard(error, now))
            }
        };
        Self::Credentials {
            remedy,
            unheard,
            text: chain(error),
        }
    }

    /// Whether AWS answered with this code.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Answered(answer) if answer.code.as_deref() == Some(code))
    }

    /// The error of a call that changes nothing.
    pub(crate) fn into_read_error(self) -> Error {
        let (reason, remedy) = match self.verdict() {
            (Reason::WriteOutcomeUnknown, _) => (Reason::VaultUnreachable, ""),
            verdict => verdict,
        };
        self.into_error(reason, remedy)
    }

    /// The error of a call that stores a value: refused only if AWS itself said so.
    pub(crate) fn into_write_error(self) -> Error {
        let (reason, remedy) = self.verdict();
        self.into_error(reason, remedy)
    }

    fn verdict(&self) -> (Reason, &'static str) {
        match self {
            Self::Answered(answer) => answer.verdict(),
            Self::Credentials {
                unheard: None,
                remedy,
                ..
            } => (Reason::VaultCredentialsRejected, *remedy),
            Self::Lost(..) => OPEN,
            Self::Credentials { .. } | Self::NotSent(..) => (Reason::VaultUnreachable, ""),
        }
    }

    /// Why AWS counts as not reached, unless it refused.
    fn unheard(&self) -> Option<Cause> {
        let is_unheard = matches!(
            self.verdict(),
            (Reason::VaultUnreachable | Reason::WriteOutcomeUnknown, _)
        );
        match self {
            Self::Answered(answer) => is_unheard.then(|| answer.cause()),
            Self::Credentials { unheard, .. } => *unheard,
            Self::Lost(cause, _) | Self::NotSent(cause, _) => Some(*cause),
        }
    }

    fn into_error(self, reason: Reason, remedy: &'static str) -> Error {
        let retry_after = match &self {
            Self::Answered(answer) => answer.retry_after,
            Self::Credentials { .. } | Self::Lost(..) | Self::NotSent(..) => None,
        };
        match (reason, self.unheard()) {
            (Reason::VaultUnreachable, Some(cause)) => unreachable(cause, retry_after, self),
            _ => refusal(reason, remedy, self),
        }
    }
}

/// Why whoever gives credentials was not heard, unless it refused.
fn unheard(error: &CredentialsError, now: SystemTime) -> Option<Cause> {
    if let Some(sts) = find::<SdkError<AssumeRoleError, HttpResponse>>(error) {
        return Failure::of(sts, now).unheard();
    }
    if let Some(sts) = find::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>(error) {
        return Failure::of(sts, now).unheard();
    }
    if let Some(ImdsError::ErrorResponse(answer)) = find(error) {
        let status = answer.response().status().as_u16();
        return matches!(status, 429 | 500..).then(|| cause_of_status(status));
    }
    let failed = find::<ConnectorError>(error)?;
    Some(match failed.is_timeout() {
        true => Cause::Timeout,
        false => cause_of(failed),
    })
}

impl Answer {
    fn of<E: ProvideErrorMetadata>(
        response: &HttpResponse,
        modelled: Option<&E>,
        now: SystemTime,
    ) -> Self {
        let header = |name| response.headers().get(name);
        let code = modelled.and_then(|error| error.code()).map(plain);
        // Of the others, some quote the request.
        let is_quotable = matches!(code.as_deref(), Some("AccessDeniedException"));
        let message = modelled.and_then(|error| error.message());
        let date = header("date")
            .and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok())
            .and_then(|date| SystemTime::try_from(date).ok());
        Self {
            status: response.status().as_u16(),
            code,
            message: message.filter(|_| is_quotable).map(plain),
            request_id: header("x-amzn-requestid").map(plain),
            retry_after: retry_after(response),
            skew: date.map(|date| match now.duration_since(date) {
                Ok(behind) => behind,
                Err(ahead) => ahead.duration(),
            }),
        }
    }

    fn verdict(&self) -> (Reason, &'static str) {
        let Some(code) = self.code.as_deref() else {
            return OPEN;
        };
        match (self.status, row(code)) {
            (429, _) => (Reason::VaultUnreachable, ""),
            (408 | 500.., _) => OPEN,
            (_, Some((_, reason, SIGNATURE))) => (*reason, self.signature_remedy()),
            (_, Some((_, reason, remedy))) => (*reason, *remedy),
            (401 | 403, None) => (Reason::VaultAccessDenied, UNLISTED),
            (_, None) => OPEN,
        }
    }

    /// Why AWS counts as not reached by who got this answer.
    fn cause(&self) -> Cause {
        let code = self.code.as_deref();
        match code.and_then(row) {
            Some((_, Reason::VaultUnreachable, _)) => Cause::Throttled,
            _ if code.is_some() && self.status != 429 => Cause::ServerError,
            _ => cause_of_status(self.status),
        }
    }

    /// AWS has one code for a skewed clock and a wrong key; the date of its answer tells.
    fn signature_remedy(&self) -> &'static str {
        match self.skew {
            Some(skew) if skew > SKEW_MAX => CLOCK,
            Some(_) => WRONG_SECRET,
            None => SIGNATURE,
        }
    }
}

fn row(code: &str) -> Option<&'static Row> {
    let mut rows = RECORDED.iter().chain(UNRECORDED);
    rows.find(|(listed, _, _)| *listed == code)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => {
                let code = answer.code.as_deref().unwrap_or("no code");
                write!(f, "HTTP {}, {code}", answer.status)?;
                if let Some(message) = &answer.message {
                    write!(f, ", {message}")?;
                }
                if let Some(id) = &answer.request_id {
                    write!(f, ", request {id}")?;
                }
                Ok(())
            }
            Self::Credentials { text, .. } => write!(f, "no credentials: {text}"),
            Self::Lost(_, text) => write!(f, "no answer: {text}"),
            Self::NotSent(_, text) => write!(f, "not sent: {text}"),
        }
    }
}

impl StdError for Failure {}

/// When to come back. A date instead of a pause is left to the client's own patience.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let number = |name| response.headers().get(name)?.parse().ok();
    let after = match number(RETRY_AFTER) {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_millis(number(RETRY_AFTER_MILLIS)?),
    };
    Some(after.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use claviger_core::Detail;

    use super::*;

    #[test]
    fn codes_are_listed_once_and_sorted() {
        for table in [RECORDED, UNRECORDED] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
        let is_recorded = |code| RECORDED.iter().any(|(recorded, _, _)| *recorded == code);
        assert!(!UNRECORDED.iter().any(|(code, _, _)| is_recorded(*code)));
    }

    #[test]
    fn reasons_with_several_causes_always_name_the_remedy() {
        for (code, reason, remedy) in RECORDED.iter().chain(UNRECORDED) {
            let has_one = matches!(
                reason,
                Reason::LocationInvalid
                    | Reason::VaultAccessDenied
                    | Reason::VaultCapabilityMissing
                    | Reason::VaultCredentialsRejected
            );
            assert_eq!(!remedy.is_empty(), has_one, "{code}");
        }
    }

    #[test]
    fn credentials_that_are_late_are_not_wrong_ones() {
        let late = CredentialsError::provider_timed_out(Duration::from_secs(5));
        let late = Failure::of_credentials(&late, SystemTime::UNIX_EPOCH).into_write_error();
        assert_eq!(late.detail(Detail::Cause), Some("TIMEOUT"));
        for (error, remedy) in [
            (CredentialsError::not_loaded("none"), NOT_LOADED),
            (CredentialsError::invalid_configuration("half"), NOT_LOADED),
            (CredentialsError::provider_error("refused"), PROVIDER),
            (CredentialsError::unhandled("panicked"), PROVIDER),
        ] {
            for failure in [Failure::into_read_error, Failure::into_write_error] {
                let error = failure(Failure::of_credentials(&error, SystemTime::UNIX_EPOCH));
                assert_eq!(error.reason(), Reason::VaultCredentialsRejected);
                assert_eq!(error.detail(Detail::Remedy), Some(remedy));
            }
        }
    }
}
