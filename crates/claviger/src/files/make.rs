//! One change, as a call.

use claviger_client::Client;
use claviger_proto::v1::{
    DeleteConnectionProfileRequest, DeleteGrantRequest, DeleteSecretDefinitionRequest,
    PutConnectionProfileRequest, PutGrantRequest, PutProjectRequest, PutSecretDefinitionRequest,
};

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
        } => put(client, name, content, etag.clone(), validate_only).await,
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

async fn put(
    client: &Client,
    name: &Name,
    content: &Content,
    etag: String,
    validate_only: bool,
) -> Result<(), Stop> {
    let warnings = match content {
        Content::Project(project) => {
            let project = Some(wire_project(name.to_string(), etag, project));
            let request = PutProjectRequest {
                project,
                validate_only,
            };
            client.projects().put_project(request).await?;
            Vec::new()
        }
        Content::Definition(definition) => {
            let definition = Some(wire_definition(name.to_string(), etag, definition));
            let request = PutSecretDefinitionRequest {
                definition,
                validate_only,
                ..Default::default()
            };
            let answer = client.definitions().put_secret_definition(request).await?;
            answer.into_inner().warnings
        }
        Content::Profile(profile) => {
            let project = name.project();
            let profile = Some(wire_profile(project, name.to_string(), etag, profile));
            let request = PutConnectionProfileRequest {
                profile,
                validate_only,
                ..Default::default()
            };
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
