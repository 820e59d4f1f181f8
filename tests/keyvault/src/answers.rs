//! The answers of the service that do not depend on the content of a vault, as recorded.

use serde::Serialize;
use uuid::Uuid;

use crate::call::Call;

/// An answer that was recorded from the real service, or quoted by a user of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// The access policy of the vault does not name the caller.
    AccessDenied,
    /// The name belongs to a secret that is being deleted.
    BeingDeleted,
    /// The name belongs to a secret that was deleted.
    DeletedButRecoverable,
    /// The vault is reachable only over private links.
    ForbiddenByConnection,
    /// The firewall of the vault does not know the address.
    ForbiddenByFirewall,
    /// A network security perimeter does not know the address.
    ForbiddenByPerimeter,
    /// A policy forbids the operation.
    ForbiddenByPolicy,
    /// No role of the caller allows the operation.
    ForbiddenByRbac,
    /// There is no such secret.
    NotFound,
    /// The version is disabled.
    SecretDisabled,
    /// Too many requests.
    Throttled {
        /// Seconds; the one recorded answer had no such header.
        retry_after: Option<u32>,
    },
    /// The token is not accepted.
    Unauthorized(TokenFault),
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenFault {
    /// It was issued for something else.
    Audience,
    /// It is too old.
    Expired,
    /// It was issued by another tenant.
    Issuer,
    /// Its key is unknown to the machine that was asked; the next one may know it.
    SigningKey,
}

/// The body of a success, empty for 204.
pub(crate) type Outcome = Result<Vec<u8>, Problem>;

/// A refusal.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) inner: Option<&'static str>,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            inner: None,
            message: message.into(),
        }
    }

    pub(crate) fn inner(mut self, inner: &'static str) -> Self {
        self.inner = Some(inner);
        self
    }

    pub(crate) fn forbidden(inner: &'static str, message: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", message).inner(inner)
    }

    pub(crate) fn conflict(inner: &'static str, message: impl Into<String>) -> Self {
        Self::new(409, "Conflict", message).inner(inner)
    }

    pub(crate) fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(400, "BadParameter", message)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "Unauthorized", message)
    }

    /// `name` is that of a secret, or `{name}/{version}`.
    pub(crate) fn not_found(name: &str) -> Self {
        Self::new(
            404,
            "SecretNotFound",
            format!(
                "A secret with (name/id) {name} was not found in this key vault. If you recently \
                 deleted this secret you may be able to recover it using the correct recovery \
                 command. For help resolving this issue, please see \
                 https://go.microsoft.com/fwlink/?linkid=2125182"
            ),
        )
    }

    pub(crate) fn deleted_not_found(name: &str) -> Self {
        let message = format!("Deleted Secret not found: {name}");
        Self::new(404, "SecretNotFound", message)
    }

    pub(crate) fn disabled() -> Self {
        Self::forbidden(
            "SecretDisabled",
            "Operation get is not allowed on a disabled secret.",
        )
    }

    pub(crate) fn being_deleted() -> Self {
        Self::conflict("ObjectIsBeingDeleted", "Secret is currently being deleted.")
    }

    pub(crate) fn deleted_but_recoverable(name: &str) -> Self {
        Self::conflict(
            "ObjectIsDeletedButRecoverable",
            format!(
                "Secret {name} is currently in a deleted but recoverable state, and its name \
                 cannot be reused; in this state, the secret can only be recovered or purged."
            ),
        )
    }

    /// The body of this answer.
    pub(crate) fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Error<'a>,
        }
        #[derive(Serialize)]
        struct Error<'a> {
            code: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            innererror: Option<Inner<'a>>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
        }
        let error = Error {
            code: self.code,
            message: &self.message,
            innererror: self.inner.map(|code| Inner { code }),
        };
        serde_json::to_vec(&Body { error }).expect("strings")
    }
}

impl Recorded {
    pub(crate) fn retry_after(self) -> Option<u32> {
        if let Self::Throttled { retry_after } = self {
            retry_after
        } else {
            None
        }
    }

    /// This answer, given to that request.
    pub(crate) fn problem(self, call: &Call) -> Problem {
        let secret = call.secret();
        let vault = call.host.split('.').next().unwrap_or_default();
        match self {
            Self::AccessDenied => Problem::forbidden(
                "AccessDenied",
                format!(
                    "The user, group or application '{CALLER}' does not have secrets {} \
                     permission on key vault '{vault};location=westeurope'. For help resolving \
                     this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
                    permission(call)
                ),
            ),
            Self::BeingDeleted => Problem::being_deleted(),
            Self::DeletedButRecoverable => Problem::deleted_but_recoverable(&secret),
            Self::ForbiddenByConnection => Problem::forbidden(
                "ForbiddenByConnection",
                format!(
                    "Public network access is disabled and request is not from a trusted service \
                     nor via an approved private link.\r\nCaller: {CALLER}\r\nVault: \
                     {vault};location=westeurope"
                ),
            ),
            Self::ForbiddenByFirewall => Problem::forbidden(
                "ForbiddenByFirewall",
                format!(
                    "Client address is not authorized and caller is not a trusted service.\r\n\
                     Client address: 203.0.113.7\r\nCaller: {CALLER}\r\nVault: \
                     {vault};location=westeurope"
                ),
            ),
            // The inner code of this one was not quoted.
            Self::ForbiddenByPerimeter => Problem::forbidden(
                "ForbiddenByFirewall",
                format!(
                    "Request was not allowed by NSP rules and the client address is not authorized \
                     and caller is not a trusted service.\r\nClient address: 203.0.113.7\r\n\
                     Caller: {CALLER}\r\nVault: {vault};location=westeurope"
                ),
            ),
            Self::ForbiddenByPolicy => Problem::forbidden(
                "ForbiddenByPolicy",
                format!(
                    "Operation is not allowed.\r\nOperation: \"{}\"\r\nCaller: {CALLER}",
                    permission(call)
                ),
            ),
            Self::ForbiddenByRbac => rbac(call, &secret, vault),
            Self::NotFound => Problem::not_found(&secret),
            Self::SecretDisabled => Problem::disabled(),
            Self::Throttled { .. } => Problem::new(
                429,
                "Throttled",
                "Request was not processed because too many requests were received. Reason: \
                 VaultRequestTypeLimitReached",
            ),
            Self::Unauthorized(fault) => fault.problem(),
        }
    }
}

impl TokenFault {
    pub(crate) fn problem(self) -> Problem {
        Problem::unauthorized(match self {
            Self::Audience => {
                "AKV10022: Invalid audience. Expected https://vault.azure.net, found: \
                 https://vault.azure.net/."
            }
            Self::Expired => "[TokenExpired] Error validating token: 'S2S12086'.",
            Self::Issuer => {
                "AKV10032: Invalid issuer. Expected one of \
                 https://sts.windows.net/11111111-1111-1111-1111-111111111111/, found \
                 https://sts.windows.net/22222222-2222-2222-2222-222222222222/."
            }
            Self::SigningKey => {
                "AKV10046: Unable to resolve the key used for signature validation."
            }
        })
    }
}

fn rbac(call: &Call, secret: &str, vault: &str) -> Problem {
    let action = match permission(call) {
        "get" => "getSecret/action",
        "list" => "readMetadata/action",
        "set" => "setSecret/action",
        "recover" => "recover/action",
        "purge" => "purge/action",
        "delete" => "delete",
        _ => "update/action",
    };
    Problem::forbidden(
        "ForbiddenByRbac",
        format!(
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny \
             assignments or role definitions were changed recently, please observe propagation \
             time.\r\nCaller: {CALLER}\r\nAction: \
             'Microsoft.KeyVault/vaults/secrets/{action}'\r\nResource: \
             '/subscriptions/33333333-3333-3333-3333-333333333333/resourcegroups/tests/providers/\
             microsoft.keyvault/vaults/{vault}/secrets/{secret}'\r\nAssignment: (not found)\r\n\
             DenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: \
             {vault};location=westeurope\r\n"
        ),
    )
}

/// The name of the operation in an access policy.
fn permission(call: &Call) -> &'static str {
    let segments = call.segments();
    let segments = segments.iter().map(String::as_str).collect::<Vec<_>>();
    match (call.method.as_str(), segments.as_slice()) {
        ("GET", [_] | [_, _, "versions"]) => "list",
        ("GET", _) => "get",
        ("PUT", _) => "set",
        ("POST", _) => "recover",
        ("DELETE", ["deletedsecrets", ..]) => "purge",
        ("DELETE", _) => "delete",
        _ => "update",
    }
}

/// The headers of every answer of a vault, but for those of its body and the date.
pub(crate) fn headers(call: &Call) -> Vec<(String, String)> {
    let request_id = Uuid::new_v4().to_string();
    let mut headers = vec![
        ("Cache-Control", "no-cache"),
        ("Pragma", "no-cache"),
        ("Expires", "-1"),
        (
            "Strict-Transport-Security",
            "max-age=31536000;includeSubDomains",
        ),
        ("X-Content-Type-Options", "nosniff"),
        ("x-ms-keyvault-region", "westeurope"),
        ("x-ms-keyvault-service-version", "1.9.1820.1"),
        (
            "x-ms-keyvault-network-info",
            "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
        ),
        ("x-ms-request-id", &request_id),
    ];
    headers.extend(
        call.client_request_id
            .as_deref()
            .map(|id| ("x-ms-client-request-id", id)),
    );
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    headers.into_iter().map(owned).collect()
}

const CALLER: &str = "appid=44444444-4444-4444-4444-444444444444;\
                      oid=55555555-5555-5555-5555-555555555555;\
                      iss=https://sts.windows.net/11111111-1111-1111-1111-111111111111/";
