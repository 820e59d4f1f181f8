//! `DaemonService`.

use std::sync::Arc;

use claviger_access::Call;
use claviger_broker::PartStatus;
use claviger_core::Result;
use claviger_proto::v1::{self, get_status_response::Part};

use crate::TLS_PART;
use crate::convert;
use crate::handler::Api;
use crate::serve::{Tls, TlsState};

pub(crate) async fn get_status(
    api: &Api,
    call: Call,
    _: v1::GetStatusRequest,
) -> Result<v1::GetStatusResponse> {
    let parts = api.broker.status(&Arc::new(call)).await?;
    let tls = api.about.tls.as_ref().map(|tls| tls_part(tls));
    Ok(v1::GetStatusResponse {
        version: api.about.version.to_owned(),
        start_time: convert::timestamp(api.about.start_time),
        root_key: api.about.root_key.clone(),
        parts: parts.into_iter().map(part).chain(tls).collect(),
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
        expire_time: None,
    }
}

fn tls_part(tls: &Tls) -> Part {
    let TlsState { ends, fault } = tls.state();
    let over = "its certificate has ended; put a new one into tls.certificate_file";
    let is_well = tls.is_well();
    let message = fault.unwrap_or_else(|| over.to_owned());
    Part {
        name: TLS_PART.to_owned(),
        ok: is_well,
        message: Some(message).filter(|_| !is_well).unwrap_or_default(),
        expire_time: convert::timestamp(ends),
        ..Part::default()
    }
}
