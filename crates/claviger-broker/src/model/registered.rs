//! A definition with what its locations are read against: where they lead, and which
//! environments share them.

use std::collections::BTreeSet;

use claviger_backend::{NameWarning, Vaults};
use claviger_core::{Coordinate, Detail, Error, Format, Id, Reason, Result, VersionName};
use claviger_stripe::Mode;

use crate::model::definition::{Definition, DerivedFrom};
use crate::model::location::{Location, Place, VaultRef};
use crate::model::project::{MANAGED, Project};
use crate::model::route::{Route, check_allowed, check_coordinates, check_form};

/// A definition, its project, and the vaults there are.
#[derive(Clone, Copy)]
pub(crate) struct Registered<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) project: &'a Project,
    pub(crate) vaults: &'a Vaults,
}

/// A location in use.
struct Resolution<'a> {
    /// The request field it came from.
    field: &'static str,
    location: &'a Location,
    /// The place it stands for.
    place: Result<Place>,
}

impl<'a> Registered<'a> {
    /// Where a read in `environment` goes.
    ///
    /// # Errors
    /// `ENVIRONMENT_REQUIRED`, `ENVIRONMENT_UNKNOWN`, `ENVIRONMENT_UNCOVERED`, `VAULT_UNKNOWN`,
    /// `SECRET_NOT_FOUND` for a place without a current version.
    pub(crate) fn route(self, environment: Option<&Id>, version: Option<&Id>) -> Result<Route> {
        let mut route = self.write_route(environment)?;
        let name = &self.definition.name;
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
            checked.map_err(|error| {
                let version = VersionName::new(name.clone(), version.clone());
                error.with(Detail::Resource, version)
            })?;
        }
        route.version = match version {
            Some(version) => Some(version.to_string()),
            None if route.pin.is_some() => route.pin.clone(),
            None if route.vault.capabilities().latest => None,
            None if self.definition.has_newest(&route.place) => None,
            None => {
                let current = self.definition.current(&route.place).ok_or_else(|| {
                    Error::new(Reason::SecretNotFound)
                        .with(Detail::Resource, name)
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
    pub(crate) fn write_route(self, environment: Option<&Id>) -> Result<Route> {
        let location = self.location_in(environment)?;
        let place = self.place(location, environment)?;
        self.route_to(location, place)
    }

    /// Where the value that comes with a new definition goes.
    ///
    /// # Errors
    /// `PAYLOAD_NOT_ALLOWED` unless there is exactly one place, of which all mean the same part.
    pub(crate) fn only_route(self) -> Result<Route> {
        let places = self.places();
        let resolutions = self.resolutions();
        let mut locations = resolutions.iter().map(|found| found.location);
        let first = locations.next();
        let is_one = places.len() == 1
            && locations.all(|other| first.map(Location::part) == Some(other.part()));
        let only = first.zip(places.first()).filter(|_| is_one);
        let Some((location, place)) = only else {
            return Err(Error::new(Reason::PayloadNotAllowed).violation(
                "payload",
                "needs a definition that resolves to exactly one location; register it without a \
                 payload, then call PutSecretValue for each environment",
            ));
        };
        self.route_to(location, place.clone())
    }

    /// The environments that resolve to a place, or may by another name for it.
    pub(crate) fn environments_at(self, place: &Place) -> impl Iterator<Item = &'a Id> {
        let declared = self.project.content.environments.keys();
        declared.filter(move |environment| {
            let location = self.definition.content.location_for(environment);
            location.is_some_and(|(_, location)| {
                let found = self.place(location, Some(environment));
                found.is_ok_and(|found| self.may_be_one(&found, place))
            })
        })
    }

    /// As [`Self::environments_at`]; where none are declared, once without.
    pub(crate) fn readers_at(self, place: &Place) -> Vec<Option<&'a Id>> {
        if !self.project.content.environments.is_empty() {
            return self.environments_at(place).map(Some).collect();
        }
        let is_here = self.places().iter().any(|own| self.may_be_one(own, place));
        is_here.then_some(None).into_iter().collect()
    }

    /// Whether two places may be one secret: a vault may take several names for it, and two vaults
    /// may be one account.
    fn may_be_one(self, one: &Place, other: &Place) -> bool {
        let site = |place: &Place| self.vaults.find(&place.vault).ok()?.site(&place.secret);
        let may_be = || Some(site(one)?.may_be(&site(other)?));
        one == other || may_be().unwrap_or(false)
    }

    /// The modes that the environments at a place demand of a Stripe key.
    pub(crate) fn stripe_modes(self, place: &Place) -> BTreeSet<Mode> {
        let environments = self.environments_at(place);
        let modes = environments.filter_map(|id| self.project.stripe_mode(Some(id)));
        modes.collect()
    }

    /// Whether several environments share one value without saying so.
    pub(crate) fn is_sharing(self) -> bool {
        let found = self.resolutions().into_iter();
        let places: Vec<Place> = found.filter_map(|found| found.place.ok()).collect();
        let is_before = |(index, place): (usize, &Place)| {
            let mut before = places.iter().take(index);
            before.any(|before| self.may_be_one(before, place))
        };
        !self.definition.content.environment_fallback && places.iter().enumerate().any(is_before)
    }

    /// Every place that some environment resolves to.
    pub(crate) fn places(self) -> BTreeSet<Place> {
        let resolutions = self.resolutions().into_iter();
        resolutions.filter_map(|found| found.place.ok()).collect()
    }

    /// The vaults that locations lead to and the configuration does not have.
    pub(crate) fn missing_vaults(self) -> BTreeSet<String> {
        let missing = |Resolution {
                           location, place, ..
                       }| match place {
            Ok(place) if self.vaults.find(&place.vault).is_ok() => None,
            Ok(place) => Some(place.vault.to_string()),
            Err(_) => Option::<&VaultRef>::map(location.vault.as_ref(), ToString::to_string),
        };
        let resolutions = self.resolutions().into_iter();
        resolutions.filter_map(missing).collect()
    }

    /// Checks what operators edit against the project and the vaults.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `ENVIRONMENT_UNKNOWN`, `LOCATION_INVALID`, `VAULT_UNKNOWN`, each with the
    /// field and the remedy.
    pub(crate) fn validate(self) -> Result<Vec<NameWarning>> {
        let content = &self.definition.content;
        content.validate()?;
        for environment in content.environments.keys() {
            self.project
                .check_environment(Some(environment), "definition.environments")?;
        }
        // The default location too where no environment uses it: a later one may.
        let is_unused = content.location != Location::default();
        let unused = is_unused.then(|| Resolution {
            field: "definition.location",
            location: &content.location,
            place: self.place(&content.location, None),
        });
        let mut warnings = Vec::new();
        for resolution in self.resolutions().into_iter().chain(unused) {
            warnings.extend(self.check(resolution)?);
        }
        warnings.dedup();
        Ok(warnings)
    }

    fn check(self, resolution: Resolution<'_>) -> Result<Option<NameWarning>> {
        let Resolution {
            field,
            location,
            place,
        } = resolution;
        check_form(location, field)?;
        if location.property.is_some() && self.definition.content.format == Format::Binary {
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
        let project = self.project.name.id();
        let vault = self.vaults.find_for(project, &place.vault);
        let vault = vault.map_err(|error| error.at(vault_field))?;
        check_coordinates(location, field, vault)?;
        // First: a name that cannot be is not one to be allowed.
        let secret = place.spelled(location);
        let warning = vault.check_name(secret).map_err(|e| e.at(field))?;
        check_allowed(location, secret, self.project, vault)
            .map_err(|e| e.with(Detail::Secret, Coordinate(secret)).at(field))?;
        Ok(warning)
    }

    fn route_to(self, location: &Location, place: Place) -> Result<Route> {
        let route = Route::new(
            self.definition.uid,
            location,
            place,
            self.project,
            self.vaults,
        )?;
        Ok(Route {
            freshness: self.definition.content.freshness,
            ..route
        })
    }

    fn location_in(self, environment: Option<&Id>) -> Result<&'a Location> {
        self.project.check_environment(environment, "environment")?;
        let content = &self.definition.content;
        let Some(environment) = environment else {
            return Ok(&content.location);
        };
        match content.location_for(environment) {
            Some((_, location)) => Ok(location),
            None => Err(Error::new(Reason::EnvironmentUncovered)
                .with(Detail::Resource, &self.definition.name)),
        }
    }

    fn resolutions(self) -> Vec<Resolution<'a>> {
        let content = &self.definition.content;
        let declared = &self.project.content.environments;
        if declared.is_empty() {
            return vec![Resolution {
                field: "definition.location",
                location: &content.location,
                place: self.place(&content.location, None),
            }];
        }
        let resolve = |environment| {
            let (field, location) = content.location_for(environment)?;
            let place = self.place(location, Some(environment));
            Some(Resolution {
                field,
                location,
                place,
            })
        };
        declared.keys().filter_map(resolve).collect()
    }

    /// The place that a location stands for in an environment.
    ///
    /// # Errors
    /// `VAULT_UNKNOWN` and `VAULT_AMBIGUOUS` for `[Default]`. That a named vault is not there is
    /// found out on the way to it.
    fn place(self, location: &Location, environment: Option<&Id>) -> Result<Place> {
        let vault = match &location.vault {
            Some(VaultRef::Named(vault)) => vault.clone(),
            Some(VaultRef::Marked) => {
                let marked = self.vaults.marked_default(self.project.name.id())?;
                marked.id().clone()
            }
            None => self.project.vault_for(environment),
        };
        let secret = match &location.secret {
            Some(secret) => secret.clone(),
            None => self.secret_in(&vault),
        };
        // One secret is one place, whichever of its names a location uses: else two spellings would
        // have two fences, and a writer in one environment could write what another one reads.
        let secret = match self.vaults.find(&vault) {
            Ok(vault) => vault.place_name(&secret),
            Err(_) => secret,
        };
        Ok(Place { vault, secret })
    }

    /// The name that a value of the definition gets in a vault: in one that others use too the end
    /// keeps names apart that some vaults take for one, because they ignore case.
    fn secret_in(self, vault: &Id) -> String {
        let name = &self.definition.name;
        if vault.as_str() == MANAGED {
            return name.id().to_string();
        }
        let project = self.project.name.id().as_str();
        match self.vaults.find(vault) {
            Ok(vault) => {
                let hash = derived_hash(self.definition);
                vault.derived_name(project, name.id().as_str(), &hash)
            }
            // It leads nowhere.
            Err(_) => name.id().to_string(),
        }
    }
}

/// The end of every derived name: digits that no change of case touches, enough of them that nobody
/// finds another definition with the same ones. No rule has to name a derived name.
fn derived_hash(definition: &Definition) -> String {
    hash_of(&match definition.derived_from {
        DerivedFrom::Name => definition.name.to_string(),
        DerivedFrom::Uid => definition.uid.to_string(),
    })
}

fn hash_of(unique: &str) -> String {
    let hash = claviger_seal::sha256(unique.as_bytes());
    let (start, _) = hash.split_at(10);
    claviger_seal::hex(start)
}

#[cfg(test)]
mod tests;
