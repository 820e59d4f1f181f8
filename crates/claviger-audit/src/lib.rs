//! The audit log: JSON lines, hash-chained from the first record, owned by one writer thread.
//!
//! A call ends here: [`Audit::conclude`] consumes its `Authorized` and hands the result on only
//! when the record is in the log. A call that cannot be written down is
//! not served.
//!
//! Holds names, never a value or a hash of one. Does not sign, rotate or ship the log: anyone who
//! may write the file may also cut its tail or write the chain anew (see [`verify`]).
#![forbid(unsafe_code)]

mod audit;
mod broken;
mod chain;
mod gather;
mod record;
mod sink;
mod verify;
mod words;
mod writer;

pub use audit::Audit;
// Beside the calls that take them.
pub use claviger_access::Facts;

pub use broken::{Broken, BrokenCause};
pub use sink::Sink;
pub use verify::{Verified, verify};
