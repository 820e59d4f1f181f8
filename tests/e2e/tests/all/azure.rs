//! The daemon with vaults of kind `azure`: against our Key Vault, under the real host names and with
//! the SDK's checks on, for which the daemon gets nothing but a proxy and a certificate.

mod bad_input;
mod credentials;
mod defaults;
mod failures;
mod hanging;
mod listing;
mod reading;
mod recovery;
mod support;
mod walk_through;
mod writing;

pub(crate) use support::{Cloud, HOST};
