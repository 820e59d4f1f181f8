//! The daemon with vaults of kind `snowflake`: against fakesnow behind our envelope, for which it
//! gets nothing but an address on loopback and a key.

mod capabilities;
mod config;
mod failures;
mod hanging;
mod lost;
mod names;
mod objects;
mod sealed;
mod support;
mod walk_through;

pub(crate) use support::{Account, READABLE, SEALED, TABLE};
