//! The rules of a slot under every order of events: readers, flights, changes of the document,
//! revoked readers and the passing of time, as threads of shuttle.
//!
//! `CLAVIGER_TEST_VOLUME` multiplies the number of schedules.

use std::sync::atomic::Ordering;

use claviger_core::Reason;
use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use super::*;

const SCHEDULES: usize = 10_000;
const READERS: usize = 3;
const CHANGES: u64 = 2;

const POLICY: Policy = Policy {
    fresh: Duration::from_secs(2),
    usable: Duration::from_secs(6),
    renewal: Some(Duration::from_secs(2)),
};

type Outcome = Result<Held<u64>, Failure>;
type Flight = Arc<(Mutex<Option<Outcome>>, Condvar)>;

/// A slot in front of a vault with one document, whose value counts its changes.
struct World {
    slot: Mutex<Slot<u64, Flight>>,
    seconds: AtomicU64,
    vault: AtomicU64,
    is_away: AtomicBool,
    /// Whether it says no, once it is there again.
    is_refusing: AtomicBool,
    /// Whether there is no place for a flight.
    is_crowded: AtomicBool,
    /// The newest change that a writer was told of.
    told: AtomicU64,
    is_revoked: AtomicBool,
    /// Calls to the vault at a time, of one epoch.
    flying: Mutex<Vec<u64>>,
    calls: AtomicUsize,
    flights: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl World {
    fn now(&self) -> Moment {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn launch(self: &Arc<Self>, ticket: Ticket) -> Option<Flight> {
        if self.is_crowded.load(Ordering::SeqCst) {
            return None;
        }
        let flight = Flight::default();
        {
            let mut flying = self.flying.lock().expect("not poisoned");
            assert!(
                !flying.contains(&ticket.epoch),
                "two calls for the same state"
            );
            flying.push(ticket.epoch);
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (world, landing) = (Arc::clone(self), Arc::clone(&flight));
        let task = thread::spawn(move || world.fly(ticket, &landing));
        self.flights.lock().expect("not poisoned").push(task);
        Some(flight)
    }

    fn fly(&self, ticket: Ticket, flight: &Flight) {
        let is_away = self.is_away.load(Ordering::SeqCst);
        let value = self.vault.load(Ordering::SeqCst);
        thread::yield_now();
        let fails = |reason, meaning| {
            let error = Arc::new(Error::new(reason));
            Err(Failure { error, meaning })
        };
        let is_refusing = self.is_refusing.load(Ordering::SeqCst);
        let result = match (is_away, is_refusing) {
            (true, _) => fails(Reason::VaultUnreachable, Meaning::Away),
            (false, true) => fails(Reason::SecretNotFound, Meaning::Refused),
            (false, false) => Ok((Arc::new(value), SystemTime::UNIX_EPOCH)),
        };
        let outcome = {
            let mut slot = self.slot.lock().expect("not poisoned");
            let mut flying = self.flying.lock().expect("not poisoned");
            flying.retain(|epoch| *epoch != ticket.epoch);
            let is_current = slot.epoch == ticket.epoch;
            let (outcome, _) = slot.land(self.now(), ticket, Duration::from_secs(1), result);
            let refused = outcome.as_ref().err();
            if is_current && refused.is_some_and(|failure| failure.meaning == Meaning::Refused) {
                assert!(slot.held.is_none(), "kept although the vault said no");
            }
            outcome
        };
        *flight.0.lock().expect("not poisoned") = Some(outcome);
        flight.1.notify_all();
    }

    fn read(self: &Arc<Self>) {
        let told = self.told.load(Ordering::SeqCst);
        let was_revoked = self.is_revoked.load(Ordering::SeqCst);
        let answer = {
            let mut slot = self.slot.lock().expect("not poisoned");
            slot.ask(self.now(), &POLICY, |ticket| self.launch(ticket))
        };
        let answer = match answer {
            Answer::Flight(flight) => self.wait(&flight),
            Answer::Known(known) => known,
            Answer::Crowded => return,
        };
        // As the broker does after each wait.
        let is_revoked = self.is_revoked.load(Ordering::SeqCst);
        match answer {
            _ if is_revoked => {}
            Known::Held(held, stale) => {
                assert!(!was_revoked);
                assert!(*held.value >= told, "older than a change that was told");
                if stale.is_none() {
                    // Time goes on while a reader looks at what it got.
                    let age = held.age(self.now());
                    assert!(age < POLICY.fresh + Duration::from_secs(8));
                }
            }
            Known::Refused(..) => {}
        }
    }

    fn wait(&self, flight: &Flight) -> Known<u64> {
        let mut outcome = flight.0.lock().expect("not poisoned");
        while outcome.is_none() {
            outcome = flight.1.wait(outcome).expect("not poisoned");
        }
        let landed = outcome.clone().expect("landed");
        drop(outcome);
        match landed {
            Ok(held) => Known::Held(held, None),
            Err(failure) => {
                let slot = self.slot.lock().expect("not poisoned");
                slot.fall_back(self.now(), &POLICY, &failure)
            }
        }
    }

    /// Of an operator that knows of all changes: never answered with an older one.
    fn refresh(self: &Arc<Self>) {
        let told = self.vault.load(Ordering::SeqCst);
        let since = self.slot.lock().expect("not poisoned").begun();
        loop {
            let answer = {
                let mut slot = self.slot.lock().expect("not poisoned");
                slot.refresh(self.now(), since, &POLICY, |ticket| self.launch(ticket))
            };
            match answer {
                Err(Wait::Until(_)) => {
                    self.seconds.fetch_add(1, Ordering::SeqCst);
                }
                Err(Wait::Landing(flight)) => {
                    self.wait(&flight);
                }
                Ok(Answer::Flight(flight)) => {
                    if let Known::Held(held, None) = self.wait(&flight) {
                        assert!(*held.value >= told, "older than what was there");
                    }
                    return;
                }
                Ok(_) => return,
            }
        }
    }

    /// A put: acknowledged when the slot has forgotten what was before.
    fn change(&self) {
        let value = self.vault.fetch_add(1, Ordering::SeqCst) + 1;
        thread::yield_now();
        self.slot.lock().expect("not poisoned").bump();
        self.told.fetch_max(value, Ordering::SeqCst);
    }
}

fn run() {
    let world = Arc::new(World {
        slot: Mutex::new(Slot::new(Duration::ZERO)),
        seconds: AtomicU64::new(0),
        vault: AtomicU64::new(0),
        is_away: AtomicBool::new(false),
        is_refusing: AtomicBool::new(false),
        is_crowded: AtomicBool::new(false),
        told: AtomicU64::new(0),
        is_revoked: AtomicBool::new(false),
        flying: Mutex::new(Vec::new()),
        calls: AtomicUsize::new(0),
        flights: Mutex::new(Vec::new()),
    });
    let spawn = |act: fn(&Arc<World>)| {
        let world = Arc::clone(&world);
        thread::spawn(move || act(&world))
    };
    let mut threads: Vec<_> = (0..READERS)
        .map(|_| {
            spawn(|world| {
                for _ in 0..3 {
                    world.read();
                }
            })
        })
        .collect();
    threads.push(spawn(|world| {
        for _ in 0..CHANGES {
            world.change();
        }
    }));
    threads.push(spawn(|world| {
        for _ in 0..2 {
            world.refresh();
        }
    }));
    threads.push(spawn(|world| {
        for away in [true, false] {
            world.is_away.store(away, Ordering::SeqCst);
            world.seconds.fetch_add(2, Ordering::SeqCst);
        }
        for crowded in [true, false] {
            world.is_crowded.store(crowded, Ordering::SeqCst);
            world.is_refusing.store(!crowded, Ordering::SeqCst);
            let mut slot = world.slot.lock().expect("not poisoned");
            slot.doubt();
            slot.sweep(world.now());
        }
        world.seconds.fetch_add(4, Ordering::SeqCst);
        world.is_revoked.store(true, Ordering::SeqCst);
    }));
    for thread in threads {
        thread.join().expect("no reader fails");
    }
    let flights = std::mem::take(&mut *world.flights.lock().expect("not poisoned"));
    for flight in flights {
        flight.join().expect("every flight lands");
    }
    assert!(world.calls.load(Ordering::SeqCst) <= READERS * 3 + 2);
    assert!(world.slot.lock().expect("not poisoned").flying.is_none());
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test takes its size from the environment"
)]
fn volume() -> Option<usize> {
    std::env::var("CLAVIGER_TEST_VOLUME").ok()?.parse().ok()
}

#[test]
fn no_order_of_events_breaks_the_rules() {
    let volume = volume().unwrap_or(1);
    let schedules = SCHEDULES * volume.max(1);
    println!("{schedules} schedules");
    shuttle::check_random(run, schedules);
}
