//! Tokens revoked: alone, or with all that they made.
//!
//! What a token made is ended from the top down, and looked for once its maker can make no more:
//! a commit for a revoked token is refused by the store. So nothing is missed, however quick it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_access::{Authorized, Call, Permission, Principal};
use claviger_audit::Facts;
use claviger_core::{Detail, Error, Id, Reason, Result};
use claviger_store::{Batch, Expect, Stored};

use crate::broker::Broker;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::{Made, made_by};
use crate::engine::found::Asked;
use crate::grants::{facts_about, forget_made, uids_of};
use crate::model::grants::Grants;
use crate::model::token::{Token, TokenView};

/// Records looked at per page.
const PAGE: usize = 500;

/// Tokens ended in one commit.
const BATCH: usize = 100;

/// A token to revoke.
#[derive(Clone, Debug)]
pub struct RevokeToken {
    /// Its id.
    pub id: Id,
    /// Whether the tokens and grants that it made end too, and those that these made.
    pub is_cascading: bool,
}

/// The outcome of a revocation.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// The token.
    pub token: TokenView,
    /// The names of what it made meanwhile and is not the caller's to end, as requests name them.
    pub remaining: Vec<String>,
}

impl Broker {
    /// Ends a token and its grants.
    ///
    /// # Errors
    /// See the RPC `RevokeToken`.
    pub async fn revoke_token(
        self: &Arc<Self>,
        call: &Arc<Call>,
        revoke: RevokeToken,
    ) -> Result<Revocation> {
        let permission = Permission::TokensPut;
        let asked = self.catalog.ask_anywhere(call, permission).await?;
        let facts = |revocation: &Revocation| facts_about(&revocation.token.id);
        self.finish_detached(asked, facts, move |broker, asked| async move {
            broker.revoke_token_asked(&asked, revoke).await
        })
        .await
    }

    async fn revoke_token_asked(
        &self,
        Asked { proof, .. }: &Asked<()>,
        RevokeToken { id, is_cascading }: RevokeToken,
    ) -> Result<Revocation> {
        let stored = self.catalog.get::<Token>(proof, id.as_str()).await?;
        revocable(proof, stored.as_ref())?;
        if is_cascading {
            self.check_tree(proof, &id).await?;
        }
        let revoking = self.revoking(proof, &id).await?;
        self.audit.intents(proof, revoking).await?;
        let token = self.end_token(proof, &id).await?;
        let remaining = match is_cascading {
            true => self.end_tree(proof, &id).await?,
            false => Vec::new(),
        };
        let token = token.view(id);
        Ok(Revocation { token, remaining })
    }

    /// Refuses the whole if it would end what the caller acts with, or more than it may.
    async fn check_tree(&self, proof: &Authorized, root: &Id) -> Result<()> {
        let mut seen = BTreeSet::from([root.clone()]);
        let mut left = vec![root.clone()];
        while let Some(maker) = left.pop() {
            if is_own(proof, &Made::Token(maker.clone())) {
                return Err(own());
            }
            for made in self.made(proof, &maker).await? {
                self.claim(proof, &made).await?;
                match made {
                    Made::Grant(_) if is_own(proof, &made) => return Err(own()),
                    Made::Token(id) if seen.insert(id.clone()) => left.push(id),
                    Made::Grant(_) | Made::Token(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Ends all that is below a token which has ended; names what the caller may not end.
    async fn end_tree(&self, proof: &Authorized, root: &Id) -> Result<Vec<String>> {
        let mut remaining = Vec::new();
        let mut seen = BTreeSet::from([root.clone()]);
        let mut left = vec![root.clone()];
        while let Some(maker) = left.pop() {
            let mut tokens = Vec::new();
            let mut grants: BTreeMap<String, Vec<Id>> = BTreeMap::new();
            for made in self.made(proof, &maker).await? {
                let is_ending = self.may_end(proof, &made).await?;
                if !is_ending {
                    remaining.push(made.to_string());
                }
                match made {
                    Made::Token(id) if seen.insert(id.clone()) => {
                        // What it made may be the caller's to end although it is not.
                        left.push(id.clone());
                        tokens.extend(is_ending.then_some(id));
                    }
                    Made::Grant(id) if is_ending => {
                        let key = Grants::key_of(&id).unwrap_or_default().to_owned();
                        grants.entry(key).or_default().push(id);
                    }
                    Made::Grant(_) | Made::Token(_) => {}
                }
            }
            for tokens in tokens.chunks(BATCH) {
                self.end_tokens(proof, tokens).await?;
            }
            for (key, ids) in grants {
                self.end_grants(proof, &key, &maker, &ids).await?;
            }
        }
        Ok(remaining)
    }

    async fn may_end(&self, proof: &Authorized, made: &Made) -> Result<bool> {
        match self.claim(proof, made).await {
            Ok(()) => Ok(!is_own(proof, made)),
            Err(error) if error.reason() == Reason::AccessDenied => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Everything that a token made and that was not forgotten since.
    async fn made(&self, proof: &Authorized, maker: &Id) -> Result<Vec<Made>> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .catalog
                .scan::<Made>(proof, &made_by(maker), after.as_deref(), PAGE)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(all);
            };
            after = Some(last.clone());
            all.extend(page.into_iter().map(|(_, stored)| (*stored.record).clone()));
        }
    }

    /// Asks whether the caller may end what a token made; what has ended already is nobody's.
    async fn claim(&self, proof: &Authorized, made: &Made) -> Result<()> {
        match made {
            Made::Grant(id) => {
                let key = Grants::key_of(id).unwrap_or_default();
                let stored = self.catalog.get::<Grants>(proof, key).await?;
                let grant = stored.as_ref().and_then(|stored| stored.record.find(id));
                grant.map_or(Ok(()), |grant| {
                    let (permission, scope) = (Permission::GrantsPut, &grant.scope);
                    let claimed = proof.claim(permission, &scope.resource(), uids_of(scope));
                    // SECURITY: the caller may not know of the resource.
                    claimed.map_err(|_| proof.denied(permission))
                })
            }
            Made::Token(id) => {
                let stored = self.catalog.get::<Token>(proof, id.as_str()).await?;
                let alive = stored.filter(|stored| self.is_alive(&stored.record));
                let claimed = alive.map_or(Ok(()), |stored| claim_token(proof, &stored.record));
                claimed.map_err(|_| proof.denied(Permission::TokensPut))
            }
        }
    }

    async fn end_token(&self, proof: &Authorized, id: &Id) -> Result<Token> {
        let change = |stored: Option<&Stored<Token>>| {
            let (record, also) = revoked(id, revocable(proof, stored)?, Batch::new());
            let answer = record.clone();
            Ok(Update::Put {
                record,
                also,
                answer,
            })
        };
        let ended = self.catalog.update(proof, id.as_str(), change).await?;
        ended.ok_or_else(|| conflict(proof))
    }

    /// Ends several tokens in one commit, or one by one if others change one of them meanwhile.
    async fn end_tokens(&self, proof: &Authorized, ids: &[Id]) -> Result<()> {
        let mut batch = Batch::new();
        let mut ending = Vec::new();
        let mut revoking = Vec::new();
        for id in ids {
            let stored = self.catalog.get::<Token>(proof, id.as_str()).await?;
            let alive = stored.filter(|stored| self.is_alive(&stored.record));
            let Some(stored) = alive else { continue };
            revoking.extend(self.revoking(proof, id).await?);
            let (record, also) = revoked(id, &stored.record, batch);
            batch = also.put(id.as_str(), &record, Expect::Revision(stored.revision));
            ending.push(id);
        }
        if ending.is_empty() {
            return Ok(());
        }
        self.audit.intents(proof, revoking).await?;
        if self.catalog.commit(proof, &batch).await?.is_some() {
            return Ok(());
        }
        for id in ending {
            self.end_token(proof, id).await?;
        }
        Ok(())
    }

    /// The intents that end a token and its grants.
    async fn revoking(&self, proof: &Authorized, id: &Id) -> Result<Vec<Facts>> {
        let key = Grants::key(&Principal::Token(id.clone()));
        let stored = self.catalog.get::<Grants>(proof, &key).await?;
        let views = stored.iter().flat_map(|stored| stored.record.views());
        let taking = views.map(|view| view.taking());
        Ok([Token::revoking(id)].into_iter().chain(taking).collect())
    }

    fn is_alive(&self, token: &Token) -> bool {
        !token.is_revoked && self.catalog.now() < token.expire_time
    }

    /// Ends grants of one principal in one commit.
    async fn end_grants(
        &self,
        proof: &Authorized,
        key: &str,
        maker: &Id,
        ids: &[Id],
    ) -> Result<()> {
        let stored = self.catalog.get::<Grants>(proof, key).await?;
        let views = stored.iter().flat_map(|stored| stored.record.views());
        let ending = views.filter(|view| ids.contains(&view.grant.id));
        let taking = ending.map(|view| view.taking()).collect();
        self.audit.intents(proof, taking).await?;
        let maker = Principal::Token(maker.clone());
        let change = |stored: Option<&Stored<Grants>>| {
            let Some(stored) = stored else {
                return Ok(Update::Keep(()));
            };
            let forget =
                |batch, id: &Id| forget_made(batch, Some(&maker), &Made::Grant(id.clone()));
            Ok(Update::Put {
                record: stored.record.without(|grant| ids.contains(&grant.id)),
                also: ids.iter().fold(Batch::new(), forget),
                answer: (),
            })
        };
        let ended = self.catalog.update(proof, key, change).await?;
        ended.ok_or_else(|| conflict(proof))
    }
}

/// Whether the caller acts with this: its token, or one of its grants.
fn is_own(proof: &Authorized, made: &Made) -> bool {
    let caller = &proof.call().caller;
    match made {
        Made::Grant(id) => {
            let mut holders = caller.principal.holders();
            holders.any(|holder| Grants::key_of(id) == Some(&Grants::key(&holder)))
        }
        Made::Token(id) => caller.token() == Some(id),
    }
}

fn own() -> Error {
    Error::new(Reason::FieldInvalid).violation(
        "cascade",
        "would end the token or a grant that this call comes with; call as somebody else, or leave \
         it out",
    )
}

/// The ended form of a token; its grants go in the same commit.
fn revoked(id: &Id, token: &Token, batch: Batch) -> (Token, Batch) {
    let grants = Grants::key(&Principal::Token(id.clone()));
    let ended = Token {
        is_revoked: true,
        ..token.clone()
    };
    (ended, batch.delete::<Grants>(&grants, Expect::Any))
}

fn conflict(proof: &Authorized) -> Error {
    Error::new(Reason::Conflict).with(Detail::Resource, proof.resource())
}

/// The token, if the caller may revoke it: one it may not looks like one that is not there.
fn revocable<'a>(proof: &Authorized, stored: Option<&'a Stored<Token>>) -> Result<&'a Token> {
    let absent = || Error::new(Reason::TokenNotFound);
    let token = &*stored.ok_or_else(absent)?.record;
    claim_token(proof, token).map_err(|_| absent())?;
    Ok(token)
}

fn claim_token(proof: &Authorized, token: &Token) -> Result<()> {
    let mut scopes = token.scopes.iter();
    scopes
        .try_for_each(|scope| proof.claim(Permission::TokensPut, &scope.resource(), uids_of(scope)))
}
