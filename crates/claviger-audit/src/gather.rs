//! How records get from the calls to the thread that writes them.
//!
//! Waking the thread, and being woken by it, costs more than the record itself. So the first call
//! of a runtime's turn leads: it lets the others of that turn add their records, takes all of them
//! to the thread, and brings all their answers back, which wakes tasks of its own runtime only.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;

use crate::bundle::{Answers, Bundle, Fate, Job};
use crate::record::Entry;
use crate::writer::{Health, Shared};

/// More than there are threads that call, so that they rarely share one.
const SHARDS: usize = 32;

/// Records that wait for the thread, of those that callers cause without end.
const IDLE_TALK_MAX: usize = 2048;

/// Gathers records, and sends them on in bundles.
#[derive(Debug)]
pub(crate) struct Gather {
    bundles: SyncSender<Bundle>,
    shared: Arc<Shared>,
    shards: [Mutex<Vec<Job>>; SHARDS],
    /// SECURITY: what callers cause without end has places of its own, far fewer than the queue:
    /// however slow the disk is, they leave room for the records of others.
    idle_talk: Arc<Semaphore>,
}

impl Gather {
    pub(crate) fn new(bundles: SyncSender<Bundle>, shared: Arc<Shared>) -> Self {
        Self {
            bundles,
            shared,
            shards: std::array::from_fn(|_| Mutex::default()),
            idle_talk: Arc::new(Semaphore::new(IDLE_TALK_MAX)),
        }
    }

    /// What became of the records, which are one after the other, once that is known.
    pub(crate) async fn write(&self, entries: Vec<Entry>) -> Fate {
        let mut fate = Fate::Written;
        let mut new = Vec::with_capacity(entries.len());
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.job(entry) {
                Some(mut job) => {
                    answers.push(job.awaited());
                    new.push(job);
                }
                None => fate = Fate::Counted,
            }
        }
        if new.is_empty() {
            return fate;
        }
        let shard = self.own_shard();
        let is_leader = {
            let mut jobs = lock(shard);
            let is_first = jobs.is_empty();
            jobs.extend(new);
            is_first
        };
        if is_leader {
            let departure = Departure {
                gather: self,
                shard,
            };
            yield_now().await;
            // Dropping the answers gives each to its call.
            drop(departure.leave().await);
        }
        for answer in answers {
            fate = fate.min(answer.await.unwrap_or(Fate::Lost));
        }
        fate
    }

    /// Hands a record over for which nobody waits.
    pub(crate) fn write_detached(&self, entry: Entry) {
        self.send(Bundle::new(self.job(entry).into_iter().collect(), None));
    }

    /// `None` if it is only counted.
    fn job(&self, entry: Entry) -> Option<Job> {
        if !entry.is_idle_talk() {
            return Some(Job::new(entry, None));
        }
        if let Ok(place) = Arc::clone(&self.idle_talk).try_acquire_owned() {
            return Some(Job::new(entry, Some(place)));
        }
        self.shared.unqueued.fetch_add(1, Ordering::SeqCst);
        None
    }

    fn send(&self, bundle: Bundle) {
        if bundle.is_empty() {
            return;
        }
        let count = bundle.len();
        if self.bundles.try_send(bundle).is_err() {
            // In this order: the thread that sees the count makes the log healthy again.
            self.shared.health.send_replace(Health::Failed);
            self.shared.turned_away.fetch_add(count, Ordering::SeqCst);
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is a remainder")]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are enough")]
    fn own_shard(&self) -> &Mutex<Vec<Job>> {
        let mut hasher = DefaultHasher::new();
        thread::current().id().hash(&mut hasher);
        &self.shards[hasher.finish() as usize % SHARDS]
    }
}

/// A leader's duty: the records gathered leave, even if the leader's own call is dropped.
struct Departure<'a> {
    gather: &'a Gather,
    shard: &'a Mutex<Vec<Job>>,
}

impl Departure<'_> {
    /// Sends the records gathered and returns their answers, once they are known.
    fn leave(self) -> oneshot::Receiver<Answers> {
        let (done, answers) = oneshot::channel();
        let jobs = std::mem::take(&mut *lock(self.shard));
        self.gather.send(Bundle::new(jobs, Some(done)));
        answers
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut *lock(self.shard));
        self.gather.send(Bundle::new(jobs, None));
    }
}

fn lock(shard: &Mutex<Vec<Job>>) -> MutexGuard<'_, Vec<Job>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use claviger_core::{Reason, Uid};

    use super::*;

    #[tokio::test]
    async fn refusals_without_end_leave_room_for_the_records_of_others() {
        // Nobody takes anything out, as during a sync that hangs.
        let (bundles, _queue) = sync_channel(2 * IDLE_TALK_MAX);
        let shared = Arc::new(Shared::new());
        let gather = Gather::new(bundles, Arc::clone(&shared));
        let refusal = || Entry::Refusal {
            call_id: Uid::random(),
            rpc: "claviger.v1.SecretService/GetSecret",
            peer: "unix",
            reason: Reason::Cancelled,
        };
        for _ in 0..50_000 {
            gather.write_detached(refusal());
        }
        let fate = gather.write(vec![refusal()]).await;
        assert_eq!(fate, Fate::Counted);
        gather.write_detached(Entry::Stopped);
        assert_eq!(*shared.health.borrow(), Health::Well);
        let unqueued = shared.unqueued.load(Ordering::SeqCst);
        assert_eq!(unqueued, 50_001 - IDLE_TALK_MAX as u64);
    }
}
