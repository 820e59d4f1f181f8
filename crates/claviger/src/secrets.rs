//! `claviger secret`.

use std::process::ExitCode;

use claviger_proto::v1::get_secret_response::Value;
use claviger_proto::v1::{
    DestroySecretVersionRequest, DisableSecretVersionRequest, EnableSecretVersionRequest,
    Freshness, GetSecretRequest, GetSecretResponse, ListSecretVersionsRequest,
    ListSecretVersionsResponse, PutSecretValueRequest, SecretVersion, Warning,
};
use uuid::Uuid;

use crate::ask::Asking;
use crate::cli::{SecretCommand, ValueOptions, Version};
use crate::confirm::confirm;
use crate::output::{age, show, table, time, warn};
use crate::pages::{self, PAGE_SIZE};
use crate::reveal::{print_value, refuse_terminal};
use crate::stop::Stop;
use crate::value;

pub(crate) async fn execute(asking: &Asking, command: &SecretCommand) -> Result<ExitCode, Stop> {
    match command {
        SecretCommand::Put {
            id,
            value,
            if_version,
            adopt,
        } => put(asking, id, value, if_version.as_deref(), *adopt).await?,
        SecretCommand::Get {
            id,
            version,
            purpose,
            reveal,
        } => {
            refuse_terminal(*reveal)?;
            let text = |option: &Option<String>| option.clone().unwrap_or_default();
            let request = GetSecretRequest {
                name: asking.secret(id)?,
                environment: asking.environment.clone(),
                version: text(version),
                purpose: text(purpose),
                ..Default::default()
            };
            get(asking, request).await?;
        }
        SecretCommand::Versions { id } => versions(asking, id).await?,
        SecretCommand::Disable(version) => disable(asking, version).await?,
        SecretCommand::Enable(version) => enable(asking, version).await?,
        SecretCommand::Destroy { version, yes } => destroy(asking, version, *yes).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(
    asking: &Asking,
    id: &str,
    value: &ValueOptions,
    if_version: Option<&str>,
    adopt: bool,
) -> Result<(), Stop> {
    let name = asking.secret(id)?;
    let payload = value::read(value, &name)?;
    let request = PutSecretValueRequest {
        name: name.clone(),
        environment: asking.environment.clone(),
        payload: Some(payload),
        if_version: if_version.unwrap_or_default().to_owned(),
        request_id: Uuid::new_v4().to_string(),
        adopt,
    };
    let secrets = asking.client().await?.secrets();
    let put = async || secrets.clone().put_secret_value(request.clone()).await;
    let answer = asking.answer_to(&name, put).await??;
    warn(&answer.warnings);
    show(asking.is_json, &answer, || {
        format!("version {} in vault {}\n", answer.version, answer.vault)
    })
}

async fn get(asking: &Asking, request: GetSecretRequest) -> Result<(), Stop> {
    let mut secrets = asking.client().await?.secrets();
    let answer = secrets.get_secret(request).await?.into_inner();
    warn(answer.freshness.as_ref().and_then(staleness).as_slice());
    let value = value_in(&answer)?;
    match asking.is_json {
        true => show(true, &answer, String::new),
        false => print_value(value),
    }
}

fn value_in(answer: &GetSecretResponse) -> Result<&[u8], Stop> {
    match &answer.value {
        Some(Value::Text(text)) => Ok(text.as_bytes()),
        Some(Value::Data(data)) => Ok(data),
        None => Err(Stop::failed(
            "the daemon answered without a value; it may be newer than this command",
        )),
    }
}

/// That a value is older than it should be.
fn staleness(freshness: &Freshness) -> Option<Warning> {
    freshness.stale.then(|| Warning {
        reason: freshness.stale_reason.clone(),
        message: format!(
            "the value was fetched {} ago, and its vault does not give a newer one",
            age(&freshness.age)
        ),
        ..Default::default()
    })
}

async fn versions(asking: &Asking, id: &str) -> Result<(), Stop> {
    let parent = asking.secret(id)?;
    let secrets = asking.client().await?.secrets();
    let versions = pages::all(async |page_token| {
        let request = ListSecretVersionsRequest {
            parent: parent.clone(),
            environment: asking.environment.clone(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = secrets.clone().list_secret_versions(request).await?;
        let page = page.into_inner();
        Ok((page.versions, page.next_page_token))
    })
    .await?;
    let all = ListSecretVersionsResponse {
        versions,
        ..Default::default()
    };
    show(asking.is_json, &all, || {
        let mut rows = vec![["VERSION", "STATE", "CURRENT", "STORED"].map(str::to_owned)];
        rows.extend(all.versions.iter().map(|version| {
            let current = if version.current { "*" } else { "" };
            [
                version.version.clone(),
                version.state().as_str_name().to_owned(),
                current.to_owned(),
                time(&version.create_time),
            ]
        }));
        table(&rows)
    })
}

async fn disable(asking: &Asking, version: &Version) -> Result<(), Stop> {
    let request = DisableSecretVersionRequest {
        name: version_name(asking, version)?,
        environment: asking.environment.clone(),
    };
    let mut secrets = asking.client().await?.secrets();
    let answer = secrets.disable_secret_version(request).await?;
    show_one(asking, &answer.into_inner())
}

async fn enable(asking: &Asking, version: &Version) -> Result<(), Stop> {
    let request = EnableSecretVersionRequest {
        name: version_name(asking, version)?,
        environment: asking.environment.clone(),
    };
    let mut secrets = asking.client().await?.secrets();
    let answer = secrets.enable_secret_version(request).await?;
    show_one(asking, &answer.into_inner())
}

async fn destroy(asking: &Asking, version: &Version, is_meant: bool) -> Result<(), Stop> {
    let name = version_name(asking, version)?;
    confirm(&format!("{name} will be gone for good."), is_meant)?;
    let request = DestroySecretVersionRequest {
        name,
        environment: asking.environment.clone(),
    };
    let mut secrets = asking.client().await?.secrets();
    let answer = secrets.destroy_secret_version(request).await?;
    show_one(asking, &answer.into_inner())
}

fn version_name(asking: &Asking, version: &Version) -> Result<String, Stop> {
    let secret = asking.secret(&version.id)?;
    Ok(format!("{secret}/versions/{}", version.version))
}

fn show_one(asking: &Asking, version: &SecretVersion) -> Result<(), Stop> {
    show(asking.is_json, version, || {
        let state = version.state().as_str_name();
        format!("version {} is {state}\n", version.version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_value_is_a_failure() {
        let mut answer = GetSecretResponse::default();
        let said = value_in(&answer).unwrap_err().to_string();
        assert!(said.contains("without a value"), "{said}");
        answer.value = Some(Value::Text(String::new()));
        assert!(value_in(&answer).is_ok_and(<[u8]>::is_empty));
    }

    #[test]
    fn a_stale_value_is_warned_of() {
        let mut freshness = Freshness {
            age: Some(prost_types::Duration {
                seconds: 3_661,
                nanos: 5,
            }),
            stale_reason: "VAULT_UNREACHABLE/DNS".to_owned(),
            ..Default::default()
        };
        assert_eq!(staleness(&freshness), None);
        freshness.stale = true;
        let warning = staleness(&freshness).unwrap();
        assert_eq!(warning.reason, "VAULT_UNREACHABLE/DNS");
        assert!(warning.message.contains("1h 1m 1s ago"), "{warning:?}");
    }
}
