//! Bounds of what people write for people, wherever they write it.

use claviger_core::{Error, Reason, Result};

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 256;

/// Most environments of a project or definition.
const ENVIRONMENTS_MAX: usize = 50;

/// Checks a description's length.
pub(crate) fn check_description(text: &str, field: &'static str) -> Result<()> {
    if text.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(Error::new(Reason::FieldInvalid)
            .violation(field, "is longer than 256 characters; shorten it"));
    }
    Ok(())
}

/// Checks how many environments there are.
pub(crate) fn check_environment_count(count: usize, field: &'static str) -> Result<()> {
    if count > ENVIRONMENTS_MAX {
        return Err(Error::new(Reason::FieldInvalid)
            .violation(field, "has more than 50 environments; use several projects"));
    }
    Ok(())
}
