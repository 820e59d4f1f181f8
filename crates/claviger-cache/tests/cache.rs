//! Entries and flights of a cache that many readers share, with a clock of their own.
#![expect(clippy::expect_used, reason = "helpers of tests fail like tests")]

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claviger_access::{
    Authorized, Authorizer, Call, Caller, Decision, DecisionLog, Directory, Grant, Permission,
    Principal, Resolved, Role, Rpc, Scope,
};
use claviger_cache::{
    Cache, Failure, Key, Limits, Meaning, Places, Policy, Request, Served, State, Weigh,
};
use claviger_core::{
    DefinitionName, Error, Id, ManualClock, Reason, Resource, Result, SecretBytes, Uid,
};
use claviger_mem::ZeroOnFree;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

static RPC: Rpc = Rpc {
    name: "claviger.v1.SecretService/GetSecret",
    permissions: &[Permission::SecretsGet],
    is_audited: true,
    has_request_id: false,
};

const POLICY: Policy = Policy {
    fresh: Duration::from_secs(300),
    usable: Duration::from_secs(3900),
    renewal: Some(Duration::from_secs(300)),
};

const PATIENCE: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    entries: 1024,
    negative: Duration::from_secs(2),
};

#[global_allocator]
static ALLOCATOR: ZeroOnFree = ZeroOnFree::new();

/// A value that is nowhere in the program as it is written down.
const HIDDEN: [u8; 32] = *b"the bytes of it, each xored 0x55";

const KEY: u8 = 0x55;

fn canary(is_wanted: bool) -> SecretBytes {
    let bytes = HIDDEN.iter().filter(|_| is_wanted).map(|byte| byte ^ KEY);
    SecretBytes::new(bytes.collect())
}

/// How often the value stands in the memory of this process.
fn found_in_memory() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let memory = File::open("/proc/self/mem").expect("memory");
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("two ends");
        let [start, end] = [start, end].map(|end| u64::from_str_radix(end, 16).expect("hex"));
        let mut bytes = vec![0; usize::try_from(end - start).expect("fits")];
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            let is_it = |window: &&[u8]| window.iter().zip(&HIDDEN).all(|(a, b)| a ^ KEY == *b);
            found += bytes.windows(HIDDEN.len()).filter(is_it).count();
        }
    }
    found
}

#[derive(Debug)]
struct Forgetful;

impl DecisionLog for Forgetful {
    fn record(&self, _: Decision) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn record_detached(&self, _: Decision) {}
}

/// Allows everything.
struct Open;

impl Directory for Open {
    type Found = ();

    async fn grants(&self, _: &Principal) -> Result<Arc<Vec<Grant>>> {
        Ok(Arc::new(vec![Grant {
            id: Id::from_static("grant"),
            role: Role::Runner,
            scope: Scope::Daemon,
            environment: None,
            expire_time: None,
            purpose: None,
            made_by: None,
        }]))
    }

    fn changes(&self) -> u64 {
        0
    }

    async fn resolve(&self, _: &Resource) -> Result<(Resolved, ())> {
        Ok((Resolved::default(), ()))
    }
}

async fn proof() -> Authorized {
    let call = Arc::new(Call {
        id: Uid::random(),
        caller: Caller {
            principal: Principal::Unix(7),
            expire_time: None,
        },
        rpc: &RPC,
        run_id: None,
        purpose: None,
        options: Vec::new(),
    });
    let name = DefinitionName::parse("name", "projects/acme/secrets/key").expect("valid");
    let clock = Arc::new(ManualClock::at(Duration::from_secs(1)));
    let authorizer = Authorizer::new(Arc::new(Forgetful), clock);
    let resource = Resource::Definition(name);
    let permissions = &[Permission::SecretsGet];
    let asked = authorizer.authorize(&Open, &call, permissions, resource, None);
    asked.await.expect("allowed").0
}

/// A value of this version that takes so many bytes.
struct Document {
    version: usize,
    bytes: usize,
    /// What is looked for in memory.
    secret: SecretBytes,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").finish_non_exhaustive()
    }
}

impl Weigh for Document {
    fn weight(&self) -> usize {
        self.bytes.max(self.secret.len())
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Name(String);

impl Key for Name {
    /// Of names with the same beginning.
    fn falls_with(&self, other: &Self) -> bool {
        self.0.split('/').next() == other.0.split('/').next()
    }
}

/// As many flights as a test lets there be.
#[derive(Clone)]
struct Room(Arc<Semaphore>);

impl Places for Room {
    type Place = OwnedSemaphorePermit;

    fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    async fn take(&self) -> Result<OwnedSemaphorePermit> {
        let taken = timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
        let overloaded = |_| Error::new(Reason::Overloaded);
        Ok(taken.map_err(overloaded)?.expect("open"))
    }
}

/// A cache in front of a vault whose answers the test decides.
struct World {
    cache: Cache<Name, Document>,
    vault: Arc<Vault>,
    proof: Authorized,
    owner: Option<Uid>,
    clock: Arc<ManualClock>,
    room: Room,
}

#[derive(Debug)]
struct Vault {
    calls: AtomicUsize,
    /// Calls that may be answered.
    answers: Semaphore,
    refusal: Mutex<Option<(Reason, Meaning)>>,
    version: AtomicUsize,
    bytes: usize,
    /// Only the test that looks for its values lets there be some.
    is_looked_for: AtomicBool,
    was_asked: Notify,
}

impl Vault {
    fn read(
        self: &Arc<Self>,
        place: OwnedSemaphorePermit,
    ) -> impl Future<Output = Result<Document, Failure>> + Send + use<> {
        let vault = Arc::clone(self);
        async move {
            let _place = place;
            vault.calls.fetch_add(1, Ordering::SeqCst);
            let version = vault.version.load(Ordering::SeqCst);
            vault.was_asked.notify_one();
            vault.answers.acquire().await.expect("open").forget();
            let refusal = *vault.refusal.lock().expect("not poisoned");
            match refusal {
                None => Ok(Document {
                    version,
                    bytes: vault.bytes,
                    secret: canary(vault.is_looked_for.load(Ordering::SeqCst)),
                }),
                Some((reason, meaning)) => Err(Failure {
                    error: Arc::new(Error::new(reason)),
                    meaning,
                }),
            }
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn refuse(&self, refusal: Option<(Reason, Meaning)>) {
        *self.refusal.lock().expect("not poisoned") = refusal;
    }
}

impl World {
    async fn new(limits: Limits, answers: usize, bytes: usize) -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(1_000)));
        let told = Arc::<ManualClock>::clone(&clock);
        Arc::new(Self {
            cache: Cache::new(limits, told, Handle::current()),
            clock,
            room: Room(Arc::new(Semaphore::new(1_000))),
            vault: Arc::new(Vault {
                calls: AtomicUsize::new(0),
                answers: Semaphore::new(answers),
                refusal: Mutex::new(None),
                version: AtomicUsize::new(1),
                bytes,
                is_looked_for: AtomicBool::new(false),
                was_asked: Notify::new(),
            }),
            proof: proof().await,
            owner: Some(Uid::random()),
        })
    }

    async fn read(&self, key: &str) -> Result<Served<Document>> {
        self.read_as(key, self.owner).await
    }

    async fn read_as(&self, key: &str, owner: Option<Uid>) -> Result<Served<Document>> {
        let request = self.request(key);
        let request = Request { owner, ..request };
        let read = |place| self.vault.read(place);
        self.cache.read(request, read).await
    }

    async fn refresh(&self, key: &str) -> Result<Served<Document>> {
        let request = Request {
            is_refresh: true,
            ..self.request(key)
        };
        let read = |place| self.vault.read(place);
        self.cache.read(request, read).await
    }

    fn request(&self, key: &str) -> Request<'_, Name, Room> {
        Request {
            proof: &self.proof,
            key: Name(key.to_owned()),
            owner: self.owner,
            policy: POLICY,
            places: self.room.clone(),
            is_refresh: false,
        }
    }

    /// Until so many readers wait for the flight of another one.
    async fn coalesced(&self, readers: u64) {
        let count = || {
            let reads = self.cache.stats().reads();
            reads
                .iter()
                .find(|(met, _)| *met == "coalesced")
                .map_or(0, |(_, count)| *count)
        };
        until(|| count() >= readers).await;
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// So many readers of one key at once.
fn herd(world: &Arc<World>, readers: usize) -> JoinSet<Result<Served<Document>>> {
    let mut herd = JoinSet::new();
    for _ in 0..readers {
        let world = Arc::clone(world);
        herd.spawn(async move { world.read("key").await });
    }
    herd
}

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_make_one_call_although_the_first_one_leaves() {
    let world = World::new(LIMITS, 0, 10).await;
    let mut first = herd(&world, 1);
    world.vault.was_asked.notified().await;
    let herd = herd(&world, 999);
    world.coalesced(999).await;
    world.clock.advance(Duration::from_secs(1));
    first.shutdown().await;
    world.vault.answers.add_permits(1);
    let answers = herd.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 999);
    assert_eq!(world.vault.calls(), 1);
    let again = world.read("key").await.expect("held");
    assert!(!again.is_fetched);
    assert_eq!(
        (again.age, world.vault.calls()),
        (Duration::from_secs(1), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_served_marked_with_one_call_per_step_and_one_time() {
    let world = World::new(LIMITS, 1, 10).await;
    let first = world.read("key").await.expect("fetched");
    assert!(first.is_fetched && first.stale.is_none());
    world.vault.answers.add_permits(1_000);
    world
        .vault
        .refuse(Some((Reason::VaultUnreachable, Meaning::Away)));
    world.clock.advance(Duration::from_secs(300));
    for calls in 2..5 {
        for answer in herd(&world, 300).join_all().await {
            let served = answer.expect("served all the same");
            let why = served.stale.expect("marked");
            assert_eq!(why.reason(), Reason::VaultUnreachable);
            assert_eq!(served.fetch_time, first.fetch_time);
            assert!(served.age >= Duration::from_secs(300));
        }
        assert_eq!(world.vault.calls(), calls);
        world.clock.advance(Duration::from_secs(4));
    }
    world.clock.advance(Duration::from_secs(3600));
    let refused = world.read("key").await.expect_err("too old");
    assert_eq!(refused.reason(), Reason::VaultUnreachable);
    assert_eq!(refused.retry_delay(), Some(Duration::from_secs(4)));
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_is_read_again_and_a_flight_from_before_fills_nothing() {
    let world = World::new(LIMITS, 0, 10).await;
    let before = herd(&world, 10);
    world.vault.was_asked.notified().await;
    world.vault.version.store(2, Ordering::SeqCst);
    world.cache.forget(|key| key.0 == "key");
    let after = herd(&world, 10);
    world.vault.was_asked.notified().await;
    world.vault.answers.add_permits(2);
    for answer in before.join_all().await {
        let served = answer.expect("served");
        assert_eq!(served.value.version, 1);
        let again = world.cache.again(&served.lease, &POLICY);
        assert!(again.is_none_or(|again| again.value.version == 2));
    }
    for answer in after.join_all().await {
        assert_eq!(answer.expect("served").value.version, 2);
    }
    let held = world.read("key").await.expect("held");
    assert_eq!(held.value.version, 2);
    let hits = || world.cache.stats().reads()[0];
    let (_, before) = hits();
    let again = world.cache.again(&held.lease, &POLICY).expect("held");
    assert_eq!(again.value.version, 2);
    assert_eq!(hits(), ("hit", before + 1));
    assert_eq!(world.vault.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_asked_for_once_per_window_and_a_refresh_finds_it() {
    let world = World::new(LIMITS, 100, 10).await;
    world
        .vault
        .refuse(Some((Reason::SecretNotFound, Meaning::Refused)));
    for _ in 0..3 {
        for answer in herd(&world, 300).join_all().await {
            let error = answer.expect_err("missing");
            assert_eq!(error.reason(), Reason::SecretNotFound);
        }
    }
    assert_eq!(world.vault.calls(), 1);
    let key = Name("key".to_owned());
    assert_eq!(world.cache.state(&key, &POLICY), State::Negative);
    world.vault.refuse(None);
    let mut refreshes = JoinSet::new();
    for _ in 0..100 {
        let world = Arc::clone(&world);
        refreshes.spawn(async move { world.refresh("key").await.is_ok() });
    }
    // All were asked for by the time that the first one is answered.
    assert!(matches!(refreshes.join_next().await, Some(Ok(true))));
    world.clock.advance(Duration::from_secs(1));
    assert!(refreshes.join_all().await.into_iter().all(|is_ok| is_ok));
    assert!(world.read("key").await.is_ok());
    // Those that came while one was under way share the next one.
    assert_eq!(world.vault.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_ends_without_an_answer_is_heard_of_and_can_be_repeated() {
    let world = World::new(LIMITS, 0, 10).await;
    let panics = |_| async { panic!("a bug of a backend") };
    let read = world.cache.read(world.request("key"), panics);
    let error = read.await.expect_err("lost");
    assert_eq!(error.reason(), Reason::Internal);
    world.vault.answers.add_permits(1);
    world.clock.advance(Duration::from_secs(1));
    assert!(world.read("key").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_owner_pushes_out_nobody_elses_entries() {
    let world = World::new(LIMITS, usize::MAX >> 4, 1024).await;
    let (greedy, modest) = (Some(Uid::random()), Some(Uid::random()));
    for count in 0..100 {
        let read = world.read_as(&format!("modest-{count}"), modest).await;
        assert!(read.is_ok());
    }
    for count in 0..2_000 {
        let read = world.read_as(&format!("greedy-{count}"), greedy).await;
        assert!(read.is_ok());
    }
    // Those that are missing take room too.
    world
        .vault
        .refuse(Some((Reason::SecretNotFound, Meaning::Refused)));
    for count in 0..2_000 {
        let read = world.read_as(&format!("missing-{count}"), greedy).await;
        assert!(read.is_err());
    }
    let calls = world.vault.calls();
    for count in 0..100 {
        let read = world.read_as(&format!("modest-{count}"), modest).await;
        assert!(!read.expect("held").is_fetched);
    }
    assert_eq!(world.vault.calls(), calls);
    world.cache.maintain();
    let sizes = world.cache.sizes();
    // A part of them stays free, so that nobody pushes out anybody.
    assert!(sizes.bytes <= LIMITS.bytes / 8 * 7, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn all_entries_together_stay_within_their_bounds() {
    let world = World::new(LIMITS, usize::MAX >> 4, 64 * 1024).await;
    for count in 0..200 {
        let read = world
            .read_as(&format!("key-{count}"), Some(Uid::random()))
            .await;
        assert!(read.is_ok());
    }
    world.cache.maintain();
    let sizes = world.cache.sizes();
    assert!(sizes.bytes <= LIMITS.bytes, "{sizes:?}");
    assert!(sizes.entries >= 15, "{sizes:?}");
    world
        .vault
        .refuse(Some((Reason::SecretNotFound, Meaning::Refused)));
    for count in 0..5_000 {
        let read = world
            .read_as(&format!("none-{count}"), Some(Uid::random()))
            .await;
        assert!(read.is_err());
    }
    world.cache.maintain();
    let sizes = world.cache.sizes();
    assert!(sizes.entries <= LIMITS.entries, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_or_asked_for_that_nobody_can_use() {
    let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
    let kept = Arc::downgrade(&world.read("key").await.expect("fetched").value);
    world.clock.advance(Duration::from_secs(3899));
    world.cache.maintain();
    assert!(kept.upgrade().is_some());
    world.clock.advance(Duration::from_secs(1));
    world.cache.maintain();
    assert!(kept.upgrade().is_none());
    assert_eq!(world.cache.sizes().entries, 0);
    assert_eq!(world.vault.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_finds_no_room_still_makes_one_call() {
    let tiny = Limits {
        bytes: 100,
        entries: 1,
        ..LIMITS
    };
    let world = World::new(tiny, 0, 1_000).await;
    let readers = herd(&world, 10);
    world.vault.was_asked.notified().await;
    world.cache.maintain();
    let more = herd(&world, 10);
    world.coalesced(19).await;
    assert_eq!(world.vault.calls(), 1);
    world.vault.answers.add_permits(1);
    for answer in readers
        .join_all()
        .await
        .into_iter()
        .chain(more.join_all().await)
    {
        assert_eq!(answer.expect("served").value.version, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_for_a_place_need_none_once_somebody_else_has_begun() {
    let world = World::new(LIMITS, 0, 10).await;
    let all = Arc::clone(&world.room.0).acquire_many_owned(1_000);
    let all = all.await.expect("open");
    let readers = herd(&world, 100);
    // Each that waits keeps the places alive.
    until(|| Arc::strong_count(&world.room.0) > 100).await;
    assert_eq!(world.vault.calls(), 0);
    // Somebody with a place of its own.
    let own = Request {
        places: Room(Arc::new(Semaphore::new(1))),
        ..world.request("key")
    };
    let other = world.cache.read(own, |place| world.vault.read(place));
    world.vault.answers.add_permits(1);
    assert!(other.await.is_ok());
    assert!(readers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(world.vault.calls(), 1);
    // And those whose time is over leave nothing behind.
    let late = world.read("late").await.expect_err("no place");
    assert_eq!(late.reason(), Reason::Overloaded);
    drop(all);
    world.vault.answers.add_permits(1);
    assert!(world.read("late").await.is_ok(), "no back-off");
}

#[tokio::test(start_paused = true)]
async fn one_that_finds_no_place_in_time_gets_what_is_held() {
    let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
    let fetched = world.read("key").await.expect("fetched").fetch_time;
    world.clock.advance(Duration::from_secs(301));
    let all = Arc::clone(&world.room.0).acquire_many_owned(1_000);
    let all = all.await.expect("open");
    let served = world.read("key").await.expect("held");
    let why = served.stale.expect("marked");
    assert_eq!(why.reason(), Reason::Overloaded);
    assert_eq!(served.fetch_time, fetched);
    assert_eq!(world.cache.stats().served_stale(), 1);
    let refresh = world.refresh("key").await.expect_err("no answer");
    assert_eq!(refresh.reason(), Reason::Overloaded);
    drop(all);
    assert!(world.read("key").await.expect("asked").is_fetched);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_changed_is_asked_for_and_served_while_the_vault_fails() {
    let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
    world.read("key").await.expect("fetched");
    world
        .vault
        .refuse(Some((Reason::VaultUnreachable, Meaning::Away)));
    world.cache.doubt(|_| true);
    for _ in 0..3 {
        let served = world.read("key").await.expect("held");
        assert_eq!(
            served.stale.expect("marked").reason(),
            Reason::VaultUnreachable
        );
    }
    assert_eq!(world.vault.calls(), 2, "the vault is left alone");
    world.vault.refuse(None);
    world.vault.version.store(2, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.read("key").await.expect("asked").value.version, 2);
    world.cache.doubt(|_| true);
    let key = Name("key".to_owned());
    assert_eq!(
        world.cache.state(&key, &POLICY),
        State::Stale(Duration::ZERO)
    );
    assert!(world.read("key").await.expect("asked").is_fetched);
    assert!(!world.read("key").await.expect("held").is_fetched);
}

#[tokio::test(start_paused = true)]
async fn a_no_to_one_is_a_no_to_all_that_fall_with_it() {
    for (meaning, was_held) in [
        (Meaning::Refused, true),
        (Meaning::RefusedAll, true),
        (Meaning::RefusedAll, false),
    ] {
        let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
        for key in ["secret/pinned", "other/latest"] {
            assert!(world.read(key).await.is_ok());
        }
        if was_held {
            assert!(world.read("secret/latest").await.is_ok());
        }
        world.clock.advance(Duration::from_secs(1));
        world.vault.refuse(Some((Reason::SecretNotFound, meaning)));
        assert!(world.refresh("secret/latest").await.is_err());
        let pinned = world.read("secret/pinned").await.expect_err("gone too");
        assert_eq!(pinned.reason(), Reason::SecretNotFound);
        assert!(world.read("other/latest").await.is_ok());
        // And neither sends the other one to the vault again.
        let calls = world.vault.calls();
        for key in ["secret/latest", "secret/pinned", "secret/latest"] {
            assert!(world.read(key).await.is_err());
        }
        assert_eq!(world.vault.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_to_one_version_that_nobody_held_takes_nothing_away() {
    let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
    assert!(world.read("secret/latest").await.is_ok());
    world
        .vault
        .refuse(Some((Reason::VersionNotFound, Meaning::Refused)));
    assert!(world.read("secret/none").await.is_err());
    assert!(!world.read("secret/latest").await.expect("held").is_fetched);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_pushes_out_no_value_of_the_only_owner() {
    let world = World::new(LIMITS, usize::MAX >> 4, 1024).await;
    for count in 0..100 {
        assert!(world.read(&format!("key-{count}")).await.is_ok());
    }
    world
        .vault
        .refuse(Some((Reason::SecretNotFound, Meaning::RefusedAll)));
    for count in 0..10_000 {
        assert!(world.read(&format!("missing-{count}")).await.is_err());
    }
    world.cache.maintain();
    let calls = world.vault.calls();
    for count in 0..100 {
        let read = world.read(&format!("key-{count}")).await;
        assert!(!read.expect("held").is_fetched);
    }
    assert_eq!(world.vault.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_no_vault() {
    let world = World::new(LIMITS, 0, 10).await;
    let readers = herd(&world, 10);
    world.vault.was_asked.notified().await;
    world.cache.drain().await;
    for answer in readers.join_all().await {
        assert_eq!(answer.expect_err("lost").reason(), Reason::Internal);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_evicted_forgotten_or_too_old_is_nowhere_in_memory() {
    let world = World::new(LIMITS, usize::MAX >> 4, 1024).await;
    world.vault.is_looked_for.store(true, Ordering::SeqCst);
    for count in 0..10_000 {
        let read = world.read(&format!("key-{count}")).await;
        assert!(read.is_ok());
    }
    world.cache.maintain();
    let held = usize::try_from(world.cache.sizes().entries).expect("fits");
    assert!(held < 2_000, "the others were evicted");
    assert!(found_in_memory() >= held, "it finds what is there");
    world.cache.forget(|key| key.0.ends_with('7'));
    world.clock.advance(Duration::from_secs(3_900));
    world.cache.maintain();
    assert_eq!(found_in_memory(), 0);
}
