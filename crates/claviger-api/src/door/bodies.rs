//! How many bytes of unfinished requests there may be.
//!
//! Whatever is kept before a request is complete can be made to be kept for long, by many streams of
//! many connections. One budget for the whole process bounds it, and no peer gets more than its
//! share of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claviger_core::{Error, Reason, Result};

use crate::Peer;

/// The part of the budget that one peer may have; and the part that is kept for the daemon's own
/// uid.
const SHARES: usize = 8;

/// The budget of the process.
#[derive(Debug)]
pub struct Bodies {
    max: usize,
    own: Peer,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_peer: HashMap<Peer, usize>,
}

impl Bodies {
    /// A budget of so many bytes.
    pub fn new(max: usize, own_uid: u32) -> Arc<Self> {
        Arc::new(Self {
            max,
            own: Peer::Unix(own_uid),
            held: Mutex::default(),
        })
    }

    /// The bytes of one request, none yet.
    pub(super) fn charge(self: &Arc<Self>, peer: Peer) -> Charge {
        Charge {
            bodies: Arc::clone(self),
            peer,
            bytes: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of one request. Dropping it gives them back.
#[derive(Debug)]
pub(super) struct Charge {
    bodies: Arc<Bodies>,
    peer: Peer,
    bytes: usize,
}

impl Charge {
    /// Makes it `bytes` in all.
    ///
    /// # Errors
    /// `OVERLOADED` if the peer or the process has too many.
    pub(super) fn cover(&mut self, bytes: usize) -> Result<()> {
        self.cover_of(bytes, 1)
    }

    /// The same where only a part of the peer's share may be used: one half of it, if `part` is 2.
    ///
    /// # Errors
    /// As [`Self::cover`].
    pub(super) fn cover_of(&mut self, bytes: usize, part: usize) -> Result<()> {
        let more = bytes.saturating_sub(self.bytes);
        let bodies = &self.bodies;
        let kept = if self.peer == bodies.own {
            0
        } else {
            bodies.max / SHARES
        };
        let mut held = bodies.lock();
        let of_peer = held.by_peer.get(&self.peer).copied().unwrap_or_default() + more;
        if of_peer > bodies.max / SHARES / part || held.all + more > bodies.max - kept {
            return Err(Error::new(Reason::Overloaded));
        }
        held.all += more;
        held.by_peer.insert(self.peer, of_peer);
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.bodies.lock();
        held.all -= self.bytes;
        if let Some(of_peer) = held.by_peer.get_mut(&self.peer) {
            *of_peer -= self.bytes;
            if *of_peer == 0 {
                held.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 7;

    #[test]
    fn a_peer_gets_an_eighth_and_all_is_given_back() {
        let bodies = Bodies::new(800, OWN);
        let mut one = bodies.charge(Peer::Unix(1));
        one.cover(60).unwrap();
        one.cover(40).unwrap();
        let mut two = bodies.charge(Peer::Unix(1));
        two.cover(40).unwrap();
        let refused = two.cover(41).unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        bodies.charge(Peer::Unix(2)).cover(100).unwrap();
        drop((one, two));
        let held = bodies.lock();
        assert_eq!((held.all, held.by_peer.len()), (0, 0));
    }

    #[test]
    fn the_last_eighth_is_kept_for_the_own_uid() {
        let bodies = Bodies::new(800, OWN);
        let cover = |uid: u32, bytes| {
            let mut charge = bodies.charge(Peer::Unix(uid));
            charge.cover(bytes).map(|()| charge)
        };
        let _others: Vec<Charge> = (100..107).map(|uid| cover(uid, 100).unwrap()).collect();
        assert!(cover(107, 1).is_err());
        assert!(cover(OWN, 100).is_ok());
    }
}
