//! What a reader asks for.

use std::time::Duration;

use claviger_core::{DefinitionName, Id};
use claviger_stripe::{Settings, Verdict};

/// What goes with a Stripe credential: what it is, and how it is used.
pub type Credential = (Verdict, Settings);

/// A read.
#[derive(Clone, Debug)]
pub struct GetSecret {
    /// The definition.
    pub name: DefinitionName,
    /// Where the project declares environments.
    pub environment: Option<Id>,
    /// A version, if not the current one.
    pub version: Option<Id>,
    /// The caller wants it no older.
    pub max_age: Option<Duration>,
}
