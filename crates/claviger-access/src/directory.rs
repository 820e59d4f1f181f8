//! Where the authorizer finds what it decides by.

use std::future::Future;
use std::sync::Arc;

use claviger_core::{Resource, Result, Uid};

use crate::{Caller, Grant, Principal};

/// What a name stands for right now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Resolved {
    /// The project, if it exists.
    pub project: Option<Uid>,
    /// The definition, if it exists.
    pub definition: Option<Uid>,
    /// The connection profile, if it exists.
    pub profile: Option<Uid>,
}

/// Where grants and names are looked up.
pub trait Directory: Send + Sync {
    /// What the directory found out about a name besides its uids, for whoever asked.
    type Found: Send;

    /// All grants of a principal; none is an empty list.
    fn grants(&self, principal: &Principal)
    -> impl Future<Output = Result<Arc<Vec<Grant>>>> + Send;

    /// Checks that the token which a caller came with still counts, if it came with one.
    fn check_token(&self, caller: &Caller) -> impl Future<Output = Result<()>> + Send;

    /// Differs from an earlier answer if a grant or a name may have changed since.
    fn changes(&self) -> u64;

    /// What a resource's name stands for.
    fn resolve(
        &self,
        resource: &Resource,
    ) -> impl Future<Output = Result<(Resolved, Self::Found)>> + Send;
}
