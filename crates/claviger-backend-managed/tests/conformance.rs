//! The conformance suite on the managed vault over a real SQLite store, and false claims that make it red.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed set-up is a failed test"
)]

use std::sync::Arc;
use std::time::Duration;

use claviger_backend::{Address, Backend, Staged, VersionInfo, VersionState, Write, testkit};
use claviger_backend_managed::Managed;
use claviger_core::{Format, ManualClock, Reason, SecretBytes, SystemClock, Uid};
use claviger_seal::RootKey;
use claviger_store::{Change, Commit, Committed, Expect, Records, SqliteStore, Store};

async fn managed(dir: &tempfile::TempDir) -> Managed {
    over(records(dir).await)
}

fn over(records: Arc<Records>) -> Managed {
    Managed::new(records, Arc::new(SystemClock))
}

async fn records(dir: &tempfile::TempDir) -> Arc<Records> {
    on(&store(dir), &RootKey::generate()).await
}

fn store(dir: &tempfile::TempDir) -> Arc<SqliteStore> {
    let store = SqliteStore::open(&dir.path().join("store.db"), Arc::new(SystemClock));
    Arc::new(store.expect("opens"))
}

async fn on(store: &Arc<SqliteStore>, root: &RootKey) -> Arc<Records> {
    let records = Records::open(Arc::clone(store) as _, root, &[]).await;
    Arc::new(records.expect("opens"))
}

/// The keys of all rows, in their order, that a commit wrote.
async fn rows_of(store: &SqliteStore, committed: Committed) -> Vec<String> {
    let Committed::At(revision) = committed else {
        panic!("{committed:?}");
    };
    let rows = store.scan("", None, 1000).await.expect("scans");
    let written = rows.into_iter().filter(|(_, row)| row.revision == revision);
    written.map(|(key, _)| key).collect()
}

#[tokio::test]
async fn managed_vault_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("temp dir");
    testkit::conformance(Arc::new(managed(&dir).await), None).await;
}

#[tokio::test]
async fn every_false_claim_fails_the_suite() {
    let dir = tempfile::tempdir().expect("temp dir");
    let backend: Arc<dyn Backend> = Arc::new(managed(&dir).await);
    testkit::every_false_claim_fails(Arc::clone(&backend), None).await;
    testkit::conformance(backend, None).await;
}

async fn staged(managed: &Managed, address: &Address, write_id: Uid, text: &str) -> Staged {
    let write = Write {
        write_id,
        value: &SecretBytes::new(text.into()),
        format: Format::Text,
        adopt: false,
    };
    let staged = managed.stage(address, &write).await.expect("staged");
    staged.expect("it lives in the store")
}

#[tokio::test]
async fn what_was_staged_is_there_once_its_caller_has_committed_it() {
    let dir = tempfile::tempdir().expect("temp dir");
    let records = records(&dir).await;
    let managed = over(Arc::clone(&records));
    let address = testkit::address("acme");
    let (id, other) = (Uid::random(), Uid::random());
    let first = staged(&managed, &address, id, "first").await;
    let rival = staged(&managed, &address, other, "rival").await;
    assert_eq!(managed.find_write(&address, id).await.expect("asked"), None);

    let version = first.version;
    let committed = records.commit(first.batch).await.expect("committed");
    assert!(matches!(committed, Committed::At(_)));
    let read = managed.read(&address, Some(version.as_str())).await;
    assert_eq!(read.expect("read").value.expose(), b"first");
    let found = managed.find_write(&address, id).await.expect("asked");
    assert_eq!(found.as_ref(), Some(&version));

    let refused = records.commit(rival.batch).await.expect("answered");
    assert!(matches!(refused, Committed::Conflict { .. }), "{refused:?}");
    let rival = staged(&managed, &address, other, "rival").await;
    assert_ne!(rival.version, version);
    let repeat = staged(&managed, &address, id, "first").await;
    assert_eq!(repeat.version, version);
    let listed = managed.versions(&address, None, 10).await.expect("listed");
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn a_write_is_two_rows_and_values_lie_in_the_order_in_which_they_came() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(&dir);
    let records = on(&store, &RootKey::generate()).await;
    let clock = Arc::new(ManualClock::at(Duration::from_secs(1_700_000_000)));
    let managed = Managed::new(Arc::clone(&records), Arc::clone(&clock) as _);
    let owners = [testkit::address("acme"), testkit::address("acme")];
    let mut values = Vec::new();
    let mut rows = 0;
    for _ in 0..40 {
        for address in &owners {
            clock.advance(Duration::from_secs(1));
            let write = staged(&managed, address, Uid::random(), "value").await;
            let committed = records.commit(write.batch).await.expect("commits");
            let written = rows_of(&store, committed).await;
            rows += written.len();
            let last = written.last().expect("some");
            let end = format!("/{}/{}", address.owner, write.version);
            assert!(last.ends_with(&end), "{last}");
            values.push(last.clone());
        }
    }
    let lie = store.scan("values/", None, 1000).await.expect("scans");
    let lie: Vec<_> = lie.into_iter().map(|(key, _)| key).collect();
    assert_eq!(lie, values);
    // Of 40 versions the head has handed over 27, nine at a time.
    assert_eq!(rows, 2 * (40 * 2 + 27));
}

#[tokio::test]
async fn a_value_that_was_moved_to_another_definition_does_not_open() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (store, root) = (store(&dir), RootKey::generate());
    let managed = over(on(&store, &root).await);
    for _ in 0..2 {
        let address = testkit::address("acme");
        let put = testkit::put(&managed, &address, "value", false).await;
        put.expect("stored");
    }
    let rows = store.scan("values/", None, 10).await.expect("scans");
    let [(one, row), (other, _)] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    let change = Change {
        key: other.clone(),
        bytes: Some(row.bytes.clone()),
        expect: Expect::Any,
    };
    let commit = Commit {
        changes: vec![change],
        ..Commit::default()
    };
    drop(store.commit(commit).await.expect("commits"));
    // These have not written it, and so remember nothing of it.
    let records = on(&store, &root).await;
    let refused = records.secret(other).await.err().expect("moved");
    assert_eq!(refused.reason(), Reason::IntegrityFailure);
    records.secret(one).await.expect("reads").expect("there");
}

#[tokio::test]
async fn a_change_of_a_version_goes_on_where_a_write_came_in_between() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (store, root) = (store(&dir), RootKey::generate());
    let address = testkit::address("acme");
    let put = async |by: &Managed| {
        let put = testkit::put(by, &address, "value", false).await;
        put.expect("stored").version
    };
    // The other one remembers what was there when it looked.
    let other = over(on(&store, &root).await);
    let mut first = put(&other).await;
    for state in [VersionState::Disabled, VersionState::Destroyed] {
        let managed = over(on(&store, &root).await);
        let read = other.read(&address, Some(first.as_str())).await;
        read.expect("enabled");
        // So many that the version is moved out of the head as well.
        for _ in 0..20 {
            put(&managed).await;
        }
        let changed = other.set_state(&address, &first, state).await;
        assert_eq!(changed.expect("changed").state, state);
        let listed = other.versions(&address, None, 100).await.expect("listed");
        let is_it = |info: &&VersionInfo| info.version == first;
        assert_eq!(listed.iter().find(is_it).expect("listed").state, state);
        first = put(&other).await;
    }
}

/// It has no peer: what lies in the store is sealed, so that nothing but the length could be a lie.
#[tokio::test]
async fn value_longer_than_declared_is_not_served() {
    let dir = tempfile::tempdir().expect("temp dir");
    let managed = Arc::new(managed(&dir).await);
    let (address, long) = (testkit::address("acme"), "x".repeat(65_537));
    // Past the layer that would refuse it.
    let written = testkit::put(&*managed, &address, &long, false).await;
    let version = written.expect("stored").version;
    testkit::hostile_answers(async |lie| {
        (lie == testkit::Lie::LongValue).then(|| testkit::Facing {
            backend: Arc::clone(&managed) as Arc<dyn Backend>,
            address: address.clone(),
            version: Some(version.clone()),
            sent: Box::new(|| 0),
            strayed: Box::new(|| 0),
        })
    })
    .await;
}
