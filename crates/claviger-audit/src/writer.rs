//! The thread that owns the log and its chain.
//!
//! It takes the records queued, writes them at once and answers all calls that wait: under load a
//! batch is as large as the records that came in during the write before it, so no timer is needed
//! to build one.

use std::io;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, clamp_time};
use tokio::sync::{oneshot, watch};

use crate::chain::Chain;
use crate::record::{Entry, Line};
use crate::sink::Sink;

/// Most bundles in one write; bounds the buffer.
const BATCH_LEN_MAX: usize = 1024;

/// Longest time between a write and its sync, and between two tries of a log that failed.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// The state that the thread and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Whether the log can be written.
    pub(crate) health: watch::Sender<bool>,
    /// Records that found the queue full. They count as lost.
    pub(crate) turned_away: AtomicU64,
}

/// A record to write.
#[derive(Debug)]
pub(crate) struct Job {
    entry: Entry,
    reply: Option<oneshot::Sender<bool>>,
}

impl Job {
    /// A record whose caller hears whether it is in the log.
    pub(crate) fn awaited(entry: Entry) -> (Self, oneshot::Receiver<bool>) {
        let (reply, answer) = oneshot::channel();
        let reply = Some(reply);
        (Self { entry, reply }, answer)
    }

    /// A record for which nobody waits.
    pub(crate) fn detached(entry: Entry) -> Self {
        Self { entry, reply: None }
    }
}

/// Records that came together.
#[derive(Debug)]
pub(crate) struct Bundle {
    jobs: Vec<Job>,
    /// Takes the answers back to where they are given out.
    done: Option<oneshot::Sender<Answers>>,
}

impl Bundle {
    pub(crate) fn new(jobs: Vec<Job>, done: Option<oneshot::Sender<Answers>>) -> Self {
        Self { jobs, done }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.jobs.len() as u64
    }

    fn has_intent(&self) -> bool {
        self.jobs.iter().any(|job| job.entry.is_intent())
    }

    fn answer(self, is_written: bool) {
        let answers = Answers {
            jobs: self.jobs,
            is_written,
        };
        if let Some(done) = self.done {
            // If nobody takes them back they are given out here, by being dropped.
            drop(done.send(answers));
        }
    }
}

/// The fate of a bundle. Dropping it tells every call of the bundle.
#[derive(Debug)]
pub(crate) struct Answers {
    jobs: Vec<Job>,
    is_written: bool,
}

impl Drop for Answers {
    fn drop(&mut self) {
        for reply in self.jobs.drain(..).filter_map(|job| job.reply) {
            // A caller that went away does not need its answer.
            reply.send(self.is_written).ok();
        }
    }
}

/// The state of the thread.
pub(crate) struct Writer {
    sink: Box<dyn Sink>,
    chain: Chain,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    /// Records that could not be written since the last success.
    lost: u64,
    /// When the oldest record was written that is not synced yet.
    unsynced_since: Option<SystemTime>,
}

impl Writer {
    /// Continues `chain` with the records of a start, synced.
    pub(crate) fn start(
        sink: Box<dyn Sink>,
        chain: Chain,
        cut_bytes: u64,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let opened = chain.is_empty().then(Line::opened);
        let cut = (cut_bytes > 0).then(|| Line::cut(cut_bytes));
        let mut writer = Self {
            sink,
            chain,
            clock,
            shared,
            buffer: Vec::new(),
            lost: 0,
            unsynced_since: None,
        };
        let lines = opened.into_iter().chain(cut);
        writer.append(lines.chain(iter::once(Line::started())))?;
        writer.sync()?;
        Ok(writer)
    }

    /// Works until every handle is gone and the queue is empty.
    pub(crate) fn run(mut self, queue: &Receiver<Bundle>) {
        let mut batch = Vec::new();
        loop {
            match queue.recv_timeout(self.patience()) {
                Ok(bundle) => {
                    batch.push(bundle);
                    batch.extend(queue.try_iter().take(BATCH_LEN_MAX - 1));
                    self.write(&mut batch);
                }
                Err(RecvTimeoutError::Timeout) => self.idle(),
                Err(RecvTimeoutError::Disconnected) => return self.idle(),
            }
        }
    }

    /// Writes a batch and answers it. Only a bundle with an intent waits for the disk.
    fn write(&mut self, batch: &mut Vec<Bundle>) {
        let jobs = batch.iter().flat_map(|bundle| &bundle.jobs);
        let lines = jobs.map(|job| job.entry.line());
        if let Err(error) = self.heal().and_then(|()| self.append(lines)) {
            self.lost += batch.iter().map(Bundle::len).sum::<u64>();
            self.fail(&error);
            batch.drain(..).for_each(|bundle| bundle.answer(false));
            return;
        }
        let (intents, others): (Vec<_>, Vec<_>) = batch.drain(..).partition(Bundle::has_intent);
        others.into_iter().for_each(|bundle| bundle.answer(true));
        if !intents.is_empty() || self.patience().is_zero() {
            let synced = self.sync().inspect_err(|error| self.fail(error)).is_ok();
            intents.into_iter().for_each(|bundle| bundle.answer(synced));
        }
    }

    /// Heals or syncs, if either is due, when no record comes.
    fn idle(&mut self) {
        let done = self.heal().and_then(|()| match self.unsynced_since {
            Some(_) => self.sync(),
            None => Ok(()),
        });
        if let Err(error) = done {
            self.fail(&error);
        }
    }

    /// Tries a log that failed, and notes in it how many records are missing.
    fn heal(&mut self) -> io::Result<()> {
        self.lost += self.shared.turned_away.swap(0, Ordering::SeqCst);
        if self.lost == 0 && *self.shared.health.borrow() {
            return Ok(());
        }
        // First, so that a disk that only fails to sync does not collect such records.
        self.sync()?;
        self.append(iter::once(Line::recovered(self.lost)))?;
        tracing::warn!(lost = self.lost, "audit log can be written again");
        self.lost = 0;
        self.sync()?;
        self.shared.health.send_replace(true);
        Ok(())
    }

    fn fail(&self, error: &io::Error) {
        if self.shared.health.send_replace(false) {
            tracing::error!(%error, "audit log cannot be written: nothing is served");
        }
    }

    /// Adds all of `lines` or, on failure, none.
    fn append<'a>(&mut self, lines: impl Iterator<Item = Line<'a>>) -> io::Result<()> {
        let now = self.clock.now();
        let time = rfc3339(now);
        let mut chain = self.chain.clone();
        self.buffer.clear();
        for line in lines {
            chain.append(&line.at(&time), &mut self.buffer)?;
        }
        self.sink.append(&self.buffer)?;
        self.chain = chain;
        self.unsynced_since.get_or_insert(now);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sink.sync()?;
        self.unsynced_since = None;
        Ok(())
    }

    /// How long to wait for a record until something else is due.
    fn patience(&self) -> Duration {
        self.unsynced_since.map_or(IDLE_MAX, |since| {
            // A clock that was set back says nothing about how much time went by.
            let waited = self.clock.now().duration_since(since).unwrap_or(IDLE_MAX);
            IDLE_MAX.saturating_sub(waited)
        })
    }
}

/// `2026-11-22T04:00:00.123456Z`.
fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(clamp_time(time)).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use claviger_core::{ManualClock, Reason, Uid};

    use super::*;
    use crate::verify;

    /// The calls of a sink, and whether it obeys.
    #[derive(Default)]
    struct Disk {
        bytes: Vec<u8>,
        appends: usize,
        syncs: usize,
        fails_to_append: bool,
        fails_to_sync: bool,
    }

    impl Sink for Arc<Mutex<Disk>> {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let mut disk = self.lock().expect("lock");
            if disk.fails_to_append {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.appends += 1;
            disk.bytes.extend_from_slice(bytes);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            let mut disk = self.lock().expect("lock");
            if disk.fails_to_sync {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.syncs += 1;
            Ok(())
        }
    }

    fn writer() -> (Writer, Arc<Mutex<Disk>>, Arc<ManualClock>) {
        let disk = Arc::new(Mutex::new(Disk::default()));
        let clock = Arc::new(ManualClock::at(Duration::from_secs(1_800_000_000)));
        let shared = Arc::new(Shared {
            health: watch::Sender::new(true),
            turned_away: AtomicU64::new(0),
        });
        let sink = Box::new(Arc::clone(&disk));
        let writer = Writer::start(sink, Chain::empty(), 0, clock.clone(), shared);
        (writer.expect("writes"), disk, clock)
    }

    fn record() -> Bundle {
        let job = Job::detached(Entry::Refusal {
            call_id: Uid::random(),
            rpc: "claviger.v1.SecretService/GetSecret",
            peer: "tcp",
            reason: Reason::TokenInvalid,
            unnoted: 0,
        });
        Bundle::new(vec![job], None)
    }

    fn recovered(disk: &Mutex<Disk>) -> Vec<u64> {
        let disk = disk.lock().expect("lock");
        verify(&*disk.bytes).expect("the chain holds");
        let lines = std::str::from_utf8(&disk.bytes).expect("text").lines();
        let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
        lines.filter_map(|line| line["lost"].as_u64()).collect()
    }

    #[test]
    fn all_that_is_queued_goes_into_one_write_and_is_written_though_the_handles_are_gone() {
        let (writer, disk, _) = writer();
        let (jobs, queue) = std::sync::mpsc::sync_channel(9);
        for _ in 0..9 {
            assert!(jobs.try_send(record()).is_ok());
        }
        drop(jobs);
        writer.run(&queue);
        let disk = disk.lock().expect("lock");
        assert_eq!(disk.appends, 2, "that of the start and one more");
        assert_eq!(verify(&*disk.bytes).expect("the chain holds").records, 11);
        assert_eq!(disk.syncs, 2);
    }

    #[test]
    fn a_log_that_failed_is_tried_again_without_a_record() {
        let (mut writer, disk, _) = writer();
        disk.lock().expect("lock").fails_to_append = true;
        writer.write(&mut vec![record(), record()]);
        writer.idle();
        assert!(!*writer.shared.health.borrow());
        disk.lock().expect("lock").fails_to_append = false;
        writer.idle();
        assert!(*writer.shared.health.borrow());
        assert_eq!(recovered(&disk), [2]);
    }

    #[test]
    fn records_turned_away_are_counted_as_lost() {
        let (mut writer, disk, _) = writer();
        writer.shared.turned_away.store(3, Ordering::SeqCst);
        writer.write(&mut vec![record()]);
        assert_eq!(recovered(&disk), [3]);
    }

    #[test]
    fn a_disk_that_does_not_sync_is_not_filled_with_recoveries() {
        let (mut writer, disk, _) = writer();
        writer.write(&mut vec![record()]);
        disk.lock().expect("lock").fails_to_sync = true;
        for _ in 0..3 {
            writer.idle();
        }
        assert!(!*writer.shared.health.borrow());
        assert!(recovered(&disk).is_empty());
        disk.lock().expect("lock").fails_to_sync = false;
        writer.idle();
        assert_eq!(recovered(&disk), [0]);
    }

    #[test]
    fn records_are_synced_within_a_second_under_load_and_when_idle() {
        let (mut writer, disk, clock) = writer();
        let syncs = || disk.lock().expect("lock").syncs;
        writer.write(&mut vec![record()]);
        writer.write(&mut vec![record()]);
        assert_eq!(syncs(), 1, "that of the start");
        clock.advance(IDLE_MAX);
        writer.write(&mut vec![record()]);
        assert_eq!(syncs(), 2);
        writer.write(&mut vec![record()]);
        writer.idle();
        writer.idle();
        assert_eq!(syncs(), 3);
    }

    #[test]
    fn times_have_microseconds_and_bad_ones_are_no_panic() {
        let at = |seconds, nanos| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        let time = rfc3339(at(1_795_320_000, 123_456_789));
        assert_eq!(time, "2026-11-22T04:00:00.123456Z");
        let last = "9999-12-31T23:59:59.999999Z";
        for (seconds, nanos) in [(253_402_300_799, 999_999_999), (253_402_300_800, 0)] {
            assert_eq!(rfc3339(at(seconds, nanos)), last);
        }
        let end = i64::MAX.cast_unsigned();
        assert_eq!(rfc3339(at(end, 999_999_999)), last);
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(end);
        assert_eq!(rfc3339(before), "1970-01-01T00:00:00.000000Z");
    }
}
