//! `claviger token`.

use std::process::ExitCode;
use std::time::Duration;

use claviger_proto::v1::{
    CreateTokenRequest, ExchangeTokenRequest, ListTokensRequest, ListTokensResponse,
    RevokeTokenRequest, RevokeTokenResponse, TokenGrant,
};

use crate::ask::{Asking, full_name};
use crate::cli::{CreateToken, TokenCommand};
use crate::output::{duration, note, show, table, time};
use crate::pages::{self, PAGE_SIZE};
use crate::reveal::{print_value, refuse_terminal};
use crate::stop::{Stop, judged};

pub(crate) async fn execute(asking: &Asking, command: &TokenCommand) -> Result<ExitCode, Stop> {
    match command {
        TokenCommand::Create(options) => create(asking, options).await?,
        TokenCommand::List => list(asking).await?,
        TokenCommand::Revoke { id, cascade } => return revoke(asking, id, *cascade).await,
        TokenCommand::Exchange { ttl, reveal } => exchange(asking, *ttl, *reveal).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(asking: &Asking, options: &CreateToken) -> Result<(), Stop> {
    refuse_terminal(options.reveal)?;
    let grants = options.grants.iter().map(|(role, resource)| {
        Ok(TokenGrant {
            role: (*role).into(),
            resource: asking.resource(resource)?,
            environment: asking.environment.clone(),
        })
    });
    let request = CreateTokenRequest {
        grants: grants.collect::<Result<_, Stop>>()?,
        ttl: Some(duration(options.ttl)?),
        description: options.description.clone().unwrap_or_default(),
    };
    let mut access = asking.client().await?.access();
    let answer = access.create_token(request).await?.into_inner();
    // First: whoever cannot take the token has to revoke it.
    if let Some(info) = &answer.info {
        let (name, end) = (&info.name, time(&info.expire_time));
        note(&format!("made {name} for {}, until {end}", info.principal));
    }
    match asking.is_json {
        true => show(true, &answer, String::new),
        false => print_value(answer.token.as_bytes()),
    }
}

async fn exchange(asking: &Asking, ttl: Option<Duration>, reveal: bool) -> Result<(), Stop> {
    refuse_terminal(reveal)?;
    let request = ExchangeTokenRequest {
        ttl: ttl.map(duration).transpose()?,
    };
    let mut access = asking.client().await?.access();
    let answer = access.exchange_token(request).await?.into_inner();
    let (name, end) = (&answer.name, time(&answer.expire_time));
    note(&format!("made {name}, until {end}"));
    match asking.is_json {
        true => show(true, &answer, String::new),
        false => print_value(answer.token.as_bytes()),
    }
}

async fn list(asking: &Asking) -> Result<(), Stop> {
    let service = asking.client().await?.access();
    let tokens = pages::all(async |page_token| {
        let request = ListTokensRequest {
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = service.clone().list_tokens(request).await?.into_inner();
        Ok((page.tokens, page.next_page_token))
    })
    .await?;
    let all = ListTokensResponse {
        tokens,
        ..Default::default()
    };
    show(asking.is_json, &all, || {
        let heads = ["ID", "PRINCIPAL", "ENDS", "REVOKED", "DESCRIPTION"];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(all.tokens.iter().map(|token| {
            let revoked = if token.revoked { "*" } else { "" };
            [
                token.name.trim_start_matches("tokens/").to_owned(),
                token.principal.clone(),
                time(&token.expire_time),
                revoked.to_owned(),
                token.description.clone(),
            ]
        }));
        table(&rows)
    })
}

async fn revoke(asking: &Asking, id: &str, cascade: bool) -> Result<ExitCode, Stop> {
    let name = full_name("tokens", id);
    let mut access = asking.client().await?.access();
    let request = RevokeTokenRequest { name, cascade };
    let answer = access.revoke_token(request).await?.into_inner();
    show(asking.is_json, &answer, || revoked(&answer))?;
    Ok(judged(answer.remaining.is_empty()))
}

fn revoked(answer: &RevokeTokenResponse) -> String {
    let name = answer.info.as_ref().map(|info| info.name.as_str());
    let mut text = format!("{} is revoked\n", name.unwrap_or_default());
    for remaining in &answer.remaining {
        text.push_str(&format!("{remaining} remains: others have to end it\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::Token;

    use super::*;

    #[test]
    fn what_remains_is_named() {
        let answer = RevokeTokenResponse {
            info: Some(Token {
                name: "tokens/a".to_owned(),
                ..Default::default()
            }),
            remaining: vec!["grants/b".to_owned()],
        };
        let expected = "tokens/a is revoked\ngrants/b remains: others have to end it\n";
        assert_eq!(revoked(&answer), expected);
    }
}
