//! `SecretService`.

mod batch;
mod reply;

use std::sync::Arc;

use claviger_access::{Call, Label, Rpc};
use claviger_broker::{GetSecret, PageRequest, PutValue, RequestId, VersionState};
use claviger_core::{DefinitionName, Result, VersionName};
use claviger_proto::v1::{self, secret_service_server::SecretService};
use tonic::{Request, Response, Status};

use crate::convert;
use crate::fitting;
use crate::handler::Api;
use crate::rpc;

#[tonic::async_trait]
impl SecretService for Api {
    async fn get_secret(
        &self,
        request: Request<v1::GetSecretRequest>,
    ) -> Result<Response<v1::GetSecretResponse>, Status> {
        self.handle(&rpc::GET_SECRET, request, async |broker, call, request| {
            let call = Arc::new(Call {
                run_id: Label::parse("run_id", &request.run_id)?,
                purpose: Label::parse("purpose", &request.purpose)?,
                ..call
            });
            let get = GetSecret {
                name: DefinitionName::parse("name", &request.name)?,
                environment: convert::optional_id("environment", &request.environment)?,
                version: convert::optional_id("version", &request.version)?,
                max_age: convert::optional_duration("max_age", request.max_age)?,
            };
            let known = convert::optional_id("if_version_not", &request.if_version_not)?;
            let served = broker.get_secret(&call, &get).await?;
            reply::answer(served, get.environment, known.as_ref())
        })
        .await
    }

    async fn batch_get_secrets(
        &self,
        request: Request<v1::BatchGetSecretsRequest>,
    ) -> Result<Response<v1::BatchGetSecretsResponse>, Status> {
        self.handle(&rpc::BATCH_GET_SECRETS, request, batch::get)
            .await
    }

    async fn put_secret_value(
        &self,
        request: Request<v1::PutSecretValueRequest>,
    ) -> Result<Response<v1::PutSecretValueResponse>, Status> {
        self.handle(
            &rpc::PUT_SECRET_VALUE,
            request,
            async |broker, call, request| {
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
                let outcome = broker.put_value(&Arc::new(call), put).await?;
                Ok(v1::PutSecretValueResponse {
                    version: outcome.version.to_string(),
                    environment: convert::text(environment),
                    vault: outcome.vault.to_string(),
                    warnings: convert::warnings(&outcome.warnings),
                })
            },
        )
        .await
    }

    async fn list_secret_versions(
        &self,
        request: Request<v1::ListSecretVersionsRequest>,
    ) -> Result<Response<v1::ListSecretVersionsResponse>, Status> {
        self.handle(
            &rpc::LIST_SECRET_VERSIONS,
            request,
            async |broker, call, request| {
                let name = DefinitionName::parse("parent", &request.parent)?;
                let environment = convert::optional_id("environment", &request.environment)?;
                let page = PageRequest::parse(request.page_size, &request.page_token)?;
                let call = Arc::new(call);
                let page = broker
                    .list_versions(&call, &name, environment.as_ref(), &page)
                    .await?;
                let (versions, next_page_token) =
                    fitting::page(page, |version| convert::version(&name, &version));
                Ok(v1::ListSecretVersionsResponse {
                    versions,
                    next_page_token,
                })
            },
        )
        .await
    }

    async fn enable_secret_version(
        &self,
        request: Request<v1::EnableSecretVersionRequest>,
    ) -> Result<Response<v1::SecretVersion>, Status> {
        self.change(&rpc::ENABLE_SECRET_VERSION, request, VersionState::Enabled)
            .await
    }

    async fn disable_secret_version(
        &self,
        request: Request<v1::DisableSecretVersionRequest>,
    ) -> Result<Response<v1::SecretVersion>, Status> {
        let request = request.map(|request| v1::EnableSecretVersionRequest {
            name: request.name,
            environment: request.environment,
        });
        self.change(
            &rpc::DISABLE_SECRET_VERSION,
            request,
            VersionState::Disabled,
        )
        .await
    }

    async fn destroy_secret_version(
        &self,
        request: Request<v1::DestroySecretVersionRequest>,
    ) -> Result<Response<v1::SecretVersion>, Status> {
        let request = request.map(|request| v1::EnableSecretVersionRequest {
            name: request.name,
            environment: request.environment,
        });
        self.change(
            &rpc::DESTROY_SECRET_VERSION,
            request,
            VersionState::Destroyed,
        )
        .await
    }
}

impl Api {
    /// The three requests have one shape; it is called by the name of the first.
    async fn change(
        &self,
        rpc: &'static Rpc,
        request: Request<v1::EnableSecretVersionRequest>,
        state: VersionState,
    ) -> Result<Response<v1::SecretVersion>, Status> {
        self.handle(rpc, request, async |broker, call, request| {
            let name = VersionName::parse("name", &request.name)?;
            let environment = convert::optional_id("environment", &request.environment)?;
            let definition = name.definition().clone();
            let call = Arc::new(call);
            let version = broker
                .change_version(&call, name, environment, state)
                .await?;
            Ok(convert::version(&definition, &version))
        })
        .await
    }
}
