//! Bounds of what people write for people, wherever they write it.

use std::collections::BTreeMap;

use claviger_core::{Error, Id, Reason, Result};

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 256;

/// Most environments of a project or definition.
const ENVIRONMENTS_MAX: usize = 50;

/// Most labels of a definition or profile.
const LABELS_MAX: usize = 50;

/// Longest value of a label, in characters.
const LABEL_CHARS_MAX: usize = 128;

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

/// Checks labels.
pub(crate) fn check_labels(labels: &BTreeMap<Id, String>, field: &'static str) -> Result<()> {
    let invalid =
        |remedy: &'static str| Err(Error::new(Reason::FieldInvalid).violation(field, remedy));
    if labels.len() > LABELS_MAX {
        return invalid("has more than 50 labels; leave some out");
    }
    let is_long = |value: &String| value.chars().count() > LABEL_CHARS_MAX;
    if labels.values().any(is_long) {
        return invalid("has a value longer than 128 characters; shorten it");
    }
    if labels
        .values()
        .any(|value| value.contains(char::is_control))
    {
        return invalid("has a value with a control character; leave that out");
    }
    Ok(())
}
