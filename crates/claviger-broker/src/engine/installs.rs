//! Installs: the tokens that roll, and the way to where they do.
//!
//! The only owner of their records. Whoever puts or ends a profile takes the changes from here into
//! its own commit; whoever wants a credential for a job asks [`Installs::access`], which waits while
//! a new one is fetched ([`exchange`]).

mod exchange;
mod flights;
mod keeping;
mod upkeep;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use claviger_access::Authorized;
use claviger_core::{Clock, Detail, Error, Id, Reason, Result, SecretBytes, Uid};
use claviger_store::{Batch, Expect, Stored};
use claviger_stripe::live::Outcome;
use claviger_stripe::oauth::OauthClient;
use claviger_stripe::{Mode, Settings};

use crate::engine::catalog::Catalog;
use crate::engine::catalog::commit::ATTEMPTS;
use crate::engine::forms::{InstallKey, Secrets, install_value};
use crate::engine::found::expect;
use crate::engine::installs::flights::Flights;
use crate::engine::outside::Outside;
use crate::model::install::{Install, ReconnectReason, State, Why};

/// When to try again what another call is at.
const BUSY: Duration = Duration::from_secs(1);

/// How seldom Stripe is asked whether a token is refused that a caller says is.
const DOUBTED_EVERY: Duration = Duration::from_secs(60);

/// The owner of the installs.
pub(crate) struct Installs {
    catalog: Arc<Catalog>,
    outside: Arc<Outside>,
    client: OauthClient,
    clock: Arc<dyn Clock>,
    flights: Arc<Flights>,
    /// When Stripe was asked last whether the token of this generation is refused.
    doubted: Mutex<HashMap<Uid, (u64, Duration)>>,
    /// Answers that are in memory and could not be stored yet.
    unsaved: AtomicUsize,
    counts: Mutex<InstallCounts>,
}

/// What is counted of installs, in the words of the API.
#[derive(Clone, Debug, Default)]
pub struct InstallCounts {
    /// Installs in each state, at the last sweep.
    pub states: BTreeMap<&'static str, u64>,
    /// Exchanges of tokens that ended, by reason; `OK` is no error.
    pub exchanges: BTreeMap<&'static str, u64>,
}

/// Who wants an access token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need<'a> {
    /// A job, which may have been refused with one.
    Job { refused: Option<&'a Id> },
    /// A test, which takes what there is.
    Test,
}

/// What a job connects with.
pub(crate) struct Access {
    pub(crate) token: SecretBytes,
    pub(crate) version: Id,
    pub(crate) mode: Option<Mode>,
    /// When it was fetched.
    pub(crate) fetch_time: Option<SystemTime>,
    pub(crate) expire_time: Option<SystemTime>,
}

impl Access {
    fn of(install: &Install, token: SecretBytes, version: Id) -> Self {
        Self {
            token,
            version,
            mode: install.mode,
            fetch_time: install.refresh_time,
            expire_time: install.expire_time,
        }
    }
}

impl Installs {
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        outside: Arc<Outside>,
        client: OauthClient,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            catalog,
            outside,
            client,
            clock,
            flights: Arc::default(),
            doubted: Mutex::default(),
            unsaved: AtomicUsize::new(0),
            counts: Mutex::default(),
        }
    }

    /// The way to the token endpoints.
    pub(crate) fn client(&self) -> &OauthClient {
        &self.client
    }

    /// Tells one pasted refresh token from another: a keyed hash, because the token itself is spent and
    /// gone when it is pasted again.
    pub(crate) fn mark_of(&self, token: &SecretBytes) -> String {
        claviger_seal::hex(&self.catalog.mac("pasted", &[token.expose()]))
    }

    /// Whether every answer of a token endpoint is stored.
    ///
    /// # Errors
    /// `STORE_NOT_WRITABLE`.
    pub(crate) fn health(&self) -> Result<()> {
        match self.unsaved.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(Error::new(Reason::StoreNotWritable)),
        }
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> InstallCounts {
        self.counting(|counts| counts.clone())
    }

    fn counting<T>(&self, count: impl FnOnce(&mut InstallCounts) -> T) -> T {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut counts)
    }

    /// The install that is the value of the definition with this uid.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn find(&self, definition: Uid) -> Result<Option<Stored<Install>>> {
        self.catalog.get_own(&definition.to_string()).await
    }

    /// Its secrets.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`, also where there are none.
    pub(crate) async fn secrets(&self, definition: Uid) -> Result<Secrets> {
        let found = self.catalog.secret_own(&install_value(definition)).await?;
        let bytes = found.ok_or_else(|| Error::new(Reason::IntegrityFailure))?;
        Secrets::decode(&bytes)
    }

    /// The access token of an install, a new one if it is near its end or Stripe refuses the one
    /// that the job was refused with. `None` if there is no such install any more, but perhaps
    /// one that it was joined with.
    ///
    /// # Errors
    /// `RECONNECT_REQUIRED`, `INSTALL_SHARED`, `STRIPE_UNREACHABLE`, `STRIPE_REFUSED`,
    /// `STORE_NOT_WRITABLE`, `STORE_UNAVAILABLE`.
    pub(crate) async fn access(
        self: &Arc<Self>,
        proof: &Authorized,
        definition: Uid,
        need: Need<'_>,
    ) -> Result<Option<Access>> {
        let mut refused = match need {
            Need::Job { refused } => refused,
            Need::Test => None,
        };
        let mut seen = None;
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.find(definition).await? else {
                return Ok(None);
            };
            let install = &*stored.record;
            check_served(install)?;
            let version = install.version()?;
            let is_refused = refused.take().is_some_and(|refused| *refused == version);
            let is_served = match need {
                // What was fetched for this very call is served, however short its life is.
                Need::Job { .. } if seen.is_none_or(|seen| seen == install.generation) => {
                    self.is_fresh(install)
                }
                Need::Job { .. } => install.is_fresh(SystemTime::UNIX_EPOCH, |_| Duration::ZERO),
                // A test never ends the token that jobs have.
                Need::Test => install.is_fresh(self.catalog.now(), |_| Duration::ZERO),
            };
            let why = match (is_served, install.state) {
                (true, _) if is_refused && self.may_doubt(definition, install.generation) => {
                    Why::Refused(install.generation)
                }
                (true, _) => match self.token(definition, stored.revision).await? {
                    Some(token) => return Ok(Some(Access::of(install, token, version))),
                    // Nobody gets a token once the next one may have ended it.
                    None => continue,
                },
                (false, State::Shared) => {
                    self.unshare(definition).await?;
                    continue;
                }
                (false, _) => Why::Needed,
            };
            self.exchanged(proof.call().id, definition, why).await?;
            seen = seen.or(Some(install.generation));
        }
        Err(busy())
    }

    /// The access token of an install that is as it was found.
    async fn token(&self, definition: Uid, revision: u64) -> Result<Option<SecretBytes>> {
        let secrets = self.secrets(definition).await;
        let now = self.find(definition).await?;
        match now.is_some_and(|now| now.revision == revision) {
            true => Ok(secrets?.access_token),
            false => Ok(None),
        }
    }

    fn is_fresh(&self, install: &Install) -> bool {
        let before = |life| self.client.refresh_before(life);
        install.is_fresh(self.catalog.now(), before)
    }

    /// Whether Stripe may be asked about the token of this generation: not again within a minute.
    fn may_doubt(&self, definition: Uid, generation: u64) -> bool {
        let uptime = self.clock.uptime();
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.retain(|_, (_, asked)| uptime < *asked + DOUBTED_EVERY);
        !doubted.contains_key(&definition) || {
            // All that were refused with one token at a time wait for one answer.
            doubted
                .get(&definition)
                .is_some_and(|(asked, _)| *asked == generation)
                && self.flights.is_under_way(definition)
        }
    }

    fn note_doubt(&self, definition: Uid, generation: u64) {
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.insert(definition, (generation, self.clock.uptime()));
    }

    /// Whether Stripe takes no access token of an install any more.
    pub(crate) async fn is_over(&self, secrets: &Secrets) -> bool {
        let Some(token) = &secrets.access_token else {
            return false;
        };
        let answer = self.client.account(token, &Settings::default()).await;
        matches!(answer.outcome, Outcome::Revoked | Outcome::Expired)
    }

    /// Ends an install whose app is gone from the account, with its tokens. `None` if it is gone.
    ///
    /// # Errors
    /// `ACCESS_DENIED` if the caller lost what allowed it, `CONFLICT`, `STORE_UNAVAILABLE`.
    pub(crate) async fn revoke(
        &self,
        proof: &Authorized,
        definition: Uid,
        pasted: &[String],
    ) -> Result<Option<Install>> {
        for _ in 0..ATTEMPTS {
            let Some(found) = self.find(definition).await? else {
                return Ok(None);
            };
            if found.record.pasted != pasted {
                // Another token was put meanwhile, which is of another connection.
                return Ok(None);
            }
            let install = Install {
                state: State::ReconnectRequired(ReconnectReason::Revoked),
                generation: found.record.generation + 1,
                expire_time: None,
                has_access: false,
                ..(*found.record).clone()
            };
            let secrets = Secrets {
                refresh_token: SecretBytes::new(Vec::new()),
                access_token: None,
                ..self.secrets(definition).await?
            };
            let batch = self.put(Batch::new(), definition, &install, &secrets, Some(&found))?;
            if self.catalog.commit(proof, &batch).await?.is_some() {
                return Ok(Some(install));
            }
        }
        Err(busy())
    }

    /// Adds to a commit that an install is made or replaced, with its secrets. What was stored in
    /// their place is erased.
    ///
    /// # Errors
    /// `INTERNAL` for secrets that are not text.
    pub(crate) fn put(
        &self,
        batch: Batch,
        definition: Uid,
        install: &Install,
        secrets: &Secrets,
        found: Option<&Stored<Install>>,
    ) -> Result<Batch> {
        let value = match found {
            Some(_) => Expect::Any,
            None => Expect::Absent,
        };
        let batch = batch.put(&definition.to_string(), install, expect(found));
        Ok(batch.put_secret(&install_value(definition), &secrets.encode()?, value))
    }

    /// Adds to a commit that an install is gone, with its secrets.
    pub(crate) fn delete(&self, batch: Batch, definition: Uid, found: &Stored<Install>) -> Batch {
        let batch = batch
            .delete::<Install>(&definition.to_string(), expect(Some(found)))
            .delete_secret(&install_value(definition), Expect::Any);
        match self.key_of(&found.record) {
            // The key of another one stays.
            Some(key) if found.record.is_claimed => batch.delete::<InstallKey>(&key, Expect::Any),
            Some(_) | None => batch,
        }
    }

    /// Ends the install of a definition that is marked, if it has one.
    ///
    /// # Errors
    /// `CONFLICT`, `STORE_UNAVAILABLE`; a repeat goes on.
    pub(crate) async fn purge(&self, _: &Authorized, definition: Uid) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let Some(found) = self.find(definition).await? else {
                return Ok(());
            };
            let batch = self.delete(Batch::new(), definition, &found);
            if self.catalog.commit_own(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::new(Reason::Conflict))
    }

    /// The key under which no two projects have the same install; `None` before it is known.
    fn key_of(&self, install: &Install) -> Option<String> {
        let account = install.account.as_deref()?;
        let mode = install.mode?;
        let parts = [
            install.flavor.as_str(),
            &install.client_id,
            account,
            mode.as_str(),
        ];
        let key = self.catalog.mac("install", &parts.map(str::as_bytes));
        Some(claviger_seal::hex(&key))
    }
}

impl fmt::Debug for Installs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installs").finish_non_exhaustive()
    }
}

/// Refuses an install of which nothing is served.
///
/// # Errors
/// `RECONNECT_REQUIRED`.
fn check_served(install: &Install) -> Result<()> {
    match install.state {
        State::ReconnectRequired(reason) => Err(Error::new(Reason::ReconnectRequired)
            .with(Detail::Cause, reason.as_str())
            .with(Detail::Remedy, reason.remedy())),
        State::Unverified
        | State::Connected
        | State::Refreshing(_)
        | State::Uncertain
        | State::Shared => Ok(()),
    }
}

/// Others change the install all the time, or are at it.
pub(crate) fn busy() -> Error {
    Error::new(Reason::StripeUnreachable)
        .with(
            Detail::Remedy,
            "its tokens are being changed by another call; try again",
        )
        .retry_after(BUSY)
}
