//! The vault of kind `newkind`. Made by `cargo xtask new-backend`: nothing of it is written yet,
//! and every call says so.
//!
//! Say here which system it talks to, where its credentials come from, and which work it leaves to
//! others.
//! `backend` keeps the contract, `settings` is the operator's table, `kind` the crate's face to the
//! daemon, `error` the one table from the vault's answers to reasons.
#![forbid(unsafe_code)]

mod backend;
mod error;
mod kind;
mod settings;

pub use backend::Newkind;
pub use kind::KIND;
pub use settings::NewkindSettings;
