//! `ProjectService`.

use claviger_access::Call;
use claviger_broker::{PageRequest, PutProject};
use claviger_core::{ProjectName, Result};
use claviger_proto::v1;
use std::sync::Arc;

use crate::convert;
use crate::fitting;
use crate::handler::Api;

pub(crate) async fn put_project(
    api: &Api,
    call: Call,
    request: v1::PutProjectRequest,
) -> Result<v1::PutProjectResponse> {
    let project = request.project.ok_or_else(|| convert::missing("project"))?;
    let put = PutProject {
        name: ProjectName::parse("project.name", &project.name)?,
        content: convert::project_content(&project)?,
        etag: convert::optional("project.etag", &project.etag)?,
        is_dry_run: request.validate_only,
    };
    let call = call.with(&[("validate_only", put.is_dry_run)]);
    let project = api.broker.put_project(&Arc::new(call), put).await?;
    Ok(v1::PutProjectResponse {
        project: Some(convert::project(project)),
    })
}

pub(crate) async fn get_project(
    api: &Api,
    call: Call,
    request: v1::GetProjectRequest,
) -> Result<v1::Project> {
    let name = ProjectName::parse("name", &request.name)?;
    api.broker
        .get_project(&Arc::new(call), &name)
        .await
        .map(convert::project)
}

pub(crate) async fn list_projects(
    api: &Api,
    call: Call,
    request: v1::ListProjectsRequest,
) -> Result<v1::ListProjectsResponse> {
    let page = PageRequest::parse(request.page_size, &request.page_token)?;
    let page = api.broker.list_projects(&Arc::new(call), &page).await?;
    let (projects, next_page_token) = fitting::page(page, convert::project);
    Ok(v1::ListProjectsResponse {
        projects,
        next_page_token,
    })
}

pub(crate) async fn delete_project(
    api: &Api,
    call: Call,
    request: v1::DeleteProjectRequest,
) -> Result<()> {
    let name = ProjectName::parse("name", &request.name)?;
    let etag = convert::optional("etag", &request.etag)?;
    api.broker
        .delete_project(&Arc::new(call), &name, etag)
        .await
}
