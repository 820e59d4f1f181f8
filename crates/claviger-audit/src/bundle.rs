//! What travels between the calls and the thread that writes: records there, their fates back.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::record::Entry;

/// What became of a record; of several together, the worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fate {
    /// It is not in the log.
    Lost,
    /// It is one of many denials, and only counted.
    Counted,
    /// It is in the log.
    Written,
}

/// A record to write.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) entry: Entry,
    /// Whether it is written and not only counted.
    pub(crate) is_admitted: bool,
    reply: Option<oneshot::Sender<Fate>>,
    /// Among the records that callers cause without end.
    _place: Option<OwnedSemaphorePermit>,
}

impl Job {
    /// A record for which nobody waits.
    pub(crate) fn new(entry: Entry, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            entry,
            is_admitted: true,
            reply: None,
            _place: place,
        }
    }

    /// Tells what became of it.
    pub(crate) fn awaited(&mut self) -> oneshot::Receiver<Fate> {
        let (reply, answer) = oneshot::channel();
        self.reply = Some(reply);
        answer
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

    pub(crate) fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    pub(crate) fn jobs_mut(&mut self) -> &mut [Job] {
        &mut self.jobs
    }

    pub(crate) fn has_intent(&self) -> bool {
        self.jobs.iter().any(|job| job.entry.is_intent())
    }

    pub(crate) fn answer(self, is_written: bool) {
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
        for job in self.jobs.drain(..) {
            let fate = match (self.is_written, job.is_admitted) {
                (false, _) => Fate::Lost,
                (true, false) => Fate::Counted,
                (true, true) => Fate::Written,
            };
            // A caller that went away does not need its answer.
            job.reply.map(|reply| reply.send(fate).ok());
        }
    }
}
