//! A note is there exactly when what it tells of is.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use claviger_core::Reason;
use claviger_store::{Batch, Change, Committed, Expect, Note, Records, Store};

use crate::only;
use crate::support::{colour, fixture, fruit, open};

fn red(expect: Expect, note: &str) -> Batch {
    let batch = Batch::new().put("apple", &fruit("red"), expect);
    batch.note(note.as_bytes().to_vec())
}

async fn revision(records: &Records, batch: Batch) -> u64 {
    match records.commit(batch).await.expect("commits") {
        Committed::At(revision) => revision,
        Committed::Conflict { .. } | Committed::Ended => 0,
    }
}

async fn forget(records: &Records, up_to: u64) {
    let batch = Batch::new().put("pear", &fruit("green"), Expect::Any);
    assert!(revision(records, batch.forget_notes(up_to)).await > 0);
}

async fn notes(records: &Records) -> Vec<(u64, String)> {
    let notes = records.notes().await.expect("reads");
    let text = |note: Note| (note.revision, String::from_utf8(note.bytes).expect("text"));
    notes.into_iter().map(text).collect()
}

#[tokio::test]
async fn a_note_is_kept_exactly_if_its_commit_is_done() {
    let (directory, store, records) = fixture().await;
    let first = revision(&records, red(Expect::Absent, "first").duplicate()).await;
    let conflict = records.commit(red(Expect::Absent, "conflict")).await;
    assert!(matches!(conflict, Ok(Committed::Conflict { .. })));
    let over = red(Expect::Any, "over").before(SystemTime::UNIX_EPOCH);
    assert!(matches!(records.commit(over).await, Ok(Committed::Ended)));
    let twice = red(Expect::Any, "twice").put("apple", &fruit("red"), Expect::Any);
    records.commit(twice).await.expect_err("is refused");
    let kept = [(first, "first".to_owned())];
    assert_eq!(notes(&records).await, kept);

    // The commit is done, but its caller does not hear of it.
    store.fail_commits.store(true, Ordering::SeqCst);
    let lost = records.commit(red(Expect::Revision(first), "lost")).await;
    lost.expect_err("fails");
    drop((records, store));
    let (_directory, _store, records) = open(directory).await;
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("red"));
    let [first] = kept;
    let lost = (first.0 + 1, "lost".to_owned());
    assert_eq!(notes(&records).await, [first, lost]);
}

#[tokio::test]
async fn notes_are_forgotten_up_to_a_revision_and_the_others_stay_in_order() {
    let (_directory, _store, records) = fixture().await;
    let mut all = Vec::new();
    for number in 0..150 {
        let note = number.to_string();
        all.push((revision(&records, red(Expect::Any, &note)).await, note));
    }
    assert_eq!(notes(&records).await, all);
    forget(&records, all[99].0).await;
    assert_eq!(notes(&records).await, all[100..]);
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("red"));
    forget(&records, u64::MAX).await;
    assert_eq!(notes(&records).await, []);
    let last = revision(&records, red(Expect::Any, "last")).await;
    assert_eq!(notes(&records).await, [(last, "last".to_owned())]);
}

#[tokio::test]
async fn notes_are_sealed_and_a_changed_row_is_refused_by_name() {
    let (directory, store, records) = fixture().await;
    let revision = revision(&records, red(Expect::Any, "canary-note")).await;
    for entry in std::fs::read_dir(directory.path()).expect("lists") {
        let bytes = std::fs::read(entry.expect("lists").path()).expect("reads");
        assert!(!bytes.windows(7).any(|window| window == b"canary-"));
    }
    let key = format!("audit-outbox/{revision:020}");
    let row = store.get(&key).await.expect("reads").expect("is there");
    let cut = row.bytes[..row.bytes.len() - 1].to_vec();
    let mut flipped = row.bytes.clone();
    *flipped.last_mut().expect("is there") ^= 1;
    for (bytes, named) in [
        (cut, format!("row {key} does not hold notes")),
        (flipped, "audit-outbox".to_owned()),
    ] {
        let change = Change {
            key: key.clone(),
            bytes: Some(bytes),
            expect: Expect::Any,
        };
        drop(store.commit(only(change)).await.expect("commits"));
        let error = records.notes().await.expect_err("is refused");
        assert_eq!(error.reason(), Reason::IntegrityFailure);
        let text = format!("{error:?}");
        assert!(text.contains(&named), "{text}");
    }
}
