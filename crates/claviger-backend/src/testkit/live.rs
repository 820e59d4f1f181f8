//! The suite against a real account, which holds more than the suite's secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use claviger_core::{Id, Result, Uid};

use super::conformance::outcome;
use super::console::Console;
use crate::contract::{
    Address, Backend, ListedSecret, Reading, VersionInfo, VersionState, Write, Written,
};
use crate::layered::Layered;

/// So that waiting for a listing is not throttled.
const LISTING_PAUSE: Duration = Duration::from_secs(5);

/// A console of a real account, where the secrets of the suite do not end with the test.
#[async_trait]
pub trait LiveConsole: Console {
    /// Deletes a secret that may be there; says whether it is gone.
    async fn clean_up(&self, secret: &str) -> bool;
}

/// A real vault, and which of its names are for the suite.
pub struct Live {
    /// The vault.
    pub backend: Arc<dyn Backend>,
    /// Takes whole names.
    pub console: Arc<dyn LiveConsole>,
    /// The start of the names of this run, and of no others.
    pub prefix: String,
    /// How long its listing may take to show what was stored.
    pub listing_lag: Duration,
}

impl Live {
    /// Runs the suite on names under the prefix, and deletes them whatever comes out.
    #[expect(
        clippy::print_stdout,
        reason = "for the person that looks after the account"
    )]
    pub async fn conformance(self) {
        let own = Arc::new(Own {
            live: self,
            made: Mutex::default(),
        });
        let console = Arc::new(OwnConsole(Arc::clone(&own)));
        let outcome = outcome(Arc::clone(&own) as Arc<dyn Backend>, Some(console)).await;
        let left = own.clean_up().await;
        for name in &left {
            println!("not deleted, do it by hand: {name}");
        }
        outcome.expect("the suite is green");
        assert_eq!(left, [""; 0], "not deleted");
    }
}

/// This program again, for one of its ignored tests: only a process of its own can be given an
/// environment.
pub fn ignored_test(name: &str) -> Command {
    let program = std::env::current_exe().expect("this test");
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", name]);
    command
}

/// The names of one run, without their prefix.
#[derive(Default)]
struct Made {
    /// Those that may be there and are to be deleted.
    touched: BTreeSet<String>,
    /// Those that a listing has to show, and whether as ours.
    listed: BTreeMap<String, bool>,
}

/// The vault, as if it held nothing but the secrets of this run.
struct Own {
    live: Live,
    made: Mutex<Made>,
}

impl Own {
    fn name(&self, secret: &str) -> String {
        format!("{}{secret}", self.live.prefix)
    }

    fn at(&self, address: &Address) -> Address {
        Address {
            secret: self.name(&address.secret),
            ..address.clone()
        }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().expect("nobody panics with it")
    }

    /// Deletes everything that the run may have made; names those that it could not.
    async fn clean_up(&self) -> Vec<String> {
        let mut left = Vec::new();
        let touched = std::mem::take(&mut self.made().touched);
        for secret in touched {
            let name = self.name(&secret);
            if !self.live.console.clean_up(&name).await {
                left.push(name);
            }
        }
        left
    }

    /// The listing of the vault by now.
    async fn list_once(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let prefix = &self.live.prefix;
        let is_own = |name: &str| name.strip_prefix(prefix).is_some_and(is_wanted);
        let after = after.map(|after| self.name(after));
        let listed = self.live.backend.list(&is_own, after.as_deref(), limit);
        let mut listed = listed.await?;
        for secret in &mut listed {
            secret.name.drain(..prefix.len());
        }
        Ok(listed)
    }

    fn is_settled(
        &self,
        listed: &[ListedSecret],
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> bool {
        let made = self.made();
        let expected = made
            .listed
            .iter()
            .filter(|(name, _)| is_wanted(name) && after.is_none_or(|after| name.as_str() > after));
        let shown = listed.iter().map(|secret| (&secret.name, &secret.is_ours));
        shown.eq(expected.take(limit))
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.live.backend.fmt(f)
    }
}

impl Layered for Own {
    fn inner(&self) -> &dyn Backend {
        &*self.live.backend
    }
    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let mut reading = self.live.backend.read(&self.at(address), version).await?;
        if let Some(own) = reading.secret.strip_prefix(&self.live.prefix) {
            reading.secret = own.to_owned();
        }
        Ok(reading)
    }
    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        // Before, because the suite drops some writes half-way.
        self.made().touched.insert(address.secret.clone());
        let own = self.at(address);
        let written = self.live.backend.write(&own, write).await?;
        self.made().listed.insert(address.secret.clone(), true);
        Ok(written)
    }
    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        let address = self.at(address);
        self.live.backend.find_write(&address, write_id).await
    }
    /// Waits for the vault to have caught up; the suite gets to see its last answer.
    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let listings_max = self.live.listing_lag.as_secs() / LISTING_PAUSE.as_secs();
        let mut pace = tokio::time::interval(LISTING_PAUSE);
        for _ in 1..listings_max {
            pace.tick().await;
            let listed = self.list_once(is_wanted, after, limit).await?;
            if self.is_settled(&listed, is_wanted, after, limit) {
                return Ok(listed);
            }
        }
        self.list_once(is_wanted, after, limit).await
    }
    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let address = self.at(address);
        self.live.backend.versions(&address, after, limit).await
    }
    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        self.live.backend.latest(&self.at(address)).await
    }
    async fn replaced(&self, address: &Address, version: &Id) -> Result<Option<Vec<Id>>> {
        self.live.backend.replaced(&self.at(address), version).await
    }
    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let address = self.at(address);
        let changed = self.live.backend.set_state(&address, version, state);
        changed.await
    }
    async fn purge(&self, address: &Address) -> Result<()> {
        self.live.backend.purge(&self.at(address)).await
    }
}

/// Acts in the account past Claviger, under the prefix too.
struct OwnConsole(Arc<Own>);

#[async_trait]
impl Console for OwnConsole {
    async fn put(&self, secret: &str, text: &str) {
        let own = &self.0;
        {
            let mut made = own.made();
            made.touched.insert(secret.to_owned());
            made.listed.entry(secret.to_owned()).or_insert(false);
        }
        own.live.console.put(&own.name(secret), text).await;
    }

    async fn delete(&self, secret: &str) {
        let own = &self.0;
        own.live.console.delete(&own.name(secret)).await;
        own.made().listed.remove(secret);
    }

    fn can_restore(&self) -> bool {
        self.0.live.console.can_restore()
    }
}
