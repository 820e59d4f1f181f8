//! Where a read leads: what is registered under its name, and the place of the value.

use std::cell::RefCell;
use std::sync::Arc;

use claviger_access::{Authorized, Call, Granted};
use claviger_audit::Tail;
use claviger_backend::Vaults;
use claviger_core::{Id, Result};

use crate::engine::catalog::Catalog;
use crate::engine::found::OnDefinition;
use crate::engine::remembered::{Question, Remembered};
use crate::model::get_secret::GetSecret;
use crate::model::route::Route;

thread_local! {
    static WAYS: RefCell<Remembered<Arc<Way>>> = RefCell::default();
}

/// Where a read leads that was allowed.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) found: Arc<OnDefinition>,
    pub(crate) route: Arc<Route>,
    /// That the value was served, of this version: for the audit log.
    served: Option<(Id, Arc<Tail>)>,
    granted: Arc<Granted>,
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
        let route = registered.route(get.environment.as_ref(), get.version.as_ref())?;
        Ok(Self {
            route: Arc::new(route),
            found: Arc::clone(found),
            served: None,
            granted: Arc::clone(proof.granted()),
        })
    }

    /// The record of one that was served this version, if there was one before.
    pub(crate) fn tail(&self, version: &Id) -> Option<&Tail> {
        let (served, tail) = self.served.as_ref()?;
        (served == version).then_some(tail)
    }
}

impl Catalog {
    /// The way of a read like this one, with the proof that it may be gone: if one like it came to
    /// its end, no record has changed since that it rests on, and nothing has expired.
    pub(crate) fn known_way(
        &self,
        call: &Arc<Call>,
        get: &GetSecret,
    ) -> Option<(Authorized, Arc<Way>)> {
        let question = Question::of(call, get);
        // In this order: a change in between is one that the proof was made before.
        let changes = self.records().changes();
        let way = WAYS.with_borrow_mut(|ways| ways.get(question.as_bytes(), self.records()))?;
        Some((way.granted.again(call, changes)?, way))
    }

    /// Remembers the way of a read that came to its end: a value of this version was served, and
    /// that is in the audit log.
    pub(crate) fn remember_way(
        &self,
        call: &Call,
        get: &GetSecret,
        way: &Way,
        version: Id,
        tail: Tail,
    ) {
        let stamp = way.found.stamp().clone();
        let served = Some((version, Arc::new(tail)));
        let way = Arc::new(Way {
            served,
            ..way.clone()
        });
        let question = Question::of(call, get);
        WAYS.with_borrow_mut(|ways| ways.put(question.as_bytes(), way, stamp));
    }
}
