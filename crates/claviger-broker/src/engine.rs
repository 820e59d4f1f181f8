//! What acts on what is registered. Each part is the only owner of its state:
//!
//! * [`Catalog`](catalog::Catalog) of the records: it asks the authorizer, and takes a commit for a
//!   caller only with the proof;
//! * [`Reads`](reads::Reads) of the way to a vault's values;
//! * [`Installs`](installs::Installs) of the tokens that roll, and of the way to where they do;
//! * [`Writes`](writes::Writes) of the writes under way, and of what survives a crash about them.
//!
//! None of them knows a use case.

pub(crate) mod catalog;
pub(crate) mod consumers;
pub(crate) mod expiry;
pub(crate) mod forms;
pub(crate) mod found;
pub(crate) mod installs;
pub(crate) mod lanes;
pub(crate) mod merging;
pub(crate) mod outside;
pub(crate) mod reads;
pub(crate) mod remembered;
pub(crate) mod replay;
pub(crate) mod staging;
pub(crate) mod steps;
pub(crate) mod tally;
pub(crate) mod ways;
pub(crate) mod writes;
