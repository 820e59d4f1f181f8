//! What the audit log has reached, kept in the store: a log that is cut, emptied or put back while
//! the daemon is stopped lacks it at the next start.

use std::sync::Arc;
use std::time::Duration;

use claviger_audit::{Audit, Mark};
use claviger_core::Result;
use claviger_store::{Batch, Expect, Record, Records};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How long what the log has reached may be unknown to the store.
const SEAL_INTERVAL: Duration = Duration::from_secs(5);

/// The id of the one record.
const ID: &str = "head";

/// As it is stored.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    seq: u64,
    head: String,
}

impl Record for Sealed {
    const KIND: &'static str = "audit/";
    const FORM: u32 = 1;
}

/// What the log is known to have reached.
///
/// # Errors
/// `INTEGRITY_FAILURE`, `STORE_UNAVAILABLE`.
pub(crate) async fn read(records: &Records) -> Result<Option<Mark>> {
    let stored = records.get::<Sealed>(ID).await?;
    Ok(stored.map(|stored| Mark {
        seq: stored.record.seq,
        head: stored.record.head.clone(),
    }))
}

/// Keeps the store up to date. What is kept has reached the disk: after a loss of power the log has
/// it still.
pub(crate) fn keep(records: Arc<Records>, audit: &Audit) -> impl Future<Output = ()> + use<> {
    let mut synced = audit.watch_synced();
    synced.mark_changed();
    async move {
        // Ends with the log.
        while synced.changed().await.is_ok() {
            seal(&records, &mut synced).await;
            tokio::time::sleep(SEAL_INTERVAL).await;
        }
    }
}

/// Notes the end of the last call in the log, and the end of the log in the store.
pub(crate) async fn finish(records: &Records, audit: &Audit) {
    if let Err(error) = audit.stopped().await {
        tracing::warn!(?error, "the end is not in the audit log");
    }
    seal(records, &mut audit.watch_synced()).await;
}

async fn seal(records: &Records, synced: &mut watch::Receiver<Mark>) {
    let mark = synced.borrow_and_update().clone();
    let sealed = Sealed {
        seq: mark.seq,
        head: mark.head,
    };
    let batch = Batch::new().put(ID, &sealed, Expect::Any);
    if let Err(error) = records.commit(batch).await {
        // The one of before counts, which the log has as well.
        tracing::warn!(?error, "what the audit log has reached is not in the store");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_its_golden_form() {
        let text = include_str!("../tests/golden/audit-head.json").trim_end();
        let record = Sealed::decode("golden", text.as_bytes()).expect("reads");
        assert_eq!(record.seq, 70_312);
        let written = record.encode().expect("writes");
        assert_eq!(std::str::from_utf8(written.expose()), Ok(text));
    }
}
