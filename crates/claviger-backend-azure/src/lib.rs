//! The vault of kind `azure`: secrets of Azure Key Vault.
//!
//! Names and versions are checked before every call, because the SDK puts them raw into the path.
//! Credentials are those that the settings name, never guessed. Writes add a version and touch
//! nothing else but tags of ours on it, which say which definition of which store it belongs to;
//! tags and content type of others are carried over. A deleted secret is brought back before it is
//! written; nothing is ever purged.
//!
//! `backend` keeps the contract, `vault` holds client and settings, `write` its one long story,
//! `client` the calls of the API, `pages` its lists, `transport` the requests that may leave and
//! the answers that may come in, `credential` and `assertion` how Claviger proves itself to Entra,
//! `login` the answers of Entra, `error` the one table from answers to reasons. Properties of a
//! document are the broker's work; rotation, expiry dates, roles and deletion stay the portal's.
#![forbid(unsafe_code)]

mod assertion;
mod backend;
mod client;
mod credential;
mod error;
mod kind;
mod login;
mod name;
mod pages;
mod settings;
mod shapes;
mod transport;
mod vault;
mod write;

pub use kind::KIND;
pub use settings::{AzureSettings, Credential};
pub use vault::Azure;
