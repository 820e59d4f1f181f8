//! `claviger whoami` and `claviger status`.

use std::process::ExitCode;

use claviger_proto::v1::{GetStatusRequest, GetStatusResponse, WhoAmIRequest, WhoAmIResponse};

use crate::ask::Asking;
use crate::output::{show, table};
use crate::stop::Stop;

/// Something asked about is not well.
const EXIT_UNWELL: u8 = 1;

pub(crate) async fn whoami(asking: &Asking) -> Result<ExitCode, Stop> {
    let mut access = asking.client().await?.access();
    let answer = access.who_am_i(WhoAmIRequest {}).await?.into_inner();
    show(asking.is_json, &answer, || known(&answer))?;
    Ok(ExitCode::SUCCESS)
}

fn known(answer: &WhoAmIResponse) -> String {
    let mut text = format!("{}\n", answer.principal);
    if let Some(end) = &answer.expire_time {
        text.push_str(&format!("ends {end}\n"));
    }
    let mut rows = vec![["ROLE", "RESOURCE", "ENVIRONMENT", "HOLDER"].map(str::to_owned)];
    rows.extend(answer.grants.iter().map(|grant| {
        [
            grant.role().as_str_name().to_owned(),
            grant.resource.clone(),
            grant.environment.clone(),
            grant.principal.clone(),
        ]
    }));
    text + &table(&rows)
}

pub(crate) async fn status(asking: &Asking) -> Result<ExitCode, Stop> {
    let mut daemon = asking.client().await?.daemon();
    let answer = daemon.get_status(GetStatusRequest {}).await?.into_inner();
    show(asking.is_json, &answer, || told(&answer))?;
    Ok(match answer.parts.iter().all(|part| part.ok) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_UNWELL),
    })
}

fn told(status: &GetStatusResponse) -> String {
    let since = status.start_time.as_ref().map(ToString::to_string);
    let root_key = status.root_key.trim_start_matches("root key: ");
    let mut rows = vec![
        [
            "clavigerd".to_owned(),
            format!("{}, since {}", status.version, since.unwrap_or_default()),
        ],
        ["root key".to_owned(), root_key.to_owned()],
    ];
    rows.extend(status.parts.iter().map(|part| {
        let state = match part.ok {
            true => "ok".to_owned(),
            false => format!("{} [{}]", part.message, part.reason),
        };
        [part.name.clone(), state]
    }));
    table(&rows)
}
