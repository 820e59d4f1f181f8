//! Credentials pasted into every text field of every request that the descriptor set describes.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::rpc;
use claviger_integration::{PROJECT, own_uid, text_payload};
use claviger_proto::v1;
use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::room::Room;

/// Written by the daemon alone: what a caller sends there is dropped unread.
const UNREAD: [&str; 5] = [
    "PutGrant grant.name",
    "PutProject project.uid",
    "PutSecretDefinition definition.id",
    "PutSecretDefinition definition.uid",
    // Compared with the names of fields, and kept nowhere.
    "PutSecretDefinition update_mask.paths",
];

/// Where values belong; `every_rpc.rs` puts canaries there.
const VALUES: [&str; 2] = [
    "PutSecretDefinition payload.text",
    "PutSecretValue payload.text",
];

/// A name that a vault gave out, which may be anything: it goes back to that vault alone.
const OF_A_VAULT: &str = "ListVaultSecrets page_token";

/// How somebody pastes: the whole of it, among other text, or as a part of a name.
const PASTED: [fn(&str) -> String; 13] = [
    |body| format!("rk_test_{body}"),
    |body| format!("xsk_live_{body}"),
    |body| format!("prod-rk_test_{body}-old"),
    |body| format!("whsec_{body}zzzz"),
    |body| format!("clv_{body}"),
    |body| format!("projects/rk_test_{body}"),
    |body| format!("projects/rk_test_{body}/secrets/s"),
    |body| format!("{PROJECT}/secrets/sk_test_{body}"),
    |body| format!("{PROJECT}/secrets/pasted-versions/versions/rk_test_{body}"),
    |body| format!("vaults/rk_test_{body}"),
    |body| format!("grants/rk_test_{body}-0"),
    |body| format!("tokens/rk_test_{body}"),
    |body| format!("token:rk_test_{body}"),
];

/// A field of a request: the numbers that lead to it, and its path as errors name it.
struct Field {
    numbers: Vec<Step>,
    path: String,
}

#[derive(Clone)]
struct Step {
    number: i32,
    /// The message that the next number is in.
    message: Option<String>,
}

/// Every field gets every form, one per call; nothing else is wrong with the call.
pub(crate) async fn into_every_text(room: &mut Room) {
    prepare(room).await;
    let messages = messages();
    let inputs = inputs();
    let mut seen = BTreeSet::new();
    for row in rpc::TABLE {
        let (_, rpc) = row.name.split_once('/').expect("a method");
        let input = &inputs[row.name];
        let answer = call(room, row.name, base_of(input)).await;
        assert!(
            answer.is_ok() || is_spent(rpc),
            "{rpc} as it is: {answer:?}"
        );
        let mut fields = Vec::new();
        texts_of(&messages, input, &[], "", &mut fields);
        for field in fields {
            let name = format!("{rpc} {}", field.path);
            if !VALUES.contains(&name.as_str()) {
                paste_into(room, row.name, &field, &name).await;
            }
            seen.insert(name);
        }
    }
    for name in UNREAD.iter().chain(&VALUES).chain([&OF_A_VAULT]) {
        assert!(seen.contains(*name), "there is no {name}");
    }
    assert!(seen.len() > 60, "only {seen:?}");
}

/// Each form is refused by this field: most for what it is, some because it is no such name.
async fn paste_into(room: &mut Room, method: &str, field: &Field, name: &str) {
    let input = &inputs()[method];
    let is_unread = UNREAD.contains(&name) || name == OF_A_VAULT;
    let mut is_told = is_unread || name.ends_with(" request_id");
    let body = room.canary(&format!("a key in {name}"));
    for pasted in PASTED {
        let text = pasted(&body);
        let mut message = base_of(input);
        message.extend(encoded(&field.numbers, text.as_bytes()));
        let answer = call(room, method, message).await;
        if !is_unread {
            let status = answer.as_ref().expect_err(name);
            let details = status.get_error_details();
            let request = details.bad_request();
            let request = request.unwrap_or_else(|| panic!("{name} is taken: {status:?}"));
            let named = &request.field_violations[0].field;
            assert!(field.path.starts_with(named), "{name}: {named}");
            is_told |= status.message().contains("in it, which belongs");
        }
        note(room, name, answer);
    }
    assert!(is_told, "{name} has no word about keys");
}

fn note(room: &mut Room, name: &str, answer: Result<Vec<u8>, Status>) {
    let call = format!("{name} with a key");
    match answer {
        Ok(reply) => room.note(format!("reply of {call}"), reply),
        Err(status) => {
            room.note(format!("error of {call}"), format!("{status:?}").into());
            room.note(format!("details of {call}"), status.details().to_vec());
        }
    }
}

/// What the calls are about.
async fn prepare(room: &Room) {
    let keeper = &room.keeper;
    keeper.project("projects/pasted", &["prod"]).await;
    for id in ["kept", "deleted", "versions"] {
        let name = format!("{PROJECT}/secrets/pasted-{id}");
        keeper.put(&name, "value").await.expect("registered");
        keeper.rotate(&name, "next").await.expect("rotated");
    }
}

/// Calls of which one is enough to spend what they are about.
fn is_spent(rpc: &str) -> bool {
    [
        "DeleteGrant",
        "DeleteProject",
        "RevokeToken",
        "UndeleteSecretDefinition",
    ]
    .contains(&rpc)
}

/// A message of this type with which nothing is wrong.
fn base_of(message: &str) -> Vec<u8> {
    let kept = format!("{PROJECT}/secrets/pasted-kept");
    let version = |number| format!("{PROJECT}/secrets/pasted-versions/versions/{number}");
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
        "GetSecretRequest" => v1::GetSecretRequest {
            name,
            ..Default::default()
        }
        .encode_to_vec(),
        "GetSecretDefinitionRequest" => v1::GetSecretDefinitionRequest { name }.encode_to_vec(),
        "GetStatusRequest"
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
        "Environment" | "FieldMask" | "Grant" | "Location" | "Payload" | "Project"
        | "SecretDefinition" | "StripeSettings" => Vec::new(),
        _ => panic!("{message} has no good form in pasted.rs"),
    }
}

fn secret_none() -> String {
    format!("{PROJECT}/secrets/none")
}

/// The fields of a message, and of those in it, that are text.
fn texts_of(
    messages: &BTreeMap<String, DescriptorProto>,
    message: &str,
    above: &[Step],
    path: &str,
    fields: &mut Vec<Field>,
) {
    for field in &messages[message].field {
        let inner = (field.r#type() == Type::Message).then(|| short(field.type_name()));
        let inner = inner.filter(|inner| messages.contains_key(*inner));
        let mut numbers = above.to_vec();
        numbers.push(Step {
            number: field.number(),
            message: inner.map(str::to_owned),
        });
        let path = path_of(message, path, field);
        match inner {
            Some(inner) => texts_of(messages, inner, &numbers, &path, fields),
            None if field.r#type() == Type::String => fields.push(Field { numbers, path }),
            None => {}
        }
    }
}

/// Keys and values of a map are named by the map.
fn path_of(message: &str, path: &str, field: &FieldDescriptorProto) -> String {
    match path {
        "" => field.name().to_owned(),
        _ if message.ends_with("Entry") => path.to_owned(),
        _ => format!("{path}.{}", field.name()),
    }
}

/// The last part of a name.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn files() -> FileDescriptorSet {
    FileDescriptorSet::decode(claviger_proto::DESCRIPTORS).expect("a descriptor set")
}

/// Ours and the well-known ones, by their short names; those in others too.
fn messages() -> BTreeMap<String, DescriptorProto> {
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
fn inputs() -> BTreeMap<String, String> {
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
fn encoded(steps: &[Step], text: &[u8]) -> Vec<u8> {
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
async fn call(room: &Room, method: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(room.keeper.service());
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
