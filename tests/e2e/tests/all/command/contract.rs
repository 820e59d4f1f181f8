//! With `--json`, each command prints the message that its RPC answers with, and nothing else.

use clap::CommandFactory as _;
use claviger::Cli;
use claviger_e2e::{Home, output_of};
use serde_json::Value;

use super::{CANARY, User, message_of, said};
use crate::peers::azure;
use crate::stage::Peer as _;
use crate::tls::{ETL, configured};

/// Command lines, in an order in which each finds what it needs, and the message that is printed;
/// each command has one at least. `{key}` is what the answer before has at that key. `{vault}` is a
/// vault that is not ours, with a secret `stripe` in it; `{etl}` is a principal that `{tls}` proves.
const ROWS: &[(&str, &str)] = &[
    ("whoami", "WhoAmIResponse"),
    ("grant put {principal} OPERATOR *", "Grant"),
    ("status", "GetStatusResponse"),
    ("project put eu --in test", "PutProjectResponse"),
    ("project get eu", "Project"),
    ("project list", "ListProjectsResponse"),
    ("project delete eu", "google.protobuf.Empty"),
    ("vault list", "ListVaultsResponse"),
    ("vault check {vault}", "CheckVaultResponse"),
    ("vault secrets {vault}", "ListVaultSecretsResponse"),
    ("vault inspect {vault} stripe", "InspectVaultSecretResponse"),
    (
        "definition put db --value-from -",
        "PutSecretDefinitionResponse",
    ),
    (
        "definition put db --label a=b",
        "PutSecretDefinitionResponse",
    ),
    ("definition get db", "SecretDefinition"),
    ("definition list", "ListSecretDefinitionsResponse"),
    ("definition check db", "CheckSecretDefinitionResponse"),
    ("definition delete db", "SecretDefinition"),
    ("definition undelete db", "SecretDefinition"),
    ("secret get db", "GetSecretResponse"),
    ("secret put db --value-from -", "PutSecretValueResponse"),
    ("secret versions db", "ListSecretVersionsResponse"),
    ("secret disable db --version 1", "SecretVersion"),
    ("secret enable db --version 1", "SecretVersion"),
    ("secret destroy db --version 1 --yes", "SecretVersion"),
    (
        "definition put key --kind STRIPE_API_KEY",
        "PutSecretDefinitionResponse",
    ),
    (
        "profile put stripe --definition key",
        "PutConnectionProfileResponse",
    ),
    ("profile get stripe", "ConnectionProfile"),
    ("profile list", "ListConnectionProfilesResponse"),
    ("profile delete stripe", "DeleteConnectionProfileResponse"),
    ("profile undelete stripe", "ConnectionProfile"),
    ("explain secrets.get db", "ExplainAccessResponse"),
    ("grant list", "ListGrantsResponse"),
    ("grant put unix:7 RUNNER db", "Grant"),
    ("grant delete {name}", "google.protobuf.Empty"),
    ("grant put {etl} RUNNER db", "Grant"),
    ("token exchange {tls}", "ExchangeTokenResponse"),
    ("token list", "ListTokensResponse"),
    (
        "token create --grant RUNNER=db --ttl 1h",
        "CreateTokenResponse",
    ),
    ("token revoke {name}", "RevokeTokenResponse"),
];

/// The commands that print no answer of an RPC, and why.
const OTHERS: &[(&str, &str)] = &[
    (
        "adopt",
        "it has answers of many calls, which its own test reads",
    ),
    ("definition apply -", "it makes calls of several RPCs"),
    ("definition export", "it has answers of several RPCs"),
    ("run", "its job prints what it likes"),
    ("schema", "it asks nobody"),
    ("context", "it reads a file, and asks no daemon"),
    ("completions", "it prints a script"),
    ("man", "it prints nothing"),
    (
        "profile resolve",
        "it needs a key of Stripe: profiles/keep.rs does this",
    ),
    ("profile test", "it asks Stripe: profiles/keep.rs does this"),
    (
        "profile connect",
        "it asks Stripe: profiles/connect.rs does this",
    ),
    (
        "profile disconnect",
        "it asks Stripe: profiles/keep.rs does this",
    ),
];

/// The paths of all commands that do something.
pub(super) fn leaves(command: &clap::Command, path: &str) -> Vec<String> {
    let below = command.get_subcommands();
    let below = below.flat_map(|command| {
        let path = format!("{path} {}", command.get_name());
        leaves(command, path.trim_start())
    });
    let below: Vec<_> = below.collect();
    match below.is_empty() {
        true => vec![path.to_owned()],
        false => below,
    }
}

pub(super) fn is_of(line: &str, leaf: &str) -> bool {
    let rest = line.strip_prefix(leaf);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The text at a key, wherever that is.
fn at<'a>(answer: &'a Value, key: &str) -> Option<&'a str> {
    let below: Vec<_> = match answer {
        Value::Object(fields) => match fields.get(key).and_then(Value::as_str) {
            Some(text) => return Some(text),
            None => fields.values().collect(),
        },
        Value::Array(items) => items.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    below.into_iter().find_map(|value| at(value, key))
}

#[test]
fn every_command_prints_the_message_of_its_rpc() {
    let leaves = leaves(&Cli::command(), "");
    let of = |leaf: &str, rows: &[(&str, &str)]| rows.iter().any(|(line, _)| is_of(line, leaf));
    for leaf in &leaves {
        assert!(
            of(leaf, ROWS) != of(leaf, OTHERS),
            "`claviger {leaf}` needs a row in ROWS, or in OTHERS"
        );
    }
    for (line, _) in ROWS.iter().chain(OTHERS) {
        let leads_somewhere = leaves.iter().any(|leaf| is_of(line, leaf));
        assert!(leads_somewhere, "no command: {line}");
    }

    let (home, peer) = (Home::new(), azure());
    let (tls, _acme) = configured(&home, "optional");
    let config = tls + &peer.vault("");
    peer.set("stripe", CANARY);
    let daemon = home.start(&mut peer.command(&home, &config));
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let dir = home.path().display();
    let tls = format!(
        "--address {} --ca-file {dir}/root.crt --certificate-file {dir}/etl.crt \
         --private-key-file {dir}/etl.key",
        daemon.tcp()
    );
    let mut last = Value::Null;
    for (line, kind) in ROWS {
        let mut line = line.replace("{tls}", &tls).replace("{etl}", ETL);
        line = line.replace("{vault}", crate::stage::VAULT);
        for key in ["principal", "name"] {
            line = line.replace(&format!("{{{key}}}"), at(&last, key).unwrap_or_default());
        }
        let keys = if line.contains("--value-from -") {
            CANARY
        } else {
            ""
        };
        let printed = said(&output_of(
            &mut user.command(&format!("{line} --json")),
            keys,
        ));
        last = message_of(kind, &line, &printed);
    }
}
