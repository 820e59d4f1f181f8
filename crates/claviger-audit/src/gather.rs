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

use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::bundle::{Answers, Bundle, Fate, Job};
use crate::record::Entry;
use crate::writer::{Health, Shared};

/// More than there are threads that call, so that they rarely share one.
const SHARDS: usize = 32;

/// Gathers records, and sends them on in bundles.
#[derive(Debug)]
pub(crate) struct Gather {
    bundles: SyncSender<Bundle>,
    shared: Arc<Shared>,
    shards: [Mutex<Vec<Job>>; SHARDS],
}

impl Gather {
    pub(crate) fn new(bundles: SyncSender<Bundle>, shared: Arc<Shared>) -> Self {
        Self {
            bundles,
            shared,
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// What became of the records, which are one after the other, once that is known.
    pub(crate) async fn write(&self, entries: Vec<Entry>) -> Fate {
        let (new, answers): (Vec<_>, Vec<_>) = entries.into_iter().map(Job::awaited).unzip();
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
        let mut fate = Fate::Written;
        for answer in answers {
            fate = fate.min(answer.await.unwrap_or(Fate::Lost));
        }
        fate
    }

    /// Hands a record over for which nobody waits.
    pub(crate) fn write_detached(&self, entry: Entry) {
        self.send(Bundle::new(vec![Job::detached(entry)], None));
    }

    /// The same for a record that strangers cause without end: should the queue be full of them, the
    /// log is not to fail for others.
    pub(crate) fn write_if_possible(&self, entry: Entry) {
        let bundle = Bundle::new(vec![Job::detached(entry)], None);
        self.bundles.try_send(bundle).ok();
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
