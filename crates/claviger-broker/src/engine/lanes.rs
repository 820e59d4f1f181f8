//! The order in which one vault is asked for values: nobody takes all places, and nobody goes on
//! asking a vault that fails for everybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use claviger_access::Principal;
use claviger_backend::Vault;
use claviger_cache::{Breaker, Ending, Failure, Meaning, Places};
use claviger_core::{Clock, Error, Id, Reason, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The lanes of all vaults that were asked so far.
#[derive(Debug)]
pub(crate) struct Lanes {
    clock: Arc<dyn Clock>,
    lanes: Mutex<HashMap<Id, Arc<Lane>>>,
}

/// The way to one vault.
#[derive(Debug)]
pub(crate) struct Lane {
    clock: Arc<dyn Clock>,
    breaker: Breaker,
    /// Places per caller: half of the vault's, so that others find some.
    places: usize,
    /// How long a call may wait for one; more would be the vault's own time.
    patience: Duration,
    /// Places of the callers that ask just now.
    callers: Mutex<HashMap<Principal, Weak<Semaphore>>>,
}

impl Lanes {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            lanes: Mutex::default(),
        }
    }

    /// Whether a vault is left alone just now, because it fails for everybody.
    pub(crate) fn is_open(&self, vault: &Id) -> bool {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.get(vault).is_some_and(|lane| lane.breaker.is_open())
    }

    pub(crate) fn of(&self, vault: &Vault) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(vault.id().clone());
        Arc::clone(lane.or_insert_with(|| Arc::new(Lane::new(vault, Arc::clone(&self.clock)))))
    }
}

impl Lane {
    fn new(vault: &Vault, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            breaker: Breaker::default(),
            places: (vault.concurrent_calls().unwrap_or(1) / 2).max(1),
            patience: vault.timeout() / 2,
            callers: Mutex::default(),
        }
    }

    /// Runs a call that asks the vault for a document.
    ///
    /// # Errors
    /// What the vault says, or said to others.
    pub(crate) async fn run<T>(
        &self,
        document: &str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T, Failure> {
        let pass = self.breaker.enter(self.clock.uptime(), document)?;
        match call.await {
            Ok(value) => {
                pass.end(self.clock.uptime(), Ending::Answered, None);
                Ok(value)
            }
            Err(error) => {
                let (meaning, ending) = meaning_of(error.reason());
                let error = Arc::new(error);
                pass.end(self.clock.uptime(), ending, Some(&error));
                Err(Failure { error, meaning })
            }
        }
    }

    fn places_of(&self, caller: &Principal) -> Arc<Semaphore> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = callers.get(caller).and_then(Weak::upgrade) {
            return places;
        }
        callers.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.places));
        callers.insert(caller.clone(), Arc::downgrade(&places));
        places
    }
}

/// The places of one caller in the lane of one vault, looked up when they are needed.
pub(crate) struct Turn<'a> {
    pub(crate) lanes: &'a Lanes,
    pub(crate) vault: &'a Vault,
    pub(crate) caller: &'a Principal,
}

impl Places for Turn<'_> {
    type Place = OwnedSemaphorePermit;

    fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        let places = self.lanes.of(self.vault).places_of(self.caller);
        places.try_acquire_owned().ok()
    }

    async fn take(&self) -> Result<OwnedSemaphorePermit> {
        let lane = self.lanes.of(self.vault);
        let places = lane.places_of(self.caller);
        let taken = timeout(lane.patience, places.acquire_owned()).await;
        let taken = taken.ok().and_then(|taken| taken.ok());
        taken.ok_or_else(|| Error::new(Reason::Overloaded).retry_after(lane.patience))
    }
}

/// Whether a failure is the vault's answer about one secret, or it is away.
fn meaning_of(reason: Reason) -> (Meaning, Ending) {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all else is an answer")]
    match reason {
        Reason::VaultUnreachable => (Meaning::Away, Ending::Failed),
        Reason::VaultCredentialsRejected => (Meaning::Away, Ending::Refused),
        Reason::Internal => (Meaning::Lost, Ending::Unasked),
        Reason::Overloaded => (Meaning::Unasked, Ending::Unasked),
        // Of the secret, whichever version was asked for.
        Reason::SecretDeleted | Reason::SecretNotFound | Reason::VaultAccessDenied => {
            (Meaning::RefusedAll, Ending::Answered)
        }
        _ => (Meaning::Refused, Ending::Answered),
    }
}
