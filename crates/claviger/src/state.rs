//! `claviger whoami` and `claviger status`.

use std::process::ExitCode;

use claviger_proto::v1::{GetStatusRequest, GetStatusResponse, WhoAmIRequest, WhoAmIResponse};

use crate::ask::Asking;
use crate::grants::listed;
use crate::output::{fields, show, table, time};
use crate::stop::{Stop, judged};

pub(crate) async fn whoami(asking: &Asking) -> Result<ExitCode, Stop> {
    let mut access = asking.client().await?.access();
    let answer = access.who_am_i(WhoAmIRequest {}).await?.into_inner();
    show(asking.is_json, &answer, || known(&answer))?;
    Ok(ExitCode::SUCCESS)
}

fn known(answer: &WhoAmIResponse) -> String {
    let mut text = format!("{}\n", answer.principal);
    text.push_str(&fields([
        ["proof", answer.proof().as_str_name()],
        ["identity", &answer.identity],
        ["token", &answer.token_name],
        ["ends", &time(&answer.expire_time)],
    ]));
    text.push('\n');
    text.push_str(&listed(&answer.grants));
    if answer.hidden_grants > 0 {
        let hidden = answer.hidden_grants;
        text.push_str(&format!("and {hidden} more, which grant list shows\n"));
    }
    text
}

pub(crate) async fn status(asking: &Asking) -> Result<ExitCode, Stop> {
    let mut daemon = asking.client().await?.daemon();
    let answer = daemon.get_status(GetStatusRequest {}).await?.into_inner();
    show(asking.is_json, &answer, || told(&answer))?;
    Ok(judged(answer.parts.iter().all(|part| part.ok)))
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

#[cfg(test)]
mod tests {
    use claviger_proto::v1::who_am_i_response::Proof;
    use claviger_proto::v1::{Grant, Role};

    use super::*;

    #[test]
    fn a_caller_is_told_what_vouches_for_it_and_what_is_hidden() {
        let answer = WhoAmIResponse {
            principal: "oidc:ci#acme".to_owned(),
            proof: Proof::Jwt.into(),
            identity: "ci".to_owned(),
            grants: vec![Grant {
                principal: "oidc:ci#*".to_owned(),
                role: Role::Runner.into(),
                resource: "*".to_owned(),
                ..Default::default()
            }],
            hidden_grants: 2,
            ..Default::default()
        };
        let expected = "\
            oidc:ci#acme\n\
            proof     JWT\n\
            identity  ci\n\
            \n\
            PRINCIPAL  ROLE    RESOURCE  ENVIRONMENT  ONLY  ID\n\
            oidc:ci#*  RUNNER  *\n\
            and 2 more, which grant list shows\n";
        assert_eq!(known(&answer), expected);
    }
}
