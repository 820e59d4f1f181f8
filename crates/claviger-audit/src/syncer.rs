//! The one thread of the log: sees to it that what is written reaches the disk, once a second and
//! at once when an intent waits, and does what is due when no record comes.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::log::Log;

/// Longest time between a write and its sync, between two looks at the file, and between two tries
/// of a log that failed.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Works until every handle is gone.
pub(crate) fn run(log: &Log, nudges: &Receiver<()>) {
    let _watch = Watch(log);
    loop {
        let nudged = nudges.recv_timeout(IDLE_MAX);
        let is_over = nudged == Err(RecvTimeoutError::Disconnected);
        turn(log, is_over);
        if is_over {
            return;
        }
    }
}

fn turn(log: &Log, is_over: bool) {
    if let Err(error) = settle(log, is_over) {
        log.get_stuck(&error);
    }
}

fn settle(log: &Log, is_over: bool) -> io::Result<()> {
    // First, so that a disk that only fails to sync does not collect records of recoveries.
    log.flush()?;
    match log.tend(is_over)? {
        true => log.flush(),
        false => Ok(()),
    }
}

/// Tells those that wait if the thread panics.
struct Watch<'a>(&'a Log);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use claviger_core::{ManualClock, Reason, Uid};

    use super::*;
    use crate::lines::{Lines, Verdict};
    use crate::log::Health;
    use crate::open::Opened;
    use crate::record::{Entry, Tail};
    use crate::sink::{Flush, Sink};
    use crate::verify;

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

        fn sync(&mut self) -> io::Result<Flush> {
            let disk = Self::clone(self);
            Ok(Box::new(move || {
                let mut disk = disk.lock().expect("lock");
                if disk.fails_to_sync {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                disk.syncs += 1;
                Ok(())
            }))
        }
    }

    fn log() -> (Log, Arc<Mutex<Disk>>) {
        let disk = Arc::new(Mutex::new(Disk::default()));
        let clock = ManualClock::at(Duration::from_secs(1_800_000_000));
        let opened = Opened::empty(Box::new(Arc::clone(&disk)));
        let log = Log::start(opened, Arc::new(clock)).expect("writes");
        (log, disk)
    }

    fn refusal() -> Entry {
        Entry::Refusal {
            call_id: Uid::random(),
            rpc: "claviger.v1.SecretService/GetSecret",
            peer: "tcp",
            reason: Reason::TokenInvalid,
            cause: None,
        }
    }

    fn write(log: &Log, count: usize) -> Verdict {
        let mut lines = Lines::default();
        for _ in 0..count {
            let entry = refusal();
            lines.add(entry.record(&Tail::of(&entry)));
        }
        log.write(&lines)
    }

    fn recovered(disk: &Mutex<Disk>) -> Vec<u64> {
        let disk = disk.lock().expect("lock");
        verify(&*disk.bytes).expect("the chain holds");
        let lines = std::str::from_utf8(&disk.bytes).expect("text").lines();
        let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
        lines.filter_map(|line| line["lost"].as_u64()).collect()
    }

    #[test]
    fn a_batch_is_one_write_and_no_sync() {
        let (log, disk) = log();
        write(&log, 9);
        let disk = disk.lock().expect("lock");
        assert_eq!(disk.appends, 2, "that of the start and one more");
        assert_eq!(verify(&*disk.bytes).expect("the chain holds").records, 11);
        assert_eq!(disk.syncs, 0, "a start waits for none");
    }

    #[test]
    fn a_log_that_failed_is_tried_again_without_a_record() {
        let (log, disk) = log();
        disk.lock().expect("lock").fails_to_append = true;
        assert!(matches!(write(&log, 2), Verdict::Lost));
        turn(&log, false);
        assert_eq!(*log.health.borrow(), Health::Failed);
        disk.lock().expect("lock").fails_to_append = false;
        turn(&log, false);
        assert_eq!(*log.health.borrow(), Health::Well);
        assert_eq!(recovered(&disk), [2]);
    }

    #[test]
    fn a_disk_that_does_not_sync_is_not_written_until_it_does() {
        let (log, disk) = log();
        write(&log, 1);
        disk.lock().expect("lock").fails_to_sync = true;
        for _ in 0..3 {
            turn(&log, false);
            assert!(matches!(write(&log, 1), Verdict::Lost));
        }
        assert_eq!(*log.health.borrow(), Health::Failed);
        assert_eq!(disk.lock().expect("lock").appends, 2);
        disk.lock().expect("lock").fails_to_sync = false;
        turn(&log, false);
        assert_eq!(*log.health.borrow(), Health::Well);
        assert_eq!(recovered(&disk), [3]);
        assert!(matches!(write(&log, 1), Verdict::Written { .. }));
    }

    #[test]
    fn each_turn_syncs_what_was_written_before_it_once() {
        let (log, disk) = log();
        let syncs = || disk.lock().expect("lock").syncs;
        write(&log, 1);
        write(&log, 1);
        assert_eq!(syncs(), 0, "a start waits for none");
        turn(&log, false);
        turn(&log, false);
        assert_eq!(syncs(), 1);
        assert_eq!(log.synced.borrow().mark.seq, 4);
        assert_eq!(log.flushed.snapshot().count, 1);
        assert_eq!(log.written.snapshot().count, 3, "that of the start too");
    }

    #[test]
    fn after_a_failed_sync_no_note_is_forgotten_whatever_later_ones_say() {
        let (log, disk) = log();
        let noted = |revision| {
            let ticket = log.outbox.begin().expect("few wait");
            write(&log, 1);
            log.outbox.end(&ticket, Some(revision));
        };
        noted(3);
        turn(&log, false);
        assert_eq!(log.synced.borrow().notes, 3);
        noted(4);
        disk.lock().expect("lock").fails_to_sync = true;
        turn(&log, false);
        // The disk has lost what that was for.
        disk.lock().expect("lock").fails_to_sync = false;
        turn(&log, false);
        noted(5);
        turn(&log, false);
        assert_eq!(*log.health.borrow(), Health::Well);
        assert_eq!(log.synced.borrow().mark.seq, 6);
        assert_eq!(log.synced.borrow().notes, 3);
    }

    #[test]
    fn the_first_record_after_a_failure_comes_with_the_intents_that_are_missing() {
        let (log, disk) = log();
        let ticket = log.outbox.begin().expect("few wait");
        let mut lines = Lines::default();
        let entry = refusal();
        lines.add(entry.record(&Tail::of(&entry)));
        log.outbox.leave(ticket, Some(3), lines);
        disk.lock().expect("lock").fails_to_append = true;
        assert!(matches!(write(&log, 2), Verdict::Lost));
        disk.lock().expect("lock").fails_to_append = false;
        let Verdict::Written { seq, .. } = write(&log, 1) else {
            panic!("written")
        };
        // After the two of the start.
        assert_eq!(seq, 2 + 1 + 1 + 1);
        assert_eq!(recovered(&disk), [2], "what is made up for is no loss");
        turn(&log, false);
        assert_eq!(log.synced.borrow().notes, 3);
    }

    #[test]
    fn a_write_that_failed_does_not_keep_notes_for_good() {
        let (log, disk) = log();
        disk.lock().expect("lock").fails_to_append = true;
        assert!(matches!(write(&log, 1), Verdict::Lost));
        turn(&log, false);
        disk.lock().expect("lock").fails_to_append = false;
        let ticket = log.outbox.begin().expect("few wait");
        log.outbox.end(&ticket, Some(3));
        turn(&log, false);
        assert_eq!(log.synced.borrow().notes, 3);
    }

    #[tokio::test]
    async fn an_intent_hears_of_a_sync_that_failed_and_of_a_thread_that_ended() {
        let (log, disk) = log();
        let Verdict::Written { seq, .. } = write(&log, 1) else {
            panic!("written")
        };
        disk.lock().expect("lock").fails_to_sync = true;
        turn(&log, false);
        assert!(!log.reaches(seq).await);
        disk.lock().expect("lock").fails_to_sync = false;
        turn(&log, false);
        assert!(log.reaches(seq + 1).await, "the record of the recovery");
        log.end();
        assert!(!log.reaches(seq + 2).await);
    }
}
