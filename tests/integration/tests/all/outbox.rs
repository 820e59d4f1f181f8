//! The intent of a put to the managed vault is committed with the value: there exactly if that is,
//! and in the audit log before the answer, without a sync of its own.

use std::fs;
use std::path::Path;

use claviger_audit::Health;
use claviger_integration::{
    AuditLog, Client, FaultyBackend, FaultySink, Gate, Options, Server, Verb,
};
use claviger_proto::v1;
use serde_json::Value;
use tonic::Code;

use crate::support::{fails, in_faulty, located, request_id, secret, storing, versions};

/// Lets everything go on, also in a test that failed: before its server is dropped.
struct Release(FaultySink);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.release();
    }
}

fn on_sink() -> (FaultySink, Gate, Options) {
    let (sink, gate) = (FaultySink::default(), Gate::default());
    let options = Options {
        audit: AuditLog::Sink(sink.clone()),
        gate: gate.clone(),
        ..Options::default()
    };
    (sink, gate, options)
}

fn of_puts<'a>(lines: &'a [Value], phase: &str) -> Vec<&'a Value> {
    let is_one = |line: &&Value| {
        line["phase"] == phase && line["rpc"] == "claviger.v1.SecretService/PutSecretValue"
    };
    lines.iter().filter(is_one).collect()
}

#[tokio::test]
async fn while_a_sync_of_the_log_hangs_reads_and_puts_go_on_and_another_vault_is_not_asked() {
    let (sink, gate, options) = on_sink();
    let vault = FaultyBackend::new();
    let options = Options {
        vaults: Options::with_faulty(&vault).vaults,
        ..options
    };
    let (server, client) = Server::prepared(options).await;
    let _release = Release(sink.clone());
    let (own, other) = (secret("own"), secret("other"));
    client.put(&own, "one").await.unwrap();
    let registered = client.put_definition(located(&other, in_faulty(""))).await;
    registered.unwrap();

    sink.hold_syncs();
    let before = gate.done();
    let elsewhere = async { client.rotate(&other, "two").await.unwrap() };
    let meanwhile = async {
        sink.written("SecretService/PutSecretValue").await;
        puts_go_on(&server, &client, &own).await;
        assert_eq!(gate.done(), before + 2, "one commit each");
        assert_eq!(vault.count(Verb::Write), 0);
        assert!(gate.notes().await > 0, "until they are synced");
        sink.release();
    };
    tokio::join!(elsewhere, meanwhile);
    assert_eq!(vault.count(Verb::Write), 1);
    assert_eq!(gate.done(), before + 4, "pending, then current");
}

/// Puts to the managed vault, and reads, while that to another vault waits for its intent.
async fn puts_go_on(server: &Server, client: &Client, own: &str) {
    assert_eq!(client.rotate(own, "two").await.unwrap().version, "2");
    assert_eq!(client.text(own).await, "two");
    client.put(&secret("new"), "three").await.unwrap();
    assert_eq!(client.text(&secret("new")).await, "three");
    // That of the other vault is there, but not for good.
    let lines = server.audit_lines();
    assert_eq!(of_puts(&lines, "INTENT").len(), 2);
    assert_eq!(of_puts(&lines, "OUTCOME").len(), 1);
}

#[tokio::test]
async fn a_put_whose_intent_cannot_be_copied_is_unknown_and_nothing_is_committed_after_it() {
    let (sink, gate, options) = on_sink();
    let (server, client) = Server::prepared(options).await;
    let _release = Release(sink.clone());
    let name = secret("uncopied");
    client.put(&name, "old").await.unwrap();
    let put = v1::PutSecretValueRequest {
        request_id: request_id(),
        ..storing(&name, "new")
    };
    let before = gate.done();
    sink.hold(["/PutSecretValue".to_owned(), "\"INTENT\"".to_owned()]);
    let meanwhile = async {
        sink.entered().await;
        assert_eq!(gate.done(), before + 1, "first the commit");
        sink.set_full(true);
        sink.release();
    };
    let (lost, ()) = tokio::join!(client.put_value(put.clone()), meanwhile);
    let status = fails(lost, Code::Unknown, "WRITE_OUTCOME_UNKNOWN");
    assert!(status.message().contains("same request_id"), "{status:?}");
    for _ in 0..2 {
        let refused = client.put_value(put.clone()).await;
        fails(refused, Code::Unavailable, "AUDIT_UNAVAILABLE");
        let refused = client.rotate(&name, "later").await;
        fails(refused, Code::Unavailable, "AUDIT_UNAVAILABLE");
    }
    assert_eq!(gate.done(), before + 1);
    assert_eq!(of_puts(&server.audit_lines(), "INTENT").len(), 0);

    let mut health = server.audit_health();
    sink.set_full(false);
    let well = health.wait_for(|health| *health == Health::Well).await;
    drop(well.unwrap());
    assert_eq!(client.text(&name).await, "new");
    let lines = server.audit_lines();
    assert_eq!(of_puts(&lines, "INTENT").len(), 1, "made up for");
    // What is told of it is the answer that was not heard.
    assert_eq!(client.put_value(put).await.unwrap().version, "2");
    assert_eq!(versions(&client, &name).await.len(), 2);
    claviger_audit::verify(&server.audit_bytes()[..]).expect("the chain goes on");
}

#[tokio::test]
async fn while_the_log_cannot_be_written_no_vault_is_asked_whether_a_put_may_begin() {
    let (sink, _gate, options) = on_sink();
    let vault = FaultyBackend::shared();
    let options = Options {
        vaults: Options::with_faulty(&vault).vaults,
        ..options
    };
    let (_server, client) = Server::prepared(options).await;
    let name = secret("fenced");
    let registered = client.put_definition(located(&name, in_faulty(""))).await;
    registered.unwrap();
    let version = client.rotate(&name, "one").await.unwrap().version;
    let put = v1::PutSecretValueRequest {
        if_version: version,
        ..storing(&name, "two")
    };
    sink.set_full(true);
    let unheard = client.get(&name).await;
    fails(unheard, Code::Unavailable, "AUDIT_UNAVAILABLE");
    let before = vault.count(Verb::Read);
    let refused = client.put_value(put).await;
    fails(refused, Code::Unavailable, "AUDIT_UNAVAILABLE");
    assert_eq!(vault.count(Verb::Read), before);
}

/// Cuts the log off before the last intent of a put, as a crash does before it is written.
fn cut_off(log: &Path) {
    let text = fs::read_to_string(log).unwrap();
    let (before, _) = text.rsplit_once("\"INTENT\"").unwrap();
    let (before, _) = before.rsplit_once('\n').unwrap();
    fs::write(log, format!("{before}\n")).unwrap();
}

#[tokio::test]
async fn a_start_after_a_crash_writes_the_intent_of_a_put_that_was_done_once() {
    let gate = Gate::default();
    // So that neither the mark of the log nor the notes are as they are after a stop in good order.
    gate.fail_seals(true);
    let options = Options {
        gate: gate.clone(),
        ..Options::default()
    };
    let (mut server, client) = Server::prepared(options).await;
    let name = secret("crashed");
    client.put(&name, "old").await.unwrap();
    client.rotate(&name, "new").await.unwrap();
    let before = server.audit_lines();
    let wanted = of_puts(&before, "INTENT")[0].clone();
    let log = server.dir().join("audit.jsonl");

    for is_cut in [true, false] {
        let path = log.clone();
        server
            .restart_with(move |_| {
                if is_cut {
                    cut_off(&path);
                }
            })
            .await;
        assert_eq!(server.unix().text(&name).await, "new");
        let lines = server.audit_lines();
        let intents = of_puts(&lines, "INTENT");
        assert_eq!(intents, [&wanted], "{is_cut}");
        let verified = claviger_audit::verify(&server.audit_bytes()[..]);
        verified.expect("the chain holds");
        assert!(gate.notes().await > 0);
    }
    gate.fail_seals(false);
    server.restart().await;
    server.restart().await;
    assert_eq!(gate.notes().await, 0, "the log has them");
    assert_eq!(of_puts(&server.audit_lines(), "INTENT"), [&wanted]);
}

#[tokio::test]
async fn notes_are_forgotten_while_the_daemon_runs_but_not_before_they_are_synced() {
    let (sink, gate, options) = on_sink();
    let (_server, client) = Server::prepared(options).await;
    let _release = Release(sink.clone());
    let name = secret("swept");
    client.put(&name, "one").await.unwrap();
    sink.hold_syncs();
    client.rotate(&name, "two").await.unwrap();
    sink.entered().await;
    assert!(gate.notes().await > 0);
    sink.release();
    gate.notes_forgotten().await;
    assert_eq!(client.text(&name).await, "two");
}
