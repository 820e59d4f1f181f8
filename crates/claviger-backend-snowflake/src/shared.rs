//! The parts that both ways of keeping values share.

use std::sync::Arc;

use claviger_core::{Clock, Id};
use claviger_seal::Keyring;

use crate::place::Place;
use crate::session::Sessions;

/// Longest value, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 65_536;

/// One schema, and the keys and the session it is used with.
pub(crate) struct Shared {
    pub(crate) sessions: Sessions,
    pub(crate) place: Place,
    pub(crate) vault: Id,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
}
