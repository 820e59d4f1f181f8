use std::error::Error as StdError;

use claviger_core::{Error, Reason};

/// That something sealed does not open here.
pub(crate) fn refused(why: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(Reason::IntegrityFailure).caused_by(why)
}
