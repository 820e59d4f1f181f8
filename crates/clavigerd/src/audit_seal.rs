//! What the audit log has reached, kept in the store: a log that is cut, emptied or put back while
//! the daemon is stopped lacks it at the next start. With it the time: a clock that is set back
//! meanwhile does not revive a token. The same commit forgets the notes of puts that the log has.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_audit::{Audit, Mark, Synced};
use claviger_core::{Clock, Result, nanoseconds};
use claviger_store::{Batch, Expect, Record, Records};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How long what the log has reached may be unknown to the store.
const SEAL_INTERVAL: Duration = Duration::from_secs(5);

/// The same while puts leave notes: as many are read at a start after a crash.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The id of the one record.
const ID: &str = "head";

/// As it is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    seq: u64,
    head: String,
    /// When it was kept, in nanoseconds since 1970.
    time: u64,
}

impl Record for Sealed {
    const KIND: &'static str = "audit/";
    const FORM: u32 = 1;
}

/// What the log is known to have reached, and when that was.
///
/// # Errors
/// `INTEGRITY_FAILURE`, `STORE_UNAVAILABLE`.
pub(crate) async fn read(records: &Records) -> Result<Option<(Mark, SystemTime)>> {
    let stored = records.get::<Sealed>(ID).await?;
    Ok(stored.map(|stored| {
        let Sealed { seq, head, time } = &*stored.record;
        let mark = Mark {
            seq: *seq,
            head: head.clone(),
        };
        (mark, SystemTime::UNIX_EPOCH + Duration::from_nanos(*time))
    }))
}

/// Keeps what the log has reached.
#[derive(Clone)]
pub(crate) struct Seal {
    pub(crate) records: Arc<Records>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Seal {
    /// Keeps what the start of a log has reached, if that is known by now: then it has made up for
    /// intents, which no later start is to look for again.
    pub(crate) async fn begin(&self, audit: &Audit) {
        self.seal(&mut audit.watch_synced()).await;
    }

    /// Keeps the store up to date. What is kept has reached the disk: after a loss of power the log
    /// has it still.
    pub(crate) fn keep(self, audit: &Audit) -> impl Future<Output = ()> + use<> {
        let mut synced = audit.watch_synced();
        async move {
            let mut forgotten = 0;
            let begun = synced.wait_for(|synced| synced.mark.seq > 0);
            let mut goes_on = begun.await.is_ok();
            // Ends with the log.
            while goes_on {
                let notes = self.seal(&mut synced).await;
                tokio::time::sleep(match notes > forgotten {
                    true => SWEEP_INTERVAL,
                    false => SEAL_INTERVAL,
                })
                .await;
                forgotten = notes;
                goes_on = synced.changed().await.is_ok();
            }
        }
    }

    /// Notes the end of the last call in the log, and the end of the log in the store.
    pub(crate) async fn finish(&self, audit: &Audit) {
        if let Err(error) = audit.stopped().await {
            tracing::warn!(?error, "the end is not in the audit log");
        }
        self.seal(&mut audit.watch_synced()).await;
    }

    /// Returns up to which revision the notes are forgotten.
    async fn seal(&self, synced: &mut watch::Receiver<Synced>) -> u64 {
        let Synced { mark, notes } = synced.borrow_and_update().clone();
        if mark.seq == 0 {
            // Nothing is synced since the start: what is known from before it counts.
            return 0;
        }
        let sealed = Sealed {
            seq: mark.seq,
            head: mark.head,
            time: nanoseconds(self.clock.now()),
        };
        let batch = Batch::new().put(ID, &sealed, Expect::Any);
        // INVARIANT: a note goes once the log has its intent on disk, and in a commit that there is
        // anyway.
        if let Err(error) = self.records.commit(batch.forget_notes(notes)).await {
            // The one of before counts, which the log has as well.
            tracing::warn!(?error, "what the audit log has reached is not in the store");
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_its_golden_form() {
        let text = include_str!("../tests/golden/audit-head.json").trim_end();
        let record = Sealed::decode("golden", text.as_bytes()).expect("reads");
        assert_eq!(
            (record.seq, record.time),
            (70_312, 1_795_320_000_000_000_000)
        );
        let written = record.encode().expect("writes");
        assert_eq!(std::str::from_utf8(written.expose()), Ok(text));
    }
}
