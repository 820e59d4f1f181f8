//! One change, as a call.

use claviger_client::Client;
use claviger_proto::v1::{
    DeleteConnectionProfileRequest, DeleteGrantRequest, DeleteSecretDefinitionRequest,
    PutConnectionProfileRequest, PutGrantRequest, PutProjectRequest, PutSecretDefinitionRequest,
};
use prost_types::FieldMask;

use super::convert::{wire_definition, wire_profile, wire_project};
use super::items::{Content, Name};
use super::plan::Act;
use crate::output::warn;
use crate::stop::Stop;

/// Makes a change, or asks whether it could be made; of grants and deletions only the former.
pub(crate) async fn make(client: &Client, act: &Act, validate_only: bool) -> Result<(), Stop> {
    match act {
        Act::Put {
            name,
            content,
            etag,
            paths,
        } => put(client, Put::of(name, content, etag, paths), validate_only).await,
        Act::Give(holding) => {
            let grant = Some(holding.wire());
            client.access().put_grant(PutGrantRequest { grant }).await?;
            Ok(())
        }
        Act::Take(_, name) => {
            let name = name.clone();
            let request = DeleteGrantRequest { name };
            client.access().delete_grant(request).await?;
            Ok(())
        }
        Act::Delete { name, etag, purge } => delete(client, name, etag.clone(), *purge).await,
    }
}

/// What is asked of the daemon so that a thing is as the file has it.
#[derive(Debug)]
enum Put {
    Project(PutProjectRequest),
    Definition(PutSecretDefinitionRequest),
    Profile(PutConnectionProfileRequest),
}

impl Put {
    fn of(name: &Name, content: &Content, etag: &str, paths: &[String]) -> Self {
        let (full, etag) = (name.to_string(), etag.to_owned());
        // Of what is there, a newer daemon may know more than the file can state.
        let paths = paths.to_vec();
        let update_mask = (!paths.is_empty()).then_some(FieldMask { paths });
        match content {
            Content::Project(project) => Self::Project(PutProjectRequest {
                project: Some(wire_project(full, etag, project)),
                ..Default::default()
            }),
            Content::Definition(definition) => Self::Definition(PutSecretDefinitionRequest {
                definition: Some(wire_definition(full, etag, definition)),
                update_mask,
                ..Default::default()
            }),
            Content::Profile(profile) => Self::Profile(PutConnectionProfileRequest {
                profile: Some(wire_profile(name.project(), full, etag, profile)),
                update_mask,
                ..Default::default()
            }),
        }
    }
}

async fn put(client: &Client, put: Put, validate_only: bool) -> Result<(), Stop> {
    let warnings = match put {
        Put::Project(mut request) => {
            request.validate_only = validate_only;
            client.projects().put_project(request).await?;
            Vec::new()
        }
        Put::Definition(mut request) => {
            request.validate_only = validate_only;
            let answer = client.definitions().put_secret_definition(request).await?;
            answer.into_inner().warnings
        }
        Put::Profile(mut request) => {
            request.validate_only = validate_only;
            let answer = client.profiles().put_connection_profile(request).await?;
            answer.into_inner().warnings
        }
    };
    if !validate_only {
        warn(&warnings);
    }
    Ok(())
}

async fn delete(client: &Client, name: &Name, etag: String, purge: bool) -> Result<(), Stop> {
    let full = name.to_string();
    match name {
        // Never asked for: whoever ends a project does so by name.
        Name::Project(_) => {}
        Name::Definition(..) => {
            let request = DeleteSecretDefinitionRequest {
                name: full,
                etag,
                purge,
            };
            client
                .definitions()
                .delete_secret_definition(request)
                .await?;
        }
        Name::Profile(..) => {
            let request = DeleteConnectionProfileRequest {
                name: full,
                etag,
                purge,
            };
            let answer = client.profiles().delete_connection_profile(request).await?;
            warn(&answer.into_inner().warnings);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::items::Items;
    use crate::files::parse::parse;
    use crate::files::plan::between;

    fn items(text: &str) -> Items {
        Items::from(parse("f", text).unwrap())
    }

    /// The masks of the requests, each with the etag.
    fn asked(before: &str, after: &str) -> Vec<(String, Option<Vec<String>>)> {
        let mut before = items(before);
        for thing in before.things.values_mut() {
            thing.etag = "1".to_owned();
        }
        let changes = between(&items(after), &before, None);
        let asked = changes.iter().filter_map(|change| match &change.act {
            Act::Put {
                name,
                content,
                etag,
                paths,
            } => Some(match Put::of(name, content, etag, paths) {
                Put::Project(request) => (request.project.unwrap().etag, None),
                Put::Definition(request) => (request.definition.unwrap().etag, request.update_mask),
                Put::Profile(request) => (request.profile.unwrap().etag, request.update_mask),
            }),
            Act::Give(_) | Act::Take(..) | Act::Delete { .. } => None,
        });
        asked
            .map(|(etag, mask)| (etag, mask.map(|mask| mask.paths)))
            .collect()
    }

    #[test]
    fn what_is_there_is_changed_field_by_field() {
        let definition =
            |fields: &str| format!("projects: {{acme: {{definitions: {{db: {{{fields}}}}}}}}}");
        let profile = |fields: &str| {
            format!(
                "projects: {{acme: {{definitions: {{a: {{}}, b: {{}}}}, profiles: {{eu: {{{fields}}}}}}}}}"
            )
        };
        let app = "oauth: {client_id: ca_1, flavor: CONNECT}";
        for (before, after, paths) in [
            (
                definition("kind: PASSWORD, location: {vault: a}, labels: {a: b}"),
                definition("kind: OPAQUE, location: {vault: a, secret: b}"),
                &["kind", "labels", "location"][..],
            ),
            (
                definition("freshness: {max_age: 60s}"),
                definition("freshness: {max_age: 60s}, rotate_by: '2099-01-01T00:00:00Z'"),
                &["rotate_by"],
            ),
            (
                profile("api_key: {definition: a, account: acct_1}, description: old"),
                profile("api_key: {definition: b}, description: new"),
                &["api_key.account", "api_key.definition", "description"],
            ),
            (
                profile("api_key: {definition: a}"),
                profile(app),
                &["oauth"],
            ),
            (
                profile(app),
                profile("api_key: {definition: a}"),
                &["api_key"],
            ),
        ] {
            let paths = paths.iter().map(ToString::to_string).collect();
            assert_eq!(asked(&before, &after), [("1".to_owned(), Some(paths))]);
        }
    }

    #[test]
    fn what_is_new_and_a_project_are_put_as_a_whole() {
        let before = "projects: {acme: {description: old}}";
        let after = "projects: {acme: {description: new, definitions: {db: {}}}}";
        let whole = [("1".to_owned(), None), (String::new(), None)];
        assert_eq!(asked(before, after), whole);
    }
}
