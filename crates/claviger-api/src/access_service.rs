//! `AccessService`.

use std::sync::Arc;
use std::time::Duration;

use claviger_access::Principal;
use claviger_broker::{NewToken, PageRequest, RevokeToken, TokenView};
use claviger_core::{Error, Reason};
use claviger_proto::v1::{self, access_service_server::AccessService};
use tonic::{Request, Response, Status};

use crate::convert;
use crate::fitting;
use crate::handler::Api;
use crate::rpc;

#[tonic::async_trait]
impl AccessService for Api {
    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        self.handle(&rpc::WHO_AM_I, request, async |broker, call, _| {
            let grants = broker.who_am_i(&call).await?;
            broker.audit().note_open(&call, !grants.is_empty()).await?;
            let grants = grants.into_iter().map(convert::grant).collect();
            let (grants, hidden_grants) = fitting::all(grants);
            Ok(v1::WhoAmIResponse {
                principal: call.caller.principal.to_string(),
                expire_time: call.caller.expire_time.and_then(convert::timestamp),
                grants,
                hidden_grants,
            })
        })
        .await
    }

    async fn put_grant(
        &self,
        request: Request<v1::PutGrantRequest>,
    ) -> Result<Response<v1::Grant>, Status> {
        self.handle(&rpc::PUT_GRANT, request, async |broker, call, request| {
            let grant = request.grant.ok_or_else(|| convert::missing("grant"))?;
            let (principal, grant) = convert::new_grant(&grant)?;
            broker
                .put_grant(&Arc::new(call), principal, grant)
                .await
                .map(convert::grant)
        })
        .await
    }

    async fn list_grants(
        &self,
        request: Request<v1::ListGrantsRequest>,
    ) -> Result<Response<v1::ListGrantsResponse>, Status> {
        self.handle(&rpc::LIST_GRANTS, request, async |broker, call, request| {
            let principal = convert::optional("principal", &request.principal)?
                .map(|principal| Principal::parse("principal", &principal))
                .transpose()?;
            let page = PageRequest::parse(request.page_size, &request.page_token)?;
            let page = broker
                .list_grants(&Arc::new(call), principal.as_ref(), &page)
                .await?;
            let (grants, next_page_token) = fitting::page(page, convert::grant);
            Ok(v1::ListGrantsResponse {
                grants,
                next_page_token,
            })
        })
        .await
    }

    async fn delete_grant(
        &self,
        request: Request<v1::DeleteGrantRequest>,
    ) -> Result<Response<()>, Status> {
        self.handle(
            &rpc::DELETE_GRANT,
            request,
            async |broker, call, request| {
                let id = convert::id_in(
                    "grants",
                    &request.name,
                    "is not a grant name; write grants/{id}",
                )?;
                broker.delete_grant(&Arc::new(call), id).await
            },
        )
        .await
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        self.handle(
            &rpc::CREATE_TOKEN,
            request,
            async |broker, call, request| {
                let grants = request.grants.iter().map(convert::token_grant);
                let new = NewToken {
                    grants: grants.collect::<Result<_, _>>()?,
                    // A negative or absent time is out of bounds and refused as such.
                    ttl: request
                        .ttl
                        .and_then(|ttl| Duration::try_from(ttl).ok())
                        .unwrap_or_default(),
                    description: convert::free_text("description", &request.description)?,
                };
                let (token, view) = broker.create_token(&Arc::new(call), new).await?;
                let token = String::from_utf8(token.into_exposed());
                Ok(v1::CreateTokenResponse {
                    token: token.map_err(|_| Error::new(Reason::Internal))?,
                    info: Some(wire(view)),
                })
            },
        )
        .await
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        self.handle(&rpc::LIST_TOKENS, request, async |broker, call, request| {
            let page = PageRequest::parse(request.page_size, &request.page_token)?;
            let page = broker.list_tokens(&Arc::new(call), &page).await?;
            let (tokens, next_page_token) = fitting::page(page, wire);
            Ok(v1::ListTokensResponse {
                tokens,
                next_page_token,
            })
        })
        .await
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        self.handle(
            &rpc::REVOKE_TOKEN,
            request,
            async |broker, call, request| {
                let id = convert::id_in(
                    "tokens",
                    &request.name,
                    "is not a token name; write tokens/{id}",
                )?;
                let is_cascading = request.cascade;
                let call = call.with(&[("cascade", is_cascading)]);
                let revoke = RevokeToken { id, is_cascading };
                let revocation = broker.revoke_token(&Arc::new(call), revoke).await?;
                Ok(v1::RevokeTokenResponse {
                    info: Some(wire(revocation.token)),
                    remaining: revocation.remaining,
                })
            },
        )
        .await
    }
}

fn wire(token: TokenView) -> v1::Token {
    v1::Token {
        name: format!("tokens/{}", token.id),
        principal: Principal::Token(token.id).to_string(),
        description: token.description,
        create_time: convert::timestamp(token.create_time),
        expire_time: convert::timestamp(token.expire_time),
        revoked: token.is_revoked,
    }
}
