//! The one error that crosses crates.
//!
//! A client sees the reason, its fixed template filled from typed metadata, and field violations
//! written in the code. Upstream text stays in `source`, which only logs may print.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Result with Claviger's [`struct@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Text that may be shown to a client: checked names, numbers, words of the code.
///
/// SECURITY: never implement it for `String`: it keeps upstream text and values out of messages.
pub trait Public: fmt::Display {}

/// A coordinate of a location, as an operator wrote it or as it was derived from names: may be
/// shown to callers that may register locations, and is never a value.
#[derive(Clone, Copy, Debug)]
pub struct Coordinate<'a>(pub &'a str);

impl fmt::Display for Coordinate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Public for Coordinate<'_> {}
impl Public for &'static str {}
impl Public for u64 {}
impl Public for usize {}
impl<T: Public + ?Sized> Public for &T {}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $template:literal;)+) => {
        /// The machine-readable cause of an error; the documentation of each says when it comes.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire: `UPPER_SNAKE_CASE`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The text for clients, `{…}` filled from the error's [`Detail`]s.
            pub(crate) fn template(self) -> &'static str {
                match self { $(Self::$variant => $template,)+ }
            }
        }
    };
}

reasons! {
    /// No grant allows it; a missing resource looks the same to callers that may not know.
    AccessDenied "ACCESS_DENIED"
        "{principal} lacks permission {permission} on {resource} (or it does not exist); a grant for one environment counts only if that is named; else ask an admin for a grant";
    /// The audit log can still be written, but not for long.
    AuditDiskNearlyFull "AUDIT_DISK_NEARLY_FULL"
        "the disk of the audit log is nearly full, and nothing is served once it is full; free disk space";
    /// The audit log cannot be written, so nothing is served.
    AuditUnavailable "AUDIT_UNAVAILABLE"
        "the audit log cannot be written, so nothing is served; free disk space or repair the log, then try again";
    /// The caller went away.
    Cancelled "CANCELLED" "the call was cancelled before it was answered";
    /// Another change came in between.
    Conflict "CONFLICT" "{resource} was changed at the same time; read it again and repeat the call";
    /// No token on a listener that needs one.
    CredentialsRequired "CREDENTIALS_REQUIRED"
        "no credentials; send the header `authorization: Bearer <token>`, or call over the Unix socket";
    /// The call's deadline, or the daemon's own, passed.
    DeadlineExceeded "DEADLINE_EXCEEDED"
        "the call was not answered before its deadline; a write may have been done: repeat it with the same request_id";
    /// Soft-deleted: undelete it, or purge it to free the name.
    DefinitionDeleted "DEFINITION_DELETED"
        "{resource} is deleted; call UndeleteSecretDefinition, or DeleteSecretDefinition with purge to free the name";
    /// Put of an existing definition without saying which state is being changed.
    DefinitionExists "DEFINITION_EXISTS"
        "{resource} exists and differs; pass its etag to replace it, or update_mask to change single fields";
    /// No such definition.
    DefinitionNotFound "DEFINITION_NOT_FOUND" "{resource} does not exist; register it with PutSecretDefinition";
    /// An environment is named that the project does not declare.
    EnvironmentUnknown "ENVIRONMENT_UNKNOWN"
        "{resource} declares no environment of that name; close to it: {near_misses}; declared: {environments}";
    /// The definition has locations for other environments only.
    EnvironmentUncovered "ENVIRONMENT_UNCOVERED"
        "{resource} has locations for other environments only; add this one under environments, or set environment_fallback";
    /// The project declares environments and the call names none.
    EnvironmentRequired "ENVIRONMENT_REQUIRED"
        "{resource} declares environments; name one of: {environments}";
    /// The etag is not that of the current state.
    EtagMismatch "ETAG_MISMATCH" "{resource} was changed since that etag was read; read it again and repeat the call";
    /// A field has a value outside its rule.
    FieldInvalid "FIELD_INVALID" "a field is not valid";
    /// No such grant.
    GrantNotFound "GRANT_NOT_FOUND" "there is no such grant; see ListGrants";
    /// A stored record does not open: changed, swapped, truncated or from another store.
    IntegrityFailure "INTEGRITY_FAILURE"
        "a stored record does not open: it was changed or belongs elsewhere; restore it from a backup";
    /// A bug of Claviger's own.
    Internal "INTERNAL" "internal error; the log has the cause under this call id";
    /// A location names a coordinate that its vault does not have.
    LocationInvalid "LOCATION_INVALID" "the location does not fit vault {vault}";
    /// The project is not allowed that name of the vault.
    LocationNotAllowed "LOCATION_NOT_ALLOWED"
        "this project may not use {secret} in vault {vault}; ask whoever runs the daemon to add it to vaults.{vault}.allow";
    /// A name breaks the rule for names.
    NameInvalid "NAME_INVALID" "a name is not valid";
    /// More calls wait for a vault than its limits let through in time.
    Overloaded "OVERLOADED"
        "too many calls wait for vault {vault}; try again in a moment, or raise vaults.{vault}.concurrent_calls or calls_per_second";
    /// The payload's CRC-32C is not that of its bytes.
    PayloadCrcMismatch "PAYLOAD_CRC_MISMATCH" "the payload's bytes do not match its crc32c; send it again";
    /// The payload has no bytes.
    PayloadEmpty "PAYLOAD_EMPTY" "the payload is empty";
    /// The payload uses the arm of the other format.
    PayloadFormatMismatch "PAYLOAD_FORMAT_MISMATCH" "the payload does not fit the definition's format";
    /// A payload does not go with this call.
    PayloadNotAllowed "PAYLOAD_NOT_ALLOWED" "a payload does not go with this call";
    /// The payload is longer than allowed.
    PayloadTooLarge "PAYLOAD_TOO_LARGE" "the payload is longer than {limit} bytes";
    /// Put of an existing project without its etag.
    ProjectExists "PROJECT_EXISTS" "{resource} exists and differs; pass its etag to replace it";
    /// Delete of a project that still has definitions.
    ProjectNotEmpty "PROJECT_NOT_EMPTY"
        "{resource} still has definitions (soft-deleted ones count); purge them first";
    /// No such project.
    ProjectNotFound "PROJECT_NOT_FOUND" "{resource} does not exist; create it with PutProject";
    /// A JSON document has no such property.
    PropertyNotFound "PROPERTY_NOT_FOUND"
        "the document that {resource} points at has no such property; see location.property";
    /// A JSON document has several properties, and none is named.
    PropertyRequired "PROPERTY_REQUIRED"
        "{resource} points at a JSON document without exactly one key; name one in location.property";
    /// A request id is used again with other content.
    RequestIdReused "REQUEST_ID_REUSED"
        "this request_id was used with other content; use a fresh UUID for a new request";
    /// The request message is longer than allowed.
    RequestTooLarge "REQUEST_TOO_LARGE" "the request is longer than {limit} bytes; shorten it (a value may have 65536 bytes, and a caller without any grant may send 4096 in all)";
    /// Deleted in the vault, and to be brought back only there.
    SecretDeleted "SECRET_DELETED"
        "the secret of {resource} is scheduled for deletion in vault {vault}; restore it there, or point the definition elsewhere";
    /// The definition has no value yet.
    SecretNotFound "SECRET_NOT_FOUND" "{resource} has no value in vault {vault}; store one with PutSecretValue";
    /// The secret in the vault was not made through this definition, and the call does not say
    /// `adopt`.
    SecretNotOwned "SECRET_NOT_OWNED"
        "the secret of {resource} in vault {vault} was not created by this definition; set adopt to write it all the same, or choose another secret";
    /// The embedded store can be read, and not written.
    StoreNotWritable "STORE_NOT_WRITABLE"
        "the store cannot be written: its disk is full, over a quota or read-only; free disk space or have it mounted for writing, then try again; reads go on, and no restart is needed";
    /// The embedded store does not answer.
    StoreUnavailable "STORE_UNAVAILABLE" "the store does not answer; see clavigerd status and the log, then try again";
    /// An organization key of Stripe works only for a named account, and the definition names none.
    StripeContextRequired "STRIPE_CONTEXT_REQUIRED" "the value needs an account to work on ({found}): {remedy}";
    /// The token's time is over.
    TokenExpired "TOKEN_EXPIRED" "the token has expired; ask an admin for a new one (CreateToken)";
    /// Not a token of this daemon.
    TokenInvalid "TOKEN_INVALID" "the token is not known here; check that it was copied whole and belongs to this daemon";
    /// No such token.
    TokenNotFound "TOKEN_NOT_FOUND" "there is no such token; see ListTokens";
    /// The token was revoked.
    TokenRevoked "TOKEN_REVOKED" "the token was revoked; ask an admin for a new one (CreateToken)";
    /// The kernel has no number for the uid of a caller on the socket, and shows one that it shows
    /// for all such callers.
    UidUnmapped "UID_UNMAPPED"
        "the kernel shows this caller as its overflow uid, which stands for every uid that has no number where the daemon runs; call with a token (authorization: Bearer <token>), run caller and daemon in one user namespace, and neither as nobody";
    /// Somebody else changed the document in the vault while a property of it was written.
    ValueChanged "VALUE_CHANGED"
        "the secret of {resource} was changed in vault {vault} while this call wrote a property of it; repeat the call";
    /// A usable value of a class that the definition does not allow.
    ValueClassNotAllowed "VALUE_CLASS_NOT_ALLOWED"
        "the definition does not allow a {kind} of this class ({found}): {remedy}";
    /// The vault has marked the value as expired.
    ValueExpired "VALUE_EXPIRED"
        "the value of {resource} has expired in vault {vault}; store a new one, or move its expiry date there";
    /// A value of the right kind in a form that cannot work.
    ValueMalformed "VALUE_MALFORMED" "the value is not a usable {kind} ({found}): {remedy}";
    /// A property is asked of a value that is not a JSON object.
    ValueNotJson "VALUE_NOT_JSON"
        "{resource} names a property, but the value is not a JSON object; store it again as plain JSON without a byte-order mark or anything else around it, or leave location.property out";
    /// The vault keeps the value and gives it to nobody outside.
    ValueNotReadable "VALUE_NOT_READABLE" "the value of {resource} cannot be read through vault {vault}: {remedy}";
    /// A TEXT definition's stored value is not UTF-8.
    ValueNotText "VALUE_NOT_TEXT" "the value of {resource} is not UTF-8; register the definition with format BINARY";
    /// The vault has marked the value as not valid before a date to come.
    ValueNotYetValid "VALUE_NOT_YET_VALID"
        "the value of {resource} is not valid yet in vault {vault}; wait for its activation date, or change the date there";
    /// The vault's value is longer than is served.
    ValueTooLong "VALUE_TOO_LONG"
        "the value of {resource} in vault {vault} is longer than {limit} bytes; store a shorter one, or point the definition elsewhere";
    /// Another sort of credential than the definition's kind.
    ValueWrongKind "VALUE_WRONG_KIND" "the value is not a {kind} ({found}): {remedy}";
    /// A usable value for another mode than the environment demands.
    ValueWrongMode "VALUE_WRONG_MODE" "the value is for the wrong mode ({found}): {remedy}";
    /// The vault knows Claviger and refuses it this secret or the key it is encrypted with.
    VaultAccessDenied "VAULT_ACCESS_DENIED" "vault {vault} refuses this to Claviger: {remedy}";
    /// `[Default]` could be several vaults.
    VaultAmbiguous "VAULT_AMBIGUOUS"
        "[Default] could be any of these vaults: {vaults}; name one of them in location.vault";
    /// The vault cannot do this.
    VaultCapabilityMissing "VAULT_CAPABILITY_MISSING" "vault {vault} cannot do this: {capability}";
    /// The vault does not take Claviger's own credentials.
    VaultCredentialsRejected "VAULT_CREDENTIALS_REJECTED"
        "vault {vault} does not take Claviger's credentials: {remedy}";
    /// No such vault in the configuration.
    VaultUnknown "VAULT_UNKNOWN" "there is no vault {vault}; configured: {vaults}";
    /// The vault does not answer in time.
    VaultUnreachable "VAULT_UNREACHABLE" "vault {vault} does not answer in time; try again, and see the daemon's log if it stays so";
    /// The version's bytes are gone for good.
    VersionDestroyed "VERSION_DESTROYED" "{resource} is destroyed; its value is gone for good";
    /// The version is switched off.
    VersionDisabled "VERSION_DISABLED" "{resource} is disabled; call EnableSecretVersion to use it again";
    /// `if_version` is not the current version.
    VersionMismatch "VERSION_MISMATCH"
        "the current version of {resource} is not the one named by if_version; see ListSecretVersions";
    /// No such version.
    VersionNotFound "VERSION_NOT_FOUND" "{resource} does not exist; see ListSecretVersions";
    /// Another write to the same place is under way.
    WriteInProgress "WRITE_IN_PROGRESS" "another write to {resource} is under way; repeat the call";
    /// The vault may or may not have taken the write.
    WriteOutcomeUnknown "WRITE_OUTCOME_UNKNOWN"
        "vault {vault} did not confirm the write; repeat the call with the same request_id";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key of an error's metadata; the same in templates and on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Detail {
    /// The capability that a vault lacks.
    Capability,
    /// The environments a project declares.
    Environments,
    /// The exact fault of a value, of several with one reason.
    Finding,
    /// The sort of credential that a value is; never more of it than its last four characters.
    Found,
    /// The kind of a definition.
    Kind,
    /// A bound that was passed.
    Limit,
    /// Names that may have been meant.
    NearMisses,
    /// The permission asked for.
    Permission,
    /// The caller.
    Principal,
    /// The remedy for this one of several causes.
    Remedy,
    /// The name of the resource that the error is about.
    Resource,
    /// The name of a secret in a vault.
    Secret,
    /// A vault's id.
    Vault,
    /// The configured vaults.
    Vaults,
}

impl Detail {
    /// The key on the wire: `lower_snake_case`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capability => "capability",
            Self::Environments => "environments",
            Self::Finding => "finding",
            Self::Found => "found",
            Self::Kind => "kind",
            Self::Limit => "limit",
            Self::NearMisses => "near_misses",
            Self::Permission => "permission",
            Self::Principal => "principal",
            Self::Remedy => "remedy",
            Self::Resource => "resource",
            Self::Secret => "secret",
            Self::Vault => "vault",
            Self::Vaults => "vaults",
        }
    }
}

/// A request field that is wrong, and the remedy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldViolation {
    /// Path of the field in the request, in proto spelling.
    pub field: &'static str,
    /// The fault and the remedy.
    pub description: String,
}

/// A failure with one machine-readable cause. `Display` prints only the text for clients.
pub struct Error(Box<Inner>);

struct Inner {
    reason: Reason,
    details: Vec<(Detail, String)>,
    violation: Option<FieldViolation>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this cause.
    pub fn new(reason: Reason) -> Self {
        Self(Box::new(Inner {
            reason,
            details: Vec::new(),
            violation: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Fills a place of the reason's template.
    #[must_use]
    pub fn with(mut self, detail: Detail, value: impl Public) -> Self {
        self.0.details.push((detail, value.to_string()));
        self
    }

    /// Names the request field and the remedy.
    #[must_use]
    pub fn violation(mut self, field: &'static str, description: impl Public) -> Self {
        self.0.violation = Some(FieldViolation {
            field,
            description: description.to_string(),
        });
        self
    }

    /// Names the request field; the remedy stays, or is the reason's own text.
    #[must_use]
    pub fn at(mut self, field: &'static str) -> Self {
        let known = self.0.violation.take().map(|known| known.description);
        let description = known.unwrap_or_else(|| self.message());
        self.0.violation = Some(FieldViolation { field, description });
        self
    }

    /// Tells the client when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Keeps the failure below this one, for logs only.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The cause.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The metadata, in the order it was given.
    pub fn details(&self) -> &[(Detail, String)] {
        &self.0.details
    }

    /// One piece of the metadata.
    pub fn detail(&self, detail: Detail) -> Option<&str> {
        self.0
            .details
            .iter()
            .find(|(key, _)| *key == detail)
            .map(|(_, value)| value.as_str())
    }

    /// The field that is wrong, if the request is at fault.
    pub fn field_violation(&self) -> Option<&FieldViolation> {
        self.0.violation.as_ref()
    }

    /// When to try again.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The reason's template, filled from the details.
    fn message(&self) -> String {
        let mut message = String::new();
        let mut rest = self.0.reason.template();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((key, after)) = after.split_once('}') else {
                break;
            };
            message.push_str(before);
            let value = self
                .0
                .details
                .iter()
                .find(|(detail, _)| detail.as_str() == key);
            message.push_str(value.map_or("(not given)", |(_, value)| value.as_str()));
            rest = after;
        }
        message.push_str(rest);
        message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message();
        f.write_str(&message)?;
        match &self.0.violation {
            Some(violation) if violation.description != message => {
                write!(f, ": {} {}", violation.field, violation.description)
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.0.reason)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "; caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_well_formed_and_unique() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(names.iter().all(|name| {
            name.len() <= 63 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        }));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn a_message_is_its_template_filled_and_the_violation() {
        let name = "projects/dev/secrets/stripe";
        let error = Error::new(Reason::DefinitionNotFound).with(Detail::Resource, name);
        assert_eq!(
            error.to_string(),
            "projects/dev/secrets/stripe does not exist; register it with PutSecretDefinition"
        );
        let error = Error::new(Reason::PayloadEmpty).violation("payload.text", "send the key");
        assert_eq!(
            error.to_string(),
            "the payload is empty: payload.text send the key"
        );
    }

    #[test]
    fn the_source_is_for_logs_only() {
        let error = Error::new(Reason::StoreUnavailable).caused_by("disk I/O error");
        assert!(!error.to_string().contains("disk I/O"));
        assert!(format!("{error:?}").contains("disk I/O"));
    }
}
