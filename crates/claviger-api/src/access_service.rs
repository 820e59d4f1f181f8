//! `AccessService`.

use std::sync::Arc;
use std::time::Duration;

use claviger_access::{Attribute, Call, Label, Principal, Proof};
use claviger_broker::{ExplainAccess, NewToken, PageRequest, RevokeToken, TokenView};
use claviger_core::{Error, Reason, Resource, Result};
use claviger_proto::v1;

use crate::convert;
use crate::fitting;
use crate::handler::Api;

pub(crate) async fn who_am_i(
    api: &Api,
    call: Call,
    _: v1::WhoAmIRequest,
) -> Result<v1::WhoAmIResponse> {
    let (grants, identity) = api.broker.who_am_i(&call).await?;
    api.broker
        .audit()
        .note_open(&call, !grants.is_empty())
        .await?;
    let grants = grants.into_iter().map(convert::grant).collect();
    let (grants, hidden_grants) = fitting::all(grants);
    let caller = call.caller;
    let token = caller.token().map(|id| format!("tokens/{id}"));
    Ok(v1::WhoAmIResponse {
        principal: caller.principal.to_string(),
        expire_time: caller.expire_time.and_then(convert::timestamp),
        grants,
        hidden_grants,
        proof: seen(&caller.proof).into(),
        identity: convert::text(identity),
        token_name: token.unwrap_or_default(),
    })
}

pub(crate) async fn put_grant(
    api: &Api,
    call: Call,
    request: v1::PutGrantRequest,
) -> Result<v1::Grant> {
    let grant = request.grant.ok_or_else(|| convert::missing("grant"))?;
    let (principal, grant) = convert::new_grant(&grant)?;
    api.broker
        .put_grant(&Arc::new(call), principal, grant)
        .await
        .map(convert::grant)
}

pub(crate) async fn list_grants(
    api: &Api,
    call: Call,
    request: v1::ListGrantsRequest,
) -> Result<v1::ListGrantsResponse> {
    let principal = convert::optional("principal", &request.principal)?
        .map(|principal| Principal::parse("principal", &principal))
        .transpose()?;
    let page = PageRequest::parse(request.page_size, &request.page_token)?;
    let page = api
        .broker
        .list_grants(&Arc::new(call), principal.as_ref(), &page)
        .await?;
    let (grants, next_page_token) = fitting::page(page, convert::grant);
    Ok(v1::ListGrantsResponse {
        grants,
        next_page_token,
    })
}

pub(crate) async fn delete_grant(
    api: &Api,
    call: Call,
    request: v1::DeleteGrantRequest,
) -> Result<()> {
    let id = convert::id_in(
        "grants",
        &request.name,
        "is not a grant name; write grants/{id}",
    )?;
    api.broker.delete_grant(&Arc::new(call), id).await
}

pub(crate) async fn create_token(
    api: &Api,
    call: Call,
    request: v1::CreateTokenRequest,
) -> Result<v1::CreateTokenResponse> {
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
    let (token, view) = api.broker.create_token(&Arc::new(call), new).await?;
    let token = String::from_utf8(token.into_exposed());
    Ok(v1::CreateTokenResponse {
        token: token.map_err(|_| Error::new(Reason::Internal))?,
        info: Some(wire(view)),
    })
}

pub(crate) async fn exchange_token(
    api: &Api,
    call: Call,
    request: v1::ExchangeTokenRequest,
) -> Result<v1::ExchangeTokenResponse> {
    let ttl = convert::optional_duration("ttl", request.ttl)?;
    let (token, view) = api.broker.exchange_token(&Arc::new(call), ttl).await?;
    let token = String::from_utf8(token.into_exposed());
    Ok(v1::ExchangeTokenResponse {
        token: token.map_err(|_| Error::new(Reason::Internal))?,
        expire_time: convert::timestamp(view.expire_time),
        name: format!("tokens/{}", view.id),
    })
}

pub(crate) async fn explain_access(
    api: &Api,
    call: Call,
    request: v1::ExplainAccessRequest,
) -> Result<v1::ExplainAccessResponse> {
    use v1::explain_access_response::Attribute as Wire;
    let explain = ExplainAccess {
        principal: convert::optional_principal("principal", &request.principal)?,
        permission: convert::permission("permission", &request.permission)?,
        resource: Resource::parse("name", &request.name)?,
        environment: convert::optional_id("environment", &request.environment)?,
        purpose: Label::parse("purpose", &request.purpose)?,
    };
    let report = api.broker.explain_access(&Arc::new(call), explain).await?;
    let (nearest, failed) = report.nearest.unzip();
    let failed = failed.map(|attribute| match attribute {
        Attribute::Environment => Wire::Environment,
        Attribute::ExpireTime => Wire::ExpireTime,
        Attribute::Purpose => Wire::Purpose,
        Attribute::Resource => Wire::Resource,
        Attribute::Role => Wire::Role,
    });
    Ok(v1::ExplainAccessResponse {
        principal: report.principal.to_string(),
        allowed: report.is_allowed,
        grant: report.grant.map(convert::grant),
        nearest_grant: nearest.map(convert::grant),
        failed_attribute: failed.unwrap_or_default().into(),
    })
}

pub(crate) async fn list_tokens(
    api: &Api,
    call: Call,
    request: v1::ListTokensRequest,
) -> Result<v1::ListTokensResponse> {
    let page = PageRequest::parse(request.page_size, &request.page_token)?;
    let page = api.broker.list_tokens(&Arc::new(call), &page).await?;
    let (tokens, next_page_token) = fitting::page(page, wire);
    Ok(v1::ListTokensResponse {
        tokens,
        next_page_token,
    })
}

pub(crate) async fn revoke_token(
    api: &Api,
    call: Call,
    request: v1::RevokeTokenRequest,
) -> Result<v1::RevokeTokenResponse> {
    let id = convert::id_in(
        "tokens",
        &request.name,
        "is not a token name; write tokens/{id}",
    )?;
    let is_cascading = request.cascade;
    let call = call.with(&[("cascade", is_cascading)]);
    let revoke = RevokeToken { id, is_cascading };
    let revocation = api.broker.revoke_token(&Arc::new(call), revoke).await?;
    Ok(v1::RevokeTokenResponse {
        info: Some(wire(revocation.token)),
        remaining: revocation.remaining,
    })
}

/// The sort of what showed who a caller is.
fn seen(proof: &Proof) -> v1::who_am_i_response::Proof {
    use v1::who_am_i_response::Proof as Wire;
    match proof {
        Proof::Certificate(_) => Wire::Certificate,
        Proof::Exchanged(_) => Wire::ExchangedToken,
        Proof::Jwt(_) => Wire::Jwt,
        Proof::Token => Wire::Token,
        Proof::Uid => Wire::Uid,
    }
}

fn wire(token: TokenView) -> v1::Token {
    v1::Token {
        name: format!("tokens/{}", token.id),
        principal: token.principal.to_string(),
        description: token.description,
        create_time: convert::timestamp(token.create_time),
        expire_time: convert::timestamp(token.expire_time),
        revoked: token.is_revoked,
    }
}
