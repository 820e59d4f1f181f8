//! The audit log: every decision is in it before its answer leaves, or the answer does not leave.

use claviger_integration::{
    AuditLog, Client, Fault, FaultyBackend, FaultySink, Options, PROJECT, Server, Verb, own_uid,
};
use claviger_proto::v1;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::support::{
    checking, creating, fails, in_faulty, located, reading, replacing, request_id, secret, storing,
    versions,
};

/// How many records the log has.
fn mark(server: &Server) -> usize {
    server.audit_lines().len()
}

/// The records of a call as `phase outcome reason`, each with the RPC it must name.
fn records_since(server: &Server, mark: usize, rpc: &str) -> Vec<String> {
    let lines = server.audit_lines().split_off(mark);
    let calls: Vec<_> = lines.iter().map(|line| &line["call"]).collect();
    assert!(
        calls.windows(2).all(|pair| pair[0] == pair[1]),
        "several calls"
    );
    let shown = |line: &Value| {
        assert_eq!(line["rpc"], format!("claviger.v1.{rpc}"), "{line}");
        ["phase", "outcome", "reason"]
            .map(|key| line[key].as_str().unwrap_or("-"))
            .join(" ")
    };
    lines.iter().map(shown).collect()
}

/// Makes calls and checks the record that each leaves in the log.
macro_rules! leaves {
    ($server:expr, $rpc:literal, $call:expr, $records:expr) => {
        let before = mark(&$server);
        let result = $call.await;
        let left = records_since(&$server, before, $rpc);
        assert_eq!(left, $records, "{} {:?}", $rpc, result.map(drop));
    };
}

const DECISION: [&str; 1] = ["DECISION ALLOWED -"];
const CHANGE: [&str; 2] = ["INTENT ALLOWED -", "OUTCOME ALLOWED -"];

#[tokio::test]
async fn a_look_at_a_secret_leaves_exactly_one_record() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("read");
    client.put(&name, "value").await.unwrap();
    let definition = v1::GetSecretDefinitionRequest { name: name.clone() };
    let definitions = v1::ListSecretDefinitionsRequest {
        parent: PROJECT.to_owned(),
        ..Default::default()
    };
    let check = checking(&name);
    let all_versions = v1::ListSecretVersionsRequest {
        parent: name.clone(),
        ..Default::default()
    };
    let mut definitions_of = client.definitions();
    leaves!(
        server,
        "SecretService/GetSecret",
        client.get(&name),
        DECISION
    );
    leaves!(
        server,
        "SecretDefinitionService/GetSecretDefinition",
        definitions_of.get_secret_definition(definition),
        DECISION
    );
    leaves!(
        server,
        "SecretDefinitionService/ListSecretDefinitions",
        definitions_of.list_secret_definitions(definitions),
        DECISION
    );
    leaves!(
        server,
        "SecretDefinitionService/CheckSecretDefinition",
        definitions_of.check_secret_definition(check),
        DECISION
    );
    leaves!(
        server,
        "SecretService/ListSecretVersions",
        client.secrets().list_secret_versions(all_versions),
        DECISION
    );
}

#[tokio::test]
async fn a_look_at_anything_else_leaves_exactly_one_record_too() {
    let (server, client) = Server::prepared(Options::default()).await;
    let project = v1::GetProjectRequest {
        name: PROJECT.to_owned(),
    };
    let projects = v1::ListProjectsRequest::default();
    let vault = v1::CheckVaultRequest {
        name: "vaults/managed".to_owned(),
    };
    let grants = v1::ListGrantsRequest::default();
    leaves!(
        server,
        "ProjectService/GetProject",
        client.projects().get_project(project),
        DECISION
    );
    leaves!(
        server,
        "ProjectService/ListProjects",
        client.projects().list_projects(projects),
        DECISION
    );
    leaves!(
        server,
        "VaultService/ListVaults",
        client.vaults().list_vaults(v1::ListVaultsRequest {}),
        DECISION
    );
    leaves!(
        server,
        "VaultService/CheckVault",
        client.vaults().check_vault(vault),
        DECISION
    );
    leaves!(
        server,
        "AccessService/ListGrants",
        client.access().list_grants(grants),
        DECISION
    );
    leaves!(
        server,
        "DaemonService/GetStatus",
        client.daemon().get_status(v1::GetStatusRequest {}),
        DECISION
    );
}

#[tokio::test]
async fn a_change_leaves_its_intent_and_its_outcome_under_one_call() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("changed");
    let put = creating(&name, "value");
    leaves!(
        server,
        "SecretDefinitionService/PutSecretDefinition",
        client.put_definition(put),
        CHANGE
    );
    leaves!(
        server,
        "SecretService/PutSecretValue",
        client.rotate(&name, "next"),
        CHANGE
    );
    let disable = v1::DisableSecretVersionRequest {
        name: format!("{name}/versions/1"),
        ..Default::default()
    };
    leaves!(
        server,
        "SecretService/DisableSecretVersion",
        client.secrets().disable_secret_version(disable),
        CHANGE
    );
    let project = v1::PutProjectRequest {
        project: Some(v1::Project {
            name: "projects/new".to_owned(),
            ..Default::default()
        }),
        validate_only: false,
    };
    leaves!(
        server,
        "ProjectService/PutProject",
        client.projects().put_project(project),
        CHANGE
    );
    let grant = v1::PutGrantRequest {
        grant: Some(v1::Grant {
            principal: "unix:7".to_owned(),
            role: v1::Role::Runner.into(),
            resource: PROJECT.to_owned(),
            ..Default::default()
        }),
    };
    leaves!(
        server,
        "AccessService/PutGrant",
        client.access().put_grant(grant),
        CHANGE
    );
    let delete = v1::DeleteSecretDefinitionRequest {
        name: name.clone(),
        purge: true,
        ..Default::default()
    };
    leaves!(
        server,
        "SecretDefinitionService/DeleteSecretDefinition",
        client.definitions().delete_secret_definition(delete),
        CHANGE
    );
}

#[tokio::test]
async fn what_is_refused_leaves_one_record_with_its_reason() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("refused");
    client.put(&name, "value").await.unwrap();
    let token = client.token(&[(v1::Role::Runner, PROJECT)]).await;
    let tcp = server.tcp().await;
    let runner = tcp.with_token(&token.token);
    leaves!(
        server,
        "SecretService/PutSecretValue",
        runner.rotate(&name, "x"),
        ["DECISION DENIED ACCESS_DENIED"]
    );
    leaves!(
        server,
        "SecretService/GetSecret",
        client.get(&secret("absent")),
        ["DECISION FAILED DEFINITION_NOT_FOUND"]
    );
    leaves!(
        server,
        "SecretService/PutSecretValue",
        client.rotate(&name, ""),
        ["DECISION FAILED PAYLOAD_EMPTY"]
    );
    let stale = v1::PutSecretValueRequest {
        if_version: "9".to_owned(),
        ..storing(&name, "x")
    };
    leaves!(
        server,
        "SecretService/PutSecretValue",
        client.put_value(stale),
        ["INTENT ALLOWED -", "OUTCOME FAILED VERSION_MISMATCH"]
    );
    leaves!(
        server,
        "SecretService/GetSecret",
        tcp.get(&name),
        ["DECISION DENIED CREDENTIALS_REQUIRED"]
    );
    leaves!(
        server,
        "SecretService/GetSecret",
        tcp.with_token("clv_nonsense").get(&name),
        ["DECISION DENIED TOKEN_INVALID"]
    );
    let last = server.audit_lines().pop().unwrap();
    assert_eq!(last["peer"], "tcp");
    assert_eq!(last["principal"], Value::Null);
}

#[tokio::test]
async fn a_record_says_who_read_what_for_which_run() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("named");
    client.put(&name, "value").await.unwrap();
    let read = v1::GetSecretRequest {
        run_id: "run-7".to_owned(),
        purpose: "nightly/sync".to_owned(),
        ..reading(&name)
    };
    let got = client.get_secret(read).await.unwrap();
    let line = server.audit_lines().pop().unwrap();
    let uid = client.definition(&name).await.unwrap().uid;
    for (key, wanted) in [
        ("principal", format!("unix:{}", own_uid())),
        ("permission", "secrets.get".to_owned()),
        ("resource", name),
        ("resource_uid", uid),
        ("vault", "managed".to_owned()),
        ("version", got.version),
        ("run_id", "run-7".to_owned()),
        ("purpose", "nightly/sync".to_owned()),
    ] {
        assert_eq!(line[key], wanted, "{key}: {line}");
    }
    assert!(line["grant"].is_string());
}

#[tokio::test]
async fn the_log_of_several_starts_verifies_and_an_edit_does_not() {
    let (mut server, _) = Server::prepared(Options::default()).await;
    for start in 0..3 {
        let client = server.unix();
        let name = secret(&format!("start-{start}"));
        client.put(&name, "value").await.unwrap();
        assert_eq!(client.text(&name).await, "value");
        server.restart().await;
    }
    let log = server.audit_bytes();
    let verified = claviger_audit::verify(&log[..]).expect("untouched");
    assert_eq!(verified.records, server.audit_lines().len() as u64);
    let edited = String::from_utf8(log)
        .unwrap()
        .replacen("start-1", "start-2", 1);
    claviger_audit::verify(edited.as_bytes()).expect_err("edited");
}

#[tokio::test]
async fn while_the_log_cannot_be_written_nothing_leaves_and_nothing_changes() {
    let sink = FaultySink::default();
    let options = Options {
        audit: AuditLog::Sink(sink.clone()),
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    let name = secret("guarded");
    client.put(&name, "value").await.unwrap();
    let definition = client.definition(&name).await.unwrap();
    let mut health = Watch::start(&client, "").await;
    let mut of_service = Watch::start(&client, "claviger.v1.SecretService").await;
    health.until(ServingStatus::Serving).await;
    of_service.until(ServingStatus::Serving).await;

    sink.set_full(true);
    let edit = replacing(v1::SecretDefinition {
        description: "edited".to_owned(),
        ..definition.clone()
    });
    for result in [
        client.get(&name).await.map(drop),
        client.rotate(&name, "next").await.map(drop),
        client.put(&secret("new"), "value").await.map(drop),
        client.put_definition(edit).await.map(drop),
        give_seven(&client).await,
        server.tcp().await.get(&name).await.map(drop),
    ] {
        let status = fails(result, Code::Unavailable, "AUDIT_UNAVAILABLE");
        assert!(status.message().contains("free disk space"), "{status:?}");
    }
    health.until(ServingStatus::NotServing).await;
    of_service.until(ServingStatus::NotServing).await;
    let status = client.daemon().get_status(v1::GetStatusRequest {}).await;
    let parts = status.unwrap().into_inner().parts;
    let audit = parts.iter().find(|part| part.name == "audit").unwrap();
    assert_eq!(
        (audit.ok, audit.reason.as_str()),
        (false, "AUDIT_UNAVAILABLE")
    );

    sink.set_full(false);
    // By itself: no call is needed.
    health.until(ServingStatus::Serving).await;
    of_service.until(ServingStatus::Serving).await;
    assert_eq!(client.text(&name).await, "value");
    assert_eq!(client.definition(&name).await.unwrap(), definition);
    assert_eq!(versions(&client, &name).await.len(), 1);
    fails(
        client.definition(&secret("new")).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    let of_seven = v1::ListGrantsRequest {
        principal: "unix:7".to_owned(),
        ..Default::default()
    };
    let grants = client.access().list_grants(of_seven).await;
    assert_eq!(grants.unwrap().into_inner().grants, []);

    claviger_audit::verify(&server.audit_bytes()[..]).expect("the chain goes on");
    let lines = server.audit_lines();
    let lost = lines.iter().find(|line| line["event"] == "recovered");
    assert!(lost.unwrap()["lost"].as_u64() >= Some(6), "{lost:?}");
}

#[tokio::test]
async fn a_change_whose_outcome_cannot_be_logged_is_not_acknowledged() {
    let vault = FaultyBackend::new();
    let sink = FaultySink::default();
    let options = Options {
        audit: AuditLog::Sink(sink.clone()),
        ..Options::with_faulty(&vault)
    };
    let (_server, client) = Server::prepared(options).await;
    let name = secret("unlogged");
    let put = located(&name, in_faulty(""));
    client.put_definition(put).await.unwrap();
    let put = v1::PutSecretValueRequest {
        request_id: request_id(),
        ..storing(&name, "value")
    };
    vault.set(Verb::Write, Fault::Hang);
    let meanwhile = async {
        vault.entered(Verb::Write, 1).await;
        sink.set_full(true);
        vault.heal();
    };
    let (written, ()) = tokio::join!(client.put_value(put.clone()), meanwhile);
    fails(written, Code::Unavailable, "AUDIT_UNAVAILABLE");

    let mut health = Watch::start(&client, "").await;
    sink.set_full(false);
    health.until(ServingStatus::Serving).await;
    let repeated = client.put_value(put).await.unwrap();
    assert_eq!(client.get(&name).await.unwrap().version, repeated.version);
    assert_eq!(vault.versions_held(), 1, "done once");
}

async fn give_seven(client: &Client) -> Result<(), Status> {
    let request = v1::PutGrantRequest {
        grant: Some(v1::Grant {
            principal: "unix:7".to_owned(),
            role: v1::Role::Runner.into(),
            resource: PROJECT.to_owned(),
            ..Default::default()
        }),
    };
    client.access().put_grant(request).await.map(drop)
}

/// The words of the health service, from now on.
struct Watch(tonic::Streaming<tonic_health::pb::HealthCheckResponse>);

impl Watch {
    async fn start(client: &Client, service: &str) -> Self {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let reply = client.health().watch(request).await;
        Self(reply.unwrap().into_inner())
    }

    /// Waits for this state; one that is reported twice counts once.
    async fn until(&mut self, status: ServingStatus) {
        loop {
            let message = self.0.message().await.unwrap();
            if message.expect("no end").status() == status {
                return;
            }
        }
    }
}
