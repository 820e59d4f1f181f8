//! Where a read leads: what is registered under its name, and the place of the value.

use std::cell::RefCell;
use std::sync::Arc;

use claviger_access::{Authorized, Call, Granted};
use claviger_audit::Tail;
use claviger_backend::Vaults;
use claviger_core::{Id, Result};
use claviger_store::Stamp;

use crate::engine::catalog::Catalog;
use crate::engine::found::OnDefinition;
use crate::engine::reads::Again;
use crate::engine::remembered::{Question, Remembered};
use crate::model::get_secret::{Credential, GetSecret};
use crate::model::route::Route;

thread_local! {
    static WAYS: RefCell<Remembered<Arc<Way>>> = RefCell::default();
}

/// Where a read leads that was allowed.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) found: Arc<OnDefinition>,
    pub(crate) route: Arc<Route>,
    granted: Arc<Granted>,
    /// The records that all of it rests on.
    stamp: Stamp,
    /// How the last one ended that came to its end.
    pub(crate) last: Option<Last>,
}

/// What a read has served, without the value.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) version: Id,
    pub(crate) credential: Option<Arc<Credential>>,
    /// The way back to the value.
    pub(crate) again: Option<Again>,
    /// The record of it.
    pub(crate) tail: Arc<Tail>,
}

impl Way {
    /// From what was found to the place of the value.
    ///
    /// # Errors
    /// `DEFINITION_NOT_FOUND` and the like, and those of a route.
    pub(crate) fn new(
        proof: &Authorized,
        found: &Arc<OnDefinition>,
        get: &GetSecret,
        vaults: &Vaults,
    ) -> Result<Self> {
        let registered = found.live(vaults)?;
        registered.definition.readable()?;
        let route = registered.route(get.environment.as_ref(), get.version.as_ref())?;
        Ok(Self {
            route: Arc::new(route),
            found: Arc::clone(found),
            granted: Arc::clone(proof.granted()),
            stamp: Stamp::default(),
            last: None,
        })
    }

    /// How the last one ended, if it served this version.
    pub(crate) fn last(&self, version: &Id) -> Option<&Last> {
        self.last.as_ref().filter(|last| last.version == *version)
    }
}

impl Catalog {
    /// Runs a read from its beginning to its value, and lets the way keep what all of that rested
    /// on.
    ///
    /// # Errors
    /// Those of the read.
    pub(crate) async fn collecting<T>(
        &self,
        read: impl Future<Output = Result<(Way, T)>>,
    ) -> Result<(Way, T)> {
        let (read, stamp) = self.records().collecting(read).await;
        read.map(|(way, value)| (Way { stamp, ..way }, value))
    }

    /// The way of a read like this one, with the proof that it may be gone: if one like it came to
    /// its end, no record has changed since that it rests on, and nothing has expired.
    pub(crate) fn known_way(
        &self,
        call: &Arc<Call>,
        get: &GetSecret,
    ) -> Option<(Authorized, Arc<Way>)> {
        // In this order: a change in between is one that the proof was made before.
        let changes = self.records().changes();
        let way = Question::of(call, get, |question| {
            WAYS.with_borrow_mut(|ways| ways.get(question, self.records()))
        })?;
        Some((way.granted.again(call, changes)?, way))
    }

    /// Remembers the way of a read that came to its end: a value was served, and that is in the
    /// audit log.
    pub(crate) fn remember_way(&self, call: &Call, get: &GetSecret, way: &Way, last: Last) {
        let stamp = way.stamp.clone();
        let way = Arc::new(Way {
            last: Some(last),
            ..way.clone()
        });
        Question::of(call, get, |question| {
            WAYS.with_borrow_mut(|ways| ways.put(question, way, stamp));
        });
    }
}
