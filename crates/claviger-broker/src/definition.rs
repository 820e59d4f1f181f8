//! A secret definition as it is kept, and where a read of it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use claviger_backend::{NameWarning, Vaults};
use claviger_core::{
    Coordinate, DefinitionName, Detail, Error, Format, Id, Kind, Reason, Result, SecretBytes, Uid,
    VersionName,
};
use claviger_store::Record;
use claviger_stripe::{Mode, Settings, Verdict};
use serde::{Deserialize, Serialize};

use crate::Project;
use crate::place::{Defaults, Location, Place};
use crate::route::{Route, check_allowed, check_coordinates, check_no_key, check_texts};

/// Longest description, in characters.
pub(crate) const DESCRIPTION_CHARS_MAX: usize = 256;

/// Most environments of a project or definition.
const ENVIRONMENTS_MAX: usize = 50;

/// Most labels of a definition.
const LABELS_MAX: usize = 50;

/// Longest value of a label, in characters.
const LABEL_CHARS_MAX: usize = 128;

/// What operators edit.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
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
    /// What a Stripe credential has to be.
    pub stripe: Settings,
    /// Until when its value is to be rotated.
    pub rotate_by: Option<SystemTime>,
    /// What people and tools find it by.
    pub labels: BTreeMap<Id, String>,
}

/// A definition as it is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Definition {
    /// Its name.
    pub name: DefinitionName,
    /// Which definition of that name.
    pub uid: Uid,
    /// What operators edit.
    pub content: Content,
    /// Counts edits; part of the etag.
    pub generation: u64,
    /// When it was registered.
    pub create_time: SystemTime,
    /// When it was last edited.
    pub update_time: SystemTime,
    /// When it was soft-deleted.
    pub delete_time: Option<SystemTime>,
    /// Whether its values are being destroyed: there is no way back.
    #[serde(default)]
    pub(crate) is_purging: bool,
    /// State of the values, by place.
    pub(crate) places: BTreeMap<Place, PlaceState>,
}

impl Record for Definition {
    const KIND: &'static str = "definitions/";
    const FORM: u32 = 1;
}

/// What Claviger knows about the values at one place.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct PlaceState {
    /// The version that our last finished write stored.
    pub(crate) current: Option<Id>,
    /// A write that was begun and not finished.
    pub(crate) pending: Option<Pending>,
}

/// A write that was begun.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Pending {
    /// What the vault knows it by.
    pub(crate) write_id: Uid,
    /// When it was begun.
    pub(crate) start_time: SystemTime,
    /// Whether the definition came with it, and goes with it if it never reached the vault.
    pub(crate) is_creating: bool,
    /// The idempotency record that waits for its outcome.
    pub(crate) request: Option<String>,
    /// What its document was merged into, if it was.
    #[serde(default)]
    pub(crate) base: Option<Base>,
}

/// The version that a property was merged into; there may have been none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Base(pub(crate) Option<Id>);

impl Definition {
    /// Key of a definition's record, without its kind.
    pub(crate) fn record_id(name: &DefinitionName) -> String {
        format!("{}/{}", name.project().id(), name.id())
    }

    /// Names exactly this state; the uid keeps a re-made definition from matching.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.generation, self.uid)
    }

    /// Whether a first write is still under way: the definition is not there for readers yet.
    pub(crate) fn is_creating(&self) -> bool {
        self.places.values().any(|state| {
            state
                .pending
                .as_ref()
                .is_some_and(|pending| pending.is_creating)
        })
    }

    /// Whether any value was or is being stored through this definition.
    pub(crate) fn has_values(&self) -> bool {
        self.places
            .values()
            .any(|state| state.current.is_some() || state.pending.is_some())
    }

    /// Refuses a definition that is deleted, or not there yet.
    ///
    /// # Errors
    /// `DEFINITION_DELETED`, `DEFINITION_NOT_FOUND`.
    pub(crate) fn live(&self) -> Result<&Self> {
        if self.delete_time.is_some() {
            return Err(Error::new(Reason::DefinitionDeleted)
                .with(Detail::Resource, &self.name)
                .at("name"));
        }
        if self.is_creating() {
            return Err(not_found(&self.name));
        }
        Ok(self)
    }

    /// The current version at a place.
    pub(crate) fn current(&self, place: &Place) -> Option<&Id> {
        self.places
            .get(place)
            .and_then(|state| state.current.as_ref())
    }

    /// Where a read in `environment` goes.
    ///
    /// # Errors
    /// `ENVIRONMENT_REQUIRED`, `ENVIRONMENT_UNKNOWN`, `ENVIRONMENT_UNCOVERED`, `VAULT_UNKNOWN`,
    /// `SECRET_NOT_FOUND` for a place without a current version.
    pub(crate) fn route(
        &self,
        environment: Option<&Id>,
        version: Option<&Id>,
        project: &Project,
        vaults: &Vaults,
    ) -> Result<Route> {
        let mut route = self.place_of(environment, project, vaults)?;
        let is_other =
            version.is_some_and(|version| route.pin.as_deref() != Some(version.as_str()));
        if route.pin.is_some() && is_other {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "version",
                "is another one than the definition pins; leave it out",
            ));
        }
        if let Some(version) = version {
            let checked = route.vault.check_caller_version(version);
            checked.map_err(|error| error.with(Detail::Resource, named(&self.name, version)))?;
        }
        route.version = match version {
            Some(version) => Some(version.to_string()),
            None if route.pin.is_some() => route.pin.clone(),
            None if route.vault.capabilities().latest => None,
            None => {
                let current = self.current(&route.place).ok_or_else(|| {
                    Error::new(Reason::SecretNotFound)
                        .with(Detail::Resource, &self.name)
                        .with(Detail::Vault, &route.place.vault)
                })?;
                Some(current.to_string())
            }
        };
        Ok(route)
    }

    /// Where a write in `environment` goes.
    ///
    /// # Errors
    /// As [`Self::route`], but for the version.
    pub(crate) fn place_of(
        &self,
        environment: Option<&Id>,
        project: &Project,
        vaults: &Vaults,
    ) -> Result<Route> {
        let location = self.location_in(environment, project)?;
        let place = self
            .defaults(project, vaults)
            .place(location, environment)?;
        Route::new(self.uid, location, place, project, vaults)
    }

    /// Where the value that comes with a new definition goes.
    ///
    /// # Errors
    /// `PAYLOAD_NOT_ALLOWED` unless there is exactly one place.
    pub(crate) fn only_route(&self, project: &Project, vaults: &Vaults) -> Result<Route> {
        let defaults = self.defaults(project, vaults);
        let locations = self.content.resolutions(defaults);
        let places = self.content.places(defaults);
        let only = locations.into_iter().next().zip(places.first());
        let Some(((_, location, _), place)) = only.filter(|_| places.len() == 1) else {
            return Err(Error::new(Reason::PayloadNotAllowed).violation(
                "payload",
                "needs a definition that resolves to exactly one location; register it without a \
                 payload, then call PutSecretValue for each environment",
            ));
        };
        Route::new(self.uid, location, place.clone(), project, vaults)
    }

    /// What fills the gaps of its locations.
    pub(crate) fn defaults<'a>(&'a self, project: &'a Project, vaults: &'a Vaults) -> Defaults<'a> {
        Defaults {
            name: &self.name,
            project,
            vaults,
        }
    }

    fn location_in(&self, environment: Option<&Id>, project: &Project) -> Result<&Location> {
        project.check_environment(environment, "environment")?;
        let Some(environment) = environment else {
            return Ok(&self.content.location);
        };
        match self.content.location_for(environment) {
            Some((_, location)) => Ok(location),
            None => {
                Err(Error::new(Reason::EnvironmentUncovered).with(Detail::Resource, &self.name))
            }
        }
    }
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

    fn check_labels(&self) -> Result<()> {
        let invalid = |remedy: &'static str| {
            Err(Error::new(Reason::FieldInvalid).violation("definition.labels", remedy))
        };
        if self.labels.len() > LABELS_MAX {
            return invalid("has more than 50 labels; leave some out");
        }
        for (key, value) in &self.labels {
            check_no_key(key.as_str(), "definition.labels")?;
            check_no_key(value, "definition.labels")?;
        }
        let is_long = |value: &String| value.chars().count() > LABEL_CHARS_MAX;
        if self.labels.values().any(is_long) {
            return invalid("has a value longer than 128 characters; shorten it");
        }
        if self
            .labels
            .values()
            .any(|value| value.contains(char::is_control))
        {
            return invalid("has a value with a control character; leave that out");
        }
        Ok(())
    }

    /// Whether environments without an override use the default location.
    fn covers_all(&self) -> bool {
        self.environments.is_empty() || self.environment_fallback
    }

    /// The location that an environment uses, with the request field it came from; a typo must never
    /// fetch the default's value, so the default counts only where that is said.
    fn location_for(&self, environment: &Id) -> Option<(&'static str, &Location)> {
        match self.environments.get(environment) {
            Some(location) => Some(("definition.environments", location)),
            None => self
                .covers_all()
                .then_some(("definition.location", &self.location)),
        }
    }

    /// The environments that resolve to a place.
    pub(crate) fn environments_at<'a>(
        &'a self,
        defaults: Defaults<'a>,
        place: &'a Place,
    ) -> impl Iterator<Item = &'a Id> {
        let declared = defaults.project.content.environments.keys();
        declared.filter(move |environment| {
            let location = self.location_for(environment);
            location.is_some_and(|(_, location)| {
                let found = defaults.place(location, Some(environment));
                found.is_ok_and(|found| found == *place)
            })
        })
    }

    /// The modes that the environments at a place demand of a Stripe key.
    pub(crate) fn stripe_modes(&self, defaults: Defaults<'_>, place: &Place) -> BTreeSet<Mode> {
        let environments = self.environments_at(defaults, place);
        let modes = environments.filter_map(|id| defaults.project.stripe_mode(Some(id)));
        modes.collect()
    }

    /// Whether several environments share one value without saying so.
    pub(crate) fn is_sharing(&self, defaults: Defaults<'_>) -> bool {
        let resolved = self.resolutions(defaults).len();
        !self.environment_fallback && self.places(defaults).len() < resolved
    }

    /// Every place that some environment resolves to.
    pub(crate) fn places(&self, defaults: Defaults<'_>) -> BTreeSet<Place> {
        let resolutions = self.resolutions(defaults).into_iter();
        resolutions.filter_map(|(_, _, place)| place.ok()).collect()
    }

    /// The vaults that locations lead to and the configuration does not have.
    pub(crate) fn missing_vaults(&self, defaults: Defaults<'_>) -> BTreeSet<String> {
        let resolutions = self.resolutions(defaults).into_iter();
        let missing = resolutions.filter_map(|(_, location, place)| match place {
            Ok(place) if defaults.vaults.find(&place.vault).is_ok() => None,
            Ok(place) => Some(place.vault.to_string()),
            Err(_) => location.vault.as_ref().map(ToString::to_string),
        });
        missing.collect()
    }

    /// Each location in use, with the request field it came from and the place it stands for.
    fn resolutions(&self, defaults: Defaults<'_>) -> Vec<(&'static str, &Location, Result<Place>)> {
        let declared = &defaults.project.content.environments;
        if declared.is_empty() {
            let place = defaults.place(&self.location, None);
            return vec![("definition.location", &self.location, place)];
        }
        let environments = declared.keys().filter_map(|environment| {
            let (field, location) = self.location_for(environment)?;
            Some((field, location, defaults.place(location, Some(environment))))
        });
        environments.collect()
    }

    /// Checks the content against the project and the vaults.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `ENVIRONMENT_UNKNOWN`, `LOCATION_INVALID`, `VAULT_UNKNOWN`, each with the
    /// field and the remedy.
    pub(crate) fn validate(
        &self,
        name: &DefinitionName,
        project: &Project,
        vaults: &Vaults,
    ) -> Result<Vec<NameWarning>> {
        let mut warnings = Vec::new();
        check_description(&self.description, "definition.description")?;
        check_no_key(&self.description, "definition.description")?;
        self.check_labels()?;
        self.stripe.validate(self.kind)?;
        if self.kind.is_stripe() && self.format == Format::Binary {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "definition.format",
                "is BINARY, but a Stripe credential is TEXT; leave it unset",
            ));
        }
        check_environment_count(self.environments.len(), "definition.environments")?;
        for environment in self.environments.keys() {
            project.check_environment(Some(environment), "definition.environments")?;
        }
        // The default location too where no environment uses it: a later one may.
        let defaults = Defaults {
            name,
            project,
            vaults,
        };
        let default = defaults.place(&self.location, None);
        let is_empty = self.location == Location::default();
        let unused = (!is_empty).then_some(("definition.location", &self.location, default));
        for (field, location, place) in self.resolutions(defaults).into_iter().chain(unused) {
            check_texts(location, field)?;
            if location.property.is_some() && self.format == Format::Binary {
                return Err(Error::new(Reason::FieldInvalid).violation(
                    field,
                    "names a property, but a BINARY value has none; leave `property` or the format out",
                ));
            }
            let vault_field = match field {
                "definition.location" => "definition.location.vault",
                _ => field,
            };
            let place = place.map_err(|error| error.at(vault_field))?;
            let vault = vaults
                .find(&place.vault)
                .map_err(|error| error.at(vault_field))?;
            check_coordinates(location, field, vault)?;
            // First: a name that cannot be is not one to be allowed.
            let secret = place.spelled(location);
            warnings.extend(vault.check_name(secret).map_err(|e| e.at(field))?);
            check_allowed(location, secret, project, vault)
                .map_err(|e| e.with(Detail::Secret, Coordinate(secret)).at(field))?;
        }
        warnings.dedup();
        Ok(warnings)
    }
}

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

fn named(name: &DefinitionName, version: &Id) -> VersionName {
    VersionName::new(name.clone(), version.clone())
}

pub(crate) fn not_found(name: &DefinitionName) -> Error {
    Error::new(Reason::DefinitionNotFound).with(Detail::Resource, name)
}
