//! Requests as they are on the wire, made from the descriptor set: with them a test reaches every
//! field that there is, one that is added tomorrow too.

use std::collections::BTreeMap;

use claviger_integration::{Client, PROJECT, own_uid, text_payload};
use claviger_proto::v1;
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};

/// One on the way to a field.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) number: i32,
    /// The message that the next number is in.
    pub(crate) message: Option<String>,
}

/// A message of this type with which nothing is wrong.
pub(crate) fn base_of(message: &str) -> Vec<u8> {
    let kept = format!("{PROJECT}/secrets/pasted-kept");
    let version = |number| format!("{PROJECT}/secrets/pasted-versions/versions/{number}");
    let profile = format!("{PROJECT}/connectionProfiles/pasted");
    let (name, parent) = (kept.clone(), PROJECT.to_owned());
    let resource = PROJECT.to_owned();
    let role = v1::Role::Runner.into();
    let location = || v1::Location {
        vault: "faulty".to_owned(),
        secret: "acme/typed".to_owned(),
        ..Default::default()
    };
    match message {
        "CheckSecretDefinitionRequest" => v1::CheckSecretDefinitionRequest {
            name,
            ..Default::default()
        }
        .encode_to_vec(),
        "DeleteConnectionProfileRequest" => v1::DeleteConnectionProfileRequest {
            name: format!("{PROJECT}/connectionProfiles/pasted-deleted"),
            ..Default::default()
        }
        .encode_to_vec(),
        "DisconnectInstallRequest" => {
            v1::DisconnectInstallRequest { name: profile }.encode_to_vec()
        }
        "GetConnectionProfileRequest" => {
            v1::GetConnectionProfileRequest { name: profile }.encode_to_vec()
        }
        "ListConnectionProfilesRequest" => v1::ListConnectionProfilesRequest {
            parent,
            ..Default::default()
        }
        .encode_to_vec(),
        "PutConnectionProfileRequest" => v1::PutConnectionProfileRequest {
            profile: Some(v1::ConnectionProfile {
                name: "projects/pasted/connectionProfiles/new".to_owned(),
                auth: Some(v1::connection_profile::Auth::ApiKey(v1::ApiKeyAuth {
                    api_key: "rk_test_0123456789abcdef".to_owned(),
                    ..Default::default()
                })),
                ..Default::default()
            }),
            ..Default::default()
        }
        .encode_to_vec(),
        "ResolveConnectionRequest" => v1::ResolveConnectionRequest {
            name: profile,
            ..Default::default()
        }
        .encode_to_vec(),
        "TestConnectionRequest" => v1::TestConnectionRequest {
            name: profile,
            environment: String::new(),
        }
        .encode_to_vec(),
        "UndeleteConnectionProfileRequest" => v1::UndeleteConnectionProfileRequest {
            name: format!("{PROJECT}/connectionProfiles/none"),
        }
        .encode_to_vec(),
        "CheckVaultRequest" => v1::CheckVaultRequest {
            name: "vaults/faulty".to_owned(),
        }
        .encode_to_vec(),
        "CreateTokenRequest" => v1::CreateTokenRequest {
            grants: vec![v1::TokenGrant {
                role,
                resource,
                environment: String::new(),
            }],
            ttl: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            description: String::new(),
        }
        .encode_to_vec(),
        "DeleteGrantRequest" => v1::DeleteGrantRequest {
            name: "grants/none-0".to_owned(),
        }
        .encode_to_vec(),
        "DeleteProjectRequest" => v1::DeleteProjectRequest {
            name: "projects/none".to_owned(),
            ..Default::default()
        }
        .encode_to_vec(),
        "DeleteSecretDefinitionRequest" => v1::DeleteSecretDefinitionRequest {
            name: format!("{PROJECT}/secrets/pasted-deleted"),
            ..Default::default()
        }
        .encode_to_vec(),
        "DestroySecretVersionRequest" => v1::DestroySecretVersionRequest {
            name: version(1),
            ..Default::default()
        }
        .encode_to_vec(),
        "DisableSecretVersionRequest" => v1::DisableSecretVersionRequest {
            name: version(2),
            ..Default::default()
        }
        .encode_to_vec(),
        "EnableSecretVersionRequest" => v1::EnableSecretVersionRequest {
            name: version(2),
            ..Default::default()
        }
        .encode_to_vec(),
        "GetProjectRequest" => v1::GetProjectRequest { name: parent }.encode_to_vec(),
        "BatchGetSecretsRequest" => v1::BatchGetSecretsRequest {
            names: vec![name],
            ..Default::default()
        }
        .encode_to_vec(),
        "GetSecretRequest" => v1::GetSecretRequest {
            name,
            ..Default::default()
        }
        .encode_to_vec(),
        "GetSecretDefinitionRequest" => v1::GetSecretDefinitionRequest { name }.encode_to_vec(),
        "ExplainAccessRequest" => v1::ExplainAccessRequest {
            permission: "secrets.get".to_owned(),
            name,
            ..Default::default()
        }
        .encode_to_vec(),
        "ExchangeTokenRequest"
        | "GetStatusRequest"
        | "ListGrantsRequest"
        | "ListProjectsRequest"
        | "ListTokensRequest"
        | "ListVaultsRequest"
        | "WhoAmIRequest" => Vec::new(),
        "InspectVaultSecretRequest" => v1::InspectVaultSecretRequest {
            name: "vaults/faulty".to_owned(),
            project: parent,
            secret: "acme/typed".to_owned(),
            ..Default::default()
        }
        .encode_to_vec(),
        "ListSecretDefinitionsRequest" => v1::ListSecretDefinitionsRequest {
            parent,
            ..Default::default()
        }
        .encode_to_vec(),
        "ListSecretVersionsRequest" => v1::ListSecretVersionsRequest {
            parent: kept,
            ..Default::default()
        }
        .encode_to_vec(),
        "ListVaultSecretsRequest" => v1::ListVaultSecretsRequest {
            parent: "vaults/faulty".to_owned(),
            project: parent,
            ..Default::default()
        }
        .encode_to_vec(),
        "PutGrantRequest" => v1::PutGrantRequest {
            grant: Some(v1::Grant {
                principal: format!("unix:{}", own_uid() + 1),
                role,
                resource,
                ..Default::default()
            }),
        }
        .encode_to_vec(),
        "PutProjectRequest" => v1::PutProjectRequest {
            project: Some(v1::Project {
                name: "projects/pasted-new".to_owned(),
                ..Default::default()
            }),
            validate_only: false,
        }
        .encode_to_vec(),
        "PutSecretDefinitionRequest" => v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                name: "projects/pasted/secrets/new".to_owned(),
                kind: v1::secret_definition::Kind::StripeApiKey.into(),
                location: Some(location()),
                ..Default::default()
            }),
            skip_value_check: true,
            ..Default::default()
        }
        .encode_to_vec(),
        "PutSecretValueRequest" => v1::PutSecretValueRequest {
            name,
            payload: Some(text_payload("next")),
            ..Default::default()
        }
        .encode_to_vec(),
        "RevokeTokenRequest" => v1::RevokeTokenRequest {
            name: "tokens/none".to_owned(),
            cascade: false,
        }
        .encode_to_vec(),
        "UndeleteSecretDefinitionRequest" => v1::UndeleteSecretDefinitionRequest {
            name: secret_none(),
        }
        .encode_to_vec(),
        // Of a list, and of maps: one more of them.
        "TokenGrant" => v1::TokenGrant {
            role,
            resource,
            environment: String::new(),
        }
        .encode_to_vec(),
        "EnvironmentsEntry" | "LabelsEntry" => encoded(
            &[Step {
                number: 1,
                message: None,
            }],
            b"prod",
        ),
        // What goes on from there is one of both, and whole.
        "ApiKeyAuth" => v1::ApiKeyAuth {
            api_key: "rk_test_0123456789abcdef".to_owned(),
            ..Default::default()
        }
        .encode_to_vec(),
        "OauthAuth" => v1::OauthAuth {
            client_id: "ca_0123456789abcdef".to_owned(),
            client_secret: "sk_test_0123456789abcdef".to_owned(),
            refresh_token: "rt_0123456789abcdef".to_owned(),
            ..Default::default()
        }
        .encode_to_vec(),
        "ConnectionProfile" | "Consumer" | "Duration" | "Environment" | "FieldMask"
        | "FreshnessPolicy" | "Install" | "Grant" | "Location" | "Payload" | "Project"
        | "SecretDefinition" | "StripeSettings" => Vec::new(),
        _ => panic!("{message} has no good form in pasted.rs"),
    }
}

fn secret_none() -> String {
    format!("{PROJECT}/secrets/none")
}

/// The last part of a name.
pub(crate) fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn files() -> FileDescriptorSet {
    FileDescriptorSet::decode(claviger_proto::DESCRIPTORS).expect("a descriptor set")
}

/// Ours and the well-known ones, by their short names; those in others too.
pub(crate) fn messages() -> BTreeMap<String, DescriptorProto> {
    let mut left: Vec<_> = files()
        .file
        .into_iter()
        .flat_map(|file| file.message_type)
        .collect();
    let mut messages = BTreeMap::new();
    while let Some(message) = left.pop() {
        left.extend(message.nested_type.clone());
        messages.insert(message.name().to_owned(), message);
    }
    messages
}

/// The request of every RPC.
pub(crate) fn inputs() -> BTreeMap<String, String> {
    let services = files().file.into_iter().flat_map(|file| file.service);
    let rpcs = services.flat_map(|service| {
        let name = service.name().to_owned();
        let rpc = move |method: prost_types::MethodDescriptorProto| {
            let input = short(method.input_type()).to_owned();
            (format!("claviger.v1.{name}/{}", method.name()), input)
        };
        service.method.into_iter().map(rpc)
    });
    rpcs.collect()
}

/// A text at the end of the way there. Appended to a message it counts instead of what is there,
/// or as one more of a list or map.
pub(crate) fn encoded(steps: &[Step], text: &[u8]) -> Vec<u8> {
    let (step, rest) = steps.split_first().expect("a field");
    let inner = match &step.message {
        None => text.to_vec(),
        Some(message) => [base_of(message), encoded(rest, text)].concat(),
    };
    let mut bytes = Vec::new();
    let tag = u32::try_from(step.number).expect("positive") << 3 | 2;
    prost::encoding::encode_varint(tag.into(), &mut bytes);
    prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
    bytes.extend(inner);
    bytes
}

/// Calls an RPC with a message as it is on the wire.
pub(crate) async fn call(
    client: &Client,
    method: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(client.service());
    grpc.ready().await.expect("connected");
    let path = PathAndQuery::try_from(format!("/{method}")).expect("a path");
    let answer = grpc.unary(Request::new(message), path, Raw).await;
    answer.map(tonic::Response::into_inner)
}

/// Bytes, as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use prost::bytes::BufMut as _;
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use prost::bytes::Buf as _;
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(bytes.to_vec()))
    }
}
