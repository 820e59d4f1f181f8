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
    if log.is_stuck() {
        log.flush()?;
    }
    log.tend(is_over)?;
    log.flush()
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
