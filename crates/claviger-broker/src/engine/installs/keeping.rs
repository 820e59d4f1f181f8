//! What a provider answered, on its way into the store: the new tokens lie there before anybody
//! gets the access token.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use claviger_core::{DefinitionName, Error, Kind, ProfileName, Reason, Result, SecretBytes, Uid};
use claviger_store::{Batch, Expect, Stored};
use claviger_stripe::oauth::Tokens;
use claviger_stripe::{Mode, Settings, judge};

use super::flights::Pilot;
use super::{Installs, busy};
use crate::engine::forms::{InstallKey, Secrets, definition_id, profile_id};
use crate::engine::found::expect;
use crate::failpoints::{self, AFTER_KEPT};
use crate::model::definition::Definition;
use crate::model::install::{Claim, Install, ReconnectReason, State};
use crate::model::profile::{Auth, Profile};

/// How often it is tried to store an answer that cannot be.
const TRIED_EVERY: Duration = Duration::from_secs(1);

/// An answer that is to be stored.
struct Answer {
    tokens: Tokens,
    /// When it was asked for.
    start: SystemTime,
}

/// Who has the key of an install.
enum Holder {
    /// Nobody, or it is not known yet what the key is.
    Nobody(Batch),
    /// Another profile of the same project: both have one install from now on.
    Joined(Uid, Box<Stored<Install>>),
    /// Another project.
    Elsewhere,
}

impl Installs {
    /// Stores the answer to a claim, however long that takes. `false` if somebody has put other
    /// tokens meanwhile: those are newer.
    pub(super) async fn keep(
        &self,
        pilot: &Pilot,
        definition: Uid,
        claim: &Claim,
        tokens: Tokens,
        start: SystemTime,
    ) -> bool {
        let answer = Answer { tokens, start };
        let mut is_stuck = false;
        let kept = loop {
            match self.try_keep(definition, claim, &answer).await {
                // Another change came in between.
                Ok(None) => {}
                Ok(Some(kept)) => break kept,
                Err(error) => {
                    if !is_stuck {
                        is_stuck = true;
                        self.unsaved.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(
                            ?error,
                            "new tokens of an install cannot be stored; they are in memory only"
                        );
                    }
                    pilot.stuck(error.retry_after(TRIED_EVERY));
                    tokio::time::sleep(TRIED_EVERY).await;
                }
            }
        };
        if is_stuck {
            self.unsaved.fetch_sub(1, Ordering::Relaxed);
        }
        failpoints::reach(AFTER_KEPT);
        kept
    }

    /// `None` if another change came in between.
    async fn try_keep(
        &self,
        definition: Uid,
        claim: &Claim,
        answer: &Answer,
    ) -> Result<Option<bool>> {
        let Some(found) = self.find(definition).await? else {
            return Ok(Some(false));
        };
        let install = &found.record;
        if install.claim(claim.id).is_none() {
            // Its own commit, of which the store did not say that it was done.
            let is_done = install.refresh_time == Some(answer.start);
            return Ok(Some(is_done));
        }
        let secrets = answer.secrets(self.secrets(definition).await?);
        let mut kept = answer.apply(install);
        if kept.state != State::Connected {
            tracing::warn!(definition = %install.definition, "new tokens are for another account or mode; they are kept and not served");
            let batch = self.put(Batch::new(), definition, &kept, &secrets, Some(&found))?;
            self.catalog.commit_own(batch).await?;
            return Ok(None);
        }
        let batch = match self.joining(definition, &found, &mut kept, &secrets).await {
            Ok(batch) => batch,
            Err(error) if is_of_the_store(&error) => return Err(error),
            // A broken record of others: the tokens are not lost for it.
            Err(error) => {
                tracing::error!(?error, definition = %install.definition, "an install is kept for itself");
                self.put(Batch::new(), definition, &kept, &secrets, Some(&found))?
            }
        };
        Ok(self.catalog.commit_own(batch).await?.map(|_| true))
    }

    /// The commit of new tokens: to the install that they belong to, which may be another's.
    async fn joining(
        &self,
        definition: Uid,
        found: &Stored<Install>,
        kept: &mut Install,
        secrets: &Secrets,
    ) -> Result<Batch> {
        let before = &*found.record;
        match self
            .holder(definition, kept, &secrets.client_secret)
            .await?
        {
            Holder::Joined(other, other_found) => {
                let to = &other_found.record.definition;
                tracing::info!(from = %before.definition, %to, "two profiles have one install from now on");
                let batch = self.delete(Batch::new(), definition, found);
                let (batch, led) = self.lead_to(batch, to, before).await?;
                let mut joined = Install {
                    pasted: other_found.record.pasted.clone(),
                    profiles: &other_found.record.profiles | &led,
                    definition: to.clone(),
                    generation: other_found.record.generation + 1,
                    is_claimed: true,
                    ..kept.clone()
                };
                for mark in &kept.pasted {
                    joined.note_pasted(mark.clone());
                }
                self.put(batch, other, &joined, secrets, Some(&other_found))
            }
            Holder::Elsewhere => {
                kept.state = State::Shared;
                tracing::warn!(definition = %before.definition, "another project has the same install; its tokens are kept and not served");
                self.put(Batch::new(), definition, kept, secrets, Some(found))
            }
            Holder::Nobody(batch) => {
                kept.is_claimed |= self.key_of(kept).is_some();
                self.put(batch, definition, kept, secrets, Some(found))
            }
        }
    }

    /// Finds out whether another definition has the same install, and takes the key if none has.
    async fn holder(
        &self,
        definition: Uid,
        install: &Install,
        client_secret: &SecretBytes,
    ) -> Result<Holder> {
        let Some(key) = self.key_of(install) else {
            return Ok(Holder::Nobody(Batch::new()));
        };
        let stored = self.catalog.get_own::<InstallKey>(&key).await?;
        let own = InstallKey { definition };
        let holder = stored.as_ref().map(|stored| stored.record.definition);
        if let Some(other) = holder.filter(|holder| *holder != definition)
            && let Some(found) = self.find(other).await?
        {
            if self.is_left(&found.record).await? {
                let freed = Install {
                    is_claimed: false,
                    ..(*found.record).clone()
                };
                let batch = Batch::new();
                let batch = batch.put(&other.to_string(), &freed, expect(Some(&found)));
                let batch = batch.put(&key, &own, expect(stored.as_ref()));
                return Ok(Holder::Nobody(batch));
            }
            let is_same_project = found.record.definition.project() == install.definition.project();
            // SECURITY: the client id is only said; what proves that it is the same app or platform
            // is its secret key.
            let theirs = self.secrets(other).await?.client_secret;
            let is_same_key = claviger_seal::equal(theirs.expose(), client_secret.expose());
            return Ok(match is_same_project && is_same_key {
                true => Holder::Joined(other, Box::new(found)),
                false => Holder::Elsewhere,
            });
        }
        let batch = Batch::new().put(&key, &own, expect(stored.as_ref()));
        Ok(Holder::Nobody(batch))
    }

    /// Whether all profiles of an install were deleted so long ago that nothing brings them back.
    async fn is_left(&self, install: &Install) -> Result<bool> {
        for name in &install.profiles {
            let stored = self.catalog.get_own::<Profile>(&profile_id(name)).await?;
            let deleted = stored.map(|stored| stored.record.delete_time);
            if deleted.is_some_and(|deleted| !self.catalog.is_over(deleted)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds to a commit that the profiles of one install lead to another, and that its definition is
    /// gone. Returns those profiles.
    async fn lead_to(
        &self,
        batch: Batch,
        to: &DefinitionName,
        from: &Install,
    ) -> Result<(Batch, BTreeSet<ProfileName>)> {
        let mut batch = batch;
        let mut led = BTreeSet::new();
        for name in &from.profiles {
            let id = profile_id(name);
            let Some(stored) = self.catalog.get_own::<Profile>(&id).await? else {
                continue;
            };
            let mut profile = (*stored.record).clone();
            match &mut profile.content.auth {
                Auth::Oauth(auth) if auth.definition == from.definition => {
                    auth.definition = to.clone();
                }
                // Made anew, or another way to authenticate.
                Auth::Oauth(_) | Auth::ApiKey(_) => continue,
            }
            batch = batch.put(&id, &profile, expect(Some(&stored)));
            led.insert(name.clone());
        }
        let id = definition_id(&from.definition);
        Ok((batch.delete::<Definition>(&id, Expect::Any), led))
    }

    /// Serves an install that another project had, if that has it no longer.
    ///
    /// # Errors
    /// `INSTALL_SHARED`.
    pub(super) async fn unshare(&self, definition: Uid) -> Result<()> {
        let Some(found) = self.find(definition).await? else {
            return Ok(());
        };
        let install = &found.record;
        let client_secret = self.secrets(definition).await?.client_secret;
        let batch = match self.holder(definition, install, &client_secret).await? {
            Holder::Nobody(batch) => batch,
            Holder::Elsewhere | Holder::Joined(..) => return Err(shared()),
        };
        let served = Install {
            state: install.at_rest(),
            is_claimed: true,
            ..(**install).clone()
        };
        let batch = batch.put(&definition.to_string(), &served, expect(Some(&found)));
        match self.catalog.commit_own(batch).await? {
            Some(_) => Ok(()),
            None => Err(busy()),
        }
    }
}

impl Answer {
    /// The secrets with the new tokens. A refresh token that is left out is the one there was.
    fn secrets(&self, before: Secrets) -> Secrets {
        let refresh_token = self.tokens.refresh_token.as_ref();
        Secrets {
            client_secret: before.client_secret,
            refresh_token: refresh_token.map_or(before.refresh_token, |new| new.duplicate()),
            access_token: Some(self.tokens.access_token.duplicate()),
        }
    }

    /// The mode that they are for: by the answer, or by the token itself.
    fn mode(&self) -> Option<Mode> {
        let token = self.tokens.access_token.expose();
        let verdict = judge(Kind::StripeApiKey, token, &Settings::default(), None);
        self.tokens
            .mode
            .or(verdict.and_then(|verdict| verdict.mode))
    }

    /// The install with the new tokens. Those for somebody else are kept, and not served.
    fn apply(&self, before: &Install) -> Install {
        let tokens = &self.tokens;
        let is_other = differs(before.account.as_ref(), tokens.account.as_ref())
            || differs(before.mode.as_ref(), self.mode().as_ref());
        Install {
            account: before.account.clone().or_else(|| tokens.account.clone()),
            mode: before.mode.or(self.mode()),
            state: match is_other {
                true => State::ReconnectRequired(ReconnectReason::AccountChanged),
                false => State::Connected,
            },
            generation: before.generation + 1,
            refresh_time: Some(self.start),
            expire_time: Installs::end_of(before, self.start, tokens.life),
            has_access: true,
            ..before.clone()
        }
    }
}

/// Whether it is not what the install is bound to, or not said to be.
fn differs<T: PartialEq>(bound: Option<&T>, found: Option<&T>) -> bool {
    bound.is_some() && bound != found
}

fn shared() -> Error {
    Error::new(Reason::InstallShared)
}

/// Whether it ends by itself, once the store is well.
fn is_of_the_store(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::StoreNotWritable | Reason::StoreUnavailable
    )
}
