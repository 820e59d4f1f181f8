//! Commits: for a caller, on the terms on which it was allowed, or for Claviger itself.

use std::error::Error as StdError;
use std::fmt;
use std::time::SystemTime;

use claviger_access::Authorized;
use claviger_core::{Error, Reason, Result};
use claviger_store::{Batch, Committed, Expect, Record, Stored};

use super::Catalog;
use crate::engine::found::expect;
use crate::model::grants::Grants;
use crate::model::token::Token;

/// How often a change of a record is tried again when another one came in between.
pub(crate) const ATTEMPTS: usize = 8;

/// How often a commit is tried again while others change the caller's own grants: more, because
/// those may be many, and it is about them that nobody must keep a caller from changing anything.
const TERMS_ATTEMPTS: usize = 64;

/// What must hold for a commit for a caller, when its turn comes in the store.
struct Terms {
    /// The keys of the caller's grants, and how they were found.
    grants: Vec<(String, Expect)>,
    /// The same of its token, if it has one.
    token: Option<(String, Expect)>,
    /// When it is over.
    end: Option<SystemTime>,
}

impl Terms {
    fn put_to(&self, batch: Batch) -> Batch {
        let grants = self.grants.iter();
        let mut batch = grants.fold(batch, |batch, (key, expect)| {
            batch.require::<Grants>(key, *expect)
        });
        if let Some((id, expect)) = &self.token {
            batch = batch.require::<Token>(id, *expect);
        }
        match self.end {
            Some(end) => batch.before(end),
            None => batch,
        }
    }

    /// Whether it was these terms that did not hold, of which this key is said.
    fn name(&self, key: &str) -> bool {
        let is_of = |kind, own: &(String, Expect)| key.strip_prefix(kind) == Some(&own.0);
        self.grants.iter().any(|own| is_of(Grants::KIND, own))
            || self.token.iter().any(|own| is_of(Token::KIND, own))
    }
}

/// The cause of an error of which a commit may have been done all the same.
#[derive(Debug)]
pub(in crate::engine) struct Unsure(Error);

impl Unsure {
    /// A commit that failed may still have been done, unless there was no disk for it.
    fn of(error: Error) -> Error {
        let reason = error.reason();
        match reason == Reason::StoreUnavailable {
            true => Error::new(reason).caused_by(Self(error)),
            false => error,
        }
    }

    /// Whether this is the error of such a commit, and not of something that was read before it.
    pub(in crate::engine) fn is_cause(error: &Error) -> bool {
        error.source().is_some_and(|cause| cause.is::<Self>())
    }
}

impl fmt::Display for Unsure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the commit may have been done")
    }
}

impl StdError for Unsure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// What becomes of a record that is changed, and what its caller is told.
pub(crate) enum Update<R, T> {
    /// Nothing changes.
    Keep(T),
    /// It stays, and other changes are committed only if it does.
    Rely { also: Batch, answer: T },
    /// It is gone, in one commit with other changes.
    Delete { also: Batch, answer: T },
    /// It is another one, in one commit with other changes.
    Put { record: R, also: Batch, answer: T },
}

impl Catalog {
    /// Commits for a caller, unless it may no longer. `None` if another change of the same records
    /// came in between.
    ///
    /// # Errors
    /// `ACCESS_DENIED`, `TOKEN_EXPIRED` and `TOKEN_REVOKED` if the caller lost what allowed it;
    /// `STORE_UNAVAILABLE`.
    pub(crate) async fn commit(&self, proof: &Authorized, batch: &Batch) -> Result<Option<u64>> {
        let terms = self.standing(proof).await?;
        self.commit_on(terms, proof, batch).await
    }

    async fn commit_on(
        &self,
        mut terms: Terms,
        proof: &Authorized,
        batch: &Batch,
    ) -> Result<Option<u64>> {
        for _ in 0..TERMS_ATTEMPTS {
            let committed = self.records.commit(terms.put_to(batch.duplicate()));
            match committed.await.map_err(Unsure::of)? {
                Committed::At(revision) => return Ok(Some(revision)),
                // Asked again: another grant may allow it longer.
                Committed::Ended => {}
                Committed::Conflict { key } if terms.name(&key) => {}
                Committed::Conflict { .. } => return Ok(None),
            }
            terms = self.standing(proof).await?;
        }
        Ok(None)
    }

    /// Changes one record for a caller, again whenever another change came in between. `None` if
    /// that never ended.
    ///
    /// # Errors
    /// Those of `change`, and as [`Self::commit`].
    pub(crate) async fn update<R: Record, T>(
        &self,
        proof: &Authorized,
        id: &str,
        change: impl Fn(Option<&Stored<R>>) -> Result<Update<R, T>>,
    ) -> Result<Option<T>> {
        self.update_for(Some(proof), id, change).await
    }

    /// As [`Self::update`], but only once, and with the revision as which it is done. `None` if
    /// another change came in between.
    ///
    /// # Errors
    /// As there.
    pub(in crate::engine) async fn update_once<R: Record>(
        &self,
        proof: &Authorized,
        id: &str,
        change: impl Fn(Option<&Stored<R>>) -> Result<Update<R, ()>>,
    ) -> Result<Option<u64>> {
        let terms = self.standing(proof).await?;
        match self.changed(id, &change).await? {
            (Some(batch), ()) => self.commit_on(terms, proof, &batch).await,
            (None, ()) => Ok(None),
        }
    }

    /// As [`Self::update`], for changes of Claviger's own.
    pub(in crate::engine) async fn update_own<R: Record, T>(
        &self,
        id: &str,
        change: impl Fn(Option<&Stored<R>>) -> Result<Update<R, T>>,
    ) -> Result<Option<T>> {
        self.update_for(None, id, change).await
    }

    async fn update_for<R: Record, T>(
        &self,
        caller: Option<&Authorized>,
        id: &str,
        change: impl Fn(Option<&Stored<R>>) -> Result<Update<R, T>>,
    ) -> Result<Option<T>> {
        for _ in 0..ATTEMPTS {
            if let Some(answer) = self.attempt(caller, id, &change).await? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    async fn attempt<R: Record, T>(
        &self,
        caller: Option<&Authorized>,
        id: &str,
        change: &impl Fn(Option<&Stored<R>>) -> Result<Update<R, T>>,
    ) -> Result<Option<T>> {
        let caller = match caller {
            // Before `change`, which may say of what the caller lost that it is not there.
            Some(proof) => Some((self.standing(proof).await?, proof)),
            None => None,
        };
        let (batch, answer) = match self.changed(id, change).await? {
            (None, answer) => return Ok(Some(answer)),
            (Some(batch), answer) => (batch, answer),
        };
        let committed = match caller {
            Some((terms, proof)) => self.commit_on(terms, proof, &batch).await?,
            None => self.commit_own(batch).await?,
        };
        Ok(committed.map(|_| answer))
    }

    /// Commits what follows from a mark that there is no way back: a caller that loses its permission
    /// does not stop it. `None` if another change of the same records came in between.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(crate) async fn commit_marked(&self, _: &Authorized, batch: Batch) -> Result<Option<u64>> {
        self.commit_own(batch).await
    }

    /// Commits changes of Claviger's own.
    pub(in crate::engine) async fn commit_own(&self, batch: Batch) -> Result<Option<u64>> {
        match self.records.commit(batch).await? {
            Committed::At(revision) => Ok(Some(revision)),
            Committed::Conflict { .. } | Committed::Ended => Ok(None),
        }
    }

    async fn changed<R: Record, T>(
        &self,
        id: &str,
        change: &impl Fn(Option<&Stored<R>>) -> Result<Update<R, T>>,
    ) -> Result<(Option<Batch>, T)> {
        let stored = self.records.get::<R>(id).await?;
        let expect = expect(stored.as_ref());
        Ok(match change(stored.as_ref())? {
            Update::Keep(answer) => (None, answer),
            Update::Rely { also, answer } => (Some(also.require::<R>(id, expect)), answer),
            Update::Delete { also, answer } => (Some(also.delete::<R>(id, expect)), answer),
            Update::Put {
                record,
                also,
                answer,
            } => (Some(also.put(id, &record, expect)), answer),
        })
    }

    /// Asks again whether the caller may still do what it was allowed. The answer holds on these
    /// terms: its own token and grants are as they were just found, and the earliest end of both
    /// has not come.
    async fn standing(&self, proof: &Authorized) -> Result<Terms> {
        let caller = &proof.call().caller;
        let found = self.grants_of(&caller.principal).await?;
        let end = proof.standing(&self.together(&caller.principal, &found))?;
        let grants = found.into_iter();
        let grants = grants.map(|(key, stored)| (key, expect(stored.as_ref())));
        let token = self.token_of(caller).await?;
        let token = token.map(|(id, stored)| (id.to_string(), expect(Some(&stored))));
        Ok(Terms {
            grants: grants.collect(),
            token,
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_commit_that_failed_may_have_been_done_and_not_for_want_of_disk() {
        let failed = |reason| Unsure::of(Error::new(reason));
        let unsure = failed(Reason::StoreUnavailable);
        assert!(Unsure::is_cause(&unsure));
        assert_eq!(unsure.reason(), Reason::StoreUnavailable);
        assert!(!Unsure::is_cause(&failed(Reason::StoreNotWritable)));
        let read = Error::new(Reason::StoreUnavailable).caused_by("of a read");
        assert!(!Unsure::is_cause(&read));
    }
}
