//! A store of format 1, written by a program of that time, and its way to the present format.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use claviger_core::{Error, Reason, Result, SecretBytes, SystemClock};
use claviger_seal::{Keyring, RootKey};
use claviger_store::{
    Change, Commit, Committed, Expect, OldRecord, Record, Records, Row, SqliteStore, Store,
    Upgrade, Upgraded,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

/// Types that read any record of a kind.
macro_rules! kinds {
    ($($name:ident $kind:literal)+) => {
        $(
            #[derive(Clone, Deserialize, Serialize)]
            #[serde(transparent)]
            struct $name(Value);

            impl Record for $name {
                const KIND: &'static str = $kind;
                const FORM: u32 = 1;
            }
        )+

        const KINDS: &[&str] = &[$($kind,)+ "managed-values/"];

        /// Keeps all as it is.
        const UPGRADES: &[Upgrade] = &[
            $(Upgrade::unchanged::<$name>(),)+
            Upgrade::secrets("managed-values/"),
        ];

        /// All records by key, read as any crate reads them.
        async fn read_all(records: &Records) -> BTreeMap<String, Value> {
            let mut all = BTreeMap::new();
            $(
                for (id, stored) in records.scan::<$name>("", None, 1000).await.expect("reads") {
                    let one = records.get::<$name>(&id).await.expect("reads").expect("is there");
                    assert_eq!(one.record.0, stored.record.0);
                    all.insert([$kind, &id].concat(), stored.record.0.clone());
                }
            )+
            all
        }
    };
}

kinds! {
    Definition "definitions/"
    Grants "grants/"
    ManagedSecret "managed-secrets/"
    ManagedVersion "managed-versions/"
    Pending "pending/"
    Project "projects/"
    Request "requests/"
    Token "tokens/"
}

fn golden(file: &str) -> PathBuf {
    let golden = "../../tests/integration/tests/golden/store-form-1";
    [env!("CARGO_MANIFEST_DIR"), golden, file].iter().collect()
}

fn root() -> RootKey {
    let text = std::fs::read(golden("root.key")).expect("reads");
    RootKey::from_text(&SecretBytes::new(text)).expect("is a key")
}

/// A copy of the golden store, whose commits a test can fail.
#[derive(Debug)]
struct Copy {
    store: SqliteStore,
    fails_before: AtomicBool,
    fails_after: AtomicBool,
    _directory: TempDir,
}

impl Copy {
    fn make() -> Arc<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        std::fs::copy(golden("store.db"), &path).expect("copies");
        Arc::new(Self {
            store: SqliteStore::open(&path, Arc::new(SystemClock)).expect("opens"),
            fails_before: AtomicBool::new(false),
            fails_after: AtomicBool::new(false),
            _directory: directory,
        })
    }

    async fn open(self: &Arc<Self>, upgrades: &[Upgrade]) -> Result<Records> {
        Records::open(Arc::clone(self) as _, &root(), upgrades).await
    }

    async fn rows(&self) -> Vec<(String, Row)> {
        self.store.scan("", None, 10_000).await.expect("scans")
    }

    async fn keyring(&self) -> Keyring {
        let row = self.store.get("keyring").await.expect("reads");
        Keyring::open(&root(), &row.expect("is there").bytes).expect("opens")
    }

    /// Everything in the store but the keyring, opened.
    async fn plaintexts(&self) -> BTreeMap<String, Vec<u8>> {
        let keyring = self.keyring().await;
        let rows = self.rows().await.into_iter();
        rows.filter(|(key, _)| key != "keyring")
            .map(|(key, row)| {
                let plaintext = keyring.open_record(&key, &row.bytes).expect("opens");
                (key, plaintext.expose().to_vec())
            })
            .collect()
    }

    async fn refusal(self: &Arc<Self>, upgrades: &[Upgrade]) -> (Reason, String) {
        let before = self.rows().await;
        let error = self.open(upgrades).await.expect_err("must be refused");
        assert_eq!(self.rows().await, before, "nothing was changed");
        (error.reason(), format!("{error:?}"))
    }
}

#[async_trait]
impl Store for Copy {
    async fn get(&self, key: &str) -> Result<Option<Row>> {
        self.store.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>> {
        self.store.scan(prefix, after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        if self.fails_before.load(Ordering::SeqCst) {
            return Err(Error::new(Reason::StoreUnavailable));
        }
        let committed = self.store.commit(commit).await?;
        if self.fails_after.load(Ordering::SeqCst) {
            return Err(Error::new(Reason::StoreUnavailable));
        }
        Ok(committed)
    }

    async fn erase(&self) -> Result<()> {
        self.store.erase().await
    }

    async fn health(&self) -> Result<()> {
        self.store.health().await
    }
}

#[tokio::test]
async fn all_records_and_values_of_the_golden_store_read_as_they_were_written() {
    let copy = Copy::make();
    let before = copy.plaintexts().await;
    let records = copy.open(UPGRADES).await.expect("opens");
    assert_eq!(records.keyring().format(), Keyring::FORMAT);
    let read = read_all(&records).await;
    // The golden store has every kind, so a forgotten one is noticed.
    for kind in KINDS {
        assert!(before.keys().any(|key| key.starts_with(kind)), "{kind}");
    }
    for (key, plaintext) in &before {
        if key.starts_with("managed-values/") {
            let secret = records.secret(key).await.expect("reads");
            let (value, _) = secret.expect("is there");
            assert_eq!(value.expose(), plaintext);
        } else {
            let written: Value = serde_json::from_slice(plaintext).expect("is JSON");
            assert_eq!(read[key], written);
        }
    }
    let values = before
        .keys()
        .filter(|key| key.starts_with("managed-values/"));
    assert_eq!(read.len() + values.count(), before.len());
}

#[tokio::test]
async fn a_store_of_many_pages_is_upgraded_whole() {
    let copy = Copy::make();
    let keyring = copy.keyring().await;
    let change = |number: usize| {
        let key = format!("projects/{number:04}");
        let json = SecretBytes::new(number.to_string().into_bytes());
        Change {
            bytes: Some(keyring.seal(&key, &json).expect("seals")),
            key,
            expect: Expect::Absent,
        }
    };
    let commit = Commit {
        changes: (0..2000).map(change).collect(),
        ..Commit::default()
    };
    drop(copy.store.commit(commit).await.expect("commits"));
    let records = copy.open(UPGRADES).await.expect("opens");
    let projects = records
        .scan::<Project>("", None, 2000)
        .await
        .expect("reads");
    let numbers = projects.iter().map(|(_, stored)| stored.record.0.clone());
    assert!(numbers.eq((0..2000).map(Value::from)));
}

#[tokio::test]
async fn an_upgrade_leaves_notes_to_whoever_reads_them() {
    let copy = Copy::make();
    let sealed = SecretBytes::new(b"intent".to_vec());
    let sealed = copy.keyring().await.seal("audit-outbox", &sealed);
    let commit = Commit {
        note: Some(sealed.expect("seals")),
        ..Commit::default()
    };
    drop(copy.store.commit(commit).await.expect("commits"));
    let records = copy.open(UPGRADES).await.expect("opens");
    let notes = records.notes().await.expect("reads");
    assert_eq!(notes[0].bytes, b"intent");
}

#[tokio::test]
async fn a_store_is_upgraded_once() {
    let copy = Copy::make();
    drop(copy.open(UPGRADES).await.expect("opens"));
    let upgraded = copy.rows().await;
    copy.fails_before.store(true, Ordering::SeqCst);
    drop(copy.open(UPGRADES).await.expect("opens without a commit"));
    drop(copy.open(&[]).await.expect("opens without upgrades"));
    assert_eq!(copy.rows().await, upgraded);
}

#[tokio::test]
async fn an_upgrade_that_was_interrupted_is_all_or_nothing_and_can_be_run_again() {
    let whole = Copy::make();
    let whole = read_all(&whole.open(UPGRADES).await.expect("opens")).await;
    let copy = Copy::make();
    copy.fails_before.store(true, Ordering::SeqCst);
    let (reason, _) = copy.refusal(UPGRADES).await;
    assert_eq!(reason, Reason::StoreUnavailable);
    copy.fails_before.store(false, Ordering::SeqCst);
    copy.fails_after.store(true, Ordering::SeqCst);
    let error = copy.open(UPGRADES).await.expect_err("fails");
    assert_eq!(error.reason(), Reason::StoreUnavailable);
    let records = copy.open(UPGRADES).await.expect("opens");
    assert_eq!(read_all(&records).await, whole);
}

/// Grants by principal, told apart by a dash; in their new form under ids that say nothing.
#[derive(Deserialize)]
struct OldGrants {
    next: u64,
}

#[derive(Clone, Deserialize, Serialize)]
struct NewGrants {
    principal: String,
    next: u64,
}

impl Record for NewGrants {
    const KIND: &'static str = "grants/";
    const FORM: u32 = 2;
}

impl OldRecord for OldGrants {
    const KIND: &'static str = "grants/";

    /// Of tokens none, and two of each other.
    fn upgrade(self, id: &str) -> Result<Vec<Upgraded>> {
        let Some(uid) = id.strip_prefix("unix-") else {
            return Ok(Vec::new());
        };
        let new = NewGrants {
            principal: id.to_owned(),
            next: self.next,
        };
        ["x", "y"]
            .iter()
            .map(|half| Upgraded::new(&format!("{half}{uid}"), &new))
            .collect()
    }
}

/// The table with another upgrade of grants.
fn with_grants(upgrade: Upgrade) -> Vec<Upgrade> {
    [&[upgrade], UPGRADES].concat()
}

#[tokio::test]
async fn an_upgrade_may_move_split_and_drop_records() {
    let copy = Copy::make();
    let before = copy.plaintexts().await;
    let upgrades = with_grants(Upgrade::of::<OldGrants>());
    let records = copy.open(&upgrades).await.expect("opens");
    let mut expected = Vec::new();
    for (key, json) in &before {
        if let Some(uid) = key.strip_prefix("grants/unix-") {
            let old: OldGrants = serde_json::from_slice(json).expect("reads");
            expected.extend(["x", "y"].map(|half| (format!("{half}{uid}"), old.next)));
        }
    }
    expected.sort();
    assert!(before.keys().any(|key| key.starts_with("grants/token-")));
    let found = records.scan::<NewGrants>("", None, 1000).await;
    let found = found.expect("scans").into_iter();
    let found: Vec<_> = found.map(|(id, new)| (id, new.record.next)).collect();
    assert_eq!(found, expected);
}

/// Finds something wrong with the last of its records.
#[derive(Deserialize)]
struct Broken {}

impl OldRecord for Broken {
    const KIND: &'static str = "grants/";

    fn upgrade(self, id: &str) -> Result<Vec<Upgraded>> {
        if id.starts_with("unix-") {
            return Err(Error::new(Reason::IntegrityFailure).caused_by("is broken"));
        }
        Ok(Vec::new())
    }
}

/// Forgets the differences between its records.
#[derive(Deserialize)]
struct Merged {}

impl OldRecord for Merged {
    const KIND: &'static str = "grants/";

    fn upgrade(self, id: &str) -> Result<Vec<Upgraded>> {
        let new = NewGrants {
            principal: id.to_owned(),
            next: 0,
        };
        Ok(vec![Upgraded::new("one", &new)?])
    }
}

/// Never was a form of grants.
#[derive(Deserialize)]
struct Foreign {
    #[expect(dead_code, reason = "only to be missed")]
    colour: String,
}

impl OldRecord for Foreign {
    const KIND: &'static str = "grants/";

    fn upgrade(self, _: &str) -> Result<Vec<Upgraded>> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_upgraded_is_refused_and_left_as_it_was() {
    let copy = Copy::make();
    let forgotten = UPGRADES.split_last().expect("some").1;
    for (upgrades, reason, named) in [
        (
            forgotten.to_vec(),
            Reason::IntegrityFailure,
            "row managed-values/",
        ),
        (
            with_grants(Upgrade::of::<Broken>()),
            Reason::IntegrityFailure,
            "is broken",
        ),
        (
            with_grants(Upgrade::of::<Merged>()),
            Reason::Internal,
            "two old records become grants/one",
        ),
        (
            with_grants(Upgrade::of::<Foreign>()),
            Reason::IntegrityFailure,
            "record grants/token-",
        ),
    ] {
        let (found, text) = copy.refusal(&upgrades).await;
        assert_eq!(found, reason);
        assert!(text.contains(named), "{text}");
    }
    copy.open(UPGRADES).await.expect("opens");
}
