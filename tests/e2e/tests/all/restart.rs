//! Acknowledged writes are there after `kill -9`, and nothing is there by half.

use std::collections::HashSet;
use std::fs;

use claviger_e2e::{Client, Home, reason, tools};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::writers::{self, Secret, Tally};

/// Most events waited for before the daemon is killed.
const EVENTS_MAX: u64 = 80;

/// The writes in the audit log: definition and version.
fn audited(home: &Home) -> HashSet<(String, String)> {
    let log = fs::read_to_string(home.audit_log()).expect("an audit log");
    let records = log.lines().filter_map(|line| {
        // The last line may be torn.
        let record: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| Some(record[key].as_str()?.to_owned());
        let is_outcome = text("phase")? == "OUTCOME" && text("outcome")? == "ALLOWED";
        is_outcome.then_some((text("resource")?, text("version")?))
    });
    records.collect()
}

/// Lets writers write until `events` things happened, then kills the daemon under them.
async fn killed_under_writers(home: &Home, round: u64, events: u64) -> Vec<Secret> {
    let daemon = home.start_dev();
    let (sender, mut happened) = mpsc::unbounded_channel();
    let writers = writers::start(&daemon.socket(), &round.to_string(), &sender).await;
    for _ in 0..events {
        happened.recv().await.expect("writers write");
    }
    daemon.kill();
    drop(happened);
    let mut secrets = Vec::new();
    for (written, status) in writers.join_all().await {
        assert_eq!(
            reason(&status),
            None,
            "only the kill ends a writer: {status:?}"
        );
        secrets.extend(written);
    }
    secrets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_daemon_is_killed_under_eight_writers() {
    let kills = 20 * tools::volume();
    let (mut random, seed) = tools::random();
    println!("seed {seed}, {kills} kills");
    let home = Home::new();
    let mut all = Vec::new();
    let mut tally = Tally::default();
    for round in 0..kills {
        let events = 1 + random.u64(..EVENTS_MAX);
        let context = format!("seed {seed}, kill {round}");
        let mut secrets = killed_under_writers(&home, round, events).await;
        let audited = audited(&home);
        for acknowledged in secrets.iter().flat_map(Secret::acknowledged) {
            assert!(
                audited.contains(&acknowledged),
                "{context}: {acknowledged:?}"
            );
        }

        let daemon = home.start_dev();
        let client = Client::connect(&daemon.socket()).await;
        for secret in &mut secrets {
            secret.compare(&client, &mut tally).await;
            secret.repeat(&client, &mut tally).await;
        }
        tally.assert_clean(&context);
        let verified = home.run(&["audit", "verify", &home.audit_log().display().to_string()]);
        assert_eq!(verified.status.code(), Some(0), "{context}: {verified:?}");
        daemon.kill();
        all.extend(secrets);
    }

    let daemon = home.start_dev();
    let client = Client::connect(&daemon.socket()).await;
    let mut end = Tally::default();
    for secret in &all {
        secret.compare(&client, &mut end).await;
    }
    end.assert_clean("at the end");
    assert_eq!(end.acknowledged, tally.acknowledged + tally.unknown);
    println!(
        "{kills} kills: {} writes acknowledged, 0 lost, 0 half-written; {} unknown, of which {} done",
        tally.acknowledged, tally.unknown, tally.unknown_done
    );
    assert!(tally.acknowledged > 0 && tally.unknown > 0, "{tally:?}");
}
