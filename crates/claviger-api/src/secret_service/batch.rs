//! Several values in one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claviger_access::{Call, Label};
use claviger_broker::GetSecret;
use claviger_core::{DefinitionName, Detail, Error, Reason, Result};
use claviger_proto::v1::{self, batch_get_secrets_response as reply};
use futures_util::future::join_all;
use prost::Message as _;
use reply::result::Answer;

use crate::convert;
use crate::handler::{Api, log_failure};
use crate::secret_service::reply as value;
use crate::status::{code, retry_after};

/// Most names of one call.
const NAMES_MAX: usize = 100;

/// Most bytes of all values: clients take replies of 4 MiB, and the errors need room too.
const BYTES_MAX: usize = 3 * 1024 * 1024;

/// Longest text in an error: 100 of them have to fit beside the values.
const ERROR_BYTES_MAX: usize = 1024;

/// Reads all of them side by side: one that waits for its vault holds up no other.
pub(crate) async fn batch_get_secrets(
    api: &Api,
    call: Call,
    request: v1::BatchGetSecretsRequest,
) -> Result<v1::BatchGetSecretsResponse> {
    if !(1..=NAMES_MAX).contains(&request.names.len()) {
        return Err(Error::new(Reason::FieldInvalid).violation(
            "names",
            "has none or more than 100; send 1 to 100, and the others in another call",
        ));
    }
    let call = Arc::new(Call {
        run_id: Label::parse("run_id", &request.run_id)?,
        purpose: Label::parse("purpose", &request.purpose)?,
        ..call
    });
    let environment = convert::optional_id("environment", &request.environment)?;
    let max_age = convert::optional_duration("max_age", request.max_age)?;
    let get = |name: DefinitionName| GetSecret {
        name,
        environment: environment.clone(),
        version: None,
        max_age,
    };
    let mut names: Vec<DefinitionName> = Vec::new();
    for name in &request.names {
        let name = DefinitionName::parse("names", name)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let room = AtomicUsize::new(BYTES_MAX);
    let reads = names.into_iter().map(async |name| {
        let read = async {
            let served = api.broker.get_secret(&call, &get(name.clone())).await?;
            let secret = value::answer(served, environment.clone(), None)?;
            // At once: what does not fit is not kept until the slowest one is there.
            fitting(secret, &name, &room)
        };
        let answer = match read.await {
            Ok(secret) => Answer::Secret(Box::new(secret)),
            Err(error) => {
                log_failure(call.id, call.rpc, &error);
                Answer::Error(wire_error(&error))
            }
        };
        reply::Result {
            name: name.to_string(),
            answer: Some(answer),
        }
    });
    Ok(v1::BatchGetSecretsResponse {
        results: join_all(reads).await,
    })
}

/// Takes room for a value, which is given out only if there is enough.
fn fitting(
    secret: v1::GetSecretResponse,
    name: &DefinitionName,
    room: &AtomicUsize,
) -> Result<v1::GetSecretResponse> {
    let bytes = secret.encoded_len();
    let take = |left: usize| left.checked_sub(bytes);
    match room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
        Ok(_) => Ok(secret),
        Err(_) => Err(Error::new(Reason::ResponseTooLarge).with(Detail::Resource, name)),
    }
}

fn wire_error(error: &Error) -> reply::Error {
    let error = error.shortened(ERROR_BYTES_MAX);
    reply::Error {
        code: code(&error).into(),
        reason: error.reason().as_str().to_owned(),
        message: error.to_string(),
        retry_after: retry_after(&error).and_then(convert::duration),
    }
}
