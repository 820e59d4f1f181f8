//! What a reader asks for.

use std::time::Duration;

use claviger_core::{DefinitionName, Id};

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
