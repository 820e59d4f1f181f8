//! The promise of a stamp: while it holds, the read that it is of would find the same.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_core::SecretBytes;
use claviger_store::{Batch, Committed, Expect, Record, Records, Stamp, Store};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde::{Deserialize, Serialize};

use crate::support::{Faulty, Fixture, Fruit, colour, fixture, fruit, put};

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Basket {
    owner: String,
}

impl Record for Basket {
    const KIND: &'static str = "baskets/";
    const FORM: u32 = 1;
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Place {
    Basket(u8),
    Fruit(u8),
    Secret(u8),
}

#[derive(Clone, Debug)]
enum Step {
    /// Puts where it says so, and deletes elsewhere.
    Commit(BTreeMap<Place, bool>),
    Read(Vec<Place>),
}

type Answer = Vec<Option<String>>;

fn secret_key(id: u8) -> String {
    format!("values/a/{id}")
}

fn text(bytes: &SecretBytes) -> String {
    String::from_utf8(bytes.expose().to_vec()).expect("text")
}

/// No content is put twice.
fn batch(changes: &BTreeMap<Place, bool>) -> Batch {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let change = |batch: Batch, (place, is_put): (&Place, &bool)| {
        let content = LAST.fetch_add(1, Ordering::Relaxed).to_string();
        match (*place, is_put) {
            (Place::Basket(id), true) => {
                let basket = Basket { owner: content };
                batch.put(&id.to_string(), &basket, Expect::Any)
            }
            (Place::Basket(id), false) => batch.delete::<Basket>(&id.to_string(), Expect::Any),
            (Place::Fruit(id), true) => {
                let fruit = Fruit { colour: content };
                batch.put(&id.to_string(), &fruit, Expect::Any)
            }
            (Place::Fruit(id), false) => batch.delete::<Fruit>(&id.to_string(), Expect::Any),
            (Place::Secret(id), true) => {
                let secret = SecretBytes::new(content.into_bytes());
                batch.put_secret(&secret_key(id), &secret, Expect::Any)
            }
            (Place::Secret(id), false) => batch.delete_secret(&secret_key(id), Expect::Any),
        }
    };
    changes.iter().fold(Batch::new(), change)
}

async fn look(records: &Records, place: Place) -> Option<String> {
    match place {
        Place::Basket(id) => {
            let stored = records.get::<Basket>(&id.to_string()).await;
            Some(stored.expect("reads")?.record.owner.clone())
        }
        Place::Fruit(id) => colour(records, &id.to_string()).await,
        Place::Secret(id) => {
            let secret = records.secret(&secret_key(id)).await;
            secret
                .expect("reads")
                .as_ref()
                .map(|(value, _)| text(value))
        }
    }
}

/// What a read would find that remembers nothing.
async fn look_cold(store: &Faulty, records: &Records, place: Place) -> Option<String> {
    let key = match place {
        Place::Basket(id) => format!("{}{id}", Basket::KIND),
        Place::Fruit(id) => format!("{}{id}", Fruit::KIND),
        Place::Secret(id) => secret_key(id),
    };
    let row = store.inner.get(&key).await.expect("reads")?;
    let bytes = records.keyring().open_record(&key, &row.bytes);
    let bytes = bytes.expect("opens");
    let content = match place {
        Place::Basket(_) => Basket::decode(&key, bytes.expose()).expect("reads").owner,
        Place::Fruit(_) => Fruit::decode(&key, bytes.expose()).expect("reads").colour,
        Place::Secret(_) => text(&bytes),
    };
    Some(content)
}

/// Whether all that is read is collected.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Collected {
    All,
    AllButTheFirst,
}

async fn remember(
    records: &Arc<Records>,
    places: &[Place],
    collected: Collected,
) -> (Answer, Stamp) {
    let read = async {
        let mut answer = Answer::new();
        for (index, place) in places.iter().enumerate() {
            if index == 0 && collected == Collected::AllButTheFirst {
                let (records, place) = (Arc::clone(records), *place);
                let beside = tokio::spawn(async move { look(&records, place).await });
                answer.push(beside.await.expect("ran"));
            } else {
                answer.push(look(records, *place).await);
            }
        }
        answer
    };
    records.collecting(read).await
}

fn a_place() -> impl Strategy<Value = Place> {
    prop_oneof![
        (0..4_u8).prop_map(Place::Basket),
        (0..4_u8).prop_map(Place::Fruit),
        (0..4_u8).prop_map(Place::Secret),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        btree_map(a_place(), any::<bool>(), 1..3).prop_map(Step::Commit),
        vec(a_place(), 1..4).prop_map(Step::Read),
    ]
}

/// Counts the stamps that held and those that did not.
async fn walk(
    (_, store, records): &Fixture,
    steps: &[Step],
    collected: Collected,
) -> Result<[u64; 2], TestCaseError> {
    let mut remembered = Vec::new();
    let mut seen = [0, 0];
    for step in steps {
        match step {
            Step::Commit(changes) => {
                let committed = records.commit(batch(changes)).await.expect("commits");
                prop_assert!(matches!(committed, Committed::At(_)));
            }
            Step::Read(places) => {
                let (answer, stamp) = remember(records, places, collected).await;
                for (place, read) in places.iter().zip(&answer) {
                    prop_assert_eq!(&look_cold(store, records, *place).await, read);
                }
                remembered.push((places, answer, stamp));
            }
        }
        for (places, answer, stamp) in &remembered {
            if !records.holds(stamp) {
                seen[1] += 1;
                continue;
            }
            seen[0] += 1;
            for (place, remembered) in places.iter().zip(answer) {
                let cold = look_cold(store, records, *place).await;
                prop_assert_eq!(&cold, remembered);
            }
        }
    }
    Ok(seen)
}

/// The stamps that held and those that did not, or that the promise was broken.
fn random_walks(collected: Collected) -> Result<[u64; 2], String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("builds");
    let fixture = runtime.block_on(fixture());
    let total = Cell::new([0, 0]);
    let mut runner = TestRunner::new(Config {
        cases: 32,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    });
    let run = |steps: Vec<Step>| {
        let [held, ended] = runtime.block_on(walk(&fixture, &steps, collected))?;
        total.update(|sum| [sum[0] + held, sum[1] + ended]);
        Ok(())
    };
    let outcome = runner.run(&vec(a_step(), 24), run);
    outcome.map_err(|error| error.to_string())?;
    Ok(total.get())
}

#[test]
fn while_a_stamp_holds_a_cold_read_finds_what_is_remembered() {
    let [held, ended] = random_walks(Collected::All).expect("is kept");
    assert!(held > 100 && ended > 100, "{held} held, {ended} did not");
}

#[test]
fn the_promise_is_broken_as_soon_as_one_key_is_not_collected() {
    random_walks(Collected::AllButTheFirst).expect_err("is broken");
}

async fn stamp_of(records: &Arc<Records>, id: &str) -> (Option<String>, Stamp) {
    records.collecting(colour(records, id)).await
}

fn begin(records: &Arc<Records>, colour: &'static str) -> tokio::task::JoinHandle<u64> {
    let records = Arc::clone(records);
    tokio::spawn(async move { put(&records, "apple", colour).await })
}

#[tokio::test]
async fn what_is_not_there_is_collected_too() {
    let (_directory, _store, records) = fixture().await;
    let absent = async {
        let secret = records.secret("values/a/1").await.expect("reads");
        assert!(secret.is_none());
        assert_eq!(colour(&records, "apple").await, None);
    };
    let ((), stamp) = records.collecting(absent).await;
    assert!(records.holds(&stamp));
    let secret = SecretBytes::new(b"x".to_vec());
    let batch = Batch::new().put_secret("values/a/1", &secret, Expect::Absent);
    drop(records.commit(batch).await.expect("commits"));
    assert!(!records.holds(&stamp));
}

#[tokio::test]
async fn a_commit_elsewhere_leaves_a_stamp_alone() {
    let (_directory, _store, records) = fixture().await;
    put(&records, "apple", "green").await;
    let mut left_alone = 0;
    for elsewhere in 0..8 {
        let (_, stamp) = stamp_of(&records, "apple").await;
        let elsewhere = elsewhere.to_string();
        for _ in 0..50 {
            put(&records, &elsewhere, "red").await;
        }
        left_alone += u32::from(records.holds(&stamp));
    }
    // By chance one of them may share its slot with the apple.
    assert!(left_alone >= 7, "{left_alone} of 8");
    let (_, stamp) = stamp_of(&records, "apple").await;
    put(&records, "apple", "red").await;
    assert!(!records.holds(&stamp));
}

#[tokio::test]
async fn no_stamp_of_a_key_holds_while_a_commit_of_it_is_under_way() {
    let (_directory, store, records) = fixture().await;
    put(&records, "apple", "green").await;
    let (_, before) = stamp_of(&records, "apple").await;

    store.hold_commits.store(true, Ordering::SeqCst);
    store.hold_outcomes.store(true, Ordering::SeqCst);
    let commit = begin(&records, "red");
    store.arrival().await;
    let (old, undone) = stamp_of(&records, "apple").await;
    let held_undone = [&before, &undone].map(|stamp| records.holds(stamp));

    store.gate.add_permits(1);
    store.arrival().await;
    let (new, done) = stamp_of(&records, "apple").await;
    let held_done = [&before, &undone, &done].map(|stamp| records.holds(stamp));

    store.gate.add_permits(1);
    commit.await.expect("ran");
    assert_eq!([old, new].map(Option::unwrap_or_default), ["green", "red"]);
    assert_eq!((held_undone, held_done), ([false; 2], [false; 3]));
    for stamp in [before, undone, done] {
        assert!(!records.holds(&stamp));
    }
    let (_, after) = stamp_of(&records, "apple").await;
    assert!(records.holds(&after));
}

#[tokio::test]
async fn a_read_that_a_commit_overlapped_has_no_stamp_that_holds() {
    let (_directory, store, records) = fixture().await;
    store.hold_reads.store(true, Ordering::SeqCst);
    let slow = tokio::spawn({
        let records = Arc::clone(&records);
        async move { stamp_of(&records, "apple").await }
    });
    store.arrival().await;
    store.hold_reads.store(false, Ordering::SeqCst);
    put(&records, "apple", "red").await;
    store.gate.add_permits(1);
    let (read, stamp) = slow.await.expect("ran");
    assert_eq!(read, None);
    assert!(!records.holds(&stamp));
}

#[tokio::test]
async fn a_failed_commit_ends_a_stamp() {
    let (_directory, store, records) = fixture().await;
    let (_, stamp) = stamp_of(&records, "apple").await;
    store.fail_commits.store(true, Ordering::SeqCst);
    let batch = Batch::new().put("apple", &fruit("red"), Expect::Any);
    records.commit(batch).await.expect_err("fails");
    assert!(!records.holds(&stamp));
}

#[tokio::test]
async fn a_scan_rests_on_everything() {
    let (_directory, _store, records) = fixture().await;
    let scan = async {
        records
            .scan::<Fruit>("a/", None, 9)
            .await
            .expect("scans")
            .len()
    };
    let (_, stamp) = records.collecting(scan).await;
    assert!(records.holds(&stamp));
    put(&records, "b/1", "red").await;
    assert!(!records.holds(&stamp));
}

#[tokio::test]
async fn a_read_rests_on_those_within_it_and_beside_each_other() {
    let (_directory, _store, records) = fixture().await;
    let within = async {
        let ((), inner) = records
            .collecting(async { drop(colour(&records, "pear").await) })
            .await;
        inner
    };
    let both = async { tokio::join!(within, colour(&records, "apple")).0 };
    let (inner, outer) = records.collecting(both).await;
    assert!(records.holds(&outer) && records.holds(&inner));
    put(&records, "pear", "green").await;
    assert!(!records.holds(&outer) && !records.holds(&inner));
    let (_, stamp) = records
        .collecting(async { tokio::join!(colour(&records, "pear"), colour(&records, "apple")) })
        .await;
    put(&records, "apple", "green").await;
    assert!(!records.holds(&stamp));
}

#[tokio::test]
async fn a_read_that_is_left_collects_nothing_more() {
    let (_directory, _store, records) = fixture().await;
    let read = async {
        tokio::select! {
            biased;
            ((), _) = records.collecting(pending::<()>()) => {}
            () = async {} => {}
        }
        colour(&records, "apple").await
    };
    let (_, stamp) = records.collecting(read).await;
    assert!(records.holds(&stamp));
    put(&records, "apple", "green").await;
    assert!(!records.holds(&stamp));
}

#[tokio::test]
async fn a_stamp_holds_for_the_records_that_were_read_only() {
    let (_directory, _store, records) = fixture().await;
    let (_other_directory, _other_store, others) = fixture().await;
    let (_, stamp) = stamp_of(&records, "apple").await;
    assert!(records.holds(&stamp));
    assert!(!others.holds(&stamp));
    assert!(!records.holds(&Stamp::default()));
    let (_, both) = records.collecting(colour(&others, "apple")).await;
    assert!(!records.holds(&both) && !others.holds(&both));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_commits_no_stamp_outlives_one_that_returned() {
    let (_directory, _store, records) = fixture().await;
    let returned = Arc::new(AtomicU64::new(put(&records, "apple", "green").await));
    let last = 300;
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (records, returned) = (Arc::clone(&records), Arc::clone(&returned));
            tokio::spawn(async move {
                let mut seen = 0;
                while seen < last {
                    let read = records.get::<Fruit>("apple");
                    let (read, stamp) = records.collecting(read).await;
                    seen = read.expect("reads").expect("is there").revision;
                    for _ in 0..3 {
                        let at_least = returned.load(Ordering::SeqCst);
                        if records.holds(&stamp) {
                            assert!(seen >= at_least, "{seen} after {at_least}");
                        }
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    while returned.load(Ordering::SeqCst) < last {
        let revision = put(&records, "apple", "red").await;
        returned.store(revision, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.expect("ran");
    }
}
