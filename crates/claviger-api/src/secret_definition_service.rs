//! `SecretDefinitionService`.

use std::sync::Arc;

use claviger_access::Call;
use claviger_broker::{
    Broker, CacheState, CheckDefinition, CheckReport, Definition, DefinitionFilter, LabelFilter,
    PageRequest, PutDefinition, RequestId,
};
use claviger_core::{DefinitionName, ProjectName, Result};
use claviger_proto::v1;

use crate::convert;
use crate::fitting;
use crate::handler::Api;

pub(crate) async fn put_secret_definition(
    api: &Api,
    call: Call,
    request: v1::PutSecretDefinitionRequest,
) -> Result<v1::PutSecretDefinitionResponse> {
    let definition = request
        .definition
        .ok_or_else(|| convert::missing("definition"))?;
    let put = PutDefinition {
        name: DefinitionName::parse("definition.name", &definition.name)?,
        content: convert::content(&definition)?,
        etag: convert::optional("definition.etag", &definition.etag)?,
        mask: request
            .update_mask
            .map(|mask| mask.paths)
            .filter(|paths| !paths.is_empty()),
        payload: request.payload.map(convert::payload).transpose()?,
        is_dry_run: request.validate_only,
        is_adopting: request.adopt,
        is_value_unchecked: request.skip_value_check,
        request_id: RequestId::parse(&request.request_id)?,
    };
    let call = call.with(&[
        ("validate_only", put.is_dry_run),
        ("adopt", put.is_adopting),
        ("skip_value_check", put.is_value_unchecked),
    ]);
    let outcome = api.broker.put_definition(&Arc::new(call), put).await?;
    Ok(v1::PutSecretDefinitionResponse {
        definition: Some(wire(&api.broker, outcome.definition)),
        version: convert::text(outcome.version),
        warnings: convert::warnings(&outcome.warnings),
    })
}

pub(crate) async fn get_secret_definition(
    api: &Api,
    call: Call,
    request: v1::GetSecretDefinitionRequest,
) -> Result<v1::SecretDefinition> {
    let name = DefinitionName::parse("name", &request.name)?;
    let definition = api.broker.get_definition(&Arc::new(call), &name).await?;
    Ok(wire(&api.broker, definition))
}

pub(crate) async fn list_secret_definitions(
    api: &Api,
    call: Call,
    request: v1::ListSecretDefinitionsRequest,
) -> Result<v1::ListSecretDefinitionsResponse> {
    let parent = ProjectName::parse("parent", &request.parent)?;
    let page = PageRequest::parse(request.page_size, &request.page_token)?;
    let filter = DefinitionFilter {
        kind: convert::kind("kind", request.kind)?,
        vault: convert::optional_id("vault", &request.vault)?,
        label: LabelFilter::parse("label", &request.label)?,
        rotate_by: convert::optional_time("rotate_by", request.rotate_by)?,
        is_showing_deleted: request.show_deleted,
    };
    let page = api
        .broker
        .list_definitions(&Arc::new(call), &parent, &filter, &page)
        .await?;
    let (definitions, next_page_token) = fitting::page(page, |item| wire(&api.broker, item));
    Ok(v1::ListSecretDefinitionsResponse {
        definitions,
        next_page_token,
    })
}

pub(crate) async fn delete_secret_definition(
    api: &Api,
    call: Call,
    request: v1::DeleteSecretDefinitionRequest,
) -> Result<v1::SecretDefinition> {
    let name = DefinitionName::parse("name", &request.name)?;
    let etag = convert::optional("etag", &request.etag)?;
    let call = Arc::new(call.with(&[("purge", request.purge)]));
    let definition = api
        .broker
        .delete_definition(&call, &name, etag, request.purge)
        .await?;
    Ok(wire(&api.broker, definition))
}

pub(crate) async fn undelete_secret_definition(
    api: &Api,
    call: Call,
    request: v1::UndeleteSecretDefinitionRequest,
) -> Result<v1::SecretDefinition> {
    let name = DefinitionName::parse("name", &request.name)?;
    let definition = api
        .broker
        .undelete_definition(&Arc::new(call), &name)
        .await?;
    Ok(wire(&api.broker, definition))
}

pub(crate) async fn check_secret_definition(
    api: &Api,
    call: Call,
    request: v1::CheckSecretDefinitionRequest,
) -> Result<v1::CheckSecretDefinitionResponse> {
    let check = CheckDefinition {
        name: DefinitionName::parse("name", &request.name)?,
        environment: convert::optional_id("environment", &request.environment)?,
        principal: convert::optional_principal("principal", &request.principal)?,
        is_live: request.live,
        is_refreshing: request.refresh,
    };
    let switches = [("live", check.is_live), ("refresh", check.is_refreshing)];
    let call = call.with(&switches);
    let report = api.broker.check_definition(&Arc::new(call), check).await?;
    Ok(checked(report))
}

fn wire(broker: &Broker, definition: Definition) -> v1::SecretDefinition {
    let purge_time = broker.purge_time(&definition);
    convert::definition(definition, purge_time)
}

fn checked(report: CheckReport) -> v1::CheckSecretDefinitionResponse {
    v1::CheckSecretDefinitionResponse {
        route: Some(v1::Location {
            vault: report.vault.to_string(),
            secret: report.secret,
            property: report.property.unwrap_or_default(),
            version: report.pin.unwrap_or_default(),
            whole: report.is_whole,
        }),
        environment: convert::text(report.environment),
        version: convert::text(report.existence.as_ref().ok()),
        existence: Some(convert::check(&report.existence.map(drop))),
        format: report.format.as_ref().map(convert::check),
        kind: report.kind.as_ref().map(convert::check),
        stripe: report.stripe.as_ref().map(convert::stripe_verdict),
        access: Some(convert::check(&report.access)),
        warnings: convert::warnings(&report.warnings),
        live: report.live.as_ref().map(convert::live),
        principal: report.principal.to_string(),
        cache: Some(cache(report.remembered)),
        install_state: report.install.unwrap_or_default().to_owned(),
    }
}

fn cache(state: CacheState) -> v1::Cache {
    use v1::cache::State;
    let (state, age) = match state {
        CacheState::Absent => (State::Absent, None),
        CacheState::Fresh(age) => (State::Fresh, Some(age)),
        CacheState::Negative => (State::Negative, None),
        CacheState::Stale(age) => (State::Stale, Some(age)),
    };
    v1::Cache {
        state: state.into(),
        age: age.and_then(convert::duration),
    }
}
