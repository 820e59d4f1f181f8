//! The secrets backend of Airflow.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use claviger_e2e::{Daemon, Home, output_of, tools};
use claviger_proto::v1;
use claviger_raw::Authority;
use serde_json::{Value, json};

use super::support::{CANARY, address, blocks, example, page, program, said, texts};
use crate::caller::{Caller, definition, place, put_of};
use crate::python::generate_stubs;
use crate::tls::since_epoch;

const ETL: &str = "spiffe://acme.example/ns/etl";

/// The connection that is in Claviger.
const WAREHOUSE: &str = "postgres://etl:canary-7c1e@db.acme.example/prod";

/// A machine that runs Airflow.
struct Worker {
    home: Home,
}

impl Worker {
    fn new() -> Self {
        let home = Home::new();
        generate_stubs(&home.path().join("stubs"));
        Self { home }
    }

    /// Variables of a Python that finds the backend.
    fn prepare(&self, command: &mut Command) {
        let stubs = self.home.path().join("stubs");
        let paths = format!("{}:{}", stubs.display(), example("airflow").display());
        command
            .env("AIRFLOW_HOME", self.home.path().join("airflow"))
            .env("EXPECTED", CANARY)
            .env("PYTHONPATH", paths);
    }

    /// A program of the tests in Python.
    fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = program(&self.home, tools::pipelines_python(), &[]);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        command.arg(folder.join(name)).args(arguments);
        self.prepare(&mut command);
        command
    }

    /// Look-ups with these arguments of the backend.
    fn look_ups(&self, backend: &Value, look_ups: &[&str]) -> Command {
        let mut command = self.script("airflow_look_ups.py", look_ups);
        command
            .env(
                "AIRFLOW__SECRETS__BACKEND",
                "claviger_airflow.ClavigerBackend",
            )
            .env("AIRFLOW__SECRETS__BACKEND_KWARGS", backend.to_string());
        command
    }
}

/// A daemon with a connection `warehouse`.
async fn daemon_with_a_connection(home: &Home) -> (Daemon, Caller) {
    let daemon = home.start_dev();
    let caller = Caller::of(&daemon).await;
    let put = put_of(of_airflow("conn_warehouse"), Some(WAREHOUSE));
    caller.put(put).await.expect("registered");
    (daemon, caller)
}

fn of_airflow(id: &str) -> v1::SecretDefinition {
    definition(&format!("airflow_{id}"), place("", ""))
}

/// The lines that it prints; no value is in them or in its log.
#[track_caller]
fn outcomes(command: &mut Command) -> Vec<String> {
    let (printed, log) = said(command, "");
    assert!(
        !format!("{printed}{log}").contains(CANARY),
        "{printed}\n{log}"
    );
    let lines = printed.lines().filter(|line| line.contains(": "));
    lines.map(str::to_owned).collect()
}

#[track_caller]
fn assert_told(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word} is not in {line}");
    }
}

#[test]
fn page_puts_a_connection_in_that_airflow_finds_with_the_configuration_shown() {
    let (home, worker) = (Home::new(), Worker::new());
    let daemon = home.start_dev();
    let shown = blocks("airflow", "ini").concat();
    let acme = r#""project": "acme", "environment": "prod""#;
    assert!(shown.contains(acme), "{shown}");
    let ours = format!(r#""project": "dev", "address": "{}""#, address(&daemon));
    let airflow = worker.home.path().join("airflow");
    fs::create_dir(&airflow).expect("a writable home");
    fs::write(airflow.join("airflow.cfg"), shown.replace(acme, &ours)).expect("a writable home");

    // The page's own copy of the example is not the one that is imported.
    let elsewhere = Home::new();
    let mut page = page(&elsewhere, &daemon, "airflow");
    worker.prepare(&mut page);
    let (printed, log) = said(&mut page, WAREHOUSE);
    assert!(printed.ends_with("db.acme.example\n"), "{printed}\n{log}");
    assert!(!format!("{printed}{log}").contains(CANARY));
}

#[tokio::test]
async fn missing_definition_goes_on_to_the_next_backend_and_no_other_failure_does() {
    let (home, worker) = (Home::new(), Worker::new());
    let (daemon, caller) = daemon_with_a_connection(&home).await;
    let binary = v1::SecretDefinition {
        format: v1::secret_definition::Format::Binary.into(),
        ..of_airflow("var_binary")
    };
    let bytes = v1::Payload {
        value: Some(v1::payload::Value::Data(CANARY.into())),
        ..Default::default()
    };
    for put in [
        put_of(of_airflow("conn_empty"), None),
        put_of(of_airflow("conn_wrong"), Some(CANARY)),
        put_of(of_airflow("conn_garbled"), Some("{\"canary-7c1e")),
        put_of(of_airflow("var_REGION"), Some(CANARY)),
        v1::PutSecretDefinitionRequest {
            payload: Some(bytes),
            ..put_of(binary, None)
        },
    ] {
        caller.put(put).await.expect("registered");
    }
    let look_ups = [
        "conn:warehouse",
        "var:REGION",
        "conn:missing",
        "var:missing",
        "var:no.id",
        "var:nowhere",
        "conn:empty",
        "conn:wrong",
        "conn:garbled",
        "var:binary",
    ];
    let older = |command: &mut Command| {
        for id in ["WAREHOUSE", "MISSING", "EMPTY", "WRONG", "GARBLED"] {
            command.env(format!("AIRFLOW_CONN_{id}"), "http://etl:older@localhost");
        }
        for key in ["MISSING", "NO.ID", "BINARY"] {
            command.env(format!("AIRFLOW_VAR_{key}"), "older");
        }
    };
    let backend = json!({ "project": "dev", "address": address(&daemon) });
    let mut command = worker.look_ups(&backend, &look_ups);
    older(&mut command);
    let lines = outcomes(&mut command);
    assert_eq!(lines.len(), look_ups.len(), "{lines:?}");
    assert_eq!(
        lines[..5],
        [
            "conn:warehouse: from Claviger",
            "var:REGION: from Claviger",
            "conn:missing: from an older place",
            "var:missing: from an older place",
            "var:no.id: from an older place",
        ]
    );
    assert_told(&lines[5], &["AirflowRuntimeError", "VARIABLE_NOT_FOUND"]);
    let name = "ClavigerError: no projects/dev/secrets/airflow_conn_empty from Claviger: ";
    assert_told(&lines[6], &[name, "[SECRET_NOT_FOUND]"]);
    assert_told(
        &lines[7],
        &["ClavigerError: ", "connection wrong", "put one such as"],
    );
    assert_told(
        &lines[8],
        &["ClavigerError: ", "connection garbled", "put one such as"],
    );
    assert_told(
        &lines[9],
        &["ClavigerError: ", "airflow_var_binary", "TEXT"],
    );

    let backend = json!({
        "project": "dev",
        "address": address(&daemon),
        "connections_lookup_pattern": "missing|ware$",
        "variables_prefix": null,
    });
    let mut command = worker.look_ups(&backend, &["conn:warehouse", "var:binary"]);
    older(&mut command);
    let expected = [
        "conn:warehouse: from an older place",
        "var:binary: from an older place",
    ];
    assert_eq!(outcomes(&mut command), expected);
}

#[tokio::test]
async fn look_up_waits_for_a_daemon_that_starts_again_and_fails_when_none_does() {
    let (home, worker) = (Home::new(), Worker::new());
    let (daemon, _) = daemon_with_a_connection(&home).await;
    let (socket, address) = (daemon.socket(), address(&daemon));
    assert_eq!(daemon.stopped().await.code(), Some(0));

    let backend = json!({ "project": "dev", "address": address, "timeout": 1 });
    let mut command = worker.look_ups(&backend, &["conn:warehouse"]);
    let lines = outcomes(command.env("AIRFLOW_CONN_WAREHOUSE", "http://etl:older@localhost"));
    let name = "ClavigerError: no projects/dev/secrets/airflow_conn_warehouse from Claviger: ";
    assert_told(&lines[0], &[name, "start it", "after 1 s (`timeout`)"]);

    // Something else in its place sees that Airflow has asked.
    fs::remove_file(&socket).ok();
    let listener = UnixListener::bind(&socket).expect("nobody is there");
    let backend = json!({ "project": "dev", "address": address, "timeout": 60 });
    let mut command = worker.look_ups(&backend, &["conn:warehouse"]);
    let child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    drop(listener.accept().expect("it asks"));
    drop(listener);
    fs::remove_file(&socket).expect("it was there");
    let _daemon = home.start_dev();
    let output = child.wait_with_output().expect("it is our child");
    let (printed, _) = texts(&output);
    assert!(
        printed.contains("conn:warehouse: from Claviger"),
        "{printed}"
    );
}

#[tokio::test]
async fn pause_that_the_daemon_names_is_kept_and_a_team_has_its_project() {
    let worker = Worker::new();
    let socket = worker.home.path().join("pauses.sock");
    let socket = socket.to_str().expect("text");
    said(&mut worker.script("airflow_pauses.py", &[socket]), "");
}

#[tokio::test]
async fn child_that_is_forked_after_a_look_up_can_look_up_too() {
    let (home, worker) = (Home::new(), Worker::new());
    let (daemon, _) = daemon_with_a_connection(&home).await;
    let backend = json!({ "project": "dev", "address": address(&daemon) });
    let lines = outcomes(&mut worker.look_ups(&backend, &["forks:30"]));
    assert_eq!(lines, ["forks:30: 30 children"]);
}

#[tokio::test]
async fn certificate_or_token_of_a_file_looks_up_over_tls() {
    let (home, worker) = (Home::new(), Worker::new());
    let now = since_epoch();
    let (ours, acme) = (Authority::new("ours", now), Authority::new("acme", now));
    let write = |name: &str, text: &str| {
        let file = home.path().join(name);
        fs::write(&file, text).expect("a writable home");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
        file
    };
    let (server, etl) = (ours.server(&["127.0.0.1"]), acme.client(&[ETL], |_| ()));
    let (ca_file, other_ca_file) = (
        write("ours.crt", &ours.pem()),
        write("acme.crt", &acme.pem()),
    );
    let (certificate, key) = (
        write("etl.crt", &etl.certificate),
        write("etl.key", &etl.key),
    );
    let config = format!(
        "[tls]\ncertificate_file = {:?}\nprivate_key_file = {:?}\nclient_auth = \"optional\"\n\
         client_ca_file = {other_ca_file:?}\nspiffe_trust_domain = \"acme.example\"\n",
        write("server.crt", &server.certificate),
        write("server.key", &server.key),
    );
    let daemon = home.start(&mut home.configured(&config));
    let caller = Caller::of(&daemon).await;
    let put = put_of(of_airflow("conn_warehouse"), Some(WAREHOUSE));
    caller.put(put).await.expect("registered");
    let grant = v1::Grant {
        principal: ETL.to_owned(),
        role: v1::Role::Runner.into(),
        resource: "projects/dev".to_owned(),
        ..Default::default()
    };
    let request = v1::PutGrantRequest { grant: Some(grant) };
    caller.access().put_grant(request).await.expect("granted");
    let token = caller.token("dev", &[v1::Role::Runner]).await;
    let token_file = write("token", &format!("{token}\n"));
    let answer = write("answer", &format!("{{\"token\": \"{token}\"}}"));

    let with = |more: Value| {
        let mut backend = json!({
            "project": "dev",
            "address": daemon.tcp().to_string(),
            "ca_file": ca_file,
            "timeout": 60,
        });
        let arguments = backend.as_object_mut().expect("an object");
        arguments.extend(more.as_object().expect("an object").clone());
        let output = output_of(&mut worker.look_ups(&backend, &["conn:warehouse"]), "");
        let (printed, log) = texts(&output);
        assert!(!format!("{printed}{log}").contains(&token));
        printed
    };
    for proof in [
        json!({ "certificate_file": certificate, "private_key_file": key }),
        json!({ "token_file": token_file }),
    ] {
        let printed = with(proof);
        assert!(printed.contains("from Claviger"), "{printed}");
    }
    for (more, words) in [
        (json!({}), "[CREDENTIALS_REQUIRED]"),
        (
            json!({ "token_file": answer }),
            "has to hold a token (clv_…)",
        ),
        (
            json!({ "token_file": "/nowhere" }),
            "/nowhere cannot be read",
        ),
        (json!({ "ca_file": other_ca_file }), "it is not trusted"),
    ] {
        assert_told(&with(more), &["ClavigerError: ", words]);
    }
}
