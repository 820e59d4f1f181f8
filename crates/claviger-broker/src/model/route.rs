//! The way from a location to its value, and the rules for where a location may lead.

use std::sync::Arc;
use std::time::Duration;

use claviger_audit::Facts;
use claviger_backend::{Address, Vault, Vaults};
use claviger_cache::Policy;
use claviger_core::{Detail, Error, Format, Id, Reason, Result, SecretBytes, Uid};

use crate::model::document::{Document, Part};
use crate::model::freshness::FreshnessPolicy;
use crate::model::location::{Location, Place};
use crate::model::project::Project;

/// Longest coordinate, in bytes: the longest identifier that one of the vaults takes.
const COORDINATE_BYTES_MAX: usize = 2048;

/// Where a read or write goes; made from a definition, or for a look at a secret that has none yet.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) vault: Arc<Vault>,
    pub(crate) address: Address,
    pub(crate) place: Place,
    /// The version to read; `None` asks the vault for its latest.
    pub(crate) version: Option<String>,
    /// The key of the document that is meant.
    pub(crate) property: Option<String>,
    /// Whether all of it is.
    pub(crate) is_whole: bool,
    /// The version that the location names.
    pub(crate) pin: Option<String>,
    /// How old a value may be.
    pub(crate) freshness: FreshnessPolicy,
}

impl Route {
    /// A way to a place that the project may use.
    ///
    /// # Errors
    /// `LOCATION_NOT_ALLOWED`, `LOCATION_INVALID`, `VAULT_UNKNOWN`.
    pub(crate) fn new(
        owner: Uid,
        location: &Location,
        place: Place,
        project: &Project,
        vaults: &Vaults,
    ) -> Result<Self> {
        let vault = Arc::clone(vaults.find(&place.vault)?);
        // Again at every use: the project's default vault may be another one since the put, and
        // what a project may use may have been narrowed.
        check_coordinates(location, "definition.location", &vault)?;
        let secret = place.spelled(location);
        check_allowed(location, secret, project, &vault)
            .map_err(|error| error.with(Detail::Secret, "the name it points at"))?;
        Ok(Self {
            address: Address {
                project: project.name.id().clone(),
                owner,
                secret: secret.to_owned(),
            },
            property: location.property.clone(),
            is_whole: location.is_whole,
            pin: location.version.clone(),
            freshness: FreshnessPolicy::default(),
            vault,
            place,
            version: None,
        })
    }

    /// A way to a secret of a vault that no definition points at; the location is checked by then.
    pub(crate) fn foreign(
        project: &Project,
        vault: Arc<Vault>,
        secret: String,
        location: Location,
    ) -> Self {
        Self {
            place: Place {
                vault: vault.id().clone(),
                secret: vault.place_name(&secret),
            },
            // Nobody's: only values that belong to a definition are found by it.
            address: Address {
                project: project.name.id().clone(),
                owner: Uid::random(),
                secret,
            },
            version: location.version.clone(),
            property: location.property,
            is_whole: location.is_whole,
            pin: location.version,
            freshness: FreshnessPolicy::default(),
            vault,
        }
    }

    /// Where it leads, for the audit log.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            vault: Some(self.place.vault.clone()),
            secret: Some(self.address.secret.clone()),
            property: self.property.clone(),
            ..Facts::default()
        }
    }

    /// How old a value may be for a reader that wants it no older than `wanted`. `None` if nothing
    /// of the vault is remembered: it is memory already, or the configuration says so.
    pub(crate) fn policy(&self, wanted: Option<Duration>) -> Option<Policy> {
        // A label may stand for another version tomorrow.
        let pin = self.pin.as_deref();
        let version = pin.and_then(|version| Id::parse("version", version).ok());
        let is_pinned =
            version.is_some_and(|version| self.vault.check_caller_version(&version).is_ok());
        match self.vault.is_remote() {
            true => self
                .freshness
                .policy(self.vault.freshness(), is_pinned, wanted),
            false => None,
        }
    }

    /// The part of the document there that readers and writers of this format mean.
    pub(crate) fn part(&self, format: Format) -> Part<'_> {
        let has_parts = self.vault.capabilities().property && format == Format::Text;
        match has_parts && !self.is_whole {
            true => Part::Property(self.property.as_deref()),
            false => Part::Whole,
        }
    }

    /// What a reader gets of the document that this way leads to.
    ///
    /// # Errors
    /// `PROPERTY_*`, `VALUE_EMPTY`, `VALUE_NOT_JSON`, `VALUE_NOT_TEXT`.
    pub(crate) fn present(&self, document: &Document, format: Format) -> Result<SecretBytes> {
        document.present(self.part(format), format)
    }
}

/// Refuses what no location can be, whichever vault it leads to, before an error could name it.
pub(crate) fn check_form(location: &Location, field: &'static str) -> Result<()> {
    if location.is_whole && location.property.is_some() {
        return Err(Error::new(Reason::FieldInvalid).violation(
            field,
            "sets `whole` and names a property of it; leave one of them out",
        ));
    }
    let vault = location.vault.as_ref().map(ToString::to_string);
    let coordinates = [&location.secret, &location.property, &location.version];
    let texts = coordinates.into_iter().chain([&vault]).flatten();
    for text in texts {
        if text.len() > COORDINATE_BYTES_MAX {
            return Err(Error::new(Reason::FieldInvalid)
                .violation(field, "has a coordinate longer than 2048 bytes; shorten it"));
        }
        if text.contains(char::is_control) {
            return Err(Error::new(Reason::FieldInvalid)
                .violation(field, "has a control character; leave that out"));
        }
    }
    Ok(())
}

/// Refuses a secret that the project may not use.
pub(crate) fn check_allowed(
    location: &Location,
    secret: &str,
    project: &Project,
    vault: &Vault,
) -> Result<()> {
    match location.secret {
        Some(_) => vault.check_allowed(project.name.id(), secret),
        None => vault.check_derived(project.name.id()),
    }
}

/// Refuses by name a coordinate that the vault does not have.
pub(crate) fn check_coordinates(
    location: &Location,
    field: &'static str,
    vault: &Vault,
) -> Result<()> {
    let able = vault.capabilities();
    let refuse = |remedy: &'static str| {
        Err(Error::new(Reason::LocationInvalid)
            .with(Detail::Vault, vault.id())
            .violation(field, remedy))
    };
    if location.secret.is_some() && !able.secret {
        return refuse(
            "names a secret, but this vault knows a value by its definition; leave `secret` out",
        );
    }
    if location.property.is_some() && !able.property {
        return refuse(
            "names a property, but values of this vault have none; leave `property` out",
        );
    }
    match &location.version {
        Some(_) if !able.version => refuse(
            "pins a version, which this vault cannot; leave `version` out and name it in GetSecret",
        ),
        Some(version) => vault.check_version(version).map_err(|e| e.at(field)),
        None => Ok(()),
    }
}
