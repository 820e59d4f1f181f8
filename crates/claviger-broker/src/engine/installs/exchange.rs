//! An exchange of a refresh token for new tokens, in steps that each survive a crash:
//!
//! 1. the claim is committed: nobody else begins, and the token there was is not handed out any more;
//! 2. that the refresh token is about to leave is committed, if nobody has put another one;
//! 3. the call, once;
//! 4. what it said is committed, before anybody sees the new access token.
//!
//! It runs on its own: its callers wait for it and may leave. A crash leaves the claim, and
//! [`upkeep`](super::upkeep) makes of it what is known.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_core::{Detail, Error, Reason, Result, Uid};
use claviger_store::{Batch, Stored};
use claviger_stripe::oauth::{GrantFailure, Reuse};

use super::flights::Pilot;
use super::{Installs, busy, check_served};
use crate::engine::catalog::commit::{ATTEMPTS, Update};
use crate::engine::forms::Secrets;
use crate::engine::found::expect;
use crate::failpoints::{self, AFTER_ANSWER, AFTER_CLAIM, AFTER_MARK};
use crate::model::install::{Claim, Install, ReconnectReason, State, Why};

/// After a failure no other exchange of the install begins for so long.
const QUIET: Duration = Duration::from_secs(5);
/// Longest that a provider may ask for.
const QUIET_MAX: Duration = Duration::from_secs(5 * 60);

/// Lives of access tokens that are believed.
const LIFE_MIN: Duration = Duration::from_secs(60);
const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How much longer than the call itself a claim holds.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// What a claim is for.
struct Claimed {
    claim: Claim,
    install: Install,
    secrets: Secrets,
}

/// How an exchange ended that yields nothing.
enum Ended {
    /// Somebody else has put other tokens, or fetched new ones.
    Overtaken,
    /// It is to be repeated at once.
    Uncertain,
    Failed(Error, Duration),
}

impl Installs {
    /// Has the tokens exchanged, or waits until somebody else has.
    ///
    /// # Errors
    /// Those of the exchange.
    pub(super) async fn exchanged(
        self: &Arc<Self>,
        call: Uid,
        definition: Uid,
        why: Why,
    ) -> Result<()> {
        let (seat, pilot) = self.flights.board(definition, self.clock.uptime());
        if let Some(pilot) = pilot {
            if let Why::Refused(generation) = why {
                self.note_doubt(definition, generation);
            }
            let installs = Arc::clone(self);
            let fly = async move { installs.fly(pilot, definition, why).await };
            self.outside.begin(call, fly);
        }
        seat.wait().await
    }

    async fn fly(&self, pilot: Pilot, definition: Uid, why: Why) {
        let ended = self.exchange(&pilot, definition, why).await;
        let has_rolled = matches!(ended, Ok(true));
        let (outcome, quiet) = match ended {
            Ok(_) => (Ok(()), Duration::ZERO),
            Err((error, quiet)) => {
                tracing::warn!(?error, "tokens of an install were not exchanged");
                (Err(error), quiet)
            }
        };
        self.count(outcome.as_ref().err(), has_rolled);
        pilot.land(outcome, self.clock.uptime() + quiet);
    }

    fn count(&self, failure: Option<&Error>, has_rolled: bool) {
        let reason = failure.map(|error| error.reason().as_str());
        if let Some(reason) = reason.or(has_rolled.then_some("OK")) {
            self.counting(|counts| *counts.exchanges.entry(reason).or_default() += 1);
        }
    }

    /// Whether there are new tokens; not if none were wanted, or somebody else has put some.
    async fn exchange(
        &self,
        pilot: &Pilot,
        definition: Uid,
        why: Why,
    ) -> Result<bool, (Error, Duration)> {
        if let Why::Refused(_) = why {
            let is_refused = self.is_refused(definition).await;
            if !is_refused.map_err(|error| (error, QUIET))? {
                return Ok(false);
            }
        }
        self.settle(definition)
            .await
            .map_err(|error| (error, Duration::ZERO))?;
        // Once more, if its answer was lost.
        for _ in 0..2 {
            let claimed = match self.claim(definition, why).await {
                Ok(Some(claimed)) => claimed,
                Ok(None) => return Ok(false),
                Err(error) => return Err((error, Duration::ZERO)),
            };
            match self.call(pilot, definition, claimed).await {
                Ok(()) => return Ok(true),
                Err(Ended::Overtaken) => return Ok(false),
                Err(Ended::Uncertain) => {}
                Err(Ended::Failed(error, quiet)) => return Err((error, quiet)),
            }
        }
        let error = unreachable("its answer to a refresh was lost twice; try again in a moment");
        Err((error, QUIET))
    }

    /// Whether Stripe refuses the present access token.
    async fn is_refused(&self, definition: Uid) -> Result<bool> {
        Ok(self.is_over(&self.secrets(definition).await?).await)
    }

    /// Steps 1 and 2. `None` if there is nothing to do.
    async fn claim(&self, definition: Uid, why: Why) -> Result<Option<Claimed>> {
        let id = Uid::random();
        let claim = |stored: Option<&Stored<Install>>| {
            let Some(stored) = stored else {
                return Ok(Update::Keep(None));
            };
            let mut install = (*stored.record).clone();
            let Some(is_repeat) = self.claimable(&install, why)? else {
                return Ok(Update::Keep(None));
            };
            if why == Why::Refused(install.generation) {
                // Whatever becomes of the exchange, nobody gets it again.
                install.has_access = false;
            }
            install.state = State::Refreshing(Claim {
                id,
                lease_end: self.catalog.now() + self.client.timeout() + LEASE_MARGIN,
                is_sent: false,
                is_repeat,
            });
            Ok(put(install, Some(())))
        };
        if self.update(definition, claim).await?.is_none() {
            return Ok(None);
        }
        failpoints::reach(AFTER_CLAIM);
        let marked = self.mark(definition, id).await;
        if !matches!(marked, Ok(Some(_))) {
            // The next one does not have to wait for the end of its lease.
            let state = |install: &Install, claim: &Claim| install.state_before(claim);
            self.leave(definition, id, state).await.ok();
        }
        failpoints::reach(AFTER_MARK);
        marked
    }

    /// Step 2, on the secrets as they are: whatever else of the install changes meanwhile.
    async fn mark(&self, definition: Uid, id: Uid) -> Result<Option<Claimed>> {
        for _ in 0..ATTEMPTS {
            let Some(found) = self.find(definition).await? else {
                return Ok(None);
            };
            let Some(claim) = found.record.claim(id) else {
                return Ok(None);
            };
            let claim = Claim {
                is_sent: true,
                ..claim
            };
            let install = Install {
                state: State::Refreshing(claim),
                ..(*found.record).clone()
            };
            // INVARIANT: secrets change only with the install, and the commit finds it as it is.
            let secrets = self.secrets(definition).await?;
            let batch = Batch::new().put(&definition.to_string(), &install, expect(Some(&found)));
            if self.catalog.commit_own(batch).await?.is_some() {
                return Ok(Some(Claimed {
                    claim,
                    install,
                    secrets,
                }));
            }
        }
        Ok(None)
    }

    /// Whether an exchange may begin, and whether it is a repeat; `None` if none is wanted.
    fn claimable(&self, install: &Install, why: Why) -> Result<Option<bool>> {
        check_served(install)?;
        match (install.state, why) {
            // Another process is at it.
            (State::Refreshing(_), _) => Err(busy()),
            (State::Connected, Why::Refused(generation)) if install.generation == generation => {
                Ok(Some(false))
            }
            (State::Connected, _) if self.is_fresh(install) => Ok(None),
            (State::Unverified | State::Connected, _) => Ok(Some(false)),
            (State::Uncertain, _) => Ok(Some(true)),
            (State::Shared | State::ReconnectRequired(_), _) => Ok(None),
        }
    }

    /// Steps 3 and 4.
    async fn call(&self, pilot: &Pilot, definition: Uid, claimed: Claimed) -> Result<(), Ended> {
        let Claimed {
            claim,
            install,
            secrets,
        } = claimed;
        // Its life counts from before the provider made it.
        let start = self.catalog.now();
        let Secrets {
            client_secret,
            refresh_token,
            ..
        } = &secrets;
        let asking = self
            .client
            .refresh(install.flavor, client_secret, refresh_token);
        let answer = asking.await;
        failpoints::reach(AFTER_ANSWER);
        let reason = match answer {
            Ok(tokens) => {
                return match self.keep(pilot, definition, &claim, tokens, start).await {
                    true => Ok(()),
                    false => Err(Ended::Overtaken),
                };
            }
            Err(GrantFailure::NotSent) => {
                let error = unreachable("no connection to its token endpoint; try again");
                return self.back(definition, &claim, error, QUIET).await;
            }
            Err(GrantFailure::Limited { retry_after }) => {
                let error = unreachable("it asks to come later; try again then");
                let quiet = retry_after.unwrap_or(QUIET).clamp(QUIET, QUIET_MAX);
                // A limit refuses before anything is done. Where a repeat costs nothing, it is not
                // believed: then a refusal afterwards says that the answer was lost.
                let claim = match self.client.reuse() {
                    Reuse::Tolerated => Claim {
                        is_repeat: true,
                        ..claim
                    },
                    Reuse::Revokes => claim,
                };
                return self.back(definition, &claim, error, quiet).await;
            }
            Err(GrantFailure::Refused) => {
                let error = Error::new(Reason::StripeRefused).with(
                    Detail::Remedy,
                    "its token endpoint does not take the request; see the daemon's log and \
                     stripe.base_url in its configuration",
                );
                return self.back(definition, &claim, error, QUIET).await;
            }
            Err(GrantFailure::Lost) => None,
            Err(GrantFailure::InvalidGrant) => {
                Some(install.reason_of_refusal(&claim, self.catalog.now()))
            }
            Err(GrantFailure::ClientRejected) => Some(ReconnectReason::ClientKeyRejected),
        };
        self.fail(definition, &claim, install.generation, reason)
            .await
    }

    /// The refresh token never counted: the install is as it was before.
    async fn back(
        &self,
        definition: Uid,
        claim: &Claim,
        error: Error,
        quiet: Duration,
    ) -> Result<(), Ended> {
        let state = |install: &Install, _: &Claim| install.state_before(claim);
        let install = self.leave(definition, claim.id, state).await?;
        tracing::warn!(definition = %install.definition, ?error, "tokens were not exchanged");
        Err(Ended::Failed(error.retry_after(quiet), quiet))
    }

    /// The refresh token is spent, or may be.
    async fn fail(
        &self,
        definition: Uid,
        claim: &Claim,
        generation: u64,
        reason: Option<ReconnectReason>,
    ) -> Result<(), Ended> {
        let reuse = self.client.reuse();
        let state = |install: &Install, claim: &Claim| match reason {
            // Another client secret was put meanwhile.
            Some(_) if install.generation != generation => install.state_before(claim),
            Some(reason) => State::ReconnectRequired(reason),
            None => install.state_after_loss(claim, reuse),
        };
        let install = self.leave(definition, claim.id, state).await?;
        tracing::warn!(
            definition = %install.definition,
            state = install.state.as_str(),
            ?reason,
            "tokens were not exchanged"
        );
        match check_served(&install) {
            Err(error) => Err(Ended::Failed(error, Duration::ZERO)),
            Ok(()) if claim.is_repeat => {
                let error = unreachable("its answer to a refresh was lost; try again in a moment");
                Err(Ended::Failed(error.retry_after(QUIET), QUIET))
            }
            Ok(()) => Err(Ended::Uncertain),
        }
    }

    /// Ends the claim without new tokens, if it is still there.
    async fn leave(
        &self,
        definition: Uid,
        claim: Uid,
        state: impl Fn(&Install, &Claim) -> State,
    ) -> Result<Install, Ended> {
        let leave = |stored: Option<&Stored<Install>>| {
            let install = stored.map(|stored| &*stored.record);
            let found = install.and_then(|install| Some((install, install.claim(claim)?)));
            // Whoever took it has put other tokens: this answer says nothing about those.
            let Some((install, claim)) = found else {
                return Ok(Update::Keep(None));
            };
            let install = Install {
                state: state(install, &claim),
                ..install.clone()
            };
            Ok(put(install.clone(), Some(install)))
        };
        match self.update(definition, leave).await {
            Ok(Some(install)) => Ok(install),
            Ok(None) => Err(Ended::Overtaken),
            // The claim stays; its lease ends.
            Err(error) => Err(Ended::Failed(error, QUIET)),
        }
    }

    /// Changes an install; only its state, so that its secrets stay as they are.
    pub(super) async fn update<T>(
        &self,
        definition: Uid,
        change: impl Fn(Option<&Stored<Install>>) -> Result<Update<Install, Option<T>>>,
    ) -> Result<Option<T>> {
        let id = definition.to_string();
        let changed = self.catalog.update_own(&id, change).await?;
        changed.ok_or_else(busy)
    }

    /// When a token that was made at `start` ends.
    pub(super) fn end_of(
        install: &Install,
        start: SystemTime,
        life: Option<Duration>,
    ) -> Option<SystemTime> {
        let life = life.or_else(|| claviger_stripe::oauth::access_life(install.flavor));
        life.map(|life| start + life.clamp(LIFE_MIN, LIFE_MAX))
    }
}

pub(super) fn put<T>(record: Install, answer: T) -> Update<Install, T> {
    Update::Put {
        record,
        also: Batch::new(),
        answer,
    }
}

fn unreachable(remedy: &'static str) -> Error {
    Error::new(Reason::StripeUnreachable)
        .with(Detail::Remedy, remedy)
        .retry_after(QUIET)
}
