//! What a token has made: one record for each, found by their maker, so that a revocation can end
//! them too.

use std::fmt;

use claviger_core::Id;
use claviger_store::Record;
use serde::{Deserialize, Serialize};

/// A token or grant that a token made.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) enum Made {
    /// A grant of this id.
    Grant(Id),
    /// A token of this id.
    Token(Id),
}

impl Record for Made {
    const KIND: &'static str = "made/";
    const FORM: u32 = 1;
}

impl Made {
    /// The id of its record.
    pub(crate) fn record_id(&self, maker: &Id) -> String {
        format!("{}{self}", made_by(maker))
    }
}

/// Written as requests name it.
impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(id) => write!(f, "grants/{id}"),
            Self::Token(id) => write!(f, "tokens/{id}"),
        }
    }
}

/// What the records of all that a token made begin with.
pub(crate) fn made_by(maker: &Id) -> String {
    format!("{maker}/")
}
