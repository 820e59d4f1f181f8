//! The layers of every vault.

mod deadline;
mod declared;
mod gate;
mod named;

pub(crate) use deadline::Deadline;
pub(crate) use declared::Declared;
pub(crate) use gate::Gate;
pub(crate) use named::Named;
