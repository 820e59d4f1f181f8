//! Secret definitions: registered, changed, read, listed, checked, deleted and brought back.

pub(crate) mod check;
pub(crate) mod delete;
mod get;
mod judge;
pub(crate) mod list;
pub(crate) mod put;
