//! From an error to a gRPC status: the only file that names a gRPC code.

use std::collections::HashMap;
use std::time::Duration;

use claviger_core::{Detail, Error, Reason, Uid};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::limits::SMALL_BYTES_MAX;

/// The domain of our reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "claviger";

/// When to try again, if the error does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Most bytes of a status in its headers: clients whose users set nothing take 8,192 in all, and
/// drop what is longer, with its reason. The rest is for the other headers of an answer.
const STATUS_BYTES_MAX: usize = 8 * 1024 - 512;

/// How long its texts may be, by turns; whatever there is fits with the last.
const TEXT_BYTES: [usize; 6] = [2048, 1024, 512, 256, 128, 64];

/// The code of a reason.
pub fn code_of(reason: Reason) -> Code {
    use Reason as R;
    match reason {
        R::AccessDenied => Code::PermissionDenied,
        R::AuditDiskNearlyFull
        | R::AuditUnavailable
        | R::IdentityUnavailable
        | R::Overloaded
        | R::StoreNotWritable
        | R::StoreUnavailable
        | R::StripeUnreachable
        | R::VaultCredentialsRejected
        | R::VaultUnreachable => Code::Unavailable,
        R::Cancelled => Code::Cancelled,
        R::Conflict
        | R::EtagMismatch
        | R::ValueChanged
        | R::VersionMismatch
        | R::WriteInProgress => Code::Aborted,
        R::CredentialsRequired
        | R::TokenExpired
        | R::TokenInvalid
        | R::TokenRevoked
        | R::UidUnmapped => Code::Unauthenticated,
        R::DeadlineExceeded => Code::DeadlineExceeded,
        R::DefinitionDeleted
        | R::DefinitionInUse
        | R::EnvironmentUncovered
        | R::InstallShared
        | R::LocationNotAllowed
        | R::ProfileDeleted
        | R::ProjectNotEmpty
        | R::ProofRequired
        | R::ReconnectRequired
        | R::ResponseTooLarge
        | R::SecretDeleted
        | R::SecretNotOwned
        | R::PropertyRequired
        | R::ValueEmpty
        | R::ValueExpired
        | R::ValueClassNotAllowed
        | R::ValueNotJson
        | R::ValueNotText
        | R::ValueNotReadable
        | R::ValueTooLong
        | R::ValueWrongMode
        | R::ValueNotYetValid
        | R::StripeContextRequired
        | R::StripeRefused
        | R::VaultAccessDenied
        | R::VaultAmbiguous
        | R::VaultCapabilityMissing
        | R::VaultUnknown
        | R::VersionDestroyed
        | R::VersionDisabled => Code::FailedPrecondition,
        R::DefinitionExists | R::ProfileExists | R::ProjectExists => Code::AlreadyExists,
        R::DefinitionNotFound
        | R::GrantNotFound
        | R::ProfileNotFound
        | R::ProjectNotFound
        | R::PropertyNotFound
        | R::SecretNotFound
        | R::ServiceUnknown
        | R::TokenNotFound
        | R::VersionNotFound => Code::NotFound,
        R::EnvironmentRequired
        | R::EnvironmentUnknown
        | R::FieldInvalid
        | R::LocationInvalid
        | R::NameInvalid
        | R::PayloadCrcMismatch
        | R::PayloadEmpty
        | R::PayloadFormatMismatch
        | R::PayloadNotAllowed
        | R::PayloadTooLarge
        | R::RequestIdReused
        | R::RequestMalformed
        | R::RequestTooLarge
        | R::ValueMalformed
        | R::ValueWrongKind => Code::InvalidArgument,
        R::CompressionUnsupported | R::MethodUnknown => Code::Unimplemented,
        R::IntegrityFailure => Code::DataLoss,
        R::Internal => Code::Internal,
        R::WriteOutcomeUnknown => Code::Unknown,
    }
}

/// Whether a status of a library says that something is not there.
pub(crate) fn is_not_found(status: &Status) -> bool {
    status.code() == Code::NotFound
}

/// Whether it tells the caller that it may not ask, or not so: all that a stranger gets.
pub(crate) fn is_refusal(error: &Error) -> bool {
    error.reason() == Reason::IdentityUnavailable
        || matches!(
            code(error),
            Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated
        )
}

/// The headers of an answer with a message.
pub(crate) fn headers() -> HeaderMap {
    one(CONTENT_TYPE, GRPC_CONTENT_TYPE)
}

/// What ends an answer with a message.
pub(crate) fn trailers() -> HeaderMap {
    one(Status::GRPC_STATUS, HeaderValue::from_static("0"))
}

/// A map of one takes up less than one that may grow.
fn one(name: HeaderName, value: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(name, value);
    headers
}

/// What the gRPC library refuses by itself with these headers or trailers, in our words; `None` if
/// they are of an answer, or say why.
pub(crate) fn refused_by_library(headers: &HeaderMap) -> Option<Error> {
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return None;
    }
    match Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes()) {
        Code::Internal => Some(Error::new(Reason::RequestMalformed)),
        Code::NotFound => Some(Error::new(Reason::ServiceUnknown)),
        // Of a public service: the door measures other requests itself.
        Code::OutOfRange | Code::ResourceExhausted => {
            Some(Error::new(Reason::RequestTooLarge).with(Detail::Limit, SMALL_BYTES_MAX))
        }
        Code::Unimplemented => Some(Error::new(Reason::MethodUnknown)),
        Code::Aborted
        | Code::AlreadyExists
        | Code::Cancelled
        | Code::DataLoss
        | Code::DeadlineExceeded
        | Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::Ok
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unavailable
        | Code::Unknown => None,
    }
}

/// The status a client gets: template text, reason and metadata; never the error's source. It says
/// as much as fits.
pub fn status_of(error: &Error, call_id: Uid) -> Status {
    check_told(error);
    let whole = told(error, call_id, true);
    if fits(&whole) {
        return whole;
    }
    // Short texts stay whole as long as they can: most lose nothing.
    let mut lengths = TEXT_BYTES.into_iter();
    let shorter = lengths.find_map(|bytes_max| {
        let status = told(&error.shortened(bytes_max), call_id, false);
        fits(&status).then_some(status)
    });
    shorter.unwrap_or(whole)
}

/// Where tests run, what leaves has to name what it is about.
pub(crate) fn check_told(error: &Error) {
    debug_assert_eq!(error.unsaid(), None, "{error:?}");
}

/// Whether a client that sets no limit of its own gets to see it.
fn fits(status: &Status) -> bool {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).is_ok() && header_bytes(&headers) <= STATUS_BYTES_MAX
}

/// What headers take up, as HTTP/2 counts it.
pub(crate) fn header_bytes(headers: &HeaderMap) -> usize {
    let fields = headers.iter();
    fields
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum()
}

/// From 0 to 1, another one each time.
fn jitter() -> f64 {
    f64::from(Uid::random().first_byte()) / 255.0
}

/// The code of an error.
pub(crate) fn code(error: &Error) -> Code {
    match (error.reason(), error.field_violation()) {
        // Nothing is wrong with the request that met a wrong value in the vault.
        (Reason::ValueMalformed | Reason::ValueWrongKind, None) => Code::FailedPrecondition,
        (reason, _) => code_of(reason),
    }
}

/// When the call may be repeated, if that helps.
pub(crate) fn retry_after(error: &Error) -> Option<Duration> {
    let usual = || match error.reason() == Reason::Overloaded {
        // Not all of those that came at once in one second again.
        true => Some(RETRY_AFTER.mul_f64(1.0 + jitter())),
        false => (code(error) == Code::Unavailable).then_some(RETRY_AFTER),
    };
    error.retry_delay().or_else(usual)
}

/// The status with all that there is to say, or without what is in it twice.
fn told(error: &Error, call_id: Uid, is_repeating: bool) -> Status {
    let reason = error.reason();
    let violation = error.field_violation();
    let code = code(error);
    let metadata: HashMap<String, String> = error
        .details()
        .iter()
        .map(|(detail, value)| (detail.as_str().to_owned(), value.clone()))
        .collect();
    let message = error.to_string();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.as_str(), DOMAIN, metadata);
    details.set_request_info(call_id.to_string(), "");
    if let Some(violation) = violation {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    let resource = error.detail(Detail::Resource).unwrap_or_default();
    if code == Code::FailedPrecondition {
        let description = if is_repeating { &*message } else { "" };
        details.add_precondition_failure_violation(reason.as_str(), resource, description);
    }
    if code == Code::NotFound {
        details.set_resource_info("", resource, "", "");
    }
    if let Some(after) = retry_after(error) {
        details.set_retry_info(Some(after));
    }
    let mut status = Status::with_error_details(code, message, details);
    if reason == Reason::CompressionUnsupported {
        let accepted = MetadataValue::from_static("identity");
        let metadata = status.metadata_mut();
        metadata.insert("grpc-accept-encoding", accepted);
    }
    status
}

#[cfg(test)]
mod tests {
    use claviger_core::Coordinate;
    use proptest::prelude::*;

    use super::*;

    /// A list of the 50 longest ids is shorter.
    const LONGEST: usize = 8 * 1024;

    /// Text of one character, short or long: each kind takes up something else in a header.
    fn text() -> impl Strategy<Value = String> {
        let lengths = prop_oneof![0..40_usize, 40..3000_usize, Just(LONGEST)];
        let characters = prop_oneof![
            Just('x'),
            Just(' '),
            Just('%'),
            Just('\u{1}'),
            Just('é'),
            Just('€'),
            Just('🔑')
        ];
        (characters, lengths).prop_map(|(one, length)| one.to_string().repeat(length))
    }

    fn headers(status: &Status) -> HeaderMap {
        let answer: http::Response<()> = status.clone().into_http();
        answer.headers().clone()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_refusal_fits_a_client_that_sets_no_limit(
            texts in proptest::collection::vec(text(), Detail::ALL.len()),
            violation in proptest::option::of(proptest::option::of(text())),
        ) {
            for reason in Reason::ALL {
                let mut error = Error::new(*reason);
                for (detail, text) in Detail::ALL.iter().zip(&texts) {
                    error = error.with(*detail, Coordinate(text));
                }
                error = match &violation {
                    None => error,
                    Some(None) => error.at("definition.location"),
                    Some(Some(text)) => error.violation("definition.location", Coordinate(text)),
                };
                let call_id = Uid::random();
                let status = status_of(&error, call_id);
                // `:status` is none of the map's.
                prop_assert!(header_bytes(&headers(&status)) + 42 <= 8192 - 256, "{}", reason);
                let details = status.get_error_details();
                let info = details.error_info().expect("always");
                prop_assert_eq!(&*info.reason, reason.as_str());
                prop_assert_eq!(info.metadata.len(), Detail::ALL.len());
                let request = details.request_info().expect("always");
                prop_assert_eq!(&request.request_id, &call_id.to_string());
                for (detail, text) in Detail::ALL.iter().zip(&texts) {
                    let told = info.metadata.get(detail.as_str()).expect("each");
                    let kept = told.strip_suffix('…').unwrap_or(told);
                    prop_assert!(told == text || text.starts_with(kept) && told != kept);
                    prop_assert!(text.len() > 64 || told == text, "short ones stay: {}", told);
                }
                if violation.is_some() {
                    let request = details.bad_request().expect("a field");
                    prop_assert_eq!(&*request.field_violations[0].field, "definition.location");
                }
            }
        }
    }

    #[test]
    fn a_refusal_of_an_ordinary_length_loses_nothing() {
        let remedy = "r".repeat(900);
        let error = Error::new(Reason::VaultAccessDenied)
            .with(Detail::Vault, "aws-eu")
            .with(Detail::Resource, "projects/acme/secrets/stripe")
            .with(Detail::Remedy, Coordinate(&remedy));
        let status = status_of(&error, Uid::random());
        assert_eq!(status.message(), error.to_string());
        let details = status.get_error_details();
        let failure = details.precondition_failure().expect("one");
        assert_eq!(failure.violations[0].description, error.to_string());
    }

    #[test]
    fn every_reason_has_a_code_and_details() {
        for reason in Reason::ALL {
            let error = Error::new(*reason)
                .with(Detail::Resource, "projects/acme")
                .with(Detail::Vault, "aws-eu")
                .caused_by("canary-upstream");
            let call_id = Uid::random();
            let status = status_of(&error, call_id);
            assert_ne!(status.code(), Code::Ok, "{reason}");
            let details = status.get_error_details();
            assert_eq!(
                details.error_info().expect("always").reason,
                reason.as_str()
            );
            assert_eq!(
                details.request_info().expect("always").request_id,
                call_id.to_string()
            );
            assert_eq!(
                details.retry_info().is_some(),
                status.code() == Code::Unavailable
            );
            assert!(!format!("{status:?}").contains("canary"), "{reason}");
        }
    }
}
