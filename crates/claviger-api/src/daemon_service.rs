//! `DaemonService`.

use std::sync::Arc;

use claviger_broker::PartStatus;
use claviger_proto::v1::{self, daemon_service_server::DaemonService, get_status_response::Part};
use tonic::{Request, Response, Status};

use crate::convert;
use crate::handler::Api;
use crate::rpc;

#[tonic::async_trait]
impl DaemonService for Api {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let about = Arc::clone(&self.about);
        self.handle(&rpc::GET_STATUS, request, async |broker, call, _| {
            let parts = broker.status(&Arc::new(call)).await?;
            Ok(v1::GetStatusResponse {
                version: about.version.to_owned(),
                start_time: convert::timestamp(about.start_time),
                root_key: about.root_key.clone(),
                parts: parts.into_iter().map(part).collect(),
            })
        })
        .await
    }
}

fn part(status: PartStatus) -> Part {
    let error = status.check.err();
    Part {
        name: status.name,
        sealed_values: status.sealed_values.into_iter().collect(),
        ok: error.is_none(),
        reason: error
            .as_ref()
            .map(|e| e.reason().to_string())
            .unwrap_or_default(),
        message: convert::told(error.as_ref()),
    }
}
