//! What is registered, as plain data and rules: no record, no call to a vault, no `await`.
//!
//! Start with [`Registered`](registered::Registered): a definition with what its locations are read
//! against.

pub(crate) mod answer;
pub(crate) mod connection;
pub(crate) mod content;
pub(crate) mod definition;
pub(crate) mod document;
pub(crate) mod draft;
pub(crate) mod exchanges;
pub(crate) mod freshness;
pub(crate) mod get_secret;
pub(crate) mod grants;
pub(crate) mod identity;
pub(crate) mod install;
pub(crate) mod location;
pub(crate) mod page;
pub(crate) mod payload;
pub(crate) mod profile;
pub(crate) mod project;
pub(crate) mod reconcile;
pub(crate) mod registered;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod texts;
pub(crate) mod token;
pub(crate) mod told;
pub(crate) mod warning;
