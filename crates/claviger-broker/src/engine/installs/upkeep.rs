//! What is done about installs for no caller: what a crash left behind, and what nobody uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use claviger_core::{Result, Uid};
use claviger_store::Stored;

use super::Installs;
use super::exchange::put;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::profile_id;
use crate::model::install::{Install, State, Why};
use crate::model::profile::Profile;

const HOUR: u64 = 60 * MINUTE;
const MINUTE: u64 = 60;

/// Installs looked at per page.
const PAGE: usize = 100;

/// Installs refreshed for nobody per sweep: after a long stop many are due at once.
const SWEPT: usize = 8;

impl Installs {
    /// Ends the claims of a process that is no longer there: at start-up no other has this store.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn settle_all(&self) -> Result<()> {
        let mut after = None;
        while let Some(page) = self.page(&mut after).await? {
            for (definition, _) in page {
                self.settle_claim(definition, true).await?;
            }
        }
        Ok(())
    }

    /// Ends a claim whose lease is over.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(super) async fn settle(&self, definition: Uid) -> Result<()> {
        self.settle_claim(definition, false).await
    }

    async fn settle_claim(&self, definition: Uid, is_orphan: bool) -> Result<()> {
        let settle = |stored: Option<&Stored<Install>>| {
            let Some(stored) = stored else {
                return Ok(Update::Keep(Some(())));
            };
            let state = self.settled(&stored.record, is_orphan);
            if state == stored.record.state {
                return Ok(Update::Keep(Some(())));
            }
            let install = Install {
                state,
                ..(*stored.record).clone()
            };
            tracing::warn!(
                definition = %install.definition,
                state = install.state.as_str(),
                "an exchange of tokens was not brought to its end"
            );
            Ok(put(install, Some(())))
        };
        self.update(definition, settle).await.map(drop)
    }

    fn settled(&self, install: &Install, is_orphan: bool) -> State {
        let reuse = self.client().reuse();
        match install.state {
            State::Refreshing(claim) if is_orphan || self.catalog.now() >= claim.lease_end => {
                install.state_after_loss(&claim, reuse)
            }
            State::Uncertain => Install::state_of_lost(reuse),
            state @ (State::Unverified
            | State::Connected
            | State::Refreshing(_)
            | State::ReconnectRequired(_)
            | State::Shared) => state,
        }
    }

    /// Refreshes what nobody uses, before its refresh token ends, and repeats what is uncertain.
    /// Counts how many installs there are in each state.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`; the next sweep goes on.
    pub(crate) async fn sweep(self: &Arc<Self>) -> Result<()> {
        let mut states: BTreeMap<&str, u64> = BTreeMap::new();
        // On the full hour everybody else's programs refresh theirs.
        let mut left = match self.is_full_hour() {
            true => 0,
            false => SWEPT,
        };
        let mut after = None;
        while let Some(page) = self.page(&mut after).await? {
            for (definition, install) in page {
                *states.entry(install.state.as_str()).or_default() += 1;
                let is_due = install.state == State::Uncertain
                    || install.is_idle(definition, self.catalog.now());
                if left == 0 || !is_due || !self.is_wanted(&install).await? {
                    continue;
                }
                left -= 1;
                // Written down by the exchange itself.
                let exchanged = self.exchanged(Uid::random(), definition, Why::Idle);
                exchanged.await.ok();
            }
        }
        self.counting(|counts| counts.states = states);
        Ok(())
    }

    fn is_full_hour(&self) -> bool {
        let since = self.catalog.now().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default().as_secs() % HOUR < MINUTE
    }

    /// Whether a profile that is not deleted leads there.
    async fn is_wanted(&self, install: &Install) -> Result<bool> {
        for name in &install.profiles {
            let stored = self.catalog.get_own::<Profile>(&profile_id(name)).await?;
            if stored.is_some_and(|stored| stored.record.live().is_ok()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next page; `None` behind the last.
    async fn page(&self, after: &mut Option<String>) -> Result<Option<Vec<(Uid, Install)>>> {
        let page = self.catalog.scan_own::<Install>(after.as_deref(), PAGE);
        let page = page.await?;
        let Some((last, _)) = page.last() else {
            return Ok(None);
        };
        *after = Some(last.clone());
        let mut installs = Vec::with_capacity(page.len());
        for (id, stored) in page {
            installs.push((Uid::kept(&id)?, (*stored.record).clone()));
        }
        Ok(Some(installs))
    }
}
