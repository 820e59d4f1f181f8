//! Tokens: 256 random bits, shown once, kept as a hash, always with an end.
//!
//! `clv_` + 43 base-62 digits + 6 digits of checksum: scanners recognise it, and a token that was
//! not copied whole is told from one that is not known.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_access::{Authorized, Call, Caller, Directory, Permission, Principal, Scope};
use claviger_core::{Detail, Error, Id, Reason, Resource, Result, SecretBytes};
use claviger_seal::{equal, hex, random_bytes, sha256};
use claviger_store::{Batch, Committed, Expect, Record, Stored};
use serde::{Deserialize, Serialize};

use crate::access::{PrincipalGrants, about, is_covered};
use crate::definition::check_description;
use crate::writes::ATTEMPTS;
use crate::{Broker, NewGrant, Page, PageRequest};

/// Starts every token.
const PREFIX: &str = "clv_";
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

/// What is kept about a token.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Token {
    /// SHA-256 of the whole token.
    hash: [u8; 32],
    description: String,
    create_time: SystemTime,
    expire_time: SystemTime,
    is_revoked: bool,
    /// Where it was made for: who may give tokens there may revoke it, whatever it got since.
    scopes: Vec<Scope>,
}

impl Record for Token {
    const KIND: &'static str = "tokens/";
    const FORM: u32 = 1;
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
    /// Its id; the principal is `token:<id>`.
    pub id: Id,
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
    fn view(&self, id: Id) -> TokenView {
        TokenView {
            id,
            description: self.description.clone(),
            create_time: self.create_time,
            expire_time: self.expire_time,
            is_revoked: self.is_revoked,
        }
    }
}

impl Broker {
    /// Finds out whose token this is.
    ///
    /// # Errors
    /// `TOKEN_INVALID`, `TOKEN_EXPIRED`, `TOKEN_REVOKED`, `STORE_UNAVAILABLE`.
    pub async fn authenticate(&self, token: &str) -> Result<Caller> {
        if !is_well_formed(token.as_bytes()) {
            return Err(Error::new(Reason::TokenInvalid));
        }
        let hash = sha256(token.as_bytes());
        let id = id_of(&hash)?;
        let stored = self.find_token(&id).await?;
        let token = stored
            .map(|stored| stored.record)
            .filter(|token| equal(&token.hash, &hash))
            .ok_or_else(|| Error::new(Reason::TokenInvalid))?;
        if token.is_revoked {
            return Err(Error::new(Reason::TokenRevoked));
        }
        if self.clock.now() >= token.expire_time {
            return Err(Error::new(Reason::TokenExpired));
        }
        Ok(Caller {
            principal: Principal::Token(id),
            expire_time: Some(token.expire_time),
        })
    }

    /// Makes a token with its grants in one commit, and shows it this once.
    ///
    /// # Errors
    /// See the RPC `CreateToken`.
    pub async fn create_token(
        self: &Arc<Self>,
        call: &Arc<Call>,
        new: NewToken,
    ) -> Result<(SecretBytes, TokenView)> {
        let resource = new
            .grants
            .first()
            .map_or(Resource::Daemon, |grant| grant.resource.clone());
        let authorized = self
            .authorize(call, &[Permission::TokensPut], resource, None)
            .await?;
        self.finish_detached(
            authorized,
            |(_, view): &(SecretBytes, TokenView)| about(&view.id),
            |broker, authorized| async move {
                for grant in &new.grants {
                    broker.check_covered(&authorized, &grant.resource).await?;
                }
                new.check()?;
                let token = generate();
                let hash = sha256(token.expose());
                let id = id_of(&hash)?;
                let principal = Principal::Token(id.clone());
                let grants = broker
                    .first_grants(&authorized, &principal, &new.grants)
                    .await?;
                let now = broker.clock.now();
                let record = Token {
                    hash,
                    description: new.description,
                    create_time: now,
                    expire_time: now + new.ttl,
                    is_revoked: false,
                    scopes: grants
                        .grants
                        .iter()
                        .map(|grant| grant.scope.clone())
                        .collect(),
                };
                broker.audit.intent(&authorized, about(&id)).await?;
                let batch = Batch::new().put(id.as_str(), &record, Expect::Absent).put(
                    &PrincipalGrants::record_id(&principal),
                    &grants,
                    Expect::Absent,
                );
                match broker.records.commit(batch).await? {
                    Committed::At(_) => Ok((token, record.view(id))),
                    Committed::Conflict { .. } | Committed::Ended => {
                        Err(Error::new(Reason::Internal))
                    }
                }
            },
        )
        .await
    }

    /// Lists what is kept about tokens.
    ///
    /// # Errors
    /// See the RPC `ListTokens`.
    pub async fn list_tokens(
        &self,
        call: &Arc<Call>,
        request: &PageRequest,
    ) -> Result<Page<TokenView>> {
        let permissions = &[Permission::TokensGet];
        let authorized = self
            .authorize(call, permissions, Resource::Daemon, None)
            .await?;
        let scanned = self
            .records
            .scan::<Token>("", request.after.as_deref(), request.size)
            .await;
        let result = scanned.and_then(|scanned| {
            let view = |(id, stored): (String, Stored<Token>)| {
                Ok((id.clone(), stored.record.view(Id::parse("name", &id)?)))
            };
            let views = scanned.into_iter().map(view).collect::<Result<Vec<_>>>()?;
            Ok(Page::of(views, request))
        });
        self.decided(authorized, result).await
    }

    /// Ends a token and its grants.
    ///
    /// # Errors
    /// See the RPC `RevokeToken`.
    pub async fn revoke_token(self: &Arc<Self>, call: &Arc<Call>, id: Id) -> Result<TokenView> {
        let authorized = self.authorize_anywhere(call, Permission::TokensPut).await?;
        let facts = |view: &TokenView| about(&view.id);
        self.finish_detached(authorized, facts, move |broker, authorized| async move {
            let principal = Principal::Token(id.clone());
            broker.revocable(&authorized, &id).await?;
            broker.audit.intent(&authorized, about(&id)).await?;
            for _ in 0..ATTEMPTS {
                let stored = broker.revocable(&authorized, &id).await?;
                let revoked = Token {
                    is_revoked: true,
                    ..(*stored.record).clone()
                };
                let grants = PrincipalGrants::record_id(&principal);
                let batch = Batch::new()
                    .put(id.as_str(), &revoked, Expect::Revision(stored.revision))
                    .delete::<PrincipalGrants>(&grants, Expect::Any);
                if let Committed::At(_) = broker.records.commit(batch).await? {
                    return Ok(revoked.view(id));
                }
            }
            Err(Error::new(Reason::Conflict).with(Detail::Resource, authorized.resource()))
        })
        .await
    }

    pub(crate) async fn find_token(&self, id: &Id) -> Result<Option<Stored<Token>>> {
        self.records.get::<Token>(id.as_str()).await
    }

    /// The token, if the caller may revoke it: one it may not looks like one that is not there.
    async fn revocable(&self, authorized: &Authorized, id: &Id) -> Result<Stored<Token>> {
        let stored = self.find_token(id).await?;
        stored
            .filter(|token| {
                token
                    .record
                    .scopes
                    .iter()
                    .all(|scope| is_covered(authorized, scope))
            })
            .ok_or_else(|| Error::new(Reason::TokenNotFound))
    }

    /// Refuses a token's grant on what the caller may not give tokens for.
    async fn check_covered(&self, authorized: &Authorized, resource: &Resource) -> Result<()> {
        if authorized.covers(self.resolve(resource).await?) {
            return Ok(());
        }
        Err(denied(authorized, resource))
    }
}

impl NewToken {
    fn check(&self) -> Result<()> {
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

fn denied(authorized: &Authorized, resource: &Resource) -> Error {
    Error::new(Reason::AccessDenied)
        .with(Detail::Principal, &authorized.call().caller.principal)
        .with(Detail::Permission, Permission::TokensPut)
        .with(Detail::Resource, resource)
}

/// The id is the start of the hash, so that a look-up needs no index.
fn id_of(hash: &[u8; 32]) -> Result<Id> {
    let (start, _) = hash.split_at(10);
    Id::parse("token", &hex(start))
}

fn generate() -> SecretBytes {
    let mut token = PREFIX.as_bytes().to_vec();
    while token.len() < PREFIX.len() + RANDOM_DIGITS {
        // 248 is the largest multiple of 62 in a byte: above it digits would not be equally likely.
        let bytes = SecretBytes::new(random_bytes::<RANDOM_DIGITS>().to_vec());
        let digits = bytes.expose().iter().filter(|byte| **byte < 248);
        let missing = PREFIX.len() + RANDOM_DIGITS - token.len();
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

fn is_well_formed(token: &[u8]) -> bool {
    token.len() == PREFIX.len() + RANDOM_DIGITS + CHECK_DIGITS
        && token.starts_with(PREFIX.as_bytes())
        && token
            .split_at_checked(PREFIX.len() + RANDOM_DIGITS)
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
}
