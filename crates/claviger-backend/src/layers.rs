//! The layers of every vault.

mod counted;
mod deadline;
mod declared;
mod gate;
mod named;

pub(crate) use counted::Counted;
pub use counted::Counts;
pub(crate) use deadline::Deadline;
pub(crate) use declared::Declared;
pub(crate) use gate::Gate;
pub use gate::count_request;
#[cfg(feature = "testkit")]
pub use gate::requests_of;
pub(crate) use named::Named;
