//! The file of the audit log: what floods it, and what happens when it is taken away.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use claviger_audit::{log_files, verify_files};
use claviger_integration::{Options, Server, own_uid};
use claviger_proto::v1;
use serde_json::Value;
use tonic::Code;

use crate::support::{denied, fails, secret};

#[tokio::test]
async fn a_caller_without_a_grant_does_not_fill_the_log() {
    let options = Options {
        first_admin: own_uid() + 1,
        ..Options::default()
    };
    let mut server = Server::start(options).await;
    let nobody = server.unix();
    let mark = server.audit_lines().len();
    for second in 0..10 {
        for number in 0..20 {
            denied(nobody.get(&secret(&format!("s-{second}-{number}"))).await);
        }
        server.clock.advance(Duration::from_secs(1));
    }
    server.restart().await;
    let lines = server.audit_lines().split_off(mark);
    let of_nobody = |line: &&Value| line["principal"] == format!("unix:{}", own_uid());
    let lines: Vec<_> = lines.iter().filter(of_nobody).collect();
    let one_by_one = lines.iter().filter(|line| line["outcome"] == "DENIED");
    assert_eq!(one_by_one.count(), 10, "one a second");
    let counted = lines.iter().filter_map(|line| line["unnoted"].as_u64());
    assert_eq!(counted.sum::<u64>(), 190);
    let last = lines.last().unwrap();
    assert_eq!(last["unnoted_last"], secret("s-9-19"));
}

#[tokio::test]
async fn a_log_that_is_cut_under_the_daemon_ends_what_it_serves() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("served");
    client.put(&name, "value").await.unwrap();
    cut(&server.dir().join("audit.jsonl"));
    fails(
        client.get(&name).await,
        Code::Unavailable,
        "AUDIT_UNAVAILABLE",
    );
    let status = client.daemon().get_status(v1::GetStatusRequest {}).await;
    let parts = status.unwrap().into_inner().parts;
    let audit = parts.iter().find(|part| part.name == "audit").unwrap();
    assert!(!audit.ok);
}

#[tokio::test]
async fn a_log_that_is_renamed_under_the_daemon_goes_on_in_a_new_file() {
    let (mut server, client) = Server::prepared(Options::default()).await;
    let name = secret("served");
    client.put(&name, "value").await.unwrap();
    let path = server.dir().join("audit.jsonl");
    let away = path.with_extension("away");
    fs::rename(&path, &away).unwrap();
    // A change waits until its intent is synced, and the file is looked at then.
    for number in 0..3 {
        client.project(&format!("projects/p-{number}"), &[]).await;
    }
    assert_eq!(server.audit_lines()[0]["event"], "moved");
    verify_files(&[away.clone(), path]).unwrap();
    server.restart().await;
    assert_eq!(server.unix().text(&name).await, "value");
    let files = log_files(&server.dir()).unwrap();
    assert_eq!(files[0], away);
    verify_files(&files).unwrap();
}

#[tokio::test]
async fn a_log_that_lost_records_while_the_daemon_was_stopped_is_refused_unless_accepted() {
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    let emptied = |path: &Path| fs::write(path, "").unwrap();
    let deeds: [&dyn Fn(&Path); 3] = [&cut, &gone, &emptied];
    for deed in deeds {
        let (mut server, client) = Server::prepared(Options::default()).await;
        let name = secret("served");
        client.put(&name, "value").await.unwrap();
        // An honest stop is none.
        server.restart().await;
        assert_eq!(server.unix().text(&name).await, "value");

        let why = server.refuses_after(deed).await;
        assert!(why.contains("--accept-audit-gap"), "{why}");
        server
            .restart_with(|options| options.accept_audit_gap = true)
            .await;
        assert_eq!(server.unix().text(&name).await, "value");
        let first = &server.audit_lines()[0];
        assert_eq!(first["event"], "gap");
        assert_eq!(
            first["seq"].as_u64(),
            first["sealed_seq"].as_u64().map(|seq| seq + 1)
        );
        server
            .restart_with(|options| options.accept_audit_gap = false)
            .await;
        assert_eq!(server.unix().text(&name).await, "value");
    }
}

/// Cuts the last records off.
fn cut(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let kept: usize = lines[..lines.len() - 2].iter().map(|line| line.len()).sum();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(kept as u64).unwrap();
}
