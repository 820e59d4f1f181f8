//! From an error to a gRPC status: the only file that names a gRPC code.

use std::collections::HashMap;
use std::time::Duration;

use claviger_core::{Detail, Error, Reason, Uid};
use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of our reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "claviger";

/// When to try again, if the error does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The code of a reason.
pub fn code_of(reason: Reason) -> Code {
    use Reason as R;
    match reason {
        R::AccessDenied => Code::PermissionDenied,
        R::AuditDiskNearlyFull
        | R::AuditUnavailable
        | R::Overloaded
        | R::StoreNotWritable
        | R::StoreUnavailable
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
        | R::EnvironmentUncovered
        | R::LocationNotAllowed
        | R::ProjectNotEmpty
        | R::SecretDeleted
        | R::SecretNotOwned
        | R::PropertyRequired
        | R::ValueExpired
        | R::ValueClassNotAllowed
        | R::ValueNotJson
        | R::ValueNotText
        | R::ValueNotReadable
        | R::ValueTooLong
        | R::ValueWrongMode
        | R::ValueNotYetValid
        | R::StripeContextRequired
        | R::VaultAccessDenied
        | R::VaultAmbiguous
        | R::VaultCapabilityMissing
        | R::VaultCredentialsRejected
        | R::VaultUnknown
        | R::VersionDestroyed
        | R::VersionDisabled => Code::FailedPrecondition,
        R::DefinitionExists | R::ProjectExists => Code::AlreadyExists,
        R::DefinitionNotFound
        | R::GrantNotFound
        | R::ProjectNotFound
        | R::PropertyNotFound
        | R::SecretNotFound
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
        | R::RequestTooLarge
        | R::ValueMalformed
        | R::ValueWrongKind => Code::InvalidArgument,
        R::IntegrityFailure => Code::DataLoss,
        R::Internal => Code::Internal,
        R::WriteOutcomeUnknown => Code::Unknown,
    }
}

/// Whether a status of a library says that something is not there.
pub(crate) fn is_not_found(status: &Status) -> bool {
    status.code() == Code::NotFound
}

/// Whether an answer says that the caller may not ask, or not so: all that a stranger gets.
pub(crate) fn is_refusal(headers: &HeaderMap) -> bool {
    let Some(status) = headers.get("grpc-status") else {
        return false;
    };
    matches!(
        Code::from_bytes(status.as_bytes()),
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated
    )
}

/// The status a client gets: template text, reason and metadata; never the error's source.
pub fn status_of(error: &Error, call_id: Uid) -> Status {
    let reason = error.reason();
    let code = match (reason, error.field_violation()) {
        // Nothing is wrong with the request that met a wrong value in the vault.
        (Reason::ValueMalformed | Reason::ValueWrongKind, None) => Code::FailedPrecondition,
        _ => code_of(reason),
    };
    let metadata: HashMap<String, String> = error
        .details()
        .iter()
        .map(|(detail, value)| (detail.as_str().to_owned(), value.clone()))
        .collect();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.as_str(), DOMAIN, metadata);
    details.set_request_info(call_id.to_string(), "");
    if let Some(violation) = error.field_violation() {
        details.add_bad_request_violation(violation.field, &violation.description);
    }
    let resource = error.detail(Detail::Resource).unwrap_or_default();
    if code == Code::FailedPrecondition {
        details.add_precondition_failure_violation(reason.as_str(), resource, error.to_string());
    }
    if code == Code::NotFound {
        details.set_resource_info("", resource, "", "");
    }
    if code == Code::Unavailable || error.retry_delay().is_some() {
        details.set_retry_info(Some(error.retry_delay().unwrap_or(RETRY_AFTER)));
    }
    Status::with_error_details(code, error.to_string(), details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_and_details() {
        for reason in Reason::ALL {
            let error = Error::new(*reason).caused_by("canary-upstream");
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
