//! Who holds how many of a listener's connections.
//!
//! Free places are anybody's: ten thousand runners may come from one address. Once all are taken,
//! the peer that holds most gives one up for whoever comes, one on which nothing happens first. So
//! nobody is kept out by connections that are only held, and the share of a peer is what others
//! cannot take from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Peer;
use crate::counts::Connections;
use crate::door::{Bounded, Busy, Calls};
use crate::limits::Limits;
use crate::serve::turns::Turns;

/// Of the places, the part that is one peer's whatever others do; and the part that is kept for the
/// daemon's own uid.
const SHARES: usize = 8;

/// Of the calls, the part that one peer may have: runners behind one address are many.
const CALL_SHARES: usize = 4;

/// Calls of one peer that are refused in a second; whoever asks for more waits for the answers, so
/// that being refused costs others little. Nobody waits for a value.
const REFUSALS_PER_SECOND: u32 = 1000;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    handshakes_max: usize,
    calls: Bounded,
    /// Has places that others cannot take: whoever runs the daemon gets in.
    own: Option<Peer>,
    held: Mutex<Held>,
    counts: Arc<Connections>,
}

#[derive(Debug, Default)]
struct Held {
    count: usize,
    next: u64,
    by_peer: HashMap<Peer, Holder>,
}

/// A peer with connections.
#[derive(Debug)]
struct Holder {
    /// By age.
    seats: BTreeMap<u64, Arc<Seat>>,
    /// On all its connections.
    calls: Arc<AtomicUsize>,
    /// On all its connections.
    refusals: Arc<Turns>,
    /// The turns that they share.
    handshakes: Arc<Semaphore>,
}

impl Holder {
    fn new(handshakes_max: usize) -> Self {
        Self {
            seats: BTreeMap::new(),
            calls: Arc::default(),
            refusals: Arc::new(Turns::new(REFUSALS_PER_SECOND, REFUSALS_PER_SECOND)),
            handshakes: Arc::new(Semaphore::new(handshakes_max)),
        }
    }
}

/// What a connection shows of itself.
#[derive(Debug)]
struct Seat {
    calls: Arc<Calls>,
    leave: CancellationToken,
}

impl Places {
    /// `own` is a peer that may come to this listener.
    pub(super) fn new(limits: Limits, own: Option<Peer>, counts: Arc<Connections>) -> Arc<Self> {
        Arc::new(Self {
            max: limits.connections_max,
            handshakes_max: limits.handshakes_max,
            calls: Bounded {
                count: Arc::default(),
                max: limits.calls_max,
            },
            own,
            held: Mutex::default(),
            counts,
        })
    }

    /// A place for a new connection of `peer`; `None` if there is nobody to take one from.
    pub(super) fn take(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        let mut held = self.lock();
        let is_others = self.own.is_some_and(|own| own != peer);
        let beside_own = |max: usize| max - if is_others { max / SHARES } else { 0 };
        if held.count >= beside_own(self.max) {
            if !held.make_room(peer, self.max / SHARES) {
                self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            self.counts.taken_away.fetch_add(1, Ordering::Relaxed);
        }
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
        let number = held.next;
        held.next += 1;
        held.count += 1;
        let holder = held.by_peer.entry(peer);
        let holder = holder.or_insert_with(|| Holder::new(self.handshakes_max));
        let of_peer = Bounded {
            count: Arc::clone(&holder.calls),
            max: match self.own == Some(peer) {
                true => self.calls.max,
                false => self.calls.max / CALL_SHARES,
            },
        };
        let of_all = Bounded {
            count: Arc::clone(&self.calls.count),
            max: beside_own(self.calls.max),
        };
        let seat = Arc::new(Seat {
            calls: Calls::new(of_peer, of_all),
            leave: CancellationToken::new(),
        });
        holder.seats.insert(number, Arc::clone(&seat));
        Some(Place {
            places: Arc::clone(self),
            peer,
            number,
            seat,
            refusals: Arc::clone(&holder.refusals),
            handshakes: Arc::clone(&holder.handshakes),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Asks a connection of the peer that holds most to leave: the oldest idle one. One with calls
    /// only of a peer above its share, and not for another connection of the same peer.
    fn make_room(&mut self, newcomer: Peer, share: usize) -> bool {
        let holders = self
            .by_peer
            .iter()
            .map(|(peer, holder)| (peer, &holder.seats));
        let Some((peer, seats)) = holders.max_by_key(|(_, seats)| seats.len()) else {
            return false;
        };
        let may_cut = *peer != newcomer && seats.len() > share;
        let idle = seats.iter().find(|(_, seat)| seat.calls.are_none());
        let oldest = seats.iter().next().filter(|_| may_cut);
        let Some((number, seat)) = idle.or(oldest) else {
            return false;
        };
        seat.leave.cancel();
        let (peer, number) = (*peer, *number);
        self.remove(peer, number);
        true
    }

    fn remove(&mut self, peer: Peer, number: u64) {
        let Some(Holder { seats, .. }) = self.by_peer.get_mut(&peer) else {
            return;
        };
        if seats.remove(&number).is_some() {
            self.count -= 1;
        }
        if seats.is_empty() {
            self.by_peer.remove(&peer);
        }
    }
}

/// A connection's place. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    peer: Peer,
    number: u64,
    seat: Arc<Seat>,
    refusals: Arc<Turns>,
    handshakes: Arc<Semaphore>,
}

impl Place {
    /// The turns in which the peer's handshakes go on.
    pub(super) fn handshakes(&self) -> Arc<Semaphore> {
        Arc::clone(&self.handshakes)
    }

    /// The turns in which the peer hears that it may not.
    pub(super) fn refusals(&self) -> &Turns {
        &self.refusals
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// Waits until the place is taken away.
    pub(super) async fn taken_away(&self) {
        self.seat.leave.cancelled().await;
    }

    /// The connection is busy until the guard is dropped; `None` if there are too many calls.
    pub(super) fn busy(&self) -> Option<Busy> {
        self.seat.calls.begin()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(self.peer, self.number);
        self.places.counts.closed.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 7;

    fn is_asked_to_leave(place: &Place) -> bool {
        place.seat.leave.is_cancelled()
    }

    fn sixteen() -> Arc<Places> {
        let limits = Limits {
            connections_max: 16,
            calls_max: 64,
            ..Limits::default()
        };
        Places::new(limits, Some(Peer::Unix(OWN)), Arc::default())
    }

    fn fill(places: &Arc<Places>, peer: Peer, count: usize) -> Vec<Place> {
        (0..count).map(|_| places.take(peer).unwrap()).collect()
    }

    #[test]
    fn free_places_are_anybodys_but_for_the_reserve() {
        let places = sixteen();
        let stranger = Peer::Unix(1);
        let held = fill(&places, stranger, 14);
        assert!(!held.iter().any(is_asked_to_leave));
        let own = fill(&places, Peer::Unix(OWN), 2);
        assert!(!held.iter().chain(&own).any(is_asked_to_leave));
    }

    #[test]
    fn the_largest_holder_gives_up_its_oldest_idle_connection() {
        let places = sixteen();
        let mut large = fill(&places, Peer::Unix(1), 10);
        let small = fill(&places, Peer::Unix(2), 4);
        let busy = large[0].busy();
        let _newcomer = places.take(Peer::Unix(3)).unwrap();
        let asked: Vec<bool> = large.iter().map(is_asked_to_leave).collect();
        assert_eq!(asked.iter().filter(|asked| **asked).count(), 1);
        assert!(asked[1], "the first is busy");
        assert!(!small.iter().any(is_asked_to_leave));

        drop(busy);
        let _another = places.take(Peer::Unix(1)).unwrap();
        assert!(is_asked_to_leave(&large[0]), "its own go for its own");

        // A place that is given up twice is free once.
        large.clear();
        assert_eq!(places.lock().count, 4 + 2);
        let counts = &places.counts;
        assert_eq!((counts.opened(), counts.open()), (16, 4 + 2));
        assert_eq!((counts.taken_away(), counts.turned_away()), (2, 0));
    }

    #[test]
    fn busy_connections_are_cut_only_above_the_share_and_for_others() {
        let places = sixteen();
        let large = fill(&places, Peer::Unix(1), 14);
        let _calls: Vec<_> = large.iter().map(Place::busy).collect();
        assert!(places.take(Peer::Unix(1)).is_none());
        assert_eq!(places.counts.turned_away(), 1);
        let newcomer = places.take(Peer::Unix(2)).unwrap();
        assert!(is_asked_to_leave(&large[0]));
        assert!(!is_asked_to_leave(&newcomer));

        let places = sixteen();
        let shares: Vec<Place> = (0..7)
            .flat_map(|uid| fill(&places, Peer::Unix(uid + 100), 2))
            .collect();
        let _calls: Vec<_> = shares.iter().map(Place::busy).collect();
        assert!(places.take(Peer::Unix(1)).is_none());
        assert!(!shares.iter().any(is_asked_to_leave));
        assert!(places.take(Peer::Unix(OWN)).is_some());
    }

    #[test]
    fn one_peer_has_a_quarter_of_the_calls_and_the_own_uid_gets_in_whatever_others_do() {
        let places = sixteen();
        let mut held = Vec::new();
        for uid in 100..104 {
            let place = places.take(Peer::Unix(uid)).unwrap();
            let calls: Vec<Busy> = std::iter::from_fn(|| place.busy()).collect();
            held.push((place, calls));
        }
        let counts: Vec<usize> = held.iter().map(|(_, calls)| calls.len()).collect();
        assert_eq!(counts, [16, 16, 16, 8]);
        let own = places.take(Peer::Unix(OWN)).unwrap();
        assert_eq!(std::iter::from_fn(|| own.busy()).take(9).count(), 9);
    }

    #[test]
    fn no_peer_stays_after_its_last_connection() {
        let places = sixteen();
        drop(fill(&places, Peer::Unix(1), 3));
        assert_eq!(places.lock().by_peer.len(), 0);
        assert_eq!(places.lock().count, 0);
    }
}
