//! `claviger adopt`: what a vault has already is found, told without a value, and registered.

mod vault;

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use claviger_e2e::{Gate, output_of};
use claviger_proto::DESCRIPTORS;
use claviger_proto::v1;
use claviger_proto::v1::environment::StripeMode;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{User, assert_stopped, complaint, on_a_terminal, said};
use crate::caller::Caller;
use crate::peers::{Aws, aws};
use crate::stage::{Peer as _, Stage, VAULT};
use vault::{BODY, HELD, SECRETS, fill, plain, state_of};

const DEV: &str = "projects/dev/secrets/";

impl<'a> User<'a> {
    fn of(stage: &'a Stage<Aws>) -> Self {
        User {
            home: &stage.home,
            daemon: &stage.daemon,
        }
    }

    fn json(&self, line: &str) -> Value {
        let printed = said(&self.run(line));
        assert!(!printed.contains(BODY), "a value in {printed}");
        serde_json::from_str(&printed).expect("JSON")
    }
}

/// A daemon in front of an empty vault that `projects/dev` and `projects/acme` may use.
async fn stage() -> Stage<Aws> {
    let peer = Box::new(aws());
    let rule = |project: &str| format!("{{ project = {project:?}, names = [\"*\"] }}");
    let config = peer.vault("timeout = \"20s\"");
    let both = format!("{}, {}", rule("dev"), rule("acme"));
    let stage = Stage::start_with(peer, &config.replace(&rule("dev"), &both)).await;
    stage.caller.become_operator().await;
    stage.caller.put_project("acme", &[]).await;
    stage
}

/// The definitions of a project: id, kind and places, but not when they were made.
async fn definitions(caller: &Caller, project: &str) -> Vec<(String, i32, v1::SecretDefinition)> {
    let request = v1::ListSecretDefinitionsRequest {
        parent: format!("projects/{project}"),
        page_size: 1000,
        ..Default::default()
    };
    let listed = caller.definitions().list_secret_definitions(request).await;
    let listed = listed.expect("listed").into_inner();
    assert_eq!(listed.next_page_token, "", "all of them");
    let places = |one: &v1::SecretDefinition| v1::SecretDefinition {
        location: one.location.clone(),
        environments: one.environments.clone(),
        ..Default::default()
    };
    let definitions = listed.definitions.iter();
    definitions
        .map(|one| (one.id.clone(), one.kind, places(one)))
        .collect()
}

/// Each part is a message of the proto and nothing else; the rest is as `--help` says.
fn assert_messages(document: &Value) {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("descriptors");
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    for (list, key, kind) in [
        ("proposals", "definition", "SecretDefinition"),
        ("proposals", "inspection", "InspectVaultSecretResponse"),
        ("leftOut", "location", "Location"),
        ("leftOut", "inspection", "InspectVaultSecretResponse"),
    ] {
        let kind = pool.get_message_by_name(&format!("claviger.v1.{kind}"));
        let kind = kind.expect("a message of ours");
        let parts = document[list].as_array().expect("a list").iter();
        let parts: Vec<_> = parts.filter_map(|part| part.get(key)).collect();
        assert!(!parts.is_empty(), "{list} {key}");
        for part in parts {
            let kind = kind.clone();
            let read = DynamicMessage::deserialize_with_options(kind, part, &options);
            read.unwrap_or_else(|error| panic!("{error}: {part}"));
        }
    }
}

/// What is left out, and why.
fn left_out(document: &Value) -> Vec<[&Value; 2]> {
    let left_out = document["leftOut"].as_array().expect("a list").iter();
    left_out
        .map(|one| [&one["location"], &one["reason"]])
        .collect()
}

/// The reason for which a secret, or a property of it, is left out.
fn reason<'a>(document: &'a Value, secret: &str, property: &str) -> &'a str {
    let left_out = left_out(document);
    let is_it = |location: &Value| {
        location["secret"] == secret
            && location["property"].as_str().unwrap_or_default() == property
    };
    let found = left_out.iter().find(|[location, _]| is_it(location));
    let found = found.unwrap_or_else(|| panic!("{secret} is not left out: {left_out:#?}"));
    found[1].as_str().expect("text")
}

/// What is proposed under an id.
fn proposal<'a>(document: &'a Value, id: &str) -> &'a Value {
    let proposals = document["proposals"].as_array().expect("a list");
    let name = format!("{DEV}{id}");
    let found = proposals
        .iter()
        .find(|one| one["definition"]["name"] == name);
    found.unwrap_or_else(|| panic!("{id} is not proposed: {proposals:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_trouble_of_a_vault_is_found_and_nothing_is_changed() {
    let stage = stage().await;
    let modes = [("dev", StripeMode::Test), ("prod", StripeMode::Live)];
    let modes = modes.map(|(id, mode)| {
        let environment = v1::Environment {
            stripe_mode: mode.into(),
            ..Default::default()
        };
        (id, environment)
    });
    fill(&stage).await;
    stage.caller.put_project("dev", &modes).await;
    let before = (
        state_of(&stage.peer.console()),
        definitions(&stage.caller, "dev").await,
    );
    let writes = stage.peer.writes();
    let user = User::of(&stage);

    let line = format!("adopt {VAULT} --environment dev");
    let document = user.json(&format!("{line} --json"));
    assert_messages(&document);
    for (secret, property, wanted) in [
        ("trouble/binary", "", "[VALUE_NOT_TEXT]"),
        ("trouble/denied", "", "[VAULT_ACCESS_DENIED]"),
        ("trouble/empty", "key", "[VALUE_EMPTY]"),
        ("trouble/example", "", "placeholder"),
        ("trouble/hidden", "", "not written like names: 1"),
        ("trouble/live", "", "[VALUE_WRONG_MODE]"),
        ("trouble/many", "", "has 21 keys"),
        ("trouble/masked", "", "masked"),
        ("trouble/publishable", "", "publishable"),
        ("trouble/space", "", "white space"),
    ] {
        let reason = reason(&document, secret, property);
        assert!(reason.contains(wanted), "{secret}: {reason}");
    }
    assert_eq!(document["leftOut"].as_array().map(Vec::len), Some(10));
    for (id, remark) in [
        ("trouble-full", "FULL_SECRET_KEY"),
        ("trouble-old", "not rotated for "),
        ("trouble-padded", "VALUE_HAS_SURROUNDING_SPACE"),
        ("trouble-same", "same value as trouble/registered"),
        ("trouble-twin-b", "same value as trouble/twin-a"),
    ] {
        let remarks = proposal(&document, id)["remarks"].to_string();
        assert!(remarks.contains(remark), "{id}: {remarks}");
    }
    let webhook = &proposal(&document, "trouble-webhook")["definition"];
    assert_eq!(webhook["kind"], "STRIPE_WEBHOOK_SECRET");
    let document_key = proposal(&document, "trouble-document-apiKey");
    let location = json!({ "vault": VAULT, "secret": "trouble/document", "property": "apiKey" });
    let definition = &document_key["definition"];
    assert_eq!(definition["environments"], json!({ "dev": location }));
    assert_eq!(document_key["inspection"]["stripe"]["mode"], "TEST");
    for id in ["trouble-clash", "trouble-clash-2", "trouble-hidden-shown"] {
        assert_eq!(proposal(&document, id)["registered"], false);
    }
    assert_eq!(document["skipped"], json!({ "pointedAt": 1, "ours": 1 }));

    let table = said(&user.run(&line));
    assert!(!table.contains(BODY), "a value in {table}");
    let row = table.lines().find(|line| line.starts_with("trouble-full "));
    let row: Vec<_> = row.expect("a row").split_whitespace().collect();
    let expected = [
        "trouble-full",
        "trouble/full",
        "STRIPE_API_KEY",
        "SECRET",
        "TEST",
        "0004",
        "0d",
    ];
    assert_eq!(row[..7], expected);
    assert!(
        table.contains("; --apply registers them; 10 left out; "),
        "{table}"
    );

    let after = (
        state_of(&stage.peer.console()),
        definitions(&stage.caller, "dev").await,
    );
    assert_eq!(after, before);
    assert_eq!(stage.peer.writes(), writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_proposed_is_registered_once_also_by_runs_of_which_one_was_killed() {
    let stage = stage().await;
    fill(&stage).await;
    let before = state_of(&stage.peer.console());
    let user = User::of(&stage);

    let line = format!("adopt {VAULT} --apply --json");
    let first = user.json(&line);
    let proposals = first["proposals"].as_array().expect("a list");
    assert!(proposals.len() > SECRETS - 20, "{}", proposals.len());
    assert!(proposals.iter().all(|one| one["registered"] == true));
    let mut unbroken = definitions(&stage.caller, "dev").await;
    unbroken.retain(|(id, ..)| id != "made");
    let second = user.json(&line);
    assert_eq!(second["proposals"], json!([]));
    assert_eq!(left_out(&second), left_out(&first));

    // The same in another project, to which one secret is shown a second time only when the first
    // run is dead: its put looks at it once more.
    let gate = Arc::new(Gate::for_arrivals(usize::MAX));
    let (held, seen) = (Arc::clone(&gate), Mutex::new(0));
    let usual = vault::script(&stage.peer);
    stage.peer.play(move |request| {
        if request.operation == "GetSecretValue" && request.secret() == HELD {
            let count = {
                let mut seen = seen.lock().expect("nobody panics with it");
                *seen += 1;
                *seen
            };
            if count == 2 {
                held.pass();
            }
        }
        usual(request)
    });
    let line = format!("{line} --project acme");
    let mut child = user.command(&line);
    let mut child = child.stdout(Stdio::null()).spawn().expect("it starts");
    gate.await_arrivals(1);
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
    gate.open();
    let half = definitions(&stage.caller, "acme").await.len();
    assert!(half > 1 && half < unbroken.len(), "{half}");

    let rest = user.json(&line);
    let rest = rest["proposals"].as_array().expect("a list").len();
    assert!(rest > 0 && rest < proposals.len(), "{rest}");
    assert_eq!(definitions(&stage.caller, "acme").await, unbroken);
    assert_eq!(state_of(&stage.peer.console()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupt_ends_it_at_once_and_says_how_far_it_got() {
    let stage = stage().await;
    for number in 0..3 {
        stage.peer.create(&format!("key-{number}"), &plain(number));
    }
    let gate = Arc::new(Gate::for_arrivals(usize::MAX));
    let held = Arc::clone(&gate);
    stage.peer.play(move |request| {
        if request.operation == "GetSecretValue" && request.secret() == "key-1" {
            held.pass();
        }
        None
    });
    let user = User::of(&stage);
    let mut command = user.command(&format!("adopt {VAULT} --apply"));
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    gate.await_arrivals(1);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is our child");
    let output = child.wait_with_output().expect("it is our child");
    gate.open();
    assert_stopped(&output, 130, &["of 3; nothing was registered"]);
    assert_eq!(definitions(&stage.caller, "dev").await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_is_busy_is_waited_for_and_one_that_stays_so_is_told() {
    let stage = stage().await;
    stage.peer.create("key", &plain(0));
    let refusals = Mutex::new(1);
    stage.peer.play(move |request| {
        let mut left = refusals.lock().expect("nobody panics with it");
        let is_due = request.operation == "GetSecretValue" && *left > 0;
        is_due.then(|| {
            *left -= 1;
            vault::busy()
        })
    });
    let user = User::of(&stage);
    let document = user.json(&format!("adopt {VAULT} --json"));
    assert_eq!(
        proposal(&document, "key")["inspection"]["judgedAs"],
        Value::Null
    );

    stage
        .peer
        .play(|request| (request.operation == "GetSecretValue").then(vault::busy));
    let output = user.run(&format!("adopt {VAULT} --timeout 20s"));
    assert_stopped(
        &output,
        1,
        &["after inspecting 0 of 1", "[VAULT_UNREACHABLE]"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_shows_on_a_terminal_that_can_and_nowhere_else() {
    let stage = stage().await;
    stage.peer.create("key", &plain(0));
    let user = User::of(&stage);
    let line = format!("adopt {VAULT}");
    for (term, is_shown) in [("xterm", true), ("dumb", false)] {
        let (code, shown) = on_a_terminal(user.command(&line).env("TERM", term));
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains("1 proposed"), "{shown}");
        assert_eq!(shown.contains("inspecting ["), is_shown, "{term}: {shown}");
    }
    let piped = output_of(user.command(&line).env("TERM", "xterm"), "");
    assert_eq!(complaint(&piped), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_walked_is_refused_with_the_remedy() {
    let stage = stage().await;
    let user = User::of(&stage);
    for (line, code, wanted) in [
        ("adopt managed", 1, "[VAULT_CAPABILITY_MISSING]"),
        ("adopt no-such", 1, "[VAULT_UNKNOWN]"),
        ("adopt managed --project no-such", 1, "[PROJECT_NOT_FOUND]"),
        (
            "adopt managed --environment prod",
            2,
            "leave --environment away",
        ),
    ] {
        assert_stopped(&user.run(line), code, &[wanted]);
    }
}
