//! A secret definition as it is kept.

use std::collections::BTreeMap;
use std::time::SystemTime;

use claviger_backend::Address;
use claviger_core::{DefinitionName, Detail, Error, Id, Kind, Reason, Result, Uid};

use crate::model::content::Content;
use crate::model::location::Place;
use crate::model::project::MANAGED;

/// A definition as it is kept.
#[derive(Clone, Debug)]
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
    /// What its derived names are made from.
    pub(crate) derived_from: DerivedFrom,
    /// Whether its values are being destroyed: there is no way back.
    pub(crate) is_purging: bool,
    /// State of the values, by place.
    pub(crate) places: BTreeMap<Place, PlaceState>,
}

/// What tells the name that a vault gets for a definition's value from those of all others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum DerivedFrom {
    /// Its name: of definitions that were made when that did. A re-made one would get the name that
    /// the old one's value still has in a vault.
    #[default]
    Name,
    /// Its uid.
    Uid,
}

/// What Claviger knows about the values at one place.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlaceState {
    /// The current version.
    pub(crate) current: Option<Current>,
    /// A write that was begun and not finished.
    pub(crate) pending: Option<Pending>,
    /// What that last write has overwritten, until the next one puts it back.
    pub(crate) unmerged: Option<Unmerged>,
}

/// Which version is the current one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Current {
    /// The one that our last finished write stored.
    At(Id),
    /// The vault's newest. It lives in Claviger's own store and nobody else writes there, so that it
    /// need not be said twice, and a write leaves the definition as it is.
    Newest,
}

/// The changes of others to a document that a write of ours has overwritten.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Unmerged {
    /// What the write was merged into.
    pub(crate) base: Base,
    /// The versions that came in between, newest first; none if the vault does not tell.
    pub(crate) others: Vec<Id>,
}

/// A write that was begun.
#[derive(Clone, Debug)]
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
    pub(crate) base: Option<Base>,
}

/// The version that a property was merged into; there may have been none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Base(pub(crate) Option<Id>);

impl Base {
    /// Something was overwritten, and it is not known what.
    pub(crate) fn unknown(&self) -> Unmerged {
        Unmerged {
            base: self.clone(),
            others: Vec::new(),
        }
    }

    /// What a write that was merged into this has overwritten, by what it replaced.
    pub(crate) fn overwritten(&self, replaced: Option<Vec<Id>>) -> Option<Unmerged> {
        let is_other = |version: &Id| Some(version) != self.0.as_ref();
        let is_base = match &replaced {
            Some(replaced) if replaced.is_empty() => self.0.is_none(),
            Some(replaced) => !replaced.iter().any(is_other),
            None => self.0.is_none(),
        };
        let others = || replaced.into_iter().flatten().filter(is_other).collect();
        (!is_base).then(|| Unmerged {
            others: others(),
            ..self.unknown()
        })
    }
}

impl Definition {
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

    /// Refuses whatever is about a single value: of a connection that rolls its tokens there is none.
    ///
    /// # Errors
    /// `VALUE_NOT_READABLE`.
    pub(crate) fn readable(&self) -> Result<&Self> {
        match self.content.kind {
            Kind::StripeOauth => Err(Error::new(Reason::ValueNotReadable)
                .with(Detail::Resource, &self.name)
                .with(Detail::Vault, Id::from_static(MANAGED))
                .with(
                    Detail::Remedy,
                    "its tokens roll, and nobody reads them; call ResolveConnection on the connection \
                     profile that has it",
                )),
            Kind::Opaque | Kind::Password | Kind::StripeApiKey | Kind::StripeWebhookSecret => {
                Ok(self)
            }
        }
    }

    /// The current version at a place, unless it is the vault's newest or there is none.
    pub(crate) fn current(&self, place: &Place) -> Option<&Id> {
        match self.places.get(place)?.current.as_ref()? {
            Current::At(version) => Some(version),
            Current::Newest => None,
        }
    }

    /// Whether the current version at a place is the vault's newest.
    pub(crate) fn has_newest(&self, place: &Place) -> bool {
        let state = self.places.get(place);
        state.is_some_and(|state| state.current == Some(Current::Newest))
    }

    /// Where its values at a place are.
    pub(crate) fn address(&self, place: &Place) -> Address {
        Address {
            project: self.name.project().id().clone(),
            owner: self.uid,
            secret: place.secret.clone(),
        }
    }

    /// The write under way at a place.
    pub(crate) fn pending(&self, place: &Place) -> Option<&Pending> {
        self.places
            .get(place)
            .and_then(|state| state.pending.as_ref())
    }

    /// What our last write at a place has overwritten.
    pub(crate) fn unmerged(&self, place: &Place) -> Option<&Unmerged> {
        self.places
            .get(place)
            .and_then(|state| state.unmerged.as_ref())
    }

    /// Checks that a caller's etag names this state.
    ///
    /// # Errors
    /// `ETAG_MISMATCH`.
    pub(crate) fn check_etag(&self, etag: &str, field: &'static str) -> Result<()> {
        if etag == self.etag() {
            return Ok(());
        }
        Err(Error::new(Reason::EtagMismatch)
            .with(Detail::Resource, &self.name)
            .at(field))
    }
}

pub(crate) fn not_found(name: &DefinitionName) -> Error {
    Error::new(Reason::DefinitionNotFound).with(Detail::Resource, name)
}
