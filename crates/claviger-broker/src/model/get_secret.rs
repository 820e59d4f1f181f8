//! What a reader asks for.

use std::time::Duration;

use claviger_core::{DefinitionName, Id};
use claviger_stripe::{Class, Mode, Settings, Verdict};

/// What goes with a Stripe credential, and nothing of its value.
#[derive(Debug)]
pub struct Credential {
    /// Its class.
    pub class: Class,
    /// Which mode it is for, where the prefix says so.
    pub mode: Option<Mode>,
    /// The header `Stripe-Account`.
    pub account: Option<String>,
    /// The header `Stripe-Context`.
    pub context: Option<String>,
}

impl Credential {
    pub(crate) fn of(verdict: &Verdict, settings: &Settings) -> Self {
        Self {
            class: verdict.class,
            mode: verdict.mode,
            account: settings.account.clone(),
            context: settings.context.clone(),
        }
    }
}

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
