//! `claviger definition`.

mod put;

use std::collections::HashMap;
use std::process::ExitCode;

use claviger_proto::v1::check_secret_definition_response::Verdict;
use claviger_proto::v1::stripe_live_verdict::Outcome;
use claviger_proto::v1::{
    CheckSecretDefinitionRequest, CheckSecretDefinitionResponse, DeleteSecretDefinitionRequest,
    GetSecretDefinitionRequest, ListSecretDefinitionsRequest, ListSecretDefinitionsResponse,
    SecretDefinition, UndeleteSecretDefinitionRequest,
};

use crate::ask::Asking;
use crate::cli::{Check, DefinitionCommand};
use crate::confirm::confirm;
use crate::files;
use crate::location;
use crate::output::{age, fields, show, table, time, warn};
use crate::pages::{self, PAGE_SIZE};
use crate::stop::{Stop, judged};
use crate::verdict;

pub(crate) async fn execute(
    asking: &Asking,
    command: &DefinitionCommand,
) -> Result<ExitCode, Stop> {
    match command {
        DefinitionCommand::Put(options) => put::put(asking, options).await?,
        DefinitionCommand::Get { id } => get(asking, id).await?,
        DefinitionCommand::List { show_deleted } => list(asking, *show_deleted).await?,
        DefinitionCommand::Delete { id, purge, yes } => delete(asking, id, *purge, *yes).await?,
        DefinitionCommand::Undelete { id } => undelete(asking, id).await?,
        DefinitionCommand::Check(options) => return check(asking, options).await,
        DefinitionCommand::Export => return files::export(asking).await,
        DefinitionCommand::Apply(options) => return files::apply(asking, options).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(asking: &Asking, id: &str) -> Result<(), Stop> {
    let request = GetSecretDefinitionRequest {
        name: asking.secret(id)?,
    };
    let mut definitions = asking.client().await?.definitions();
    let answer = definitions.get_secret_definition(request).await?;
    show_one(asking, &answer.into_inner())
}

async fn delete(asking: &Asking, id: &str, purge: bool, is_meant: bool) -> Result<(), Stop> {
    let name = asking.secret(id)?;
    if purge {
        let lost = "will be gone for good, with its values in Claviger's own vault.";
        confirm(&format!("{name} {lost}"), is_meant)?;
    }
    let request = DeleteSecretDefinitionRequest {
        name,
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
    show(asking.is_json, definition, || told(definition))
}

fn told(definition: &SecretDefinition) -> String {
    let freshness = definition.freshness.unwrap_or_default();
    let stripe = definition.stripe.clone().unwrap_or_default();
    let classes = stripe.allowed_classes();
    let classes: Vec<_> = classes.map(|class| class.as_str_name()).collect();
    let location = location::told_or_none(definition.location.as_ref());
    let labels = sorted(&definition.labels, |value| value.clone());
    let fallback = match definition.environment_fallback {
        true => "to the location",
        false => "",
    };
    fields([
        ["name", &definition.name],
        ["kind", definition.kind().as_str_name()],
        ["format", definition.format().as_str_name()],
        ["location", &location],
        [
            "environments",
            &sorted(&definition.environments, location::told),
        ],
        ["fallback", fallback],
        ["description", &definition.description],
        ["labels", &labels],
        ["rotate by", &time(&definition.rotate_by)],
        ["max age", &age(&freshness.max_age)],
        ["max stale", &age(&freshness.max_stale)],
        ["allowed classes", &classes.join(", ")],
        ["account", &stripe.account],
        ["context", &stripe.context],
        ["etag", &definition.etag],
        ["updated", &time(&definition.update_time)],
        ["deleted", &time(&definition.delete_time)],
        ["purged", &time(&definition.purge_time)],
    ])
}

/// A map by its keys.
fn sorted<T>(map: &HashMap<String, T>, told: impl Fn(&T) -> String) -> String {
    let mut all: Vec<_> = map.iter().collect();
    all.sort_by_key(|(key, _)| *key);
    let all = all.into_iter();
    let all = all.map(|(key, value)| format!("{key}={}", told(value)));
    all.collect::<Vec<_>>().join(", ")
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
                place(definition),
                description,
            ]
        }));
        table(&rows)
    })
}

/// Where it is; in each environment, if it is somewhere there alone.
fn place(definition: &SecretDefinition) -> String {
    match &definition.location {
        Some(location) => location::told(location),
        None => sorted(&definition.environments, location::told),
    }
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
    Ok(judged(is_well))
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
        [
            "location".to_owned(),
            location::told_or_none(answer.route.as_ref()),
        ],
        ["version".to_owned(), answer.version.clone()],
    ];
    rows.extend(verdicts(answer).map(|(part, verdict)| [part.to_owned(), verdict::told(verdict)]));
    if let Some(stripe) = &answer.stripe {
        rows.push(["stripe".to_owned(), verdict::stripe(stripe)]);
    }
    if let Some(live) = &answer.live {
        let said = format!("{}: {}", live.outcome().as_str_name(), live.message);
        rows.push(["live".to_owned(), said]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::Location;

    use super::*;

    #[test]
    fn list_has_the_location_or_those_of_the_environments() {
        let at = |secret: &str| Location {
            vault: "aws".to_owned(),
            secret: secret.to_owned(),
            ..Default::default()
        };
        let environments = [("prod", at("p")), ("dev", at("d"))];
        let environments = environments.map(|(id, at)| (id.to_owned(), at));
        for (location, environments, expected) in [
            (None, HashMap::new(), ""),
            (Some(at("all")), HashMap::new(), "aws/all"),
            (None, environments.clone().into(), "dev=aws/d, prod=aws/p"),
            (Some(at("all")), environments.into(), "aws/all"),
        ] {
            let definition = SecretDefinition {
                location,
                environments,
                ..Default::default()
            };
            assert_eq!(place(&definition), expected);
        }
    }

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
