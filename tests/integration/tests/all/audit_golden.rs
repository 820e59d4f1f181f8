//! A record of each RPC, for people to review.

use std::fs;
use std::path::Path;

use claviger_api::rpc;
use claviger_integration::{Client, FaultyBackend, Options, Server, own_uid, reason, text_payload};
use claviger_proto::v1::{self, Role};
use prost_types::FieldMask;
use prost_types::field_descriptor_proto::Type;

use crate::audit_facts::later;
use crate::every_rpc::{Narrowed, Scene, VARIANTS};
use crate::raw_rpc::{base_of, call, inputs, messages};
use crate::support::{in_faulty, located};

#[tokio::test]
async fn every_switch_of_a_request_is_told_however_the_call_ends() {
    let (server, client) = Server::prepared(Options::default()).await;
    let (messages, inputs) = (messages(), inputs());
    let mut told = Vec::new();
    for row in rpc::TABLE {
        let input = &inputs[row.name];
        for field in &messages[input].field {
            // Of listings: what is shown is no more than the permission is for.
            if field.r#type() != Type::Bool || field.name() == "show_deleted" {
                continue;
            }
            let before = server.audit_lines().len();
            let message = [base_of(input), switched_on(field.number())].concat();
            let answer = call(&client, row.name, message).await;
            let lines = server.audit_lines().split_off(before);
            assert!(!lines.is_empty(), "{} {answer:?}", row.name);
            for line in lines {
                let options = serde_json::json!([field.name()]);
                let has_it = line["options"]
                    .as_array()
                    .is_some_and(|all| all.contains(&options[0]));
                assert!(has_it, "{} {}: {line}", row.name, field.name());
            }
            told.push(field.name().to_owned());
        }
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(
        told,
        [
            "adopt",
            "cascade",
            "live",
            "purge",
            "refresh",
            "skip_value_check",
            "validate_only",
            "whole"
        ]
    );
}

const LEGEND: &str = "\
# What the audit log says of each RPC, on objects that exist; without time, seq and hashes. A uid is
# named by the order it came in. Behind an RPC: what is special about the call.
# Made by tests/all/audit_golden.rs: run it with CLAVIGER_UPDATE_GOLDEN=1 and review the difference.
";

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "one variable of the test run")]
async fn the_record_of_every_rpc_is_the_reviewed_one() {
    let vault = FaultyBackend::shared();
    let (server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    vault.type_in("acme/typed", "x");
    client
        .grant(&format!("unix:{}", own_uid()), Role::Auditor, "*")
        .await;
    let method = |name: &'static str| name.strip_prefix("claviger.v1.").expect("our package");
    let plain = rpc::TABLE.iter().map(|rpc| (method(rpc.name), ""));
    let mut rows: Vec<_> = plain.chain(VARIANTS).collect();
    rows.sort_unstable();
    let mut text = LEGEND.to_owned();
    for (number, (method, variant)) in (0..).zip(rows) {
        let scene = Scene {
            caller: client.clone(),
            keeper: client.clone(),
            narrowed: Narrowed::No,
            number,
            value: "a value".to_owned(),
        };
        let before = server.audit_lines().len();
        match scene.call(method, variant).await {
            // What these calls come with is not exchanged for a token.
            Err(status) if method == "AccessService/ExchangeToken" => {
                assert_eq!(reason(&status), "PROOF_REQUIRED");
            }
            // Stripe is not there.
            Err(status) if method == "ConnectionProfileService/DisconnectInstall" => {
                assert_eq!(reason(&status), "STRIPE_UNREACHABLE");
            }
            answer => drop(answer.expect(method)),
        }
        note(&mut text, &server, before, method, variant);
    }
    for (method, what) in SPECIAL {
        let before = server.audit_lines().len();
        special(&client, method, what).await;
        note(&mut text, &server, before, method, what);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit_records.txt");
    if std::env::var_os("CLAVIGER_UPDATE_GOLDEN").is_some() {
        fs::write(&file, &text).expect("written");
    }
    let golden = fs::read_to_string(&file).expect("golden/audit_records.txt");
    assert_eq!(text, golden, "compare with golden/audit_records.txt");
}

/// Calls with all that a record can say of them.
const SPECIAL: [(&str, &str); 6] = [
    ("ProjectService/PutProject", "with environments, only tried"),
    ("ProjectService/PutProject", "with environments"),
    (
        "SecretDefinitionService/PutSecretDefinition",
        "with locations and labels",
    ),
    (
        "SecretDefinitionService/PutSecretDefinition",
        "of other locations and labels",
    ),
    (
        "SecretService/PutSecretValue",
        "in an environment, adopting",
    ),
    ("AccessService/PutGrant", "narrowed"),
];

async fn special(client: &Client, method: &str, what: &str) {
    let project = "projects/special";
    let name = format!("{project}/secrets/key");
    let (dev, prod) = ("dev".to_owned(), "prod".to_owned());
    match (method, what) {
        ("ProjectService/PutProject", what) => {
            let live = v1::Environment {
                default_vault: "faulty".to_owned(),
                stripe_mode: v1::environment::StripeMode::Live.into(),
            };
            let request = v1::PutProjectRequest {
                project: Some(v1::Project {
                    name: project.to_owned(),
                    description: "Special".to_owned(),
                    environments: [(dev, v1::Environment::default()), (prod, live)].into(),
                    ..Default::default()
                }),
                validate_only: what.ends_with("tried"),
            };
            client.projects().put_project(request).await.expect("put");
        }
        (_, "with locations and labels") => {
            let mut put = located(&name, in_faulty("shop/key"));
            let definition = put.definition.as_mut().expect("set");
            definition.environments = [(prod, in_faulty("prod/key"))].into();
            definition.labels = [("team".to_owned(), "shop".to_owned())].into();
            definition.environment_fallback = true;
            definition.rotate_by = Some(later());
            put.skip_value_check = true;
            client.put_definition(put).await.expect("put");
        }
        (_, "of other locations and labels") => {
            let mut put = located(&name, in_faulty("shop/next"));
            let definition = put.definition.as_mut().expect("set");
            definition.environments = [(prod, v1::Location::default())].into();
            put.update_mask = Some(FieldMask {
                paths: ["location", "environments", "labels"]
                    .map(str::to_owned)
                    .to_vec(),
            });
            client.put_definition(put).await.expect("put");
        }
        ("SecretService/PutSecretValue", _) => {
            let request = v1::PutSecretValueRequest {
                name,
                environment: dev,
                payload: Some(text_payload("a value")),
                adopt: true,
                ..Default::default()
            };
            client.put_value(request).await.expect("put");
        }
        ("AccessService/PutGrant", _) => {
            let grant = v1::Grant {
                principal: "unix:7".to_owned(),
                role: Role::Runner.into(),
                resource: name,
                environment: prod,
                expire_time: Some(later()),
                purpose: "nightly".to_owned(),
                ..Default::default()
            };
            let request = v1::PutGrantRequest { grant: Some(grant) };
            client.access().put_grant(request).await.expect("granted");
        }
        _ => panic!("{method} {what}"),
    }
}

/// Adds the records that a call left, but for those of the calls that made its objects.
fn note(text: &mut String, server: &Server, before: usize, method: &str, what: &str) {
    text.push_str(format!("\n## {method} {what}").trim_end());
    text.push('\n');
    let mut names = Vec::new();
    let lines = server.audit_lines().split_off(before);
    let Some(last) = lines.last() else {
        return;
    };
    for line in lines.iter().filter(|line| line["call"] == last["call"]) {
        let mut line = line.clone();
        let fields = line.as_object_mut().expect("a record");
        for varying in ["seq", "time", "prev", "hash", "call"] {
            fields.remove(varying);
        }
        text.push_str(&named(&line.to_string(), &mut names));
        text.push('\n');
    }
}

/// The line with what is random replaced by the order it came in.
fn named(line: &str, names: &mut Vec<String>) -> String {
    let is_hex = |word: &str| word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_random =
        |word: &&str| uuid::Uuid::try_parse(word).is_ok() || word.len() >= 20 && is_hex(word);
    // The end of the name of a definition that a profile made.
    let own_end = |word: &str| {
        let (_, end) = word.rsplit_once('-')?;
        (end.len() == 10 && is_hex(end)).then(|| end.to_owned())
    };
    let split = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let mut line = line.to_owned();
    let words: Vec<String> = line.split(split).map(str::to_owned).collect();
    for word in &words {
        for word in [word.as_str(), word.split('-').next().unwrap_or_default()] {
            if is_random(&word) && !names.iter().any(|name| name == word) {
                names.push(word.to_owned());
            }
        }
        let end = own_end(word).filter(|end| !names.contains(end));
        names.extend(end);
    }
    for (number, name) in names.iter().enumerate() {
        line = line.replace(name, &format!("<{number}>"));
    }
    line.replace(&format!("unix:{}", own_uid()), "unix:<own>")
}

/// A switch that is on, to be appended to a message.
fn switched_on(number: i32) -> Vec<u8> {
    let tag = u32::try_from(number).expect("positive") << 3;
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(tag.into(), &mut bytes);
    bytes.push(1);
    bytes
}
