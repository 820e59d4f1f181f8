//! The daemon with a vault of kind `aws`: against moto, and against a stub of ours for the answers
//! that moto cannot give.

mod allow;
mod bad_input;
mod environments;
mod failures;
mod hanging;
mod races;
mod reading;
mod stripe;
mod support;
mod writing;

pub(crate) use support::vault;
