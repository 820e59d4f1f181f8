//! What points to a definition with a write under way, so that a start finds it without a full scan.

use claviger_core::DefinitionName;
use claviger_store::Record;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::engine::forms::names::NameForm;
use crate::model::location::Place;

/// A write under way; its record's id is the write's.
#[derive(Clone, Debug)]
pub(crate) struct PendingPointer {
    pub(crate) name: DefinitionName,
    pub(crate) place: Place,
}

impl Record for PendingPointer {
    const KIND: &'static str = "pending/";
    const FORM: u32 = 1;
}

#[derive(Deserialize, Serialize)]
struct PendingPointerForm {
    name: NameForm,
    /// `{vault}/{secret}`.
    place: String,
}

impl Serialize for PendingPointer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PendingPointerForm {
            name: NameForm::from(&self.name),
            place: self.place.to_string(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PendingPointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = PendingPointerForm::deserialize(deserializer)?;
        Ok(Self {
            name: form.name.into(),
            place: form.place.parse().map_err(de::Error::custom)?,
        })
    }
}
