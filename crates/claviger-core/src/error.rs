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
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident $name:literal $template:literal $(or $other:literal)?;
    )+) => {
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

            /// The text for clients, `{…}` filled from the error's [`Detail`]s: the first, or where
            /// not all of its details are known, the second.
            fn templates(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$template $(, $other)?],)+ }
            }
        }
    };
}

reasons! {
    /// No grant allows it; a missing resource looks the same to callers that may not know.
    AccessDenied "ACCESS_DENIED"
        "{principal} lacks permission {permission} on {resource} (or it does not exist); a grant for one environment counts only if that is named; else ask an admin for a grant"
        or "the caller lacks a permission on {resource} (or it does not exist); ask an admin for a grant";
    /// The audit log can still be written, but not for long.
    AuditDiskNearlyFull "AUDIT_DISK_NEARLY_FULL"
        "the disk of the audit log is nearly full, and nothing is served once it is full; free disk space";
    /// The audit log cannot be written, so nothing is served.
    AuditUnavailable "AUDIT_UNAVAILABLE"
        "the audit log cannot be written, so nothing is served; free disk space or repair the log, then try again";
    /// The caller went away.
    Cancelled "CANCELLED" "the call was cancelled before it was answered";
    /// The request is compressed.
    CompressionUnsupported "COMPRESSION_UNSUPPORTED"
        "compressed requests are not read; send it uncompressed (grpc-encoding: identity)";
    /// Another change came in between.
    Conflict "CONFLICT" "{resource} was changed at the same time; read it again and repeat the call";
    /// No token on a listener that needs one.
    CredentialsRequired "CREDENTIALS_REQUIRED"
        "no credentials; send the header `authorization: Bearer <token>`, show a client's certificate in TLS, or call over the Unix socket";
    /// The call's deadline, or the daemon's own, passed.
    DeadlineExceeded "DEADLINE_EXCEEDED"
        "the call was not answered before its deadline; a write may have been done: repeat it with the same request_id";
    /// Soft-deleted: undelete it, or purge it to free the name.
    DefinitionDeleted "DEFINITION_DELETED"
        "{resource} is deleted; call UndeleteSecretDefinition, or DeleteSecretDefinition with purge to free the name";
    /// A connection profile leads to the definition.
    DefinitionInUse "DEFINITION_IN_USE"
        "{resource} is in use: {remedy}"
        or "{resource} is what a connection profile gives to jobs; point that elsewhere or purge it first (ListConnectionProfiles)";
    /// Put of an existing definition without saying which state is being changed.
    DefinitionExists "DEFINITION_EXISTS"
        "{resource} exists and differs; pass its etag to replace it, or update_mask to change single fields";
    /// No such definition.
    DefinitionNotFound "DEFINITION_NOT_FOUND" "{resource} does not exist; register it with PutSecretDefinition";
    /// An environment is named that the project does not declare.
    EnvironmentUnknown "ENVIRONMENT_UNKNOWN"
        "{resource} declares no environment of that name; close to it: {near_misses}; declared: {environments}"
        or "{resource} declares no environment of that name; see GetProject";
    /// The definition has locations for other environments only.
    EnvironmentUncovered "ENVIRONMENT_UNCOVERED"
        "{resource} has locations for other environments only; add this one under environments, or set environment_fallback";
    /// The project declares environments and the call names none.
    EnvironmentRequired "ENVIRONMENT_REQUIRED"
        "{resource} declares environments; name one of: {environments}"
        or "{resource} declares environments; name one of them (GetProject)";
    /// The etag is not that of the current state.
    EtagMismatch "ETAG_MISMATCH" "{resource} was changed since that etag was read; read it again and repeat the call";
    /// A field has a value outside its rule.
    FieldInvalid "FIELD_INVALID" "a field is not valid";
    /// No such grant.
    GrantNotFound "GRANT_NOT_FOUND" "there is no such grant; see ListGrants";
    /// The keys of the JWT's issuer cannot be had.
    IdentityUnavailable "IDENTITY_UNAVAILABLE"
        "the token cannot be judged now, because the keys of its issuer cannot be had; try again, and see the daemon's log if it stays so";
    /// Another profile has connected the same app to the same account, in another project or with
    /// another client secret.
    InstallShared "INSTALL_SHARED"
        "the app of {resource} is connected to the same account in the same mode by another profile, of another project or with another client secret, and one refresh token cannot serve both; use that profile, or purge it first";
    /// A stored record does not open: changed, swapped, truncated or from another store.
    IntegrityFailure "INTEGRITY_FAILURE"
        "a stored record does not open: it was changed or belongs elsewhere; restore it from a backup";
    /// A bug of Claviger's own.
    Internal "INTERNAL" "internal error; the log has the cause under this call id";
    /// A location names a coordinate that its vault does not have.
    LocationInvalid "LOCATION_INVALID" "the location does not fit vault {vault}";
    /// The project is not allowed that name of the vault.
    LocationNotAllowed "LOCATION_NOT_ALLOWED"
        "this project may not use {secret} in vault {vault}; ask whoever runs the daemon to add it to vaults.{vault}.allow"
        or "this project may not use that name in vault {vault}; ask whoever runs the daemon to add it to vaults.{vault}.allow";
    /// No such method.
    MethodUnknown "METHOD_UNKNOWN"
        "there is no such method; list those there are by reflection (grpcurl list), and see that client and daemon are of one version";
    /// A name breaks the rule for names.
    NameInvalid "NAME_INVALID" "a name is not valid";
    /// More calls wait for a vault than its limits let through in time.
    Overloaded "OVERLOADED"
        "too many calls wait for vault {vault}; try again in a moment, or raise vaults.{vault}.concurrent_calls or calls_per_second"
        or "the daemon has more under way than it takes from one caller, or from all; try again in a moment";
    /// The payload's CRC-32C is not that of its bytes.
    PayloadCrcMismatch "PAYLOAD_CRC_MISMATCH" "the payload's bytes do not match its crc32c; send it again";
    /// The payload has no bytes.
    PayloadEmpty "PAYLOAD_EMPTY" "the payload is empty";
    /// The payload uses the arm of the other format.
    PayloadFormatMismatch "PAYLOAD_FORMAT_MISMATCH" "the payload does not fit the definition's format";
    /// A payload does not go with this call.
    PayloadNotAllowed "PAYLOAD_NOT_ALLOWED" "a payload does not go with this call";
    /// The payload is longer than allowed.
    PayloadTooLarge "PAYLOAD_TOO_LARGE"
        "the payload is longer than {limit} bytes"
        or "the payload is too long";
    /// Soft-deleted: undelete it, or purge it to free the name.
    ProfileDeleted "PROFILE_DELETED"
        "{resource} is deleted; call UndeleteConnectionProfile, or DeleteConnectionProfile with purge to free the name";
    /// Put of an existing profile without saying which state is being changed.
    ProfileExists "PROFILE_EXISTS"
        "{resource} exists and differs; pass its etag to replace it, or update_mask to change single fields";
    /// No such profile.
    ProfileNotFound "PROFILE_NOT_FOUND" "{resource} does not exist; create it with PutConnectionProfile";
    /// Put of an existing project without its etag.
    ProjectExists "PROJECT_EXISTS" "{resource} exists and differs; pass its etag to replace it";
    /// Delete of a project that still has definitions.
    ProjectNotEmpty "PROJECT_NOT_EMPTY"
        "{resource} still has definitions or connection profiles (soft-deleted ones count); purge them first";
    /// No such project.
    ProjectNotFound "PROJECT_NOT_FOUND" "{resource} does not exist; create it with PutProject";
    /// The call came with what is not exchanged for a token.
    ProofRequired "PROOF_REQUIRED"
        "only a JWT or a client certificate of a configured identity is exchanged for a token, and this call came with neither; call with one, or have an admin make a token (CreateToken)";
    /// A JSON document has no such property.
    PropertyNotFound "PROPERTY_NOT_FOUND"
        "the document that {resource} points at has no such property; see location.property";
    /// A JSON document without exactly one key, and the location does not say which part is meant.
    PropertyRequired "PROPERTY_REQUIRED"
        "it is not said which part of the JSON document of {resource} is meant; name one in location.property, or set location.whole for all of it as it is";
    /// The tokens of the install do not work any more, and only a person can get new ones.
    ReconnectRequired "RECONNECT_REQUIRED"
        "{resource} has to be connected to Stripe again ({cause}): {remedy}"
        or "{resource} has to be connected to Stripe again; put a new refresh token with PutConnectionProfile";
    /// A request id is used again with other content.
    RequestIdReused "REQUEST_ID_REUSED"
        "this request_id was used with other content; use a fresh UUID for a new request";
    /// The request is not the one message of its method.
    RequestMalformed "REQUEST_MALFORMED"
        "the request cannot be read as a message of this method; see that client and daemon are of one version";
    /// The request message is longer than allowed.
    RequestTooLarge "REQUEST_TOO_LARGE"
        "the request is longer than {limit} bytes; shorten it (a value may have 65536 bytes, and a caller without any grant may send 4096 in all)"
        or "the request is too long; shorten it";
    /// Other values fill the reply.
    ResponseTooLarge "RESPONSE_TOO_LARGE"
        "{resource} has no room in this reply beside the other values; ask for it in a call of its own";
    /// Deleted in the vault, and to be brought back only there.
    SecretDeleted "SECRET_DELETED"
        "the secret of {resource} is scheduled for deletion in vault {vault}; restore it there, or point the definition elsewhere";
    /// The definition has no value yet.
    SecretNotFound "SECRET_NOT_FOUND" "{resource} has no value in vault {vault}; store one with PutSecretValue";
    /// The secret in the vault was not made for this project, and the call does not say `adopt`.
    SecretNotOwned "SECRET_NOT_OWNED"
        "the secret of {resource} in vault {vault} was not created for this project: {remedy}"
        or "the secret of {resource} in vault {vault} was not created for this project; take it over by a PutSecretValue with adopt, or choose another secret";
    /// Health or reflection is asked for something that is not here.
    ServiceUnknown "SERVICE_UNKNOWN"
        "there is no such service or name here; list those there are by reflection (grpcurl list)";
    /// The embedded store can be read, and not written.
    StoreNotWritable "STORE_NOT_WRITABLE"
        "the store cannot be written: its disk is full, over a quota or read-only; free disk space or have it mounted for writing, then try again; reads go on, and no restart is needed";
    /// The embedded store does not answer.
    StoreUnavailable "STORE_UNAVAILABLE" "the store does not answer; see clavigerd status and the log, then try again";
    /// An organization key of Stripe works only for a named account, and the definition names none.
    StripeContextRequired "STRIPE_CONTEXT_REQUIRED"
        "the value needs an account to work on ({found}): {remedy}"
        or "the value needs an account to work on; set definition.stripe.context";
    /// Stripe answered, and will not do it.
    StripeRefused "STRIPE_REFUSED"
        "Stripe refuses this for {resource}: {remedy}"
        or "Stripe refuses this for {resource}; see TestConnection, and the daemon's log";
    /// Stripe did not answer, or asked to come later.
    StripeUnreachable "STRIPE_UNREACHABLE"
        "Stripe is not reached for {resource}: {remedy}"
        or "Stripe is not reached for {resource}; try again";
    /// The token's time is over.
    TokenExpired "TOKEN_EXPIRED" "the token has expired; ask for a new one where it came from: its issuer, ExchangeToken, or an admin (CreateToken)";
    /// Not a token of this daemon.
    TokenInvalid "TOKEN_INVALID" "the token is not known here; check that it was copied whole and belongs to this daemon, or, if it is a JWT, that the daemon has its issuer (identity.<name>) and that it names the audience there; the audit log has the cause";
    /// No such token.
    TokenNotFound "TOKEN_NOT_FOUND" "there is no such token; see ListTokens";
    /// The token was revoked, or the identity of its holder is gone.
    TokenRevoked "TOKEN_REVOKED" "the token was revoked, or whoever vouched for its holder is no longer configured; ask an admin for a new one (CreateToken)";
    /// The kernel has no number for the uid of a caller on the socket, and shows one that it shows
    /// for all such callers.
    UidUnmapped "UID_UNMAPPED"
        "the kernel shows this caller as its overflow uid, which stands for every uid that has no number where the daemon runs; call with a token (authorization: Bearer <token>), run caller and daemon in one user namespace, and neither as nobody";
    /// Somebody else changed the secret in the vault while a value was written to it.
    ValueChanged "VALUE_CHANGED"
        "the secret of {resource} was changed in vault {vault} while this call wrote to it, so what it holds now may not be what was stored; store the value again with PutSecretValue"
        or "the secret of {resource} was changed in its vault while this call wrote to it, so what it holds now may not be what was stored; store the value again with PutSecretValue";
    /// A usable value of a class that the definition does not allow.
    ValueClassNotAllowed "VALUE_CLASS_NOT_ALLOWED"
        "the definition does not allow a {kind} of this class ({found}): {remedy}"
        or "the definition does not allow a value of this class; see definition.stripe.allowed_classes";
    /// There are no bytes, or the property is `null`.
    ValueEmpty "VALUE_EMPTY"
        "the value of {resource} is empty, or null in its document; store one with PutSecretValue or in the vault's own console";
    /// The vault has marked the value as expired.
    ValueExpired "VALUE_EXPIRED"
        "the value of {resource} has expired in vault {vault}; store a new one, or move its expiry date there (before a property is stored)";
    /// A value of the right kind in a form that cannot work.
    ValueMalformed "VALUE_MALFORMED"
        "the value is not a usable {kind} ({found}): {remedy}"
        or "the value has no usable form; store it again with nothing around it";
    /// A property is asked of a value that is not a JSON object.
    ValueNotJson "VALUE_NOT_JSON"
        "{resource} names a property, but the value is not a JSON object; store it again as plain JSON without a byte-order mark or anything else around it, or leave location.property out, or set location.whole in place of it";
    /// The vault keeps the value and gives it to nobody outside.
    ValueNotReadable "VALUE_NOT_READABLE"
        "the value of {resource} cannot be read through vault {vault}: {remedy}"
        or "the value of {resource} cannot be read through vault {vault}; see the daemon's log";
    /// A TEXT definition's stored value is not Unicode.
    ValueNotText "VALUE_NOT_TEXT"
        "the value of {resource} is not UTF-8; register the definition with format BINARY, or, if it is a string in a JSON document, store that again without the half of a character (\\ud800 to \\udfff) that it has";
    /// The vault has marked the value as not valid before a date to come.
    ValueNotYetValid "VALUE_NOT_YET_VALID"
        "the value of {resource} is not valid yet in vault {vault}; wait for its activation date, or change the date there";
    /// The vault's value is longer than is served.
    ValueTooLong "VALUE_TOO_LONG"
        "the value of {resource} in vault {vault} is longer than {limit} bytes; store a shorter one, or point the definition elsewhere"
        or "the value of {resource} in vault {vault} is longer than is served; store a shorter one, or point the definition elsewhere";
    /// Another sort of credential than the definition's kind.
    ValueWrongKind "VALUE_WRONG_KIND"
        "the value is not a {kind} ({found}): {remedy}"
        or "the value is not of the definition's kind; store one that is, or correct the kind";
    /// A usable value for another mode than the environment demands.
    ValueWrongMode "VALUE_WRONG_MODE"
        "the value is for the wrong mode ({found}): {remedy}"
        or "the value is for another mode than the environment demands; store one for that";
    /// The vault knows Claviger and refuses it this secret or the key it is encrypted with.
    VaultAccessDenied "VAULT_ACCESS_DENIED"
        "vault {vault} refuses this to Claviger: {remedy}"
        or "vault {vault} refuses this to Claviger; give its identity there (CheckVault) the right to it";
    /// `[Default]` could be several vaults.
    VaultAmbiguous "VAULT_AMBIGUOUS"
        "[Default] could be any of these vaults: {vaults}; name one of them in location.vault"
        or "[Default] could be any of several vaults; name one in location.vault";
    /// The vault cannot do this.
    VaultCapabilityMissing "VAULT_CAPABILITY_MISSING"
        "vault {vault} cannot do this: {capability}"
        or "vault {vault} cannot do this; ListVaults says what it can";
    /// The vault does not take Claviger's own credentials.
    VaultCredentialsRejected "VAULT_CREDENTIALS_REJECTED"
        "vault {vault} does not take Claviger's credentials: {remedy}"
        or "vault {vault} does not take Claviger's credentials; see those in vaults.{vault}, and the daemon's log";
    /// No such vault in the configuration.
    VaultUnknown "VAULT_UNKNOWN"
        "there is no vault {vault}; configured: {vaults}"
        or "there is no such vault; see ListVaults";
    /// The vault was not reached; see [`Cause`](crate::Cause).
    VaultUnreachable "VAULT_UNREACHABLE" "vault {vault} is not reached: {remedy}"
        or "vault {vault} is not reached; try again, and see the daemon's log if it stays so";
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

macro_rules! details {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal;)+) => {
        /// A key of an error's metadata; the same in templates and on the wire.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Detail {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Detail {
            /// Every detail there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The key on the wire: `lower_snake_case`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

impl Detail {
    /// In a text, in place of one that nobody gave.
    fn unnamed(self) -> &'static str {
        match self == Self::Resource {
            true => "the resource",
            false => "(unnamed)",
        }
    }
}

details! {
    /// The capability that a vault lacks.
    Capability "capability";
    /// The [`Cause`](crate::Cause) for which a vault was not reached.
    Cause "cause";
    /// The environments a project declares.
    Environments "environments";
    /// The exact fault of a value, of several with one reason.
    Finding "finding";
    /// The sort of credential that a value is; never more of it than its last four characters.
    Found "found";
    /// The kind of a definition.
    Kind "kind";
    /// A bound that was passed.
    Limit "limit";
    /// Names that may have been meant.
    NearMisses "near_misses";
    /// The permission asked for.
    Permission "permission";
    /// The caller.
    Principal "principal";
    /// The remedy for this one of several causes.
    Remedy "remedy";
    /// The name of the resource that the error is about.
    Resource "resource";
    /// The name of a secret in a vault.
    Secret "secret";
    /// A vault's id.
    Vault "vault";
    /// The configured vaults.
    Vaults "vaults";
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
    /// The field, and the remedy where it is another one than the reason's own text.
    violation: Option<(&'static str, Option<String>)>,
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

    /// Fills a place of the reason's template. What was said first stays: it was said nearer to the
    /// fault.
    #[must_use]
    pub fn with(mut self, detail: Detail, value: impl Public) -> Self {
        if self.detail(detail).is_none() {
            self.0.details.push((detail, value.to_string()));
        }
        self
    }

    /// Names the request field and the remedy.
    #[must_use]
    pub fn violation(mut self, field: &'static str, description: impl Public) -> Self {
        self.0.violation = Some((field, Some(description.to_string())));
        self
    }

    /// Names the request field; the remedy stays, or is the reason's own text.
    #[must_use]
    pub fn at(mut self, field: &'static str) -> Self {
        let known = self.0.violation.take().and_then(|(_, known)| known);
        self.0.violation = Some((field, known));
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

    /// The same error for somebody else, without what only logs may print.
    #[must_use]
    pub fn again(&self) -> Self {
        self.shortened(usize::MAX)
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
    pub fn field_violation(&self) -> Option<FieldViolation> {
        let (field, description) = self.0.violation.as_ref()?;
        Some(FieldViolation {
            field,
            description: description.clone().unwrap_or_else(|| self.message()),
        })
    }

    /// The same for a client, no text that was filled in longer than so many bytes: the rest of one
    /// is left out, with a mark in its place.
    #[must_use]
    pub fn shortened(&self, bytes_max: usize) -> Self {
        let shorten = |text: &String| shortened(text, bytes_max);
        let details = self.0.details.iter();
        let violation = self.0.violation.as_ref();
        Self(Box::new(Inner {
            reason: self.0.reason,
            details: details.map(|(key, text)| (*key, shorten(text))).collect(),
            violation: violation.map(|(field, text)| (*field, text.as_ref().map(shorten))),
            retry_after: self.0.retry_after,
            source: None,
        }))
    }

    /// When to try again.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// A detail that the text for clients should have and nobody gave: a fault of the code, which
    /// tests look for.
    pub fn unsaid(&self) -> Option<Detail> {
        placed(self.template()).find(|detail| self.detail(*detail).is_none())
    }

    /// The first of the reason's templates that can be filled, or that can be once the layers above
    /// have said what it is about; the last, if none can.
    fn template(&self) -> &'static str {
        let lacks = |detail: &Detail| self.detail(*detail).is_none();
        let is_filled = |template: &'static str, later: &[Detail]| {
            placed(template).all(|detail| !lacks(&detail) || later.contains(&detail))
        };
        let templates = self.0.reason.templates();
        let first = |later| templates.iter().find(|template| is_filled(template, later));
        let found = first(&[]).or_else(|| first(&[Detail::Resource, Detail::Vault]));
        found.or(templates.last()).copied().unwrap_or_default()
    }

    /// The reason's template, filled from the details.
    fn message(&self) -> String {
        let mut message = String::new();
        let mut rest = self.template();
        while let Some((before, detail, after)) = next_place(rest) {
            message.push_str(before);
            message.push_str(self.detail(detail).unwrap_or(detail.unnamed()));
            rest = after;
        }
        message.push_str(rest);
        message
    }
}

/// The next place of a template for a detail, with what stands before and after it.
fn next_place(template: &'static str) -> Option<(&'static str, Detail, &'static str)> {
    let (before, rest) = template.split_once('{')?;
    let (key, after) = rest.split_once('}')?;
    let detail = Detail::ALL.iter().find(|detail| detail.as_str() == key)?;
    Some((before, *detail, after))
}

/// The details that a template has places for.
fn placed(template: &'static str) -> impl Iterator<Item = Detail> {
    let mut rest = template;
    std::iter::from_fn(move || {
        let (_, detail, after) = next_place(rest)?;
        rest = after;
        Some(detail)
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match &self.0.violation {
            Some((field, Some(description))) => write!(f, ": {field} {description}"),
            Some((_, None)) | None => Ok(()),
        }
    }
}

/// The text, or its beginning and a mark: at most so many bytes, or only the mark.
fn shortened(text: &str, bytes_max: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(bytes_max.saturating_sub(MARK.len()));
    let (kept, _) = text.split_at(kept);
    format!("{kept}{MARK}")
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
mod tests;
