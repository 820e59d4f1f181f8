//! When exchanged tokens end: a record for each, in the order of their ends, so that a sweep looks
//! at no other.

use std::time::{SystemTime, UNIX_EPOCH};

use claviger_core::Id;
use claviger_store::Record;
use serde::{Deserialize, Serialize};

/// A token that is removed at its end.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Ending {
    pub(crate) token: Id,
}

impl Record for Ending {
    const KIND: &'static str = "endings/";
    const FORM: u32 = 1;
}

impl Ending {
    /// The id of its record: those of earlier ends come first.
    pub(crate) fn record_id(&self, end: SystemTime) -> String {
        format!("{}{}", second(end), self.token)
    }

    /// What the records of all begin with, or are behind, that have not ended by then.
    pub(crate) fn after(now: SystemTime) -> String {
        second(now)
    }
}

/// The first whole second that is later than a time, with as many digits as any other.
fn second(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:020}/", since.as_secs() + 1)
}
