//! The calls that are under way: of a connection, of its peer, and of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of calls, and how many there may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounded {
    pub(crate) count: Arc<AtomicUsize>,
    pub(crate) max: usize,
}

/// The calls of a connection, which count for its peer and for all too.
#[derive(Debug)]
pub(crate) struct Calls {
    here: AtomicUsize,
    of_peer: Bounded,
    of_all: Bounded,
}

impl Calls {
    pub(crate) fn new(of_peer: Bounded, of_all: Bounded) -> Arc<Self> {
        Arc::new(Self {
            here: AtomicUsize::new(0),
            of_peer,
            of_all,
        })
    }

    /// Whether there are none on the connection.
    pub(crate) fn are_none(&self) -> bool {
        self.here.load(Ordering::Relaxed) == 0
    }

    /// One more, until it is dropped; `None` if there are too many.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Busy> {
        let is_one_too_many =
            |bounded: &Bounded| bounded.count.fetch_add(1, Ordering::Relaxed) >= bounded.max;
        self.here.fetch_add(1, Ordering::Relaxed);
        let are_too_many = [&self.of_peer, &self.of_all].map(is_one_too_many);
        // Dropped where there are too many.
        let busy = Busy(Arc::clone(self));
        (!are_too_many.contains(&true)).then_some(busy)
    }
}

/// A call that is under way until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Calls>);

impl Drop for Busy {
    fn drop(&mut self) {
        let Calls {
            here,
            of_peer,
            of_all,
        } = &*self.0;
        for count in [here, &*of_peer.count, &*of_all.count] {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(max: usize) -> Bounded {
        Bounded {
            max,
            ..Bounded::default()
        }
    }

    #[test]
    fn calls_of_all_connections_count_for_their_peer_and_for_all() {
        let (one, other, all) = (bounded(2), bounded(2), bounded(3));
        let of = |peer: &Bounded| Calls::new(peer.clone(), all.clone());
        let (first, second, others) = (of(&one), of(&one), of(&other));
        let (a, b) = (first.begin().unwrap(), second.begin().unwrap());
        assert!(first.begin().is_none(), "its peer has two");
        let c = others.begin().unwrap();
        assert!(others.begin().is_none(), "there are three");
        drop(a);
        assert!(first.are_none());
        let d = others.begin().unwrap();
        drop((b, c, d));
        let counts = [&one, &other, &all].map(|bounded| bounded.count.load(Ordering::Relaxed));
        assert_eq!(counts, [0; 3]);
    }
}
