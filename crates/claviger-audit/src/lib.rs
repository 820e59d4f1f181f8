//! The audit log: JSON lines, hash-chained from the first record.
//!
//! A call ends here: [`Audit::conclude`] consumes its `Authorized` and hands the result on only
//! when the record is in the log. A call that cannot be written down is
//! not served. Serving threads write it themselves, the records of one turn together; a thread of
//! its own syncs it. The intent of a change is on disk first; where the change is one commit of the
//! store, it may be in that (`outbox.rs`).
//!
//! Denials that come too fast are counted instead (`denials.rs`). A file that is full is closed and
//! renamed, and the chain goes on in the next one (`segments.rs`).
//!
//! Holds names, never a value or a hash of one. Does not sign or ship the log, nor remove old files
//! of it: anyone who may write a file may also write the chain anew (see [`verify`]).
#![forbid(unsafe_code)]

mod audit;
mod batch;
mod broken;
mod chain;
mod denials;
mod fields;
mod intent;
mod lines;
mod log;
mod mark;
mod noted;
mod open;
mod outbox;
mod record;
mod segments;
mod sink;
mod syncer;
mod tape;
mod unnoted;
mod verify;
mod words;

pub use audit::Audit;
// Beside the calls that take them.
pub use claviger_access::Facts;

pub use broken::{Broken, BrokenCause};
pub use intent::Intent;
pub use log::Health;
pub use mark::{Mark, Synced};
pub use open::FileOptions;
pub use record::Tail;
pub use segments::log_files;
pub use sink::{Flush, Found, Sink};
pub use verify::{Verified, verify, verify_files};
