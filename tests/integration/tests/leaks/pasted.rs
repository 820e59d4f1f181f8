//! Credentials pasted into every text field of every request that the descriptor set describes.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::rpc;
use claviger_integration::PROJECT;
use claviger_proto::v1;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::raw_rpc::{Step, base_of, call, encoded, inputs, messages, short};
use crate::room::Room;

/// Written by the daemon alone: what a caller sends there is dropped unread.
const UNREAD: [&str; 12] = [
    "PutConnectionProfile profile.consumers.principal",
    "PutConnectionProfile profile.id",
    "PutConnectionProfile profile.install.account",
    "PutConnectionProfile profile.install.profiles",
    "PutConnectionProfile profile.oauth.definition",
    "PutConnectionProfile profile.uid",
    "PutConnectionProfile update_mask.paths",
    "PutGrant grant.name",
    "PutProject project.uid",
    "PutSecretDefinition definition.id",
    "PutSecretDefinition definition.uid",
    // Compared with the names of fields, and kept nowhere.
    "PutSecretDefinition update_mask.paths",
];

/// Where values belong; `every_rpc.rs` puts canaries there.
const VALUES: [&str; 5] = [
    "PutConnectionProfile profile.api_key.api_key",
    "PutConnectionProfile profile.oauth.client_secret",
    "PutConnectionProfile profile.oauth.refresh_token",
    "PutSecretDefinition payload.text",
    "PutSecretValue payload.text",
];

/// Refused in words of their own, which name the sort of credential.
const JUDGED: [&str; 5] = [
    "PutConnectionProfile profile.api_key.account",
    "PutConnectionProfile profile.api_key.context",
    "PutConnectionProfile profile.oauth.account",
    "PutConnectionProfile profile.oauth.app",
    "PutConnectionProfile profile.oauth.client_id",
];

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

/// Every field gets every form, one per call; nothing else is wrong with the call.
pub(crate) async fn into_every_text(room: &mut Room) {
    prepare(room).await;
    let messages = messages();
    let inputs = inputs();
    let mut seen = BTreeSet::new();
    for row in rpc::TABLE {
        let (_, rpc) = row.name.split_once('/').expect("a method");
        let input = &inputs[row.name];
        let answer = call(&room.keeper, row.name, base_of(input)).await;
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
    for name in UNREAD.iter().chain(&VALUES).chain(&JUDGED) {
        assert!(seen.contains(*name), "there is no {name}");
    }
    assert!(seen.len() > 60, "only {seen:?}");
}

/// Each form is refused by this field: most for what it is, some because it is no such name.
async fn paste_into(room: &mut Room, method: &str, field: &Field, name: &str) {
    let input = &inputs()[method];
    let is_unread = UNREAD.contains(&name);
    let is_judged = JUDGED.contains(&name);
    let mut is_told = is_unread || is_judged || name.ends_with(" request_id");
    let body = room.canary(&format!("a key in {name}"));
    for pasted in PASTED {
        let text = pasted(&body);
        let mut message = base_of(input);
        message.extend(encoded(&field.numbers, text.as_bytes()));
        let answer = call(&room.keeper, method, message).await;
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
    for id in ["pasted", "pasted-deleted"] {
        let auth = v1::ApiKeyAuth {
            api_key: "rk_test_0123456789abcdef".to_owned(),
            ..Default::default()
        };
        let request = v1::PutConnectionProfileRequest {
            profile: Some(v1::ConnectionProfile {
                name: format!("{PROJECT}/connectionProfiles/{id}"),
                auth: Some(v1::connection_profile::Auth::ApiKey(auth)),
                ..Default::default()
            }),
            ..Default::default()
        };
        let put = keeper.profiles().put_connection_profile(request).await;
        put.expect("put");
    }
}

/// Calls of which one is enough to spend what they are about, and one for callers with another proof.
fn is_spent(rpc: &str) -> bool {
    [
        "DeleteGrant",
        "DeleteProject",
        "DisconnectInstall",
        "ExchangeToken",
        "RevokeToken",
        "UndeleteConnectionProfile",
        "UndeleteSecretDefinition",
    ]
    .contains(&rpc)
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
