//! Why a token is not believed.

use std::fmt;

use claviger_core::Reason;

/// The cause of a refusal, for the audit log and the process log. A caller sees
/// [`reason`](Self::reason) and nothing more: which audiences and keys there are is not for
/// strangers. That an issuer is configured shows while its keys cannot be had.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refusal {
    /// `alg` is not one that the identity takes.
    Algorithm,
    /// `aud` does not name us.
    Audience,
    /// A claim that has to be there is not.
    ClaimMissing(&'static str),
    /// A claim is of another JSON type than it has to be, or too long.
    ClaimType(&'static str),
    /// A claim is not what this identity demands.
    ClaimValue(&'static str),
    /// A member is there twice, or in two spellings that differ in case only.
    Duplicate,
    /// `exp` has passed.
    Expired,
    /// A member of the header that is never obeyed, because it names or is a key (`jwk`, `jku`,
    /// `x5u`, `x5c`) or changes the rules (`crit`), or that does not fit (`typ`).
    Header(&'static str),
    /// No identity has this issuer.
    Issuer,
    /// Several keys of the issuer fit, or there is no `kid` and not one key only.
    KeyAmbiguous,
    /// The key with this `kid` is of another type than `alg`.
    KeyType,
    /// The issuer has no key with this `kid`.
    KeyUnknown,
    /// The issuer's keys cannot be had, and none are remembered that may still be used.
    KeysUnavailable,
    /// It is good for longer than tokens of its kind may be.
    LifeTooLong,
    /// It is not three parts of base64url, of which two hold JSON objects.
    Malformed,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// The signature is not that of the issuer's key.
    Signature,
    /// It is longer than any token that is taken.
    TooLong,
}

impl Refusal {
    /// The code for logs.
    pub fn as_str(self) -> &'static str {
        self.parts().0
    }

    /// What the caller may know. That a token has expired is said only of one that was genuine; that
    /// the issuer's keys cannot be had, of one that is to be sent again.
    pub fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::TokenExpired,
            Self::KeysUnavailable => Reason::IdentityUnavailable,
            Self::Algorithm
            | Self::Audience
            | Self::ClaimMissing(_)
            | Self::ClaimType(_)
            | Self::ClaimValue(_)
            | Self::Duplicate
            | Self::Header(_)
            | Self::Issuer
            | Self::KeyAmbiguous
            | Self::KeyType
            | Self::KeyUnknown
            | Self::LifeTooLong
            | Self::Malformed
            | Self::NotYetValid
            | Self::Signature
            | Self::TooLong => Reason::TokenInvalid,
        }
    }

    /// The code, and the member that it is about.
    fn parts(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Algorithm => ("JWT_ALGORITHM", None),
            Self::Audience => ("JWT_AUDIENCE", None),
            Self::ClaimMissing(name) => ("JWT_CLAIM_MISSING", Some(name)),
            Self::ClaimType(name) => ("JWT_CLAIM_TYPE", Some(name)),
            Self::ClaimValue(name) => ("JWT_CLAIM_VALUE", Some(name)),
            Self::Duplicate => ("JWT_DUPLICATE", None),
            Self::Expired => ("JWT_EXPIRED", None),
            Self::Header(name) => ("JWT_HEADER", Some(name)),
            Self::Issuer => ("JWT_ISSUER", None),
            Self::KeyAmbiguous => ("JWT_KEY_AMBIGUOUS", None),
            Self::KeyType => ("JWT_KEY_TYPE", None),
            Self::KeyUnknown => ("JWT_KEY_UNKNOWN", None),
            Self::KeysUnavailable => ("JWT_KEYS_UNAVAILABLE", None),
            Self::LifeTooLong => ("JWT_LIFE_TOO_LONG", None),
            Self::Malformed => ("JWT_MALFORMED", None),
            Self::NotYetValid => ("JWT_NOT_YET_VALID", None),
            Self::Signature => ("JWT_SIGNATURE", None),
            Self::TooLong => ("JWT_TOO_LONG", None),
        }
    }
}

impl std::error::Error for Refusal {}

/// The code, and the member that it is about: never anything that the token says.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (code, Some(name)) => write!(f, "{code} ({name})"),
            (code, None) => f.write_str(code),
        }
    }
}
