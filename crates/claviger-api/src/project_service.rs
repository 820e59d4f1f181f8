//! `ProjectService`.

use claviger_broker::{PageRequest, PutProject};
use claviger_core::ProjectName;
use claviger_proto::v1::{self, project_service_server::ProjectService};
use std::sync::Arc;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::fitting;
use crate::handler::Api;
use crate::rpc;

#[tonic::async_trait]
impl ProjectService for Api {
    async fn put_project(
        &self,
        request: Request<v1::PutProjectRequest>,
    ) -> Result<Response<v1::PutProjectResponse>, Status> {
        self.handle(&rpc::PUT_PROJECT, request, async |broker, call, request| {
            let project = request.project.ok_or_else(|| convert::missing("project"))?;
            let put = PutProject {
                name: ProjectName::parse("project.name", &project.name)?,
                content: convert::project_content(&project)?,
                etag: convert::optional("project.etag", &project.etag)?,
                is_dry_run: request.validate_only,
            };
            let call = call.with(&[("validate_only", put.is_dry_run)]);
            let project = broker.put_project(&Arc::new(call), put).await?;
            Ok(v1::PutProjectResponse {
                project: Some(convert::project(project)),
            })
        })
        .await
    }

    async fn get_project(
        &self,
        request: Request<v1::GetProjectRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        self.handle(&rpc::GET_PROJECT, request, async |broker, call, request| {
            let name = ProjectName::parse("name", &request.name)?;
            broker
                .get_project(&Arc::new(call), &name)
                .await
                .map(convert::project)
        })
        .await
    }

    async fn list_projects(
        &self,
        request: Request<v1::ListProjectsRequest>,
    ) -> Result<Response<v1::ListProjectsResponse>, Status> {
        self.handle(
            &rpc::LIST_PROJECTS,
            request,
            async |broker, call, request| {
                let page = PageRequest::parse(request.page_size, &request.page_token)?;
                let page = broker.list_projects(&Arc::new(call), &page).await?;
                let (projects, next_page_token) = fitting::page(page, convert::project);
                Ok(v1::ListProjectsResponse {
                    projects,
                    next_page_token,
                })
            },
        )
        .await
    }

    async fn delete_project(
        &self,
        request: Request<v1::DeleteProjectRequest>,
    ) -> Result<Response<()>, Status> {
        self.handle(
            &rpc::DELETE_PROJECT,
            request,
            async |broker, call, request| {
                let name = ProjectName::parse("name", &request.name)?;
                let etag = convert::optional("etag", &request.etag)?;
                broker.delete_project(&Arc::new(call), &name, etag).await
            },
        )
        .await
    }
}
