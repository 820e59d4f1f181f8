//! The stored form of a definition.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Not;
use std::time::{Duration, SystemTime};

use claviger_core::{DefinitionName, Error, Id, Uid};
use claviger_store::Record;
use claviger_stripe::Settings;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::engine::forms::names::{ClassForm, FormatForm, KindForm, NameForm};
use crate::model::content::Content;
use crate::model::definition::{
    Base, Current, Definition, DerivedFrom, Pending, PlaceState, Unmerged,
};
use crate::model::freshness::FreshnessPolicy;
use crate::model::location::{Location, Place, VaultRef};

impl Record for Definition {
    const KIND: &'static str = "definitions/";
    const FORM: u32 = 5;
    /// Without `derived_from`; the one after it without `whole` of a location, then one without
    /// `newest` of a place, and one without the kind of OAuth.
    const FORM_OLDEST: u32 = 1;
}

/// The id of a definition's record.
pub(crate) fn definition_id(name: &DefinitionName) -> String {
    format!("{}/{}", name.project().id(), name.id())
}

#[derive(Deserialize, Serialize)]
struct DefinitionForm {
    name: NameForm,
    uid: Uid,
    content: ContentForm,
    generation: u64,
    create_time: SystemTime,
    update_time: SystemTime,
    delete_time: Option<SystemTime>,
    #[serde(default)]
    derived_from: DerivedFromForm,
    #[serde(default)]
    is_purging: bool,
    /// By `{vault}/{secret}`.
    places: BTreeMap<String, PlaceForm>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
enum DerivedFromForm {
    #[default]
    Name,
    Uid,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct ContentForm {
    description: String,
    kind: Option<KindForm>,
    format: Option<FormatForm>,
    location: LocationForm,
    environments: BTreeMap<Id, LocationForm>,
    environment_fallback: bool,
    /// Left out where it is unset: the repeat of a request from before it was there has to look the
    /// same.
    #[serde(skip_serializing_if = "is_unset")]
    freshness: FreshnessForm,
    stripe: StripeForm,
    rotate_by: Option<SystemTime>,
    labels: BTreeMap<Id, String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct LocationForm {
    /// An id or `[Default]`.
    vault: Option<String>,
    secret: Option<String>,
    property: Option<String>,
    version: Option<String>,
    /// Left out where it is not set: requests of before are hashed without it.
    #[serde(skip_serializing_if = "Not::not")]
    whole: bool,
}

#[derive(Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
struct FreshnessForm {
    max_age: Option<Duration>,
    max_stale: Option<Duration>,
}

fn is_unset(freshness: &FreshnessForm) -> bool {
    *freshness == FreshnessForm::default()
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct StripeForm {
    allowed_classes: BTreeSet<ClassForm>,
    account: Option<String>,
    context: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct PlaceForm {
    current: Option<Id>,
    /// Whether that is the vault's newest.
    #[serde(default, skip_serializing_if = "Not::not")]
    newest: bool,
    pending: Option<PendingForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unmerged: Option<UnmergedForm>,
}

#[derive(Deserialize, Serialize)]
struct UnmergedForm {
    base: BaseForm,
    others: Vec<Id>,
}

#[derive(Deserialize, Serialize)]
struct PendingForm {
    write_id: Uid,
    start_time: SystemTime,
    is_creating: bool,
    request: Option<String>,
    /// Absent: not a merge. Null inside: merged into nothing.
    #[serde(default)]
    base: Option<BaseForm>,
}

#[derive(Deserialize, Serialize)]
struct BaseForm {
    version: Option<Id>,
}

impl Serialize for Definition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let places = self.places.iter();
        DefinitionForm {
            name: NameForm::from(&self.name),
            uid: self.uid,
            content: ContentForm::from(&self.content),
            generation: self.generation,
            create_time: self.create_time,
            update_time: self.update_time,
            delete_time: self.delete_time,
            derived_from: self.derived_from.into(),
            is_purging: self.is_purging,
            places: places
                .map(|(place, state)| (place.to_string(), PlaceForm::from(state)))
                .collect(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Definition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = DefinitionForm::deserialize(deserializer)?;
        let place = |(place, state): (String, PlaceForm)| {
            let place = place.parse::<Place>().map_err(de::Error::custom)?;
            Ok((place, PlaceState::from(state)))
        };
        Ok(Self {
            name: form.name.into(),
            uid: form.uid,
            content: Content::try_from(form.content).map_err(de::Error::custom)?,
            generation: form.generation,
            create_time: form.create_time,
            update_time: form.update_time,
            delete_time: form.delete_time,
            derived_from: form.derived_from.into(),
            is_purging: form.is_purging,
            places: form
                .places
                .into_iter()
                .map(place)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<DerivedFrom> for DerivedFromForm {
    fn from(derived_from: DerivedFrom) -> Self {
        match derived_from {
            DerivedFrom::Name => Self::Name,
            DerivedFrom::Uid => Self::Uid,
        }
    }
}

impl From<DerivedFromForm> for DerivedFrom {
    fn from(form: DerivedFromForm) -> Self {
        match form {
            DerivedFromForm::Name => Self::Name,
            DerivedFromForm::Uid => Self::Uid,
        }
    }
}

/// What a request asks for is hashed in this form.
impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ContentForm::from(self).serialize(serializer)
    }
}

impl From<&Content> for ContentForm {
    fn from(content: &Content) -> Self {
        let environments = content.environments.iter();
        let classes = content.stripe.allowed_classes.iter();
        Self {
            description: content.description.clone(),
            kind: Some(content.kind.into()),
            format: Some(content.format.into()),
            location: LocationForm::from(&content.location),
            environments: environments
                .map(|(id, location)| (id.clone(), LocationForm::from(location)))
                .collect(),
            environment_fallback: content.environment_fallback,
            freshness: FreshnessForm {
                max_age: content.freshness.max_age,
                max_stale: content.freshness.max_stale,
            },
            stripe: StripeForm {
                allowed_classes: classes.map(|class| (*class).into()).collect(),
                account: content.stripe.account.clone(),
                context: content.stripe.context.clone(),
            },
            rotate_by: content.rotate_by,
            labels: content.labels.clone(),
        }
    }
}

impl TryFrom<ContentForm> for Content {
    type Error = Error;

    fn try_from(form: ContentForm) -> Result<Self, Error> {
        let environments = form.environments.into_iter();
        let classes = form.stripe.allowed_classes.into_iter();
        Ok(Self {
            description: form.description,
            kind: form.kind.map(Into::into).unwrap_or_default(),
            format: form.format.map(Into::into).unwrap_or_default(),
            location: Location::try_from(form.location)?,
            environments: environments
                .map(|(id, location)| Ok((id, Location::try_from(location)?)))
                .collect::<Result<_, Error>>()?,
            environment_fallback: form.environment_fallback,
            freshness: FreshnessPolicy {
                max_age: form.freshness.max_age,
                max_stale: form.freshness.max_stale,
            },
            stripe: Settings {
                allowed_classes: classes.map(Into::into).collect(),
                account: form.stripe.account,
                context: form.stripe.context,
            },
            rotate_by: form.rotate_by,
            labels: form.labels,
        })
    }
}

impl From<&Location> for LocationForm {
    fn from(location: &Location) -> Self {
        Self {
            vault: location.vault.as_ref().map(ToString::to_string),
            secret: location.secret.clone(),
            property: location.property.clone(),
            version: location.version.clone(),
            whole: location.is_whole,
        }
    }
}

impl TryFrom<LocationForm> for Location {
    type Error = Error;

    fn try_from(form: LocationForm) -> Result<Self, Error> {
        let vault = form.vault.map(|vault| vault.parse::<VaultRef>());
        Ok(Self {
            vault: vault.transpose()?,
            secret: form.secret,
            property: form.property,
            is_whole: form.whole,
            version: form.version,
        })
    }
}

impl From<&PlaceState> for PlaceForm {
    fn from(state: &PlaceState) -> Self {
        let pending = state.pending.as_ref();
        Self {
            current: match &state.current {
                Some(Current::At(version)) => Some(version.clone()),
                Some(Current::Newest) | None => None,
            },
            newest: state.current == Some(Current::Newest),
            pending: pending.map(|pending| PendingForm {
                write_id: pending.write_id,
                start_time: pending.start_time,
                is_creating: pending.is_creating,
                request: pending.request.clone(),
                base: pending.base.as_ref().map(BaseForm::from),
            }),
            unmerged: state.unmerged.as_ref().map(|unmerged| UnmergedForm {
                base: BaseForm::from(&unmerged.base),
                others: unmerged.others.clone(),
            }),
        }
    }
}

impl From<&Base> for BaseForm {
    fn from(base: &Base) -> Self {
        Self {
            version: base.0.clone(),
        }
    }
}

impl From<PlaceForm> for PlaceState {
    fn from(form: PlaceForm) -> Self {
        Self {
            current: match form.newest {
                true => Some(Current::Newest),
                false => form.current.map(Current::At),
            },
            pending: form.pending.map(|pending| Pending {
                write_id: pending.write_id,
                start_time: pending.start_time,
                is_creating: pending.is_creating,
                request: pending.request,
                base: pending.base.map(|base| Base(base.version)),
            }),
            unmerged: form.unmerged.map(|unmerged| Unmerged {
                base: Base(unmerged.base.version),
                others: unmerged.others,
            }),
        }
    }
}
