//! The forms in which records are stored. They are types of their own, so that a renamed field of
//! [`model`](crate::model) never changes a disk; each has a golden file.
//!
//! A record is turned into its form and back by the traits of serde, here and nowhere else.

mod definition;
mod ending;
mod grants;
mod install;
mod made;
mod names;
mod pending;
mod profile;
mod project;
mod request;
mod seen;
mod token;
mod upgrades;

#[cfg(test)]
mod tests;

pub(crate) use definition::definition_id;
pub(crate) use ending::Ending;
pub(crate) use install::{InstallKey, Secrets, install_value};
pub(crate) use made::{Made, made_by};
pub(crate) use pending::PendingPointer;
pub(crate) use profile::profile_id;
pub(crate) use seen::Seen;
pub use upgrades::UPGRADES;
