//! How many calls and connections there were: numbers that are added to where it happens, without a
//! lock, and read now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_core::{Reason, Timings};
use tokio::time::Instant;

use crate::rpc::TABLE;

/// How a call ends that has its answer.
const OK: &str = "OK";

/// What is counted at one door.
#[derive(Debug)]
pub struct Counts {
    /// Of each RPC, how it ended: first well, then by reason.
    calls: Vec<AtomicU64>,
    took: Vec<Timings>,
    pub(crate) unix: Arc<Connections>,
    pub(crate) tcp: Arc<Connections>,
}

/// The connections of one listener.
#[derive(Debug, Default)]
pub struct Connections {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) taken_away: AtomicU64,
}

impl Counts {
    pub(crate) fn new() -> Arc<Self> {
        let ends = TABLE.len() * (Reason::ALL.len() + 1);
        Arc::new(Self {
            calls: (0..ends).map(|_| AtomicU64::new(0)).collect(),
            took: TABLE.iter().map(|_| Timings::default()).collect(),
            unix: Arc::default(),
            tcp: Arc::default(),
        })
    }

    /// Counts a call of this row once it has ended.
    pub(crate) fn begin(&self, row: usize) -> Counting<'_> {
        Counting {
            counts: self,
            row,
            began: Instant::now(),
            end: Some(Reason::Cancelled),
        }
    }

    /// How many calls ended how: the RPC, the reason or `OK`, and their number. Only those that
    /// there were.
    pub fn calls(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let reasons = || Reason::ALL.iter().map(|reason| reason.as_str());
        let ends = TABLE
            .iter()
            .flat_map(move |rpc| [OK].into_iter().chain(reasons()).map(|end| (rpc.name, end)));
        let counted = ends.zip(&self.calls);
        let counted = counted.map(|((rpc, end), count)| (rpc, end, count.load(Ordering::Relaxed)));
        counted.filter(|(_, _, count)| *count > 0)
    }

    /// How long the calls of each RPC took.
    pub fn took(&self) -> impl Iterator<Item = (&'static str, &Timings)> {
        TABLE.iter().map(|rpc| rpc.name).zip(&self.took)
    }

    /// Its connections on the Unix socket.
    pub fn unix(&self) -> &Connections {
        &self.unix
    }

    /// Its connections on TCP.
    pub fn tcp(&self) -> &Connections {
        &self.tcp
    }
}

impl Connections {
    /// How many there were so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub fn open(&self) -> u64 {
        let closed = self.closed.load(Ordering::Relaxed);
        self.opened().saturating_sub(closed)
    }

    /// How many found no place.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// How many gave theirs to another one.
    pub fn taken_away(&self) -> u64 {
        self.taken_away.load(Ordering::Relaxed)
    }
}

/// A call under way. One that is dropped was cancelled.
pub(crate) struct Counting<'a> {
    counts: &'a Counts,
    row: usize,
    began: Instant,
    end: Option<Reason>,
}

impl Counting<'_> {
    /// When it began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// It ended, well or for this reason.
    pub(crate) fn end(mut self, reason: Option<Reason>) {
        self.end = reason;
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        let of = |reason| Reason::ALL.iter().position(|one| *one == reason);
        let end = self.end.and_then(of).map_or(0, |position| position + 1);
        let place = self.row * (Reason::ALL.len() + 1) + end;
        if let Some(count) = self.counts.calls.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(took) = self.counts.took.get(self.row) {
            took.add(self.began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_access::Rpc;

    use super::*;
    use crate::rpc::{GET_SECRET, WHO_AM_I, named};

    #[test]
    fn each_call_counts_once_by_how_it_ended() {
        let counts = Counts::new();
        let begin = |rpc: &Rpc| counts.begin(named(rpc.name).unwrap().number);
        for _ in 0..2 {
            begin(&GET_SECRET).end(None);
        }
        for reason in Reason::ALL {
            begin(&GET_SECRET).end(Some(*reason));
        }
        drop(begin(&WHO_AM_I));
        let calls: Vec<_> = counts.calls().collect();
        let of = |rpc: &Rpc, end| {
            let found = calls
                .iter()
                .find(|call| (call.0, call.1) == (rpc.name, end));
            found.map(|(_, _, count)| *count)
        };
        assert_eq!(of(&GET_SECRET, OK), Some(2));
        for reason in Reason::ALL {
            assert_eq!(of(&GET_SECRET, reason.as_str()), Some(1), "{reason}");
        }
        assert_eq!(of(&WHO_AM_I, "CANCELLED"), Some(1));
        assert_eq!(calls.len(), 2 + Reason::ALL.len());
        let took = counts.took().map(|(_, took)| took.snapshot().count);
        assert_eq!(took.sum::<u64>(), 3 + Reason::ALL.len() as u64);
    }
}
