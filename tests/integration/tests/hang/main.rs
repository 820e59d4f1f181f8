//! A vault that hangs holds up nobody else, and nothing of its callers stays.
//!
//! The resources of the whole process are measured: tasks of every runtime, open descriptors, live
//! bytes. A program of its own with one test in it, because all three are the process's, and so are
//! the allocator that counts and the subscriber that finds the runtimes.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside the test functions themselves"
)]

mod runtimes;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use claviger_backend::{Allow, Limits};
use claviger_integration::{
    Client, Fault, FaultyBackend, FaultyVault, Options, PROJECT, Server, Verb, reason,
    text_payload, volume,
};
use claviger_mem::ZeroOnFree;
use claviger_proto::v1;
use tokio::task::{JoinSet, yield_now};
use tonic::{Code, Status};

use crate::runtimes::Runtimes;

#[global_allocator]
static ALLOCATOR: ZeroOnFree = ZeroOnFree::new();

/// Calls that the vault which is released takes at a time: so many that all others may wait.
const PATIENT_CALLS: usize = 128;

/// Those of the vault that is never released: so few that some are refused at once.
const HASTY_CALLS: usize = 4;

/// Of callers that wait for the vault, and as many again of callers that give up.
const CONNECTIONS: usize = 8;

/// On each connection: as many reads, and as many listings.
const CALLS: usize = 50;

/// Reads of the managed vault while the other hangs.
const READS: usize = 1000;

/// Rounds in a row that must leave not a byte more than there was before them.
const CLEAN_ROUNDS: usize = 2;

/// Rounds until then. Buffers and tables that are kept grow with the greatest crowd so far, so the
/// first rounds leave more; a loss with each call makes every round leave more.
const ROUNDS_MAX: usize = 40;

/// Calls in the meantime, at most.
const PATIENCE: usize = 10_000;

/// Calls of the end of a round, at most, each of them followed by so many measurements.
const SETTLING: (usize, usize) = (20, 500);

/// The deadline of the vault that is never released.
const SHORT: Duration = Duration::from_millis(100);

/// The resources that the process holds.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    tasks: usize,
    descriptors: usize,
    bytes: usize,
}

impl Held {
    fn least(self, other: Self) -> Self {
        Self {
            tasks: self.tasks.min(other.tasks),
            descriptors: self.descriptors.min(other.descriptors),
            bytes: self.bytes.min(other.bytes),
        }
    }

    fn is_within(self, bound: Self) -> bool {
        self.tasks <= bound.tasks
            && self.descriptors <= bound.descriptors
            && self.bytes <= bound.bytes
    }
}

/// A server, two vaults that can hang, and a caller that never waits for them.
struct Room {
    runtimes: Runtimes,
    server: Server,
    token: String,
    /// Has more time than the test needs.
    patient: Arc<FaultyBackend>,
    /// Has little.
    hasty: Arc<FaultyBackend>,
}

impl Room {
    async fn new() -> Self {
        let runtimes = Runtimes::watch();
        let [patient, hasty] = [FaultyBackend::new(), FaultyBackend::new()];
        let options = Options {
            vaults: vec![
                vault("patient", &patient, PATIENT_CALLS),
                vault("hasty", &hasty, HASTY_CALLS),
            ],
            ..Options::default()
        };
        let (mut server, caller) = Server::prepared(options).await;
        put(&caller, "managed").await;
        put(&caller, "patient").await;
        put(&caller, "hasty").await;
        let roles = [(v1::Role::Runner, "*"), (v1::Role::Operator, "*")];
        let token = caller.token(&roles).await.token;
        // Only now: the values above are to be stored however slow the machine is.
        let hurry = |options: &mut Options| {
            let hasty = options.vaults.last_mut().expect("two");
            hasty.limits.timeout = SHORT;
        };
        server.restart_with(hurry).await;
        Self {
            runtimes,
            server,
            token,
            patient,
            hasty,
        }
    }

    /// Over a connection of its own: one keeps tables of the headers that it saw lately.
    async fn connect(&self) -> Client {
        self.server.tcp().await.with_token(&self.token)
    }

    /// Passes the time.
    async fn call(&self) {
        let text = self.connect().await.text(&secret("managed")).await;
        assert_eq!(text, "managed");
    }

    /// Calls of a vault that hang, over connections of their own.
    async fn hang_on(&self, vault: &'static str) -> JoinSet<Result<(), Status>> {
        let mut calls = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let client = self.connect().await;
            for _ in 0..CALLS {
                let (reading, listing) = (client.clone(), client.clone());
                calls.spawn(async move { reading.get(&secret(vault)).await.map(drop) });
                calls.spawn(async move { list(&listing, vault).await });
            }
        }
        calls
    }

    /// Reads the managed vault until something is so.
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..PATIENCE {
            if is_so() {
                return;
            }
            self.call().await;
        }
        panic!("not after {PATIENCE} calls: {what}");
    }

    /// Many reads of the managed vault over a connection of their own.
    async fn read_managed(&self) {
        let client = self.connect().await;
        let mut reads = JoinSet::new();
        for _ in 0..READS {
            let client = client.clone();
            reads.spawn(async move { client.text(&secret("managed")).await });
        }
        let reads = reads.join_all().await;
        assert!(reads.iter().all(|text| text == "managed"));
    }

    /// Some wait until the vault is released; others leave before.
    async fn vault_is_released(&self) {
        let idle = self.runtimes.serving_tasks();
        // As many as one caller may have.
        let taken = hang(&self.patient) + PATIENT_CALLS / 2;
        let mut staying = self.hang_on("patient").await;
        let mut leaving = self.hang_on("patient").await;
        let (calls, left) = (staying.len() + leaving.len(), leaving.len());
        let serving = || self.runtimes.serving_tasks();
        self.until("all calls came in", || serving() >= idle + calls)
            .await;
        self.until("its places are full", || asked(&self.patient) == taken)
            .await;

        self.read_managed().await;
        assert!(staying.try_join_next().is_none(), "it hung meanwhile");
        assert!(leaving.try_join_next().is_none(), "it hung meanwhile");
        assert_eq!(asked(&self.patient), taken);

        let full = serving();
        drop(leaving);
        self.until("callers that left are gone", || serving() <= full - left)
            .await;
        assert!(staying.try_join_next().is_none(), "it hangs still");
        self.patient.heal();
        let answers = staying.join_all().await;
        assert!(answers.iter().all(Result::is_ok), "each had its turn");
    }

    /// Some wait until the vault's deadline; others leave before. It is never released.
    async fn deadline_passes(&self) {
        let begun = hang(&self.hasty);
        let staying = self.hang_on("hasty").await;
        let leaving = self.hang_on("hasty").await;
        self.until("it is asked", || asked(&self.hasty) > begun)
            .await;
        drop(leaving);
        for answer in staying.join_all().await {
            let status = answer.expect_err("it hangs");
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            let why = reason(&status);
            assert!(["OVERLOADED", "VAULT_UNREACHABLE"].contains(&why.as_str()));
        }
    }

    fn held(&self) -> Held {
        Held {
            tasks: self.runtimes.tasks(),
            descriptors: fs::read_dir("/proc/self/fd").expect("Linux").count(),
            bytes: claviger_mem::live_bytes(),
        }
    }

    /// The resources held once all is quiet: no more than `before`, or else the least there is.
    async fn settled(&self, before: Held) -> Held {
        let (calls, looks) = SETTLING;
        let mut least = self.held();
        for _ in 0..calls {
            self.call().await;
            for _ in 0..looks {
                if least.is_within(before) {
                    return least;
                }
                yield_now().await;
                least = least.least(self.held());
            }
        }
        least
    }
}

fn vault(id: &'static str, backend: &Arc<FaultyBackend>, calls: usize) -> FaultyVault {
    FaultyVault {
        id,
        backend: Arc::clone(backend),
        limits: Limits {
            concurrent_calls: Some(calls),
            ..Limits::timeout(Duration::from_secs(600))
        },
        allow: Allow::everything(),
    }
}

fn secret(id: &str) -> String {
    format!("{PROJECT}/secrets/{id}")
}

/// Registers a definition of the vault's name in it, with that name as its value.
async fn put(client: &Client, vault: &str) {
    let request = v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: secret(vault),
            location: Some(v1::Location {
                vault: vault.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        payload: Some(text_payload(vault)),
        ..Default::default()
    };
    client.put_definition(request).await.expect("registered");
}

async fn list(client: &Client, vault: &str) -> Result<(), Status> {
    let request = v1::ListVaultSecretsRequest {
        parent: format!("vaults/{vault}"),
        project: PROJECT.to_owned(),
        ..Default::default()
    };
    client.vaults().list_vault_secrets(request).await.map(drop)
}

/// From now on it hangs; how often it was asked before.
fn hang(backend: &FaultyBackend) -> usize {
    backend.set(Verb::Read, Fault::Hang);
    backend.set(Verb::List, Fault::Hang);
    asked(backend)
}

fn asked(backend: &FaultyBackend) -> usize {
    backend.count(Verb::Read) + backend.count(Verb::List)
}

#[tokio::test]
async fn vault_that_hangs_slows_no_other_and_leaves_nothing_behind() {
    let room = Room::new().await;
    // Not one long hang: the serve loop itself ends calls after a while.
    for _ in 1..volume() {
        room.vault_is_released().await;
    }
    let (mut before, mut clean) = (Held::default(), 0);
    for round in 1..=ROUNDS_MAX {
        room.vault_is_released().await;
        room.deadline_passes().await;
        let after = room.settled(before).await;
        println!("round {round}: {after:?}");
        clean = if after.is_within(before) {
            clean + 1
        } else {
            0
        };
        before = after;
        if clean == CLEAN_ROUNDS {
            return;
        }
    }
    panic!("more is held after each round");
}
