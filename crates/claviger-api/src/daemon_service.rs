//! `DaemonService`.

use std::sync::Arc;

use claviger_access::Call;
use claviger_broker::PartStatus;
use claviger_core::Result;
use claviger_proto::v1::{self, get_status_response::Part};

use crate::convert;
use crate::handler::Api;

pub(crate) async fn get_status(
    api: &Api,
    call: Call,
    _: v1::GetStatusRequest,
) -> Result<v1::GetStatusResponse> {
    let parts = api.broker.status(&Arc::new(call)).await?;
    Ok(v1::GetStatusResponse {
        version: api.about.version.to_owned(),
        start_time: convert::timestamp(api.about.start_time),
        root_key: api.about.root_key.clone(),
        parts: parts.into_iter().map(part).collect(),
    })
}

fn part(status: PartStatus) -> Part {
    let error = status.check.err();
    Part {
        name: status.name,
        sealed_values: status.sealed_values.into_iter().collect(),
        ok: error.is_none(),
        reason: convert::reason(error.as_ref()),
        message: convert::told(error.as_ref()),
    }
}
