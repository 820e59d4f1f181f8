//! `claviger secret`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use claviger_proto::v1::get_secret_response::Value;
use claviger_proto::v1::{
    GetSecretRequest, ListSecretVersionsRequest, ListSecretVersionsResponse, PutSecretValueRequest,
};
use uuid::Uuid;

use crate::ask::Asking;
use crate::cli::{SecretCommand, ValueOptions};
use crate::output::{print, show, table, time, warn};
use crate::pages::{self, PAGE_SIZE};
use crate::stop::Stop;
use crate::value;

pub(crate) async fn execute(asking: &Asking, command: &SecretCommand) -> Result<ExitCode, Stop> {
    match command {
        SecretCommand::Put {
            id,
            value,
            if_version,
        } => put(asking, id, value, if_version.as_deref()).await?,
        SecretCommand::Get {
            id,
            version,
            reveal,
        } => get(asking, id, version.as_deref(), *reveal).await?,
        SecretCommand::Versions { id } => versions(asking, id).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(
    asking: &Asking,
    id: &str,
    value: &ValueOptions,
    if_version: Option<&str>,
) -> Result<(), Stop> {
    let name = asking.secret(id)?;
    let payload = value::read(value, &name)?;
    let request = PutSecretValueRequest {
        name,
        environment: asking.environment.clone(),
        payload: Some(payload),
        if_version: if_version.unwrap_or_default().to_owned(),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let mut secrets = asking.client().await?.secrets();
    let answer = secrets.put_secret_value(request).await?.into_inner();
    warn(&answer.warnings);
    show(asking.is_json, &answer, || {
        format!("version {} in vault {}\n", answer.version, answer.vault)
    })
}

async fn get(asking: &Asking, id: &str, version: Option<&str>, reveal: bool) -> Result<(), Stop> {
    let is_terminal = io::stdout().is_terminal();
    if is_terminal && !reveal {
        return Err(Stop::usage(
            "a value is not shown on a terminal; send it to a pipe or a file, or pass --reveal",
        ));
    }
    let request = GetSecretRequest {
        name: asking.secret(id)?,
        environment: asking.environment.clone(),
        version: version.unwrap_or_default().to_owned(),
        ..Default::default()
    };
    let mut secrets = asking.client().await?.secrets();
    let answer = secrets.get_secret(request).await?.into_inner();
    if asking.is_json {
        return show(true, &answer, String::new);
    }
    match &answer.value {
        Some(Value::Text(text)) => print(text)?,
        Some(Value::Data(data)) => print(data)?,
        None => {}
    }
    match is_terminal {
        true => print("\n"),
        false => Ok(()),
    }
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
