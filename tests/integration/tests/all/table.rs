//! The RPC table and the proto's comments against the descriptor set.

use std::collections::{BTreeMap, BTreeSet};

use claviger_access::Permission;
use claviger_api::rpc;
use claviger_core::Reason;
use claviger_proto::v1;
use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

const PACKAGE: &str = "claviger.v1";

/// Numbers of fields in `descriptor.proto`, of which the paths of comments are made.
const SERVICE: i32 = 6;
const METHOD: i32 = 2;

/// The words of the descriptor set about an RPC.
struct Described {
    comment: String,
    input: String,
}

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(claviger_proto::DESCRIPTORS).expect("a descriptor set");
    let ours = set
        .file
        .into_iter()
        .filter(|file| file.package() == PACKAGE);
    ours.collect()
}

/// Every RPC by its full method name.
fn rpcs() -> BTreeMap<String, Described> {
    let mut rpcs = BTreeMap::new();
    for file in files() {
        let comments = &file
            .source_code_info
            .as_ref()
            .expect("comments are kept")
            .location;
        for (service_index, service) in (0..).zip(&file.service) {
            for (method_index, method) in (0..).zip(&service.method) {
                let path = [SERVICE, service_index, METHOD, method_index];
                let comment = comments.iter().find(|location| location.path == path);
                let described = Described {
                    comment: comment.expect("a location").leading_comments().to_owned(),
                    input: method.input_type().trim_start_matches('.').to_owned(),
                };
                rpcs.insert(
                    format!("{PACKAGE}.{}/{}", service.name(), method.name()),
                    described,
                );
            }
        }
    }
    rpcs
}

fn messages() -> BTreeMap<String, DescriptorProto> {
    let messages = files().into_iter().flat_map(|file| file.message_type);
    messages
        .map(|message| (format!("{PACKAGE}.{}", message.name()), message))
        .collect()
}

/// The paragraph of a comment that begins with `label`.
fn paragraph<'a>(name: &str, comment: &'a str, label: &str) -> &'a str {
    let (_, after) = comment
        .split_once(label)
        .unwrap_or_else(|| panic!("the comment of {name} has no `{label}`"));
    let next = ["\n Permission:", "\n Reasons:"];
    let end = next
        .iter()
        .fold(after, |text, next| text.split(next).next().unwrap_or(text));
    end.trim()
}

/// The words of a text made of these characters only, without the full stop after them.
fn words(text: &str, is_allowed: fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c: char| !is_allowed(c))
        .map(|word| word.trim_matches('.'))
}

fn reasons<'a>(name: &str, rpcs: &'a BTreeMap<String, Described>) -> BTreeSet<&'a str> {
    let text = paragraph(name, &rpcs[name].comment, "Reasons:");
    if let Some(other) = text.strip_prefix("as ") {
        let (service, _) = name.split_once('/').expect("a method");
        return reasons(&format!("{service}/{}", other.trim_end_matches('.')), rpcs);
    }
    let words = words(text, |c| c.is_ascii_uppercase() || c == '_');
    let reasons: BTreeSet<&str> = words.filter(|word| word.len() > 1).collect();
    assert!(
        !reasons.is_empty() || text.starts_with("none"),
        "{name}: {text}"
    );
    reasons
}

#[test]
fn every_rpc_has_exactly_one_row() {
    let described: Vec<String> = rpcs().into_keys().collect();
    let mut rows: Vec<&str> = rpc::TABLE.iter().map(|rpc| rpc.name).collect();
    rows.sort_unstable();
    assert_eq!(rows, described);
}

#[test]
fn comments_name_the_permissions_of_the_row() {
    let rpcs = rpcs();
    for row in rpc::TABLE {
        let text = paragraph(row.name, &rpcs[row.name].comment, "Permission:");
        let named: BTreeSet<&str> = words(text, |c| c.is_ascii_lowercase() || c == '.')
            .filter(|word| word.contains('.'))
            .collect();
        let allowed: BTreeSet<&str> = row.permissions.iter().map(|p| p.as_str()).collect();
        assert_eq!(named, allowed, "{}", row.name);
        assert!(
            !named.is_empty() || text.starts_with("none"),
            "{}: {text}",
            row.name
        );
    }
}

#[test]
fn every_permission_is_asked_by_some_rpc() {
    for permission in Permission::ALL {
        let is_asked = rpc::TABLE
            .iter()
            .any(|row| row.permissions.contains(permission));
        assert!(is_asked, "{permission}");
    }
}

#[test]
fn comments_name_reasons_that_exist() {
    let rpcs = rpcs();
    let known: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    for row in rpc::TABLE {
        let named = reasons(row.name, &rpcs);
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{} names {unknown:?}", row.name);
        // An RPC that asks for a permission can be denied, and says so.
        assert_eq!(
            named.contains("ACCESS_DENIED"),
            !row.permissions.is_empty(),
            "{}",
            row.name
        );
    }
}

#[test]
fn rows_with_a_request_id_are_those_whose_request_has_one() {
    let (rpcs, messages) = (rpcs(), messages());
    for row in rpc::TABLE {
        let request = &messages[&rpcs[row.name].input];
        let has_field = request
            .field
            .iter()
            .any(|field| field.name() == "request_id");
        assert_eq!(row.has_request_id, has_field, "{}", row.name);
    }
}

#[test]
fn only_who_am_i_goes_unaudited() {
    let unaudited: Vec<&str> = rpc::TABLE
        .iter()
        .filter(|row| !row.is_audited)
        .map(|row| row.name)
        .collect();
    assert_eq!(unaudited, ["claviger.v1.AccessService/WhoAmI"]);
}

#[test]
fn messages_that_carry_a_value_or_a_token_do_not_show_it() {
    let pasted = ["api_key", "client_secret", "credential", "refresh_token"];
    let carries = |message: &DescriptorProto| {
        message.field.iter().any(|field| {
            field.r#type() == Type::Bytes
                || field.r#type() == Type::String && pasted.contains(&field.name())
                || ["data", "text", "token", "value"].contains(&field.name())
        })
    };
    let carriers: Vec<String> = messages()
        .into_iter()
        .filter(|(_, m)| carries(m))
        .map(|(name, _)| name)
        .collect();
    let canary = || "canary".to_owned();
    let data = || b"canary".to_vec();
    let mut shown = Vec::new();
    for name in &carriers {
        let text = match name.as_str() {
            "claviger.v1.ApiKeyAuth" => {
                let auth = v1::ApiKeyAuth {
                    api_key: canary(),
                    ..Default::default()
                };
                format!("{auth:?}")
            }
            "claviger.v1.OauthAuth" => {
                let auth = v1::OauthAuth {
                    client_secret: canary(),
                    refresh_token: canary(),
                    ..Default::default()
                };
                format!("{auth:?}")
            }
            "claviger.v1.ResolveConnectionResponse" => {
                let reply = v1::ResolveConnectionResponse {
                    credential: canary(),
                    ..Default::default()
                };
                format!("{reply:?}")
            }
            "claviger.v1.CreateTokenResponse" => {
                let token = canary();
                format!("{:?}", v1::CreateTokenResponse { token, info: None })
            }
            "claviger.v1.ExchangeTokenResponse" => {
                let reply = v1::ExchangeTokenResponse {
                    token: canary(),
                    ..Default::default()
                };
                format!("{reply:?}")
            }
            "claviger.v1.GetSecretResponse" => {
                use v1::get_secret_response::Value;
                let reply = |value| v1::GetSecretResponse {
                    value: Some(value),
                    crc32c: 0xdead_beef,
                    ..Default::default()
                };
                format!(
                    "{:?} {:?}",
                    reply(Value::Text(canary())),
                    reply(Value::Data(data()))
                )
            }
            "claviger.v1.Payload" => {
                use v1::payload::Value;
                let payload = |value| v1::Payload {
                    value: Some(value),
                    crc32c: Some(0xdead_beef),
                };
                format!(
                    "{:?} {:?}",
                    payload(Value::Text(canary())),
                    payload(Value::Data(data()))
                )
            }
            other => panic!("{other} carries a value or a token: redact and show it here"),
        };
        shown.push(text);
    }
    assert_eq!(shown.len(), 7, "{carriers:?}");
    for text in shown {
        assert!(text.contains("<6 bytes>"), "{text}");
        for leak in ["canary", "99, 97, 110", "3735928559", "deadbeef"] {
            assert!(!text.contains(leak), "{text}");
        }
    }
}
