//! Tokens: 256 random bits, shown once, kept as a hash, always with an end.
//!
//! `clv_` + 43 base-62 digits + 6 digits of checksum: scanners recognise it, and a token that was
//! not copied whole is told from one that is not known.

use std::time::{Duration, SystemTime};

use claviger_access::{Principal, Scope};
use claviger_core::{Error, Id, Reason, Result, SecretBytes, TOKEN_START};
use claviger_seal::{hex, random_bytes};

use crate::model::grants::NewGrant;
use crate::model::texts::check_description;

/// Digits that carry 256 random bits.
const RANDOM_DIGITS: usize = 43;
/// Digits of the checksum.
const CHECK_DIGITS: usize = 6;
/// The digits.
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Shortest life of a token.
const TTL_MIN: Duration = Duration::from_secs(60);
/// Longest life of a token.
const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Longest life of an exchanged one, and its life if the caller names none.
const EXCHANGE_TTL_MAX: Duration = Duration::from_secs(60 * 60);
const EXCHANGE_TTL_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// What is kept about a token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// SHA-256 of the whole token.
    pub(crate) hash: [u8; 32],
    pub(crate) description: String,
    pub(crate) create_time: SystemTime,
    pub(crate) expire_time: SystemTime,
    pub(crate) is_revoked: bool,
    /// Where it was made for: callers that may give tokens there may revoke it, whatever it got
    /// since.
    pub(crate) scopes: Vec<Scope>,
    /// The caller that made it; `None` if that was before makers were noted.
    pub(crate) made_by: Option<Principal>,
    /// Whom it speaks as, if it was given for another proof: it has no grants of its own then.
    pub(crate) speaks_as: Option<SpeaksAs>,
}

/// The holder of another proof, whose token speaks as itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SpeaksAs {
    pub(crate) principal: Principal,
    /// The identity of the configuration that vouched for it.
    pub(crate) identity: Id,
    /// What that name stood for then.
    pub(crate) digest: [u8; 32],
}

/// A token to make.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it may do.
    pub grants: Vec<NewGrant>,
    /// How long it works.
    pub ttl: Duration,
    /// For people.
    pub description: String,
}

/// What is shown about a token.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// Its id.
    pub id: Id,
    /// Who its holder is: `token:<id>`, or of an exchanged one whoever it was given to.
    pub principal: Principal,
    /// For people.
    pub description: String,
    /// When it was made.
    pub create_time: SystemTime,
    /// When it ends.
    pub expire_time: SystemTime,
    /// Whether it was revoked before that.
    pub is_revoked: bool,
}

impl Token {
    pub(crate) fn view(&self, id: Id) -> TokenView {
        let speaks_as = self.speaks_as.as_ref();
        let own = || Principal::Token(id.clone());
        TokenView {
            principal: speaks_as.map_or_else(own, |other| other.principal.clone()),
            id,
            description: self.description.clone(),
            create_time: self.create_time,
            expire_time: self.expire_time,
            is_revoked: self.is_revoked,
        }
    }
}

impl NewToken {
    /// Checks what is asked for.
    ///
    /// # Errors
    /// `FIELD_INVALID` with the field and the remedy.
    pub(crate) fn check(&self) -> Result<()> {
        if self.grants.is_empty() {
            return Err(Error::new(Reason::FieldInvalid)
                .violation("grants", "is empty; name at least one role and resource"));
        }
        if !(TTL_MIN..=TTL_MAX).contains(&self.ttl) {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "ttl",
                "is out of bounds; use 60s to 31536000s (365 days), in seconds, \"86400s\" for a day",
            ));
        }
        check_description(&self.description, "description")
    }
}

/// How long an exchanged token works at most, if its proof does.
///
/// # Errors
/// `FIELD_INVALID` with the field and the remedy.
pub(crate) fn exchange_ttl(asked: Option<Duration>) -> Result<Duration> {
    let ttl = asked.unwrap_or(EXCHANGE_TTL_DEFAULT);
    match (TTL_MIN..=EXCHANGE_TTL_MAX).contains(&ttl) {
        true => Ok(ttl),
        false => Err(Error::new(Reason::FieldInvalid).violation(
            "ttl",
            "is out of bounds; use 60s to 3600s, or leave it out for 900s",
        )),
    }
}

/// How long tokens are, in bytes.
pub(crate) const LEN: usize = TOKEN_START.len() + RANDOM_DIGITS + CHECK_DIGITS;

/// The id of a token: the start of its hash, so that a look-up needs no index.
pub(crate) fn id_of(hash: &[u8; 32]) -> Result<Id> {
    let (start, _) = hash.split_at(10);
    Id::parse("token", &hex(start))
}

/// A fresh token.
pub(crate) fn generate() -> SecretBytes {
    let mut token = TOKEN_START.as_bytes().to_vec();
    while token.len() < TOKEN_START.len() + RANDOM_DIGITS {
        // 248 is the largest multiple of 62 in a byte: above it digits would not be equally likely.
        let bytes = SecretBytes::new(random_bytes::<RANDOM_DIGITS>().to_vec());
        let digits = bytes.expose().iter().filter(|byte| **byte < 248);
        let missing = TOKEN_START.len() + RANDOM_DIGITS - token.len();
        token.extend(
            digits
                .filter_map(|byte| BASE_62.get(usize::from(byte % 62)))
                .take(missing),
        );
    }
    let check = checksum(&token);
    token.extend(check);
    SecretBytes::new(token)
}

/// Whether it has the form of a token and was copied whole.
pub(crate) fn is_well_formed(token: &[u8]) -> bool {
    token.len() == LEN
        && token.starts_with(TOKEN_START.as_bytes())
        && token
            .split_at_checked(TOKEN_START.len() + RANDOM_DIGITS)
            .is_some_and(|(body, check)| checksum(body) == check)
}

/// CRC-32C in base 62.
fn checksum(body: &[u8]) -> [u8; CHECK_DIGITS] {
    let mut rest = SecretBytes::new(body.to_vec()).crc32c();
    let mut digits = [b'0'; CHECK_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE_62.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_prefix_digits_and_checksum() {
        let token = generate();
        let text = std::str::from_utf8(token.expose()).expect("ASCII");
        assert_eq!(text.len(), 53);
        assert!(text.starts_with("clv_"));
        assert!(
            text.strip_prefix("clv_")
                .expect("prefix")
                .bytes()
                .all(|b| b.is_ascii_alphanumeric())
        );
        assert!(is_well_formed(token.expose()));
    }

    #[test]
    fn a_token_with_any_digit_changed_or_missing_is_not_well_formed() {
        let token = generate();
        let whole = token.expose();
        for position in 0..whole.len() {
            let mut other = whole.to_vec();
            other[position] = if other[position] == b'x' { b'y' } else { b'x' };
            assert!(!is_well_formed(&other), "position {position}");
            assert!(!is_well_formed(&whole[..position]), "cut at {position}");
        }
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(generate().expose(), generate().expose());
    }

    #[test]
    fn an_exchanged_token_is_good_for_a_minute_to_an_hour() {
        let minutes = |minutes| Some(Duration::from_mins(minutes));
        assert_eq!(exchange_ttl(None).ok(), minutes(15));
        for (asked, is_allowed) in [
            (minutes(0), false),
            (Some(Duration::from_secs(59)), false),
            (minutes(1), true),
            (minutes(60), true),
            (Some(Duration::from_secs(3601)), false),
        ] {
            let ttl = exchange_ttl(asked);
            assert_eq!(ttl.is_ok(), is_allowed, "{asked:?}");
            if let Err(error) = ttl {
                assert_eq!(error.field_violation().unwrap().field, "ttl");
            }
        }
    }
}
