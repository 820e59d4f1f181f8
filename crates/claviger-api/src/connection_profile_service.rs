//! `ConnectionProfileService`.

mod wire;

use std::sync::Arc;

use claviger_access::{Call, Label};
use claviger_broker::{
    LabelFilter, PageRequest, ProfileFilter, PutProfile, RequestId, ResolveConnection,
};
use claviger_core::{ProfileName, ProjectName, Result};
use claviger_proto::v1;

use crate::convert;
use crate::fitting;
use crate::handler::Api;

pub(crate) async fn put_connection_profile(
    api: &Api,
    call: Call,
    request: v1::PutConnectionProfileRequest,
) -> Result<v1::PutConnectionProfileResponse> {
    let profile = request.profile.ok_or_else(|| convert::missing("profile"))?;
    let put = PutProfile {
        name: ProfileName::parse("profile.name", &profile.name)?,
        etag: convert::optional("profile.etag", &profile.etag)?,
        draft: wire::draft(profile)?,
        mask: request
            .update_mask
            .map(|mask| mask.paths)
            .filter(|paths| !paths.is_empty()),
        is_dry_run: request.validate_only,
        request_id: RequestId::parse(&request.request_id)?,
    };
    let call = call.with(&[("validate_only", put.is_dry_run)]);
    let outcome = api.broker.put_profile(&Arc::new(call), put).await?;
    Ok(v1::PutConnectionProfileResponse {
        profile: Some(wire::profile(outcome.view)),
        version: convert::text(outcome.version),
        warnings: convert::warnings(&outcome.warnings),
    })
}

pub(crate) async fn get_connection_profile(
    api: &Api,
    call: Call,
    request: v1::GetConnectionProfileRequest,
) -> Result<v1::ConnectionProfile> {
    let name = ProfileName::parse("name", &request.name)?;
    let view = api.broker.get_profile(&Arc::new(call), &name).await?;
    Ok(wire::profile(view))
}

pub(crate) async fn list_connection_profiles(
    api: &Api,
    call: Call,
    request: v1::ListConnectionProfilesRequest,
) -> Result<v1::ListConnectionProfilesResponse> {
    let parent = ProjectName::parse("parent", &request.parent)?;
    let page = PageRequest::parse(request.page_size, &request.page_token)?;
    let filter = ProfileFilter {
        adapter: wire::adapter("adapter", request.adapter)?,
        state: wire::state("state", request.state)?,
        label: LabelFilter::parse("label", &request.label)?,
        is_showing_deleted: request.show_deleted,
    };
    let page = api
        .broker
        .list_profiles(&Arc::new(call), &parent, &filter, &page)
        .await?;
    let (profiles, next_page_token) = fitting::page(page, wire::profile);
    Ok(v1::ListConnectionProfilesResponse {
        profiles,
        next_page_token,
    })
}

pub(crate) async fn delete_connection_profile(
    api: &Api,
    call: Call,
    request: v1::DeleteConnectionProfileRequest,
) -> Result<v1::DeleteConnectionProfileResponse> {
    let name = ProfileName::parse("name", &request.name)?;
    let etag = convert::optional("etag", &request.etag)?;
    let call = Arc::new(call.with(&[("purge", request.purge)]));
    let deleted = api
        .broker
        .delete_profile(&call, &name, etag, request.purge)
        .await?;
    let (view, warnings) = deleted;
    Ok(v1::DeleteConnectionProfileResponse {
        profile: Some(wire::profile(view)),
        warnings: convert::warnings(&warnings),
    })
}

pub(crate) async fn undelete_connection_profile(
    api: &Api,
    call: Call,
    request: v1::UndeleteConnectionProfileRequest,
) -> Result<v1::ConnectionProfile> {
    let name = ProfileName::parse("name", &request.name)?;
    let view = api.broker.undelete_profile(&Arc::new(call), &name).await?;
    Ok(wire::profile(view))
}

pub(crate) async fn resolve_connection(
    api: &Api,
    call: Call,
    request: v1::ResolveConnectionRequest,
) -> Result<v1::ResolveConnectionResponse> {
    let call = Call {
        run_id: Label::parse("run_id", &request.run_id)?,
        purpose: Label::parse("purpose", &request.purpose)?,
        ..call
    };
    let resolve = ResolveConnection {
        name: ProfileName::parse("name", &request.name)?,
        environment: convert::optional_id("environment", &request.environment)?,
        max_age: convert::optional_duration("max_age", request.max_age)?,
        refused_version: convert::optional_id("refused_version", &request.refused_version)?,
    };
    let resolved = api
        .broker
        .resolve_connection(&Arc::new(call), &resolve)
        .await?;
    wire::connection(resolved)
}

pub(crate) async fn test_connection(
    api: &Api,
    call: Call,
    request: v1::TestConnectionRequest,
) -> Result<v1::TestConnectionResponse> {
    let name = ProfileName::parse("name", &request.name)?;
    let environment = convert::optional_id("environment", &request.environment)?;
    let tested = api
        .broker
        .test_connection(&Arc::new(call), &name, environment)
        .await?;
    Ok(v1::TestConnectionResponse {
        live: Some(convert::live(&tested.live)),
        account: convert::text(tested.account),
        version: tested.version.to_string(),
        install: tested.install.map(wire::install),
    })
}

pub(crate) async fn disconnect_install(
    api: &Api,
    call: Call,
    request: v1::DisconnectInstallRequest,
) -> Result<v1::DisconnectInstallResponse> {
    let name = ProfileName::parse("name", &request.name)?;
    let install = api
        .broker
        .disconnect_install(&Arc::new(call), &name)
        .await?;
    Ok(v1::DisconnectInstallResponse {
        install: Some(wire::install(install)),
    })
}
