//! The vault of kind `newkind`. Made by `cargo xtask new-backend`: nothing of it is written yet,
//! and every call says so.
//!
//! Say here what it talks to, where its credentials come from, and what it leaves to others.
//! `backend` keeps the contract, `settings` is what an operator writes, `error` the one table from
//! what the vault answers to a reason.
#![forbid(unsafe_code)]

mod backend;
mod error;
mod settings;

pub use backend::Newkind;
pub use settings::{NewkindSettings, SettingsProblem};
