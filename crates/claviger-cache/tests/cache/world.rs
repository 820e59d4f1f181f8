//! A vault that a cache asks, and those that ask the cache.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claviger_access::{
    Authorized, Authorizer, Call, Caller, Decision, DecisionLog, Directory, Grant, Permission,
    Principal, Proof, Resolved, Role, Rpc, Scope,
};
use claviger_cache::{
    Cache, Failure, Key, Limits, Meaning, Places, Policy, Request, Served, Weigh,
};
use claviger_core::{
    DefinitionName, Error, Id, ManualClock, Reason, Resource, Result, SecretBytes, Uid,
};
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

pub(crate) const POLICY: Policy = Policy {
    fresh: Duration::from_secs(300),
    usable: Duration::from_secs(3900),
    renewal: Some(Duration::from_secs(300)),
};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    entries: 1024,
    negative: Duration::from_secs(2),
};

/// A value that is nowhere in the program as it is written down.
const HIDDEN: [u8; 32] = *b"the bytes of it, each xored 0x55";

const KEY: u8 = 0x55;

fn canary(is_wanted: bool) -> SecretBytes {
    let bytes = HIDDEN.iter().filter(|_| is_wanted).map(|byte| byte ^ KEY);
    SecretBytes::new(bytes.collect())
}

/// How often the value stands in the memory of this process.
pub(crate) fn found_in_memory() -> usize {
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
pub(crate) struct Forgetful;

impl DecisionLog for Forgetful {
    fn record(&self, _: Decision) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn record_detached(&self, _: Decision) {}
}

/// Allows everything.
pub(crate) struct Open;

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

    async fn check_token(&self, _: &Caller) -> Result<()> {
        Ok(())
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
            proof: Proof::Uid,
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
pub(crate) struct Document {
    pub(crate) version: usize,
    pub(crate) bytes: usize,
    /// What is looked for in memory.
    pub(crate) secret: SecretBytes,
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
pub(crate) struct Name(pub(crate) String);

impl Key for Name {
    /// Of names with the same beginning.
    fn falls_with(&self, other: &Self) -> bool {
        self.0.split('/').next() == other.0.split('/').next()
    }
}

/// As many flights as a test lets there be.
#[derive(Clone)]
pub(crate) struct Room(pub(crate) Arc<Semaphore>);

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
pub(crate) struct World {
    pub(crate) cache: Cache<Name, Document>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) proof: Authorized,
    pub(crate) owner: Option<Uid>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) room: Room,
}

#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) calls: AtomicUsize,
    /// Calls that may be answered.
    pub(crate) answers: Semaphore,
    pub(crate) refusal: Mutex<Option<(Reason, Meaning)>>,
    pub(crate) version: AtomicUsize,
    pub(crate) bytes: usize,
    /// Only the test that looks for its values lets there be some.
    pub(crate) is_looked_for: AtomicBool,
    pub(crate) was_asked: Notify,
}

impl Vault {
    pub(crate) fn read(
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

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn refuse(&self, refusal: Option<(Reason, Meaning)>) {
        *self.refusal.lock().expect("not poisoned") = refusal;
    }
}

impl World {
    pub(crate) async fn new(limits: Limits, answers: usize, bytes: usize) -> Arc<Self> {
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

    pub(crate) async fn read(&self, key: &str) -> Result<Served<Document>> {
        self.read_as(key, self.owner).await
    }

    pub(crate) async fn read_as(&self, key: &str, owner: Option<Uid>) -> Result<Served<Document>> {
        let request = self.request(key);
        let request = Request { owner, ..request };
        let read = |place| self.vault.read(place);
        self.cache.read(request, read).await
    }

    pub(crate) async fn refresh(&self, key: &str) -> Result<Served<Document>> {
        let request = Request {
            is_refresh: true,
            ..self.request(key)
        };
        let read = |place| self.vault.read(place);
        self.cache.read(request, read).await
    }

    pub(crate) fn request(&self, key: &str) -> Request<'_, Name, Room> {
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
    pub(crate) async fn coalesced(&self, readers: u64) {
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

pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// So many readers of one key at once.
pub(crate) fn herd(world: &Arc<World>, readers: usize) -> JoinSet<Result<Served<Document>>> {
    let mut herd = JoinSet::new();
    for _ in 0..readers {
        let world = Arc::clone(world);
        herd.spawn(async move { world.read("key").await });
    }
    herd
}
