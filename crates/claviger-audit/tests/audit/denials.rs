//! How many denials are written down.

use std::sync::Arc;
use std::time::Duration;

use claviger_audit::{Audit, Facts, verify};
use claviger_core::{Error, ManualClock, Reason, Uid};
use serde_json::Value;

use crate::support::{MemorySink, authorize, authorize_on, manual_clock};

const WINDOW: Duration = Duration::from_secs(1);

/// Has a grant, but is denied.
const GRANTED: u32 = 2;

/// Has none.
const GRANTLESS: u32 = 1;

fn audit() -> (Arc<Audit>, MemorySink, Arc<ManualClock>) {
    let (sink, clock) = (MemorySink::default(), manual_clock());
    let audit = Audit::with_sink(Box::new(sink.clone()), clock.clone()).expect("opens");
    (audit, sink, clock)
}

async fn deny(audit: &Arc<Audit>, uid: u32, count: usize) {
    for number in 0..count {
        let name = format!("projects/dev/secrets/s-{number}");
        let error = authorize_on(audit, uid, &name).await.expect_err("denied");
        assert_eq!(error.reason(), Reason::AccessDenied);
    }
}

/// The records besides those of the start, without those of `opened` and so on.
fn records(sink: &MemorySink) -> Vec<Value> {
    verify(sink.text().as_bytes()).expect("the chain holds");
    sink.lines().split_off(2)
}

fn denied_of(records: &[Value], uid: u32) -> usize {
    let principal = format!("unix:{uid}");
    let is_meant = |line: &&Value| line["principal"] == *principal && line["outcome"] == "DENIED";
    records.iter().filter(is_meant).count()
}

fn unnoted(record: &Value) -> (Option<u64>, Option<&str>, Option<&str>) {
    (
        record["unnoted"].as_u64(),
        record["unnoted_first"].as_str(),
        record["unnoted_last"].as_str(),
    )
}

#[tokio::test]
async fn ten_denials_a_second_are_recorded_and_the_next_record_counts_the_others() {
    let (audit, sink, clock) = audit();
    deny(&audit, GRANTED, 25).await;
    assert_eq!(denied_of(&records(&sink), GRANTED), 10);
    clock.advance(WINDOW);
    deny(&audit, GRANTED, 1).await;
    let records = records(&sink);
    assert_eq!(records.len(), 11);
    assert!(
        records[..10]
            .iter()
            .all(|record| record["unnoted"].is_null())
    );
    let (first, last) = ("projects/dev/secrets/s-10", "projects/dev/secrets/s-24");
    assert_eq!(unnoted(&records[10]), (Some(15), Some(first), Some(last)));
}

#[tokio::test]
async fn a_record_of_another_kind_counts_them_too() {
    let (audit, sink, _) = audit();
    for _ in 0..12 {
        drop(authorize(&audit, 0).await.expect("allowed"));
    }
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let concluded = audit.conclude(authorized, Ok(()), |()| Facts::default());
    concluded.await.expect("written");
    let records = records(&sink);
    assert_eq!(records.len(), 11, "ten were left, two counted, one allowed");
    assert_eq!(records[10]["outcome"], "ALLOWED");
    assert_eq!(records[10]["unnoted"], 2);
}

#[tokio::test]
async fn what_is_counted_is_written_when_the_flood_ends_or_the_daemon_does() {
    let (audit, sink, clock) = audit();
    deny(&audit, GRANTED, 15).await;
    clock.advance(WINDOW);
    // A record of somebody else.
    drop(authorize(&audit, 0).await.expect("allowed"));
    deny(&audit, GRANTLESS, 4).await;
    drop(audit);
    let records = records(&sink);
    let summaries: Vec<_> = records
        .iter()
        .filter(|record| record["event"] == "unnoted")
        .collect();
    let shown = |record: &&Value| (record["principal"].clone(), record["unnoted"].clone());
    assert_eq!(
        summaries.iter().map(shown).collect::<Vec<_>>(),
        [("unix:2".into(), 5.into()), ("unix:1".into(), 3.into())]
    );
    assert_eq!(summaries[0]["unnoted_first"], "projects/dev/secrets/s-10");
    assert_eq!(summaries[0]["unnoted_last"], "projects/dev/secrets/s-14");
}

#[tokio::test]
async fn every_denial_is_in_a_record_or_in_a_count() {
    let (audit, sink, clock) = audit();
    let mut asked = 0;
    for round in 0..20 {
        for uid in [GRANTED, GRANTLESS, 3, 4] {
            let count = round % 7 * 5;
            deny(&audit, uid, count).await;
            asked += count as u64;
        }
        if round % 3 == 0 {
            clock.advance(WINDOW);
        }
    }
    drop(audit);
    let count = |record: &Value| {
        let denied = u64::from(record["outcome"] == "DENIED");
        denied + record["unnoted"].as_u64().unwrap_or(0)
    };
    assert_eq!(records(&sink).iter().map(count).sum::<u64>(), asked);
}

#[tokio::test]
async fn callers_without_a_grant_share_a_bound() {
    let (audit, sink, clock) = audit();
    for uid in 1000..6000 {
        deny(&audit, uid, 2).await;
    }
    // Takes nothing from those that have one.
    deny(&audit, GRANTED, 12).await;
    clock.advance(WINDOW);
    drop(audit);
    let records = records(&sink);
    let (granted, strangers): (Vec<_>, Vec<_>) = records
        .iter()
        .partition(|record| record["principal"] == "unix:2");
    assert_eq!(granted.len(), 11);
    let noted = strangers
        .iter()
        .filter(|record| record["outcome"] == "DENIED");
    assert_eq!(noted.count(), 10);
    assert_eq!(strangers.len(), 10 + 10 + 1, "{strangers:#?}");
    let all_others = |record: &&&Value| record["principal"].is_null();
    let rest = strangers.iter().find(all_others).expect("a summary");
    assert_eq!(rest["unnoted"], (5000 - 10) * 2);
    assert_eq!(rest["unnoted_first"], "projects/dev/secrets/s-0");
    assert_eq!(rest["unnoted_last"], "projects/dev/secrets/s-1");
}

#[tokio::test]
async fn a_flood_of_ten_seconds_makes_the_log_grow_by_less_than_a_mebibyte() {
    let (audit, sink, clock) = audit();
    for _ in 0..10 {
        deny(&audit, GRANTLESS, 2000).await;
        for uid in 100_000..100_500 {
            deny(&audit, uid, 1).await;
        }
        for _ in 0..500 {
            let refused = audit.refuse_unauthenticated(
                Uid::random(),
                "claviger.v1.SecretService/GetSecret",
                "tcp",
                Reason::TokenInvalid,
                None,
            );
            refused.await.expect("counted");
        }
        clock.advance(WINDOW);
    }
    drop(audit);
    let bytes = sink.text().len();
    assert!(bytes < 1 << 20, "{bytes}");
    assert!(bytes > 10_000, "some are recorded: {bytes}");
}

#[tokio::test]
async fn what_was_allowed_or_begun_is_never_only_counted() {
    let (audit, sink, _) = audit();
    for _ in 0..30 {
        let authorized = authorize(&audit, 0).await.expect("allowed");
        let concluded = audit.conclude(authorized, Ok(()), |()| Facts::default());
        concluded.await.expect("written");
        let authorized = authorize(&audit, 0).await.expect("allowed");
        let facts = Facts::default();
        audit.intent(&authorized, facts).await.expect("written");
        let denied = Err::<(), _>(Error::new(Reason::AccessDenied));
        let concluded = audit.conclude(authorized, denied, |()| Facts::default());
        concluded.await.expect_err("denied");
        let left = authorize(&audit, 0).await.expect("allowed");
        let facts = Facts::default();
        audit.intent(&left, facts).await.expect("written");
        drop(left);
    }
    drop(audit);
    assert_eq!(records(&sink).len(), 30 * 5);
}

#[tokio::test]
async fn denials_that_come_late_and_callers_that_leave_are_bounded_too() {
    let (audit, sink, _) = audit();
    for _ in 0..15 {
        let authorized = authorize(&audit, 0).await.expect("allowed");
        let denied = Err::<(), _>(Error::new(Reason::TokenExpired));
        let concluded = audit.conclude(authorized, denied, |()| Facts::default());
        concluded.await.expect_err("denied");
        drop(authorize(&audit, 0).await.expect("allowed"));
    }
    drop(audit);
    let records = records(&sink);
    assert_eq!(records.len(), 11);
    assert_eq!(records[10]["unnoted"], 20);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_silence_denials() {
    let sink = MemorySink::default();
    let clock = Arc::new(Backwards::default());
    let audit = Audit::with_sink(Box::new(sink.clone()), clock.clone()).expect("opens");
    deny(&audit, GRANTED, 11).await;
    clock
        .is_back
        .store(true, std::sync::atomic::Ordering::SeqCst);
    deny(&audit, GRANTED, 1).await;
    let last = records(&sink).pop().expect("a record");
    assert_eq!(last["unnoted"], 1);
}

#[derive(Debug, Default)]
struct Backwards {
    is_back: std::sync::atomic::AtomicBool,
}

impl claviger_core::Clock for Backwards {
    fn now(&self) -> std::time::SystemTime {
        let is_back = self.is_back.load(std::sync::atomic::Ordering::SeqCst);
        let seconds = if is_back {
            1_000_000_000
        } else {
            1_795_320_000
        };
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
}
