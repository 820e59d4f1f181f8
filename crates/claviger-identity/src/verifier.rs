//! From a token to a caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, Id};
use claviger_seal::sha256;
use moka::sync::Cache;
use tokio::runtime::Handle;

use crate::fetch::{Fetch, HttpFetch};
use crate::keys::KeySet;
use crate::kind::Kind;
use crate::principal::principal;
use crate::refusal::Refusal;
use crate::settings::IdentitySettings;
use crate::source::{Origin, Source};
use crate::token::{Claims, TOKEN_BYTES_MAX, Token};
use claviger_core::spiffe_trust_domain;

/// How far the issuer's clock may be before ours.
const LEEWAY: Duration = Duration::from_secs(30);

/// Tokens that are remembered, at most.
const REMEMBERED_MAX: u64 = 16 * 1024;

/// A caller whose token was found to be genuine and meant for us.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// The identity's name in the configuration.
    pub identity: Id,
    /// Its kind.
    pub kind: Kind,
    /// Who the caller is: `oidc:<identity>#…`, or `spiffe://…`.
    pub principal: String,
    /// Since when the issuer has it, if the token says so.
    pub issued: Option<SystemTime>,
    /// From when on the token proves nothing: its own end, and never later than the longest life of
    /// its kind from now.
    pub ends: SystemTime,
}

/// Judges tokens by the configured identities.
#[derive(Debug)]
pub struct Verifier {
    identities: Vec<Arc<Identity>>,
    clock: Arc<dyn Clock>,
    remembered: Cache<[u8; 32], Remembered>,
}

#[derive(Debug)]
struct Identity {
    name: Id,
    settings: IdentitySettings,
    source: Arc<Source>,
}

/// A verdict, for as long as the keys are those that it rests on.
#[derive(Clone, Debug)]
struct Remembered {
    identity: Arc<Identity>,
    keys: Arc<KeySet>,
    verified: Arc<Verified>,
}

impl Verifier {
    /// Judges by identities without problems or [`overlaps`](crate::overlaps). Asks nobody yet;
    /// issuers are asked on `runtime`.
    pub fn new(
        identities: BTreeMap<Id, IdentitySettings>,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Self {
        let http = |settings: &IdentitySettings| {
            let is_bundle = settings.kind == Kind::Spiffe;
            Arc::new(HttpFetch {
                ca_file: settings.ca_file.clone().filter(|_| !is_bundle),
                bearer_file: settings.bearer_file.clone(),
            }) as Arc<dyn Fetch>
        };
        Self::with_fetch(identities, clock, runtime, http)
    }

    /// As [`new`](Self::new), with another way to the issuers.
    pub fn with_fetch(
        identities: BTreeMap<Id, IdentitySettings>,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
        fetch: impl Fn(&IdentitySettings) -> Arc<dyn Fetch>,
    ) -> Self {
        let takers = identities.into_iter();
        let takers = takers.filter(|(_, settings)| settings.takes_tokens());
        let identities = takers
            .map(|(name, settings)| {
                let fetch = fetch(&settings);
                let origin = match (&settings.jwks_file, &settings.jwks_uri) {
                    (Some(file), _) => Origin::File(file.clone()),
                    (None, Some(uri)) => Origin::Uri {
                        uri: uri.clone(),
                        fetch,
                    },
                    (None, None) => Origin::Discovery {
                        issuer: settings.issuer.clone(),
                        fetch,
                    },
                };
                let (clock, runtime) = (Arc::clone(&clock), runtime.clone());
                let source = Source::new(name.clone(), settings.kind, origin, clock, runtime);
                Identity {
                    name,
                    settings,
                    source,
                }
            })
            .map(Arc::new)
            .collect();
        Self {
            identities,
            clock,
            remembered: Cache::new(REMEMBERED_MAX),
        }
    }

    /// Who the bearer of a token is.
    ///
    /// # Errors
    /// Why it is not believed: see [`Refusal::reason`] for what its bearer may know of that.
    pub async fn verify(&self, token: &str) -> Result<Arc<Verified>, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let hash = sha256(token.as_bytes());
        if let Some(verified) = self.remembered(&hash).await {
            return Ok(verified);
        }
        let text = token;
        let token = Token::parse(text)?;
        let identity = self.identity(&token.claims)?;
        let settings = &identity.settings;
        if !settings.algorithms.contains(&token.algorithm) {
            return Err(Refusal::Algorithm);
        }
        if token
            .typ
            .as_deref()
            .is_some_and(|typ| !settings.kind.is_typ(typ))
        {
            return Err(Refusal::Header("typ"));
        }
        // SECURITY: claims take up a hundred times their text, and any number of callers may wait.
        let kid = token.kid;
        drop(token.claims);
        let keys = identity.source.keys(kid.as_deref()).await;
        let keys = keys.ok_or(Refusal::KeysUnavailable)?;
        let token = Token::parse(text)?;
        keys.verify(&token)?;
        // SECURITY: nothing that it claims is looked at before it is genuine, or whoever makes one
        // up could ask what would be accepted.
        let verified = Arc::new(identity.judge(&token.claims, self.clock.now())?);
        let remembered = Remembered {
            identity: Arc::clone(identity),
            keys,
            verified: Arc::clone(&verified),
        };
        self.remembered.insert(hash, remembered);
        Ok(verified)
    }

    /// The verdict on a token that was judged before, if it would be the same.
    async fn remembered(&self, hash: &[u8; 32]) -> Option<Arc<Verified>> {
        let known = self.remembered.get(hash)?;
        let keys = known.identity.source.keys(None).await?;
        let is_same = Arc::ptr_eq(&keys, &known.keys) && self.clock.now() < known.verified.ends;
        if !is_same {
            self.remembered.invalidate(hash);
        }
        is_same.then_some(known.verified)
    }

    /// The identity that a token says it is of. SECURITY: it is one of those configured, and the
    /// signature has to be by a key of its own.
    fn identity(&self, claims: &Claims) -> Result<&Arc<Identity>, Refusal> {
        let by = |matches: &dyn Fn(&IdentitySettings) -> bool| {
            let mut identities = self.identities.iter();
            identities.find(|identity| matches(&identity.settings))
        };
        let issuer = claims.text_if_there("iss")?.unwrap_or_default();
        let by_issuer = by(&|settings| !issuer.is_empty() && settings.issuer == issuer);
        let by_trust_domain = || {
            let subject = claims.text_if_there("sub").ok().flatten()?;
            let domain = spiffe_trust_domain(subject)?;
            by(&|settings| settings.issuer.is_empty() && settings.trust_domain == domain)
        };
        by_issuer.or_else(by_trust_domain).ok_or(Refusal::Issuer)
    }
}

impl Identity {
    /// Who genuine claims stand for, and until when.
    fn judge(&self, claims: &Claims, now: SystemTime) -> Result<Verified, Refusal> {
        if !claims.is_for(&self.settings.audience)? {
            return Err(Refusal::Audience);
        }
        let life_max = self.settings.kind.life_max();
        let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH);
        let now = since_epoch(now).unwrap_or_default();
        let time = |name| Ok(claims.seconds_if_there(name)?.map(Duration::from_secs));
        let ends = time("exp")?.ok_or(Refusal::ClaimMissing("exp"))?;
        let (starts, issued) = (time("nbf")?, time("iat")?);
        if [starts, issued]
            .into_iter()
            .flatten()
            .any(|time| time > now + LEEWAY)
        {
            return Err(Refusal::NotYetValid);
        }
        if ends <= now {
            return Err(Refusal::Expired);
        }
        if ends.saturating_sub(issued.unwrap_or(now)) > life_max {
            return Err(Refusal::LifeTooLong);
        }
        let at = |time: Duration| SystemTime::UNIX_EPOCH + time;
        Ok(Verified {
            principal: principal(self.name.as_str(), &self.settings, claims)?,
            identity: self.name.clone(),
            kind: self.settings.kind,
            issued: issued.map(at),
            ends: at(ends.min(now + life_max)),
        })
    }
}
