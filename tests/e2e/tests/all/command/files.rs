use std::fs;
use std::io::{self, Read as _, Write as _};
use std::ops::ControlFlow;
use std::process::{Child, Output, Stdio};

use claviger_e2e::{Client, Home, output_of, type_all};
use claviger_proto::v1;
use claviger_proto::v1::access_service_client::AccessServiceClient;
use claviger_proto::v1::connection_profile::Auth;
use claviger_proto::v1::connection_profile_service_client::ConnectionProfileServiceClient;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_stub::stripe_oauth::{CLIENT_ID, CLIENT_SECRET};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::between::Between;
use super::{CANARY, User, assert_stopped, complaint, said, write_private};

const APPLY: &str = "definition apply -";

/// Whoever made the daemon keeps the grants; this one lets it keep projects, too.
const FIRST: &str = "grants:\n- {principal: PRINCIPAL, role: OPERATOR}\n";

/// Everything that can be put without a value and without another vault.
const ACME: &str = "\
projects:
  acme:
    description: Payments
    default_vault: managed
    environments:
      dev: {}
      prod:
        default_vault: managed
        stripe_mode: LIVE
    definitions:
      db:
        description: \"yes: 1\"
        kind: PASSWORD
        rotate_by: \"2099-01-01T00:00:00.500Z\"
        labels:
          team: \"1\"
          tier: \"\"
      der:
        kind: OPAQUE
        format: BINARY
        location:
          vault: managed
        environments:
          prod: {}
        environment_fallback: true
      stripe:
        kind: STRIPE_API_KEY
        environments:
          prod:
            vault: managed
        stripe:
          allowed_classes:
          - RESTRICTED
          - SECRET
          account: acct_1234567890abcdef
        freshness:
          max_age: 60s
          max_stale: 0s
    profiles:
      eu:
        description: Europe
        labels:
          team: payments
        api_key:
          definition: stripe
          account: acct_fedcba0987654321
    grants:
    - principal: unix:4711
      role: AUDITOR
    - principal: unix:4711
      role: RUNNER
      resource: connectionProfiles/eu
    - principal: unix:4711
      role: RUNNER
      resource: secrets/db
      environment: prod
      expire_time: \"2099-01-01T00:00:00Z\"
      purpose: nightly
";

impl User<'_> {
    /// The answer to a file that comes by standard input.
    fn apply(&self, options: &str, text: &str) -> std::process::Output {
        output_of(&mut self.command(&format!("{APPLY} {options}")), text)
    }

    /// Lets the caller keep projects.
    fn allow_projects(&self) {
        let known: Value = serde_json::from_str(&said(&self.run("whoami --json"))).expect("JSON");
        let principal = known["principal"].as_str().expect("a principal");
        said(&self.apply("", &FIRST.replace("PRINCIPAL", principal)));
    }

    fn export(&self, project: &str) -> String {
        said(&self.run(&format!("definition export --project {project}")))
    }

    /// All projects, and the grants on everything.
    fn export_all(&self) -> String {
        let mut command = self.command("definition export");
        said(&output_of(command.env_remove("CLAVIGER_PROJECT"), ""))
    }
}

#[test]
fn what_is_exported_makes_a_fresh_daemon_the_same() {
    let first = Home::new();
    let daemon = first.start_dev();
    let user = User {
        home: &first,
        daemon: &daemon,
    };
    user.allow_projects();
    said(&user.apply("", ACME));
    let exported = user.export("acme");
    let (head, body) = exported.split_at(exported.find("projects:").expect("a file"));
    assert_eq!(body, ACME);
    assert!(
        head.starts_with("# yaml-language-server: $schema="),
        "{head}"
    );

    let schema = serde_json::from_str(&said(&user.run("schema"))).expect("JSON");
    let json = said(&user.run("definition export --json --project acme"));
    let json = serde_json::from_str(&json).expect("JSON");
    let judged = jsonschema::validate(&schema, &json);
    assert!(judged.is_ok(), "{judged:?}");

    let second = Home::new();
    let daemon = second.start_dev();
    let other = User {
        home: &second,
        daemon: &daemon,
    };
    other.allow_projects();
    let file = second.path().join("acme.yaml");
    fs::write(&file, &exported).expect("a writable home");
    let made = said(&other.run(&format!("definition apply {}", file.display())));
    assert!(made.ends_with("\n8 changes made\n"), "{made}");
    assert_eq!(other.export("acme"), exported);
}

#[test]
fn file_that_is_applied_twice_changes_nothing_the_second_time() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.allow_projects();
    said(&user.apply("", ACME));
    let etags = || {
        let listed = user.run("definition list --json --project acme");
        let listed: Value = serde_json::from_str(&said(&listed)).expect("JSON");
        let definitions = listed["definitions"].as_array().expect("a list").clone();
        let etags = definitions.into_iter().map(|one| one["etag"].clone());
        etags.collect::<Vec<_>>()
    };
    let before = etags();
    assert_eq!(before.len(), 3);
    for options in ["", "--prune", "--dry-run"] {
        assert_eq!(said(&user.apply(options, ACME)), "nothing to change\n");
    }
    assert_eq!(etags(), before);

    // All of it, with the grants on everything and projects/dev.
    let all = user.export_all();
    assert!(
        all.contains("\n  dev:") && all.contains("\ngrants:"),
        "{all}"
    );
    assert_eq!(said(&user.apply("--prune", &all)), "nothing to change\n");
}

#[test]
fn difference_is_shown_and_a_dry_run_stops_there() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    said(&user.apply("", "projects: {dev: {definitions: {db: {kind: PASSWORD}}}}"));
    let text = "projects: {dev: {definitions: {db: {kind: PASSWORD, description: x}, new: {}}}}";
    let difference = "\
        ~ projects/dev/secrets/db\n    description: (unset) -> \"x\"\n\
        + projects/dev/secrets/new\n    kind: \"OPAQUE\"\n";
    let shown = said(&user.apply("--dry-run", text));
    assert_eq!(shown, format!("{difference}2 changes, not made\n"));
    assert_stopped(
        &user.run("definition get new"),
        1,
        &["[DEFINITION_NOT_FOUND]"],
    );
    let json: Value =
        serde_json::from_str(&said(&user.apply("--dry-run --json", text))).expect("JSON");
    assert_eq!(json[0]["change"], "~ projects/dev/secrets/db");
    assert_eq!(json[0]["fields"][0], "description: (unset) -> \"x\"");

    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut unread = user.command(APPLY);
    let unread = unread.stdin(Stdio::piped()).stdout(writer);
    let mut unread = unread.stderr(Stdio::piped()).spawn().expect("it starts");
    type_all(&mut unread, text);
    let output = unread.wait_with_output().expect("it ends");
    assert_stopped(&output, 141, &["nothing was made"]);
    let made = said(&user.apply("", text));
    assert_eq!(made, format!("{difference}2 changes made\n"));
}

#[test]
fn pruning_deletes_what_the_file_does_not_have_and_spares_projects_and_own_grants() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.allow_projects();
    said(&user.apply("", ACME));
    said(&user.apply("", "projects: {other: {definitions: {kept: {}}}}"));
    user.put();
    let before = user.export_all();

    let less = "projects: {acme: {}, dev: {}}";
    let unpruned = said(&user.apply("", less));
    assert!(!unpruned.contains("\n- "), "{unpruned}");
    let tried = said(&user.apply("--prune --dry-run", less));
    assert!(
        tried.contains("- projects/acme/secrets/stripe\n"),
        "{tried}"
    );
    let pruned = said(&user.apply("--prune", less));
    for line in [
        "- grant of RUNNER on projects/acme/connectionProfiles/eu to unix:4711\n",
        "- projects/acme/connectionProfiles/eu\n",
        "- projects/acme/secrets/db\n",
        "- projects/dev/secrets/db\n",
    ] {
        assert!(pruned.contains(line), "{line}: {pruned}");
    }
    let after = user.export_all();
    for kept in ["  acme:", "  dev:", "  other:", "kept:", "role: RUNNER"] {
        assert!(
            before.contains(kept) && after.contains(kept),
            "{kept}: {after}"
        );
    }
    assert!(
        !after.contains("unix:4711") && !after.contains("stripe"),
        "{after}"
    );
    // What was pruned by mistake can be taken back.
    let back = complaint(&user.apply("", ACME));
    assert!(
        back.contains("projects/acme/secrets/der: it is deleted; undelete it"),
        "{back}"
    );
    assert!(back.ends_with("nothing was changed\n"), "{back}");
    // The caller may still do what it could, in projects/dev too.
    assert_eq!(said(&user.apply("--prune", less)), "nothing to change\n");
    said(&user.run("definition undelete db"));
    assert_eq!(said(&user.run("secret get db")), CANARY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_edits_meanwhile_is_refused_and_said_with_the_rest() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let ids = (0..600).map(|number| format!("d{number:03}"));
    let ids: Vec<_> = ids.collect();
    let file = |description: &str| {
        let lines = ids.iter();
        let lines = lines.map(|id| format!("      {id}: {{description: {description}}}\n"));
        format!(
            "projects:\n  dev:\n    definitions:\n{}",
            lines.collect::<String>()
        )
    };
    said(&user.apply("", &file("before")));

    // It has compared, and cannot go on before the difference is read: it does not fit the pipe.
    let mine = "mine-".repeat(40);
    let mut apply = user.command(APPLY);
    let mut apply = apply
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be started");
    let mut stdin = apply.stdin.take().expect("a pipe was asked for");
    stdin.write_all(file(&mine).as_bytes()).expect("it reads");
    drop(stdin);
    let mut stdout = apply.stdout.take().expect("a pipe was asked for");
    stdout.read_exact(&mut [0]).expect("the difference");
    let client = Client::connect(&daemon.socket()).await;
    let mut definitions = SecretDefinitionServiceClient::new(client.channel());
    let edit = v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: "projects/dev/secrets/d300".to_owned(),
            description: "theirs".to_owned(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["description".to_owned()],
        }),
        ..Default::default()
    };
    definitions.put_secret_definition(edit).await.expect("put");
    let mut shown = String::new();
    stdout.read_to_string(&mut shown).expect("text");
    let ended = apply.wait_with_output().expect("it ends");

    let complaint = complaint(&ended);
    assert_eq!(ended.status.code(), Some(1), "{complaint}");
    assert!(!shown.contains("made\n"), "{shown}");
    let expected = format!(
        "the difference is now:\n~ projects/dev/secrets/d300\n    description: \"theirs\" -> \"{mine}\"\n"
    );
    assert!(complaint.contains(&expected), "{complaint}");
    assert!(
        complaint.contains("standard input:304:7: projects/dev/secrets/d300: "),
        "{complaint}"
    );
    assert!(complaint.contains("[ETAG_MISMATCH]"), "{complaint}");
    let said_of = |state: &str| {
        let lines = complaint.lines();
        let lines = lines.filter_map(|line| line.strip_prefix(state));
        lines
            .map(|line| {
                line.trim_start_matches("~ projects/dev/secrets/")
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(said_of("made: "), ids[..300]);
    assert_eq!(said_of("not made: "), ids[300..]);
    let exported = user.export("dev");
    assert_eq!(exported.matches(&mine).count(), 300);
    assert_eq!(exported.matches("theirs").count(), 1);
    assert_eq!(exported.matches("before").count(), 299);
}

/// Applies a file with ten definitions, of which the daemon has none, and does something before the
/// call of this number; returns how it ended, and how many calls there were.
fn apply_with(number: usize, then: impl FnOnce(&Child) -> ControlFlow<()>) -> (Output, usize) {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let between = Between::new(&home, "between.sock");
    let mut apply = user
        .command(APPLY)
        .env("CLAVIGER_ADDRESS", between.address())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be started");
    let ids: String = (0..10).map(|id| format!("d{id}: {{}}, ")).collect();
    let file = format!("projects: {{dev: {{definitions: {{{ids}}}}}}}");
    let mut stdin = apply.stdin.take().expect("a pipe was asked for");
    stdin.write_all(file.as_bytes()).expect("it reads");
    drop(stdin);
    let passed = between.pass_on(&daemon, number, || then(&apply));
    let ended = apply.wait_with_output().expect("it ends");
    (ended, passed.expect("it passes on"))
}

#[test]
fn apply_that_is_cut_off_says_what_was_made_and_why_it_ended() {
    let (whole, calls) = apply_with(usize::MAX, |_| panic!("there are fewer calls"));
    assert!(said(&whole).ends_with("10 changes made\n"), "{whole:?}");
    let third_last = calls - 2;
    let signalled = |signal| {
        let (ended, _) = apply_with(third_last, |apply| {
            kill_process(Pid::from_child(apply), signal).expect("it is our child");
            ControlFlow::Continue(())
        });
        ended
    };
    let (gone, _) = apply_with(third_last, |_| ControlFlow::Break(()));
    for (ended, code, cause, eighth) in [
        (signalled(Signal::INT), 130, "interrupted", "made"),
        (signalled(Signal::TERM), 130, "interrupted", "made"),
        (gone, 3, "the daemon does not answer", "not known"),
    ] {
        let complaint = complaint(&ended);
        assert_eq!(ended.status.code(), Some(code), "{complaint}");
        assert!(complaint.contains(cause), "{complaint}");
        let lines = (0..10).map(|id| {
            let state = match id {
                0..7 => "made",
                7 => eighth,
                _ => "not made",
            };
            format!("{state}: + projects/dev/secrets/d{id}\n")
        });
        let lines: String = lines.collect();
        assert!(complaint.contains(&lines), "{complaint}");
        let shown = String::from_utf8_lossy(&ended.stdout);
        assert!(!shown.contains("made\n"), "{shown}");
    }
}

#[test]
fn what_the_daemon_refuses_is_said_with_its_line_before_anything_is_made() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let refused = user.apply(
        "",
        "projects:\n  dev:\n    definitions:\n      good: {}\n      odd:\n        location: {vault: nowhere}\n",
    );
    let said_of_it = complaint(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said_of_it}");
    assert!(
        said_of_it.contains("standard input:5:7: projects/dev/secrets/odd: "),
        "{said_of_it}"
    );
    assert!(
        said_of_it.contains("[VAULT_UNKNOWN]") && said_of_it.ends_with("nothing was changed\n"),
        "{said_of_it}"
    );
    assert_stopped(
        &user.run("definition get good"),
        1,
        &["[DEFINITION_NOT_FOUND]"],
    );

    let missing = user.apply("", "projects: {dev: {profiles: {eu: {api_key: {}}}}}");
    let said_of_it = complaint(&missing);
    assert!(said_of_it.contains("claviger profile"), "{said_of_it}");
}

#[test]
fn typo_and_value_in_a_file_are_told_with_line_and_column() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let file = home.path().join("acme.yaml");
    let apply = |text: &str| {
        fs::write(&file, text).expect("a writable home");
        user.run(&format!("definition apply {}", file.display()))
    };
    let typo = apply("projects:\n  dev:\n    definitons: {}\n");
    assert_stopped(&typo, 2, &["acme.yaml:3:5: ", "did you mean definitions"]);
    let value = format!(
        "projects:\n  dev:\n    profiles:\n      eu:\n        api_key:\n          api_key: {CANARY}\n"
    );
    assert_stopped(&apply(&value), 2, &["acme.yaml:6:11: ", "api_key"]);
    assert_stopped(&apply(CANARY), 2, &["acme.yaml:1:1: "]);
    assert_stopped(
        &user.run("definition apply /nowhere/a.yaml"),
        2,
        &["/nowhere/a.yaml cannot be read"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pasted_credentials_are_in_no_file_and_stay_where_they_are() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let client = Client::connect(&daemon.socket()).await;
    let mut profiles = ConnectionProfileServiceClient::new(client.channel());
    let key = v1::ApiKeyAuth {
        api_key: format!("rk_test_{}", "51Canary0123456789abcdef"),
        ..Default::default()
    };
    let oauth = v1::OauthAuth {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        refresh_token: "rt_Canary0123456789".to_owned(),
        ..Default::default()
    };
    for (id, auth) in [("eu", Auth::ApiKey(key)), ("us", Auth::Oauth(oauth))] {
        let profile = v1::ConnectionProfile {
            name: format!("projects/dev/connectionProfiles/{id}"),
            auth: Some(auth),
            ..Default::default()
        };
        let put = v1::PutConnectionProfileRequest {
            profile: Some(profile),
            ..Default::default()
        };
        profiles.put_connection_profile(put).await.expect("put");
    }
    let exported = user.export("dev");
    let (_, listed) = exported.split_once("    profiles:\n").expect("profiles");
    let expected = format!(
        "      eu:\n        api_key: {{}}\n      us:\n        oauth:\n          client_id: {CLIENT_ID}\n          \
         flavor: APPS\n"
    );
    assert!(listed.starts_with(&expected), "{exported}");
    for hidden in ["Canary", CANARY, CLIENT_SECRET, "eu-", "us-"] {
        assert!(!exported.contains(hidden), "{hidden}: {exported}");
    }

    let edited = exported.replace("eu:", "eu:\n        description: Europe");
    let edited = edited.replace("us:", "us:\n        description: America");
    let made = said(&user.apply("--prune", &edited));
    assert!(made.ends_with("\n2 changes made\n"), "{made}");
    assert_eq!(user.export("dev"), edited);

    // What they are for does not change without them.
    let other = edited.replace(CLIENT_ID, "ca_1Other");
    let refused = complaint(&user.apply("", &other));
    let place = edited.lines().position(|line| line.trim() == "us:");
    let place = place.expect("a line") + 1;
    assert!(
        refused.contains(&format!("standard input:{place}:7: ")),
        "{refused}"
    );
    assert!(refused.contains("client_secret"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_see_grants_keeps_the_rest() {
    let home = Home::new();
    let daemon = home.start_dev();
    let client = Client::connect(&daemon.socket()).await;
    let request = v1::CreateTokenRequest {
        grants: vec![v1::TokenGrant {
            role: v1::Role::Operator.into(),
            resource: "projects/dev".to_owned(),
            environment: String::new(),
        }],
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..Default::default()
    };
    let mut access = AccessServiceClient::new(client.channel());
    let made = access.create_token(request).await.expect("made");
    let file = home.path().join("token");
    write_private(&file, made.into_inner().token);
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let options = format!("--address {} --token-file {}", daemon.tcp(), file.display());
    let text = "projects:\n  dev:\n    definitions:\n      db:\n        kind: PASSWORD\n";
    said(&user.apply(&options, text));
    let exported = user.run(&format!("definition export {options}"));
    assert!(said(&exported).ends_with(text), "{exported:?}");
    assert_eq!(
        complaint(&exported)
            .matches("the grants are left out")
            .count(),
        1
    );

    let grants = format!("{text}    grants:\n    - principal: unix:4711\n      role: RUNNER\n");
    for (options, text) in [
        (options.clone(), grants.as_str()),
        (format!("{options} --prune"), text),
    ] {
        let refused = user.apply(&options, text);
        assert_stopped(
            &refused,
            1,
            &["the grants cannot be compared", "[ACCESS_DENIED]"],
        );
    }
}
