//! How the records of calls get into the log: those of one turn of a serving thread together.
//!
//! A write costs more than a record. So a call that has added its records lets the others of that
//! turn add theirs. Whichever goes on first then writes all of them.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::SetOnce;
use tokio::task::yield_now;

use crate::lines::{Fate, Lines, Verdict};
use crate::log::Log;

/// More than there are threads that call, so that they rarely share one.
const SHARDS: usize = 32;

/// What a batch may hold. One that is larger is written at once: whatever callers do, no more waits
/// in memory.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Gathers records, and writes them in batches.
#[derive(Debug)]
pub(crate) struct Batches {
    log: Arc<Log>,
    /// Wakes the syncer. It ends when this is gone.
    nudges: SyncSender<()>,
    shards: [Mutex<Batch>; SHARDS],
}

/// The records of a turn.
#[derive(Debug, Default)]
struct Batch {
    lines: Lines,
    /// Where those that wait hear of it. Empty if nobody leads, and the lines are old.
    answer: Option<Answer>,
}

/// Tells all calls of a batch what became of it: by being dropped, that it is lost.
#[derive(Debug, Default)]
struct Answer(Arc<SetOnce<Verdict>>);

impl Drop for Answer {
    fn drop(&mut self) {
        // Does nothing if it is known.
        self.0.set(Verdict::Lost).ok();
    }
}

impl Batches {
    pub(crate) fn new(log: Arc<Log>, nudges: SyncSender<()>) -> Self {
        Self {
            log,
            nudges,
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Adds records, which stay together, to the batch of this turn. Dropping what is returned gives
    /// up the wait, not the records.
    pub(crate) fn add(&self, fill: impl FnOnce(&mut Lines)) -> Pending<'_> {
        let shard = self.own_shard();
        let mut batch = lock(shard);
        if batch.answer.is_none() {
            batch.lines.clear();
        }
        let start = batch.lines.len();
        fill(&mut batch.lines);
        let lines = start..batch.lines.len();
        let pending = Pending {
            batches: self,
            shard,
            is_first: batch.answer.is_none(),
            has_intent: batch.lines.has_intent(lines.clone()),
            answer: Arc::clone(&batch.answer.get_or_insert_default().0),
            lines,
        };
        if batch.lines.bytes_len() > BATCH_BYTES_MAX {
            self.write(batch);
        }
        pending
    }

    fn write(&self, mut batch: MutexGuard<'_, Batch>) {
        // Empty if it was too large to wait for its leader.
        let Some(answer) = batch.answer.take() else {
            return;
        };
        let verdict = self.log.write(&batch.lines);
        let is_much = matches!(verdict, Verdict::Written { is_much: true, .. });
        if is_much || batch.lines.has_intent(0..batch.lines.len()) {
            // If there is no room it is about to come.
            self.nudges.try_send(()).ok();
        }
        drop(batch);
        answer.0.set(verdict).ok();
    }

    #[expect(clippy::indexing_slicing, reason = "the index is a remainder")]
    fn own_shard(&self) -> &Mutex<Batch> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        }
        &self.shards[OWN.with(|own| *own)]
    }
}

/// Records of a call in a batch.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    batches: &'a Batches,
    shard: &'a Mutex<Batch>,
    lines: Range<usize>,
    has_intent: bool,
    answer: Arc<SetOnce<Verdict>>,
    is_first: bool,
}

impl Pending<'_> {
    /// What became of them, once that is known.
    pub(crate) async fn fate(self) -> Fate {
        if self.answer.get().is_none() {
            yield_now().await;
            self.see_written();
        }
        // Known by now, unless another thread writes them just now.
        let verdict = self.answer.wait().await;
        match verdict {
            Verdict::Written { seq, .. }
                if self.has_intent && !self.batches.log.reaches(*seq).await =>
            {
                Fate::Lost
            }
            Verdict::Lost | Verdict::Written { .. } => verdict.fate(&self.lines),
        }
    }

    fn see_written(&self) {
        if self.answer.get().is_none() {
            self.batches.write(lock(self.shard));
        }
    }
}

/// The duty of the first: the batch is written, even if all calls of it are dropped.
impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.is_first {
            self.see_written();
        }
    }
}

fn lock(shard: &Mutex<Batch>) -> MutexGuard<'_, Batch> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use claviger_core::{ManualClock, Reason, Uid};

    use super::*;
    use crate::open::Opened;
    use crate::record::{Entry, Record, Tail};
    use crate::sink::{Flush, Sink};

    /// A sink that keeps nothing, and panics on demand.
    struct Nowhere {
        appends: usize,
        panics_at: usize,
    }

    impl Sink for Nowhere {
        fn append(&mut self, _: &[u8]) -> io::Result<()> {
            self.appends += 1;
            assert_ne!(self.appends, self.panics_at, "on demand");
            Ok(())
        }

        fn sync(&mut self) -> io::Result<Flush> {
            Ok(Box::new(|| Ok(())))
        }
    }

    /// Batches without a syncer, and what would wake it.
    fn batches(panics_at: usize) -> (Batches, Receiver<()>) {
        let opened = Opened::empty(Box::new(Nowhere {
            appends: 0,
            panics_at,
        }));
        let clock = ManualClock::at(Duration::from_secs(1_800_000_000));
        let log = Log::start(opened, Arc::new(clock)).expect("writes");
        let (nudges, nudged) = sync_channel(1);
        (Batches::new(Arc::new(log), nudges), nudged)
    }

    fn refusal() -> Entry {
        Entry::Refusal {
            call_id: Uid::random(),
            rpc: "claviger.v1.SecretService/GetSecret",
            peer: "unix",
            reason: Reason::Cancelled,
            cause: None,
        }
    }

    fn add<'a>(batches: &'a Batches, entry: &Entry) -> Pending<'a> {
        batches.add(|lines| lines.add(entry.record(&Tail::of(entry))))
    }

    #[tokio::test]
    async fn an_intent_and_much_that_is_not_synced_wake_the_syncer() {
        let (batches, nudged) = batches(0);
        assert_eq!(add(&batches, &refusal()).fate().await, Fate::Written);
        assert!(nudged.try_recv().is_err(), "it comes within a second");
        drop(add(&batches, &Entry::Stopped));
        assert!(nudged.try_recv().is_ok());

        let much = |lines: &mut Lines| {
            let entry = Entry::Stopped;
            let tail = Tail::of(&entry);
            for _ in 0..1000 {
                lines.add(Record {
                    is_intent: false,
                    ..entry.record(&tail)
                });
            }
        };
        let writes = || {
            let mut counts = 1..200;
            counts.find(|_| {
                drop(batches.add(much));
                nudged.try_recv().is_ok()
            })
        };
        // A line has some 240 bytes, and 4 MiB are much.
        let is_much = |writes: Option<usize>| writes.is_some_and(|count| count > 14);
        assert!(is_much(writes()));
        assert_eq!(writes(), Some(1), "until it has begun");
        batches.log.flush().expect("nowhere");
        assert!(is_much(writes()));
    }

    #[tokio::test]
    async fn refusals_without_end_take_no_more_memory_than_a_batch() {
        let (batches, _nudged) = batches(0);
        let leader = add(&batches, &Entry::Stopped);
        for _ in 0..50_000 {
            drop(add(&batches, &refusal()));
        }
        let held = lock(batches.own_shard()).lines.bytes_len();
        assert!(held <= BATCH_BYTES_MAX + 1024, "{held}");
        batches.log.flush().expect("nowhere");
        assert_eq!(leader.fate().await, Fate::Written);
        assert_eq!(add(&batches, &refusal()).fate().await, Fate::Counted);
    }

    #[test]
    fn a_panic_while_a_batch_is_written_leaves_no_call_waiting() {
        let poll = |pending: Pending<'_>| {
            let pending = std::pin::pin!(pending.fate());
            pending.poll(&mut Context::from_waker(Waker::noop()))
        };
        let (batches, _nudged) = batches(2);
        let (leader, follower) = (add(&batches, &refusal()), add(&batches, &refusal()));
        let written = catch_unwind(AssertUnwindSafe(|| drop(leader)));
        written.expect_err("on demand");
        assert_eq!(poll(follower), Poll::Ready(Fate::Lost));
        // Who is dropped while it waits has written.
        assert_eq!(poll(add(&batches, &refusal())), Poll::Pending);
        let (leader, follower) = (add(&batches, &refusal()), add(&batches, &refusal()));
        drop(leader);
        assert_eq!(poll(follower), Poll::Ready(Fate::Written));
    }
}
