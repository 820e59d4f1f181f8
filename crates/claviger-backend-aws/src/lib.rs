//! The vault of kind `aws`: AWS Secrets Manager.
//!
//! Reads key/value, plain and binary secrets by name or full ARN; always asks for `AWSCURRENT`
//! unless a version is pinned, by its id or by a staging label. Credentials come from the SDK's own
//! chain (environment, profile, web identity, container, instance), or from a role assumed with
//! them. Writes create a secret or a version of it and touch nothing else but one tag that says
//! which definition of which store it belongs to.
//!
//! `backend` keeps the contract, `vault` holds client and settings, `write` the steps of a write,
//! `client` the connection, `transport` how much of an answer it takes, `error` the one table from answers to reasons. Properties of a
//! document are the broker's work; rotation, policies and deletion stay the console's.
#![forbid(unsafe_code)]

mod backend;
mod client;
mod error;
mod kind;
mod name;
mod settings;
mod shapes;
mod transport;
mod vault;
mod write;

pub use kind::KIND;
pub use settings::AwsSettings;
pub use vault::Aws;
