//! What the connections of a guard share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use claviger_core::{Cause, SecretBytes};
use tokio::sync::Semaphore;

use super::places::Places;
use super::way::Way;

/// What one connection gets, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of an answer on the wire. The connector asks once per connection.
    pub(crate) bytes: u64,
    /// From beginning to end.
    pub(crate) time: Duration,
    /// Connections at a time that know the credential.
    pub(crate) tunnels: usize,
}

/// The part that the connections share.
pub(super) struct Shared {
    pub(super) places: Places,
    pub(super) way: Way,
    pub(super) bounds: Bounds,
    /// The header that proves who calls.
    pub(super) authorization: SecretBytes,
    pub(super) tunnels: Arc<Semaphore>,
    /// How often a way was asked for that leads elsewhere.
    pub(super) strayed: AtomicU64,
    /// Why there was no way, the last time.
    pub(super) cause: Mutex<Cause>,
}

impl Shared {
    pub(super) fn cause(&self) -> MutexGuard<'_, Cause> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
