//! The thread that owns the log and its chain.
//!
//! It takes the records queued, writes them at once and answers all calls that wait: under load a
//! batch is as large as the records that came in during the write before it, so no timer is needed
//! to build one.

use std::collections::HashMap;
use std::io;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, Timings, clamp_time};
use tokio::sync::watch;

use crate::bundle::Bundle;
use crate::chain::Chain;
use crate::denials::Denials;
use crate::mark::Mark;
use crate::open::Opened;
use crate::record::{Entry, Line};
use crate::sink::Sink;
use crate::unnoted::{Unnoted, Who};

/// Most bundles in one write; bounds the buffer.
const BATCH_LEN_MAX: usize = 1024;

/// Longest time between a write and its sync, between two looks at the file, and between two tries
/// of a log that failed.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Whether the log can be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// No: nothing is served.
    Failed,
    /// Yes, but not for long: its disk is nearly full.
    Short,
    /// Yes.
    Well,
}

/// The state that the thread and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) health: watch::Sender<Health>,
    /// The last record that would survive a loss of power.
    pub(crate) synced: watch::Sender<Mark>,
    /// Records that found the queue full. They count as lost.
    pub(crate) turned_away: AtomicU64,
    /// Records of which too many wait, and which are only counted.
    pub(crate) unqueued: AtomicU64,
    /// How long the log took to take in records.
    pub(crate) written: Timings,
    /// How long it took until they would survive a loss of power.
    pub(crate) flushed: Timings,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            health: watch::Sender::new(Health::Well),
            synced: watch::Sender::new(Chain::empty().mark().clone()),
            turned_away: AtomicU64::new(0),
            unqueued: AtomicU64::new(0),
            written: Timings::default(),
            flushed: Timings::default(),
        }
    }
}

/// The state of the thread.
pub(crate) struct Writer {
    sink: Box<dyn Sink>,
    chain: Chain,
    denials: Denials,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    /// Records that could not be written since the last success.
    lost: u64,
    /// When the oldest record was written that is not synced yet.
    unsynced_since: Option<SystemTime>,
}

impl Writer {
    /// The health of a log that can be written.
    fn health(&self) -> Health {
        match self.denials.is_short {
            true => Health::Short,
            false => Health::Well,
        }
    }

    /// Goes on where the log ended with the records of a start, synced.
    pub(crate) fn start(
        opened: Opened,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let Opened {
            sink,
            chain,
            cut_bytes,
            gap,
        } = opened;
        let is_new = chain.mark().seq == 0;
        let mut writer = Self {
            sink,
            chain,
            denials: Denials::new(clock.now()),
            clock,
            shared,
            buffer: Vec::new(),
            lost: 0,
            unsynced_since: None,
        };
        let lines = [
            gap.as_ref().map(Line::gap),
            is_new.then(Line::opened),
            (cut_bytes > 0).then(|| Line::cut(cut_bytes)),
            Some(Line::started()),
        ];
        writer.append(lines.into_iter().flatten())?;
        writer.sync()?;
        writer.check()?;
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
                Err(RecvTimeoutError::Timeout) => {
                    let due = self.turn();
                    self.idle(&due);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let due = self.denials.end();
                    return self.idle(&due);
                }
            }
        }
    }

    /// Writes a batch and answers it. Only a bundle with an intent waits for the disk.
    fn write(&mut self, batch: &mut Vec<Bundle>) {
        if let Err(error) = self.heal().and_then(|()| self.append_jobs(batch)) {
            self.lost += batch.iter().map(Bundle::len).sum::<u64>();
            self.fail(&error);
            batch.drain(..).for_each(|bundle| bundle.answer(false));
            return;
        }
        let (intents, others): (Vec<_>, Vec<_>) = batch.drain(..).partition(Bundle::has_intent);
        others.into_iter().for_each(|bundle| bundle.answer(true));
        if !intents.is_empty() || self.patience().is_zero() {
            let synced = self.sync();
            let is_synced = synced.is_ok();
            intents
                .into_iter()
                .for_each(|bundle| bundle.answer(is_synced));
            if let Err(error) = synced.and_then(|()| self.check()) {
                self.fail(&error);
            }
        }
    }

    /// Adds the records that are admitted, with what was only counted before them, and what was
    /// counted of others until the last window ended.
    fn append_jobs(&mut self, batch: &mut [Bundle]) -> io::Result<()> {
        let mut due = self.turn();
        let mut before = Vec::new();
        for job in batch.iter_mut().flat_map(Bundle::jobs_mut) {
            if matches!(job.entry, Entry::Stopped) {
                due.extend(self.denials.end());
            }
            job.is_admitted = self.denials.admit(&job.entry);
            if job.is_admitted {
                before.push(self.denials.before(&job.entry, &mut due));
            }
        }
        let jobs = batch.iter().flat_map(Bundle::jobs);
        let admitted = jobs.filter(|job| job.is_admitted).zip(&before);
        let lines = admitted.map(|(job, before)| job.entry.line().after(before.as_ref()));
        let result = self.append(lines.chain(summaries(&due)));
        if result.is_err() {
            let counted = before.iter().flatten().chain(due.values());
            self.lost += counted.map(|unnoted| unnoted.count).sum::<u64>();
        }
        result
    }

    fn turn(&mut self) -> HashMap<Who, Unnoted> {
        let unqueued = self.shared.unqueued.swap(0, Ordering::SeqCst);
        self.denials.add_unqueued(unqueued);
        self.denials.turn(self.clock.now())
    }

    /// Does what is due when no record comes.
    fn idle(&mut self, due: &HashMap<Who, Unnoted>) {
        let noted = self.heal().and_then(|()| self.append(summaries(due)));
        if noted.is_err() {
            self.lost += due.values().map(|unnoted| unnoted.count).sum::<u64>();
        }
        let done = noted.and_then(|()| match self.unsynced_since {
            Some(_) => self.sync(),
            None => Ok(()),
        });
        if let Err(error) = done.and_then(|()| self.check()) {
            self.fail(&error);
        }
    }

    /// Tries a log that failed, and notes in it how many records are missing.
    fn heal(&mut self) -> io::Result<()> {
        self.lost += self.shared.turned_away.swap(0, Ordering::SeqCst);
        if self.lost == 0 && *self.shared.health.borrow() != Health::Failed {
            return Ok(());
        }
        // First, so that a disk that only fails to sync does not collect such records.
        self.sync()?;
        self.append(iter::once(Line::recovered(self.lost)))?;
        tracing::warn!(lost = self.lost, "audit log can be written again");
        self.lost = 0;
        self.sync()?;
        self.shared.health.send_replace(self.health());
        Ok(())
    }

    fn fail(&self, error: &io::Error) {
        if self.shared.health.send_replace(Health::Failed) != Health::Failed {
            tracing::error!(%error, "audit log cannot be written: nothing is served");
        }
    }

    /// Looks at what is under the log.
    fn check(&mut self) -> io::Result<()> {
        let found = self.sink.check()?;
        if found.has_moved {
            self.append(iter::once(Line::moved()))?;
            self.sync()?;
        }
        if found.is_short != self.denials.is_short {
            self.denials.is_short = found.is_short;
            match found.is_short {
                true => tracing::warn!(
                    "the disk of the audit log is nearly full: free space on it, nothing is \
                    served once it is full"
                ),
                false => tracing::info!("the disk of the audit log has room again"),
            }
            let health = self.health();
            self.shared.health.send_if_modified(|shown| {
                let is_other = *shown != Health::Failed && *shown != health;
                *shown = if is_other { health } else { *shown };
                is_other
            });
        }
        Ok(())
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
        if self.buffer.is_empty() {
            return Ok(());
        }
        let start = self.clock.uptime();
        self.sink.append(&self.buffer)?;
        self.shared.written.add(self.since(start));
        self.chain = chain;
        self.unsynced_since.get_or_insert(now);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let start = self.clock.uptime();
        self.sink.sync()?;
        self.shared.flushed.add(self.since(start));
        self.unsynced_since = None;
        self.shared.synced.send_replace(self.chain.mark().clone());
        Ok(())
    }

    fn since(&self, start: Duration) -> Duration {
        self.clock.uptime().saturating_sub(start)
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

/// The records of callers of which nothing came that could say how much was only counted.
fn summaries(due: &HashMap<Who, Unnoted>) -> impl Iterator<Item = Line<'_>> {
    due.iter().map(|(who, unnoted)| Line::unnoted(who, unnoted))
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
    use crate::bundle::Job;
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
        let opened = Opened {
            sink: Box::new(Arc::clone(&disk)),
            chain: Chain::empty(),
            cut_bytes: 0,
            gap: None,
        };
        let writer = Writer::start(opened, clock.clone(), Arc::new(Shared::new()));
        (writer.expect("writes"), disk, clock)
    }

    fn record() -> Bundle {
        let job = Job::new(
            Entry::Refusal {
                call_id: Uid::random(),
                rpc: "claviger.v1.SecretService/GetSecret",
                peer: "tcp",
                reason: Reason::TokenInvalid,
            },
            None,
        );
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
        writer.idle(&HashMap::new());
        assert_eq!(*writer.shared.health.borrow(), Health::Failed);
        disk.lock().expect("lock").fails_to_append = false;
        writer.idle(&HashMap::new());
        assert_eq!(*writer.shared.health.borrow(), Health::Well);
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
            writer.idle(&HashMap::new());
        }
        assert_eq!(*writer.shared.health.borrow(), Health::Failed);
        assert!(recovered(&disk).is_empty());
        disk.lock().expect("lock").fails_to_sync = false;
        writer.idle(&HashMap::new());
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
        writer.idle(&HashMap::new());
        writer.idle(&HashMap::new());
        assert_eq!(syncs(), 3);
        let shared = &writer.shared;
        assert_eq!(shared.flushed.snapshot().count, 3);
        assert_eq!(shared.written.snapshot().count, 5, "that of the start too");
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
