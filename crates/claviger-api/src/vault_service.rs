//! `VaultService`.

use std::sync::Arc;

use claviger_broker::VaultView;
use claviger_core::VaultName;
use claviger_proto::v1::{self, vault_service_server::VaultService};
use tonic::{Request, Response, Status};

use crate::handler::Api;
use crate::rpc;

#[tonic::async_trait]
impl VaultService for Api {
    async fn list_vaults(
        &self,
        request: Request<v1::ListVaultsRequest>,
    ) -> Result<Response<v1::ListVaultsResponse>, Status> {
        self.handle(&rpc::LIST_VAULTS, request, async |broker, call, _| {
            let vaults = broker.list_vaults(&Arc::new(call)).await?;
            Ok(v1::ListVaultsResponse {
                vaults: vaults.iter().map(wire).collect(),
            })
        })
        .await
    }

    async fn check_vault(
        &self,
        request: Request<v1::CheckVaultRequest>,
    ) -> Result<Response<v1::CheckVaultResponse>, Status> {
        self.handle(&rpc::CHECK_VAULT, request, async |broker, call, request| {
            let name = VaultName::parse("name", &request.name)?;
            let (vault, check) = broker.check_vault(&Arc::new(call), &name).await?;
            let error = check.err();
            Ok(v1::CheckVaultResponse {
                vault: Some(wire(&vault)),
                ok: error.is_none(),
                reason: error
                    .as_ref()
                    .map(|e| e.reason().to_string())
                    .unwrap_or_default(),
                message: error.map(|e| e.to_string()).unwrap_or_default(),
            })
        })
        .await
    }
}

fn wire(vault: &VaultView) -> v1::Vault {
    let able = vault.capabilities;
    v1::Vault {
        name: vault.name.to_string(),
        kind: vault.kind.to_owned(),
        capabilities: Some(v1::vault::Capabilities {
            secret: able.secret,
            property: able.property,
            version: able.version,
            disable_version: able.disable_version,
            destroy_version: able.destroy_version,
            value_bytes_max: i64::try_from(able.value_bytes_max).unwrap_or(i64::MAX),
        }),
    }
}
