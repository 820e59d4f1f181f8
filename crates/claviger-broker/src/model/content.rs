//! What operators edit of a definition, and the rules that need nothing else.

use std::collections::BTreeMap;
use std::time::SystemTime;

use claviger_core::{Error, Format, Id, Kind, Reason, Result, SecretBytes};
use claviger_stripe::{Mode, Settings, Verdict};

use crate::model::freshness::FreshnessPolicy;
use crate::model::location::Location;
use crate::model::texts::{check_description, check_environment_count, check_labels};

/// What operators edit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Content {
    /// For people.
    pub description: String,
    /// What a value is.
    pub kind: Kind,
    /// How its bytes are meant.
    pub format: Format,
    /// Where it lives.
    pub location: Location,
    /// Where it lives in single environments.
    pub environments: BTreeMap<Id, Location>,
    /// Whether the other environments use `location`.
    pub environment_fallback: bool,
    /// How old its values may be.
    pub freshness: FreshnessPolicy,
    /// What a Stripe credential has to be.
    pub stripe: Settings,
    /// Until when its value is to be rotated.
    pub rotate_by: Option<SystemTime>,
    /// What people and tools find it by.
    pub labels: BTreeMap<Id, String>,
}

impl Content {
    /// What a value is, if the kind is one that is judged.
    pub(crate) fn judge(&self, value: &SecretBytes, demanded: Option<Mode>) -> Option<Verdict> {
        claviger_stripe::judge(self.kind, value.expose(), &self.stripe, demanded)
    }

    /// Whether its value is to be rotated by this time, or was before.
    pub(crate) fn rotates_by(&self, time: SystemTime) -> bool {
        self.rotate_by.is_some_and(|end| end <= time)
    }

    /// Whether any location of this content can be another one than in `other`.
    pub(crate) fn leads_elsewhere_than(&self, other: &Self) -> bool {
        self.location != other.location
            || self.environments != other.environments
            || self.environment_fallback != other.environment_fallback
    }

    /// Whether it leads to a secret that it names: others may lead there too.
    pub(crate) fn names_a_secret(&self) -> bool {
        let locations = self.environments.values().chain([&self.location]);
        locations
            .into_iter()
            .any(|location| location.secret.is_some())
    }

    /// Whether environments without an override use the default location.
    fn covers_all(&self) -> bool {
        self.environments.is_empty() || self.environment_fallback
    }

    /// The location that an environment uses, with the request field it came from; a typo must never
    /// fetch the default's value, so the default counts only where that is said.
    pub(crate) fn location_for(&self, environment: &Id) -> Option<(&'static str, &Location)> {
        match self.environments.get(environment) {
            Some(location) => Some(("definition.environments", location)),
            None => self
                .covers_all()
                .then_some(("definition.location", &self.location)),
        }
    }

    /// Checks what can be checked without the project and the vaults.
    ///
    /// # Errors
    /// `FIELD_INVALID` with the field and the remedy.
    pub(crate) fn validate(&self) -> Result<()> {
        check_description(&self.description, "definition.description")?;
        check_labels(&self.labels, "definition.labels")?;
        self.freshness.validate()?;
        self.stripe.validate(self.kind)?;
        if self.kind.is_stripe() && self.format == Format::Binary {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "definition.format",
                "is BINARY, but a Stripe credential is TEXT; leave it unset",
            ));
        }
        check_environment_count(self.environments.len(), "definition.environments")
    }
}
