//! `claviger definition`.

use std::process::ExitCode;

use claviger_proto::v1::check_secret_definition_response::Verdict;
use claviger_proto::v1::stripe_live_verdict::Outcome;
use claviger_proto::v1::{
    CheckSecretDefinitionRequest, CheckSecretDefinitionResponse, DeleteSecretDefinitionRequest,
    GetSecretDefinitionRequest, ListSecretDefinitionsRequest, ListSecretDefinitionsResponse,
    Location, PutSecretDefinitionRequest, SecretDefinition, UndeleteSecretDefinitionRequest,
    secret_definition,
};
use uuid::Uuid;

use crate::ask::Asking;
use crate::cli::{Check, DefinitionCommand, PutDefinition};
use crate::output::{fields, show, table, time, warn};
use crate::pages::{self, PAGE_SIZE};
use crate::stop::Stop;
use crate::value;

/// What was asked about is not well.
const EXIT_UNWELL: u8 = 1;

pub(crate) async fn execute(
    asking: &Asking,
    command: &DefinitionCommand,
) -> Result<ExitCode, Stop> {
    match command {
        DefinitionCommand::Put(options) => put(asking, options).await?,
        DefinitionCommand::Get { id } => get(asking, id).await?,
        DefinitionCommand::List { show_deleted } => list(asking, *show_deleted).await?,
        DefinitionCommand::Delete { id, purge } => delete(asking, id, *purge).await?,
        DefinitionCommand::Undelete { id } => undelete(asking, id).await?,
        DefinitionCommand::Check(options) => return check(asking, options).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(asking: &Asking, options: &PutDefinition) -> Result<(), Stop> {
    let name = asking.secret(&options.id)?;
    let payload = match &options.value.value_from {
        Some(_) => Some(value::read(&options.value, &name)?),
        None => None,
    };
    let format = match options.value.binary {
        true => secret_definition::Format::Binary,
        false => secret_definition::Format::Unspecified,
    };
    let text = |option: &Option<String>| option.clone().unwrap_or_default();
    let location = Location {
        vault: text(&options.vault),
        secret: text(&options.secret),
        property: text(&options.property),
        ..Default::default()
    };
    let request = PutSecretDefinitionRequest {
        definition: Some(SecretDefinition {
            name,
            description: text(&options.description),
            kind: options.kind.unwrap_or_default().into(),
            format: format.into(),
            location: (location != Location::default()).then_some(location),
            ..Default::default()
        }),
        payload,
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let mut definitions = asking.client().await?.definitions();
    let answer = definitions.put_secret_definition(request).await?;
    let answer = answer.into_inner();
    warn(&answer.warnings);
    show(asking.is_json, &answer, || {
        let definition = answer.definition.as_ref();
        let name = definition.map(|definition| definition.name.as_str());
        match answer.version.as_str() {
            "" => format!("{}\n", name.unwrap_or_default()),
            version => format!("{}, version {version}\n", name.unwrap_or_default()),
        }
    })
}

async fn get(asking: &Asking, id: &str) -> Result<(), Stop> {
    let request = GetSecretDefinitionRequest {
        name: asking.secret(id)?,
    };
    let mut definitions = asking.client().await?.definitions();
    let answer = definitions.get_secret_definition(request).await?;
    show_one(asking, &answer.into_inner())
}

async fn delete(asking: &Asking, id: &str, purge: bool) -> Result<(), Stop> {
    let request = DeleteSecretDefinitionRequest {
        name: asking.secret(id)?,
        purge,
        ..Default::default()
    };
    let mut definitions = asking.client().await?.definitions();
    let answer = definitions.delete_secret_definition(request).await?;
    show_one(asking, &answer.into_inner())
}

async fn undelete(asking: &Asking, id: &str) -> Result<(), Stop> {
    let request = UndeleteSecretDefinitionRequest {
        name: asking.secret(id)?,
    };
    let mut definitions = asking.client().await?.definitions();
    let answer = definitions.undelete_secret_definition(request).await?;
    show_one(asking, &answer.into_inner())
}

fn show_one(asking: &Asking, definition: &SecretDefinition) -> Result<(), Stop> {
    show(asking.is_json, definition, || {
        fields([
            ["name", &definition.name],
            ["kind", definition.kind().as_str_name()],
            ["format", definition.format().as_str_name()],
            ["location", &told(definition.location.as_ref())],
            ["description", &definition.description],
            ["etag", &definition.etag],
            ["updated", &time(&definition.update_time)],
            ["deleted", &time(&definition.delete_time)],
        ])
    })
}

async fn list(asking: &Asking, show_deleted: bool) -> Result<(), Stop> {
    let parent = asking.project()?;
    let service = asking.client().await?.definitions();
    let definitions = pages::all(async |page_token| {
        let request = ListSecretDefinitionsRequest {
            parent: parent.clone(),
            page_size: PAGE_SIZE,
            page_token,
            show_deleted,
            ..Default::default()
        };
        let page = service.clone().list_secret_definitions(request).await?;
        let page = page.into_inner();
        Ok((page.definitions, page.next_page_token))
    })
    .await?;
    let all = ListSecretDefinitionsResponse {
        definitions,
        ..Default::default()
    };
    show(asking.is_json, &all, || {
        let mut rows = vec![["ID", "KIND", "LOCATION", "DESCRIPTION"].map(str::to_owned)];
        rows.extend(all.definitions.iter().map(|definition| {
            let is_deleted = definition.delete_time.is_some();
            let description = match is_deleted {
                true => format!("(deleted) {}", definition.description),
                false => definition.description.clone(),
            };
            [
                definition.id.clone(),
                definition.kind().as_str_name().to_owned(),
                told(definition.location.as_ref()),
                description,
            ]
        }));
        table(&rows)
    })
}

async fn check(asking: &Asking, options: &Check) -> Result<ExitCode, Stop> {
    let request = CheckSecretDefinitionRequest {
        name: asking.secret(&options.id)?,
        environment: asking.environment.clone(),
        live: options.live,
        refresh: options.refresh,
        ..Default::default()
    };
    let mut definitions = asking.client().await?.definitions();
    let answer = definitions.check_secret_definition(request).await?;
    let answer = answer.into_inner();
    warn(&answer.warnings);
    show(asking.is_json, &answer, || checked(&answer))?;
    let live = answer.live.as_ref().map(|live| live.outcome());
    let is_live = live.is_none_or(|live| [Outcome::Works, Outcome::Limited].contains(&live));
    let is_well = verdicts(&answer).all(|(_, verdict)| verdict.ok) && is_live;
    Ok(match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_UNWELL),
    })
}

fn verdicts(
    answer: &CheckSecretDefinitionResponse,
) -> impl Iterator<Item = (&'static str, &Verdict)> {
    [
        ("existence", &answer.existence),
        ("format", &answer.format),
        ("kind", &answer.kind),
        ("access", &answer.access),
    ]
    .into_iter()
    .filter_map(|(part, verdict)| Some((part, verdict.as_ref()?)))
}

fn checked(answer: &CheckSecretDefinitionResponse) -> String {
    let mut rows = vec![
        ["location".to_owned(), told(answer.route.as_ref())],
        ["version".to_owned(), answer.version.clone()],
    ];
    rows.extend(verdicts(answer).map(|(part, verdict)| {
        let state = match verdict.ok {
            true => "ok".to_owned(),
            false => format!("{} [{}]", verdict.message, verdict.reason),
        };
        [part.to_owned(), state]
    }));
    if let Some(stripe) = &answer.stripe {
        let parts = [&stripe.class, &stripe.mode, &stripe.last_four];
        let parts = parts.map(String::as_str).into_iter();
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        rows.push(["stripe".to_owned(), parts.join(" ")]);
    }
    if let Some(live) = &answer.live {
        let said = format!("{}: {}", live.outcome().as_str_name(), live.message);
        rows.push(["live".to_owned(), said]);
    }
    table(&rows)
}

/// Where a value is, as `vault/secret#property@version`.
fn told(location: Option<&Location>) -> String {
    let Some(location) = location else {
        return String::new();
    };
    let mut text = format!("{}/{}", location.vault, location.secret);
    for (mark, part) in [("#", &location.property), ("@", &location.version)] {
        if !part.is_empty() {
            text.push_str(mark);
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_says_what_is_well_and_what_is_not() {
        let answer = CheckSecretDefinitionResponse {
            route: Some(Location {
                vault: "managed".to_owned(),
                secret: "stripe".to_owned(),
                property: "key".to_owned(),
                ..Default::default()
            }),
            version: "2".to_owned(),
            existence: Some(Verdict {
                ok: true,
                ..Default::default()
            }),
            access: Some(Verdict {
                reason: "ACCESS_DENIED".to_owned(),
                message: "ask for a grant".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let expected = "\
            location   managed/stripe#key\n\
            version    2\n\
            existence  ok\n\
            access     ask for a grant [ACCESS_DENIED]\n";
        assert_eq!(checked(&answer), expected);
    }
}
