//! `SecretService`.

mod batch;
mod reply;

use std::sync::Arc;

use claviger_access::{Call, Label};
use claviger_broker::{GetSecret, PageRequest, PutValue, RequestId, VersionState};
use claviger_core::{DefinitionName, Id, Result, VersionName};
use claviger_proto::v1;

use crate::convert;
use crate::fitting;
use crate::handler::Api;

pub(crate) use batch::batch_get_secrets;
pub(crate) use reply::freshness;

#[expect(
    clippy::needless_pass_by_value,
    reason = "a handler is given its request"
)]
pub(crate) fn get_secret(
    api: &Api,
    call: Call,
    request: v1::GetSecretRequest,
) -> impl Future<Output = Result<v1::GetSecretResponse>> {
    // Before, so that the future does not carry the request too.
    let asked = asked(call, &request);
    async move {
        let (call, get, known) = asked?;
        let served = api.broker.get_secret(&call, &get).await?;
        reply::answer(served, get.environment, known.as_ref())
    }
}

/// What is asked for, and the version that the caller has.
fn asked(call: Call, request: &v1::GetSecretRequest) -> Result<(Arc<Call>, GetSecret, Option<Id>)> {
    let call = Call {
        run_id: Label::parse("run_id", &request.run_id)?,
        purpose: Label::parse("purpose", &request.purpose)?,
        ..call
    };
    let get = GetSecret {
        name: DefinitionName::parse("name", &request.name)?,
        environment: convert::optional_id("environment", &request.environment)?,
        version: convert::optional_id("version", &request.version)?,
        max_age: convert::optional_duration("max_age", request.max_age)?,
    };
    let known = convert::optional_id("if_version_not", &request.if_version_not)?;
    Ok((Arc::new(call), get, known))
}

pub(crate) async fn put_secret_value(
    api: &Api,
    call: Call,
    request: v1::PutSecretValueRequest,
) -> Result<v1::PutSecretValueResponse> {
    let environment = convert::optional_id("environment", &request.environment)?;
    let payload = request.payload.ok_or_else(|| convert::missing("payload"))?;
    let put = PutValue {
        name: DefinitionName::parse("name", &request.name)?,
        environment: environment.clone(),
        payload: convert::payload(payload)?,
        if_version: convert::optional_id("if_version", &request.if_version)?,
        request_id: RequestId::parse(&request.request_id)?,
        is_adopting: request.adopt,
    };
    let call = call.with(&[("adopt", put.is_adopting)]);
    let outcome = api.broker.put_value(&Arc::new(call), put).await?;
    Ok(v1::PutSecretValueResponse {
        version: outcome.version.to_string(),
        environment: convert::text(environment),
        vault: outcome.vault.to_string(),
        warnings: convert::warnings(&outcome.warnings),
    })
}

pub(crate) async fn list_secret_versions(
    api: &Api,
    call: Call,
    request: v1::ListSecretVersionsRequest,
) -> Result<v1::ListSecretVersionsResponse> {
    let name = DefinitionName::parse("parent", &request.parent)?;
    let environment = convert::optional_id("environment", &request.environment)?;
    let page = PageRequest::parse(request.page_size, &request.page_token)?;
    let call = Arc::new(call);
    let page = api
        .broker
        .list_versions(&call, &name, environment.as_ref(), &page)
        .await?;
    let (versions, next_page_token) =
        fitting::page(page, |version| convert::version(&name, &version));
    Ok(v1::ListSecretVersionsResponse {
        versions,
        next_page_token,
    })
}

pub(crate) async fn enable_secret_version(
    api: &Api,
    call: Call,
    request: v1::EnableSecretVersionRequest,
) -> Result<v1::SecretVersion> {
    let (name, environment) = (&request.name, &request.environment);
    change(api, call, name, environment, VersionState::Enabled).await
}

pub(crate) async fn disable_secret_version(
    api: &Api,
    call: Call,
    request: v1::DisableSecretVersionRequest,
) -> Result<v1::SecretVersion> {
    let (name, environment) = (&request.name, &request.environment);
    change(api, call, name, environment, VersionState::Disabled).await
}

pub(crate) async fn destroy_secret_version(
    api: &Api,
    call: Call,
    request: v1::DestroySecretVersionRequest,
) -> Result<v1::SecretVersion> {
    let (name, environment) = (&request.name, &request.environment);
    change(api, call, name, environment, VersionState::Destroyed).await
}

async fn change(
    api: &Api,
    call: Call,
    name: &str,
    environment: &str,
    state: VersionState,
) -> Result<v1::SecretVersion> {
    let name = VersionName::parse("name", name)?;
    let environment = convert::optional_id("environment", environment)?;
    let definition = name.definition().clone();
    let call = Arc::new(call);
    let changed = api.broker.change_version(&call, name, environment, state);
    Ok(convert::version(&definition, &changed.await?))
}
