//! Envelope encryption of every record before it reaches the store; the only crate that names a
//! cipher.
//!
//! Root key → keyring record → key-encryption key → a fresh data key per record. Key ids are
//! explicit and no key is ever tried on a record that does not name it.
//!
//! A sealed record proves that it was sealed by this store (store id) for this record key. The
//! record key is the string the store files it under; it holds kind, uid and version, so these are
//! bound with it. Changed, truncated, swapped, renamed and foreign records do not open.
//!
//! Out of scope: record *keys* and lengths are plain; an older copy of one record put back in its
//! own place opens (an older whole store is caught by the audit checkpoint); a holder of the root key
//! and the store reads everything.

#![forbid(unsafe_code)]

mod bytes;
mod envelope;
mod keyring;
mod refused;
mod root_key;
mod stored;

pub use bytes::{equal, hex, random_bytes, sha256};
pub use envelope::{Opener, key_id};
pub use keyring::Keyring;
pub use root_key::RootKey;
