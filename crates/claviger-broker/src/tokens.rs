//! Tokens: made, exchanged for another proof, listed, revoked.

pub(crate) mod revoke;

use std::sync::Arc;
use std::time::Duration;

use claviger_access::{Call, Directory, Permission, Principal, Proof, Scope};
use claviger_core::{Detail, Error, Id, Reason, Resource, Result, SecretBytes};
use claviger_seal::sha256;
use claviger_store::{Batch, Expect, Stored};

use crate::broker::Broker;
use crate::engine::forms::{Ending, Made};
use crate::engine::found::Asked;
use crate::grants::{facts_about, note_made};
use crate::model::grants::{Grants, NewGrant};
use crate::model::page::{Page, PageRequest};
use crate::model::token::{self, NewToken, SpeaksAs, Token, TokenView};

impl Broker {
    /// Makes a token with its grants in one commit, and shows it this once.
    ///
    /// # Errors
    /// See the RPC `CreateToken`.
    pub async fn create_token(
        self: &Arc<Self>,
        call: &Arc<Call>,
        new: NewToken,
    ) -> Result<(SecretBytes, TokenView)> {
        let permission = Permission::TokensPut;
        let first = new.grants.first();
        let resource = first.map_or(Resource::Daemon, |grant| grant.resource.clone());
        let asked = self
            .catalog
            .ask_resource(call, permission, resource)
            .await?;
        let facts = |(_, view): &(SecretBytes, TokenView)| facts_about(&view.id);
        self.finish_detached(asked, facts, |broker, asked| async move {
            broker.create_token_asked(&asked, new).await
        })
        .await
    }

    async fn create_token_asked(
        &self,
        Asked { proof, .. }: &Asked<()>,
        new: NewToken,
    ) -> Result<(SecretBytes, TokenView)> {
        let permission = Permission::TokensPut;
        for NewGrant { resource, .. } in &new.grants {
            let (resolved, _) = self.catalog.resolve(resource).await?;
            proof.claim(permission, resource, resolved)?;
        }
        new.check()?;
        let token = token::generate();
        let hash = sha256(token.expose());
        let id = token::id_of(&hash)?;
        let principal = Principal::Token(id.clone());
        let maker = &proof.call().caller.principal;
        let mut grants = Grants::none(principal.clone());
        for new in &new.grants {
            let scope = self.scope_of(proof, permission, new).await?;
            (grants, _) = grants.with(new, scope, Some(maker))?;
        }
        let now = self.catalog.now();
        let record = Token {
            hash,
            description: new.description,
            create_time: now,
            expire_time: now + new.ttl,
            is_revoked: false,
            scopes: grants.grants.iter().map(|g| g.scope.clone()).collect(),
            made_by: Some(maker.clone()),
            speaks_as: None,
        };
        let making = [record.making(&id)].into_iter();
        let intents = making.chain(grants.views().map(|view| view.giving()));
        self.audit.intents(proof, intents.collect()).await?;
        let batch = Batch::new().put(id.as_str(), &record, Expect::Absent).put(
            &Grants::key(&principal),
            &grants,
            Expect::Absent,
        );
        let batch = note_made(batch, maker, &Made::Token(id.clone()));
        match self.catalog.commit(proof, &batch).await? {
            Some(_) => Ok((token, record.view(id))),
            None => Err(Error::new(Reason::Conflict).with(Detail::Resource, proof.resource())),
        }
    }

    /// Gives a token for the proof that the call itself came with.
    ///
    /// # Errors
    /// See the RPC `ExchangeToken`.
    pub async fn exchange_token(
        self: &Arc<Self>,
        call: &Arc<Call>,
        ttl: Option<Duration>,
    ) -> Result<(SecretBytes, TokenView)> {
        let permission = Permission::TokensExchange;
        let asked = self.catalog.ask_anywhere(call, permission).await?;
        let facts = |(_, view): &(SecretBytes, TokenView)| facts_about(&view.id);
        self.finish_detached(asked, facts, move |broker, asked| async move {
            broker.exchange_token_asked(&asked, ttl).await
        })
        .await
    }

    async fn exchange_token_asked(
        &self,
        Asked { proof, .. }: &Asked<()>,
        ttl: Option<Duration>,
    ) -> Result<(SecretBytes, TokenView)> {
        let caller = &proof.call().caller;
        let identity = match &caller.proof {
            Proof::Certificate(identity) | Proof::Jwt(identity) => identity.clone(),
            // SECURITY: else a token could be prolonged for ever.
            Proof::Exchanged(_) | Proof::Token | Proof::Uid => {
                return Err(Error::new(Reason::ProofRequired));
            }
        };
        let digest = self.catalog.identities().digest(&identity);
        let digest = digest.ok_or_else(|| Error::new(Reason::ProofRequired))?;
        let ttl = token::exchange_ttl(ttl)?;
        let now = self.catalog.now();
        self.exchanges.admit(&caller.principal, now)?;
        let end = now + ttl;
        let expire_time = caller.expire_time.map_or(end, |proof| end.min(proof));
        let token = token::generate();
        let hash = sha256(token.expose());
        let id = token::id_of(&hash)?;
        let record = Token {
            hash,
            description: String::new(),
            create_time: now,
            expire_time,
            is_revoked: false,
            scopes: vec![Scope::Daemon],
            made_by: Some(caller.principal.clone()),
            speaks_as: Some(SpeaksAs {
                principal: caller.principal.clone(),
                identity,
                digest,
            }),
        };
        self.audit.intent(proof, record.making(&id)).await?;
        let ending = Ending { token: id.clone() };
        let batch = Batch::new().put(id.as_str(), &record, Expect::Absent).put(
            &ending.record_id(expire_time),
            &ending,
            Expect::Absent,
        );
        match self.catalog.commit(proof, &batch).await? {
            Some(_) => Ok((token, record.view(id))),
            None => Err(Error::new(Reason::Conflict).with(Detail::Resource, proof.resource())),
        }
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
        let permission = Permission::TokensGet;
        let asked = self
            .catalog
            .ask_resource(call, permission, Resource::Daemon)
            .await?;
        let result = self.list_tokens_asked(&asked, request).await;
        self.decided(asked, result).await
    }

    async fn list_tokens_asked(
        &self,
        asked: &Asked<()>,
        request: &PageRequest,
    ) -> Result<Page<TokenView>> {
        let listing = self.catalog.listing(&asked.proof, []);
        let after = listing.after(request)?;
        let scanned = self
            .catalog
            .scan::<Token>(&asked.proof, "", after.as_deref(), request.size)
            .await?;
        let view = |(id, stored): (String, Stored<Token>)| {
            Ok((id.clone(), stored.record.view(Id::parse("name", &id)?)))
        };
        let views = scanned.into_iter().map(view).collect::<Result<_>>()?;
        Ok(listing.page(views, request))
    }
}
