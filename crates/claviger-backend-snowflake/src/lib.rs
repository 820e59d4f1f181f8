//! The vault of kind `snowflake`: a schema of a Snowflake database, in one of two ways.
//!
//! `objects` keeps real `SECRET` objects, which pipeline runners inside Snowflake read natively.
//! Snowflake gives their values to nobody outside; a reader procedure per secret does, where the
//! operator asks for one. `sealed` keeps rows that are encrypted before they leave, so that neither
//! Snowflake, its query history nor its administrators ever see a value; it is a vault of Claviger's
//! own that happens to be there.
//!
//! `backend` keeps the contract, `session` is the one connection, `guard` the only way it takes, `sql` writes names so that no two
//! are one and none is more than a name, `place` says where things are, `key` opens the private
//! key, `mark` is our part of a secret's comment, `error` the one table from answers to reasons.
//! Nothing is ever dropped or made with `OR REPLACE` but the reader procedures; databases, schemas,
//! the table, roles and grants are the administrator's (`deploy/snowflake/setup.sql`).
#![forbid(unsafe_code)]

mod backend;
mod error;
mod guard;
mod key;
mod kind;
mod mark;
mod objects;
mod place;
mod sealed;
mod session;
mod settings;
mod shared;
mod sql;

pub use backend::Snowflake;
pub use kind::KIND;
pub use settings::{Grantee, Reader, SnowflakeSettings, Storage};
