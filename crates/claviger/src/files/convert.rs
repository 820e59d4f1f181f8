//! From the proto to what a file has, and back. What the server sets is in neither.

use std::collections::{BTreeMap, HashMap};

use claviger_proto::v1;
use prost_types::Duration;

use super::document::{
    ApiKey, Definition, Environment, Freshness, Location, Oauth, Profile, Project, StripeSettings,
};
use super::words::{Class, Flavor, Format, Id, Kind, Seconds, StripeMode, Time, unknown};
use crate::stop::Stop;

/// A project without what is in it.
pub(crate) fn project(wire: &v1::Project) -> Result<Project, Stop> {
    let environments = keyed(&wire.environments, |environment| {
        Ok(Environment {
            default_vault: environment.default_vault.clone(),
            stripe_mode: mode(environment.stripe_mode)?,
        })
    });
    Ok(Project {
        description: wire.description.clone(),
        default_vault: wire.default_vault.clone(),
        environments: environments.map_err(|stop| stop.about(&wire.name))?,
        ..Project::default()
    })
}

pub(crate) fn wire_project(name: String, etag: String, project: &Project) -> v1::Project {
    let environments = project.environments.iter().map(|(id, environment)| {
        let environment = v1::Environment {
            default_vault: environment.default_vault.clone(),
            stripe_mode: environment.stripe_mode.map_or(0, StripeMode::number),
        };
        (id.to_string(), environment)
    });
    v1::Project {
        name,
        etag,
        description: project.description.clone(),
        default_vault: project.default_vault.clone(),
        environments: environments.collect(),
        ..Default::default()
    }
}

pub(crate) fn definition(wire: &v1::SecretDefinition) -> Result<Definition, Stop> {
    let read = || {
        Ok(Definition {
            description: wire.description.clone(),
            kind: Kind::of(wire.kind()).ok_or_else(unknown)?,
            format: Format::of(wire.format()).ok_or_else(unknown)?,
            location: wire.location.as_ref().map(location).unwrap_or_default(),
            environments: keyed(&wire.environments, |at| Ok(location(at)))?,
            environment_fallback: wire.environment_fallback,
            stripe: wire
                .stripe
                .as_ref()
                .map_or(Ok(StripeSettings::default()), stripe)?,
            rotate_by: wire.rotate_by.map(Time),
            labels: keyed(&wire.labels, |label| Ok(label.clone()))?,
            freshness: wire
                .freshness
                .as_ref()
                .map_or(Ok(Freshness::default()), freshness)?,
        })
    };
    read().map_err(|stop: Stop| stop.about(&wire.name))
}

pub(crate) fn wire_definition(
    name: String,
    etag: String,
    definition: &Definition,
) -> v1::SecretDefinition {
    let environments = definition.environments.iter();
    let environments = environments.map(|(id, at)| (id.value.to_string(), wire_location(at)));
    let location = wire_location(&definition.location);
    let stripe = &definition.stripe;
    let stripe = v1::StripeSettings {
        allowed_classes: stripe
            .allowed_classes
            .iter()
            .map(|class| class.number())
            .collect(),
        account: stripe.account.clone(),
        context: stripe.context.clone(),
    };
    let freshness = v1::FreshnessPolicy {
        max_age: definition.freshness.max_age.map(duration),
        max_stale: definition.freshness.max_stale.map(duration),
    };
    v1::SecretDefinition {
        name,
        etag,
        description: definition.description.clone(),
        kind: definition.kind.number(),
        format: definition.format.number(),
        location: set(location),
        environments: environments.collect(),
        environment_fallback: definition.environment_fallback,
        stripe: set(stripe),
        rotate_by: definition.rotate_by.as_ref().map(|time| time.0),
        labels: texts(&definition.labels),
        freshness: set(freshness),
        ..Default::default()
    }
}

/// A profile; `is_own` where its definition was made by itself, for what was pasted into it.
pub(crate) fn profile(wire: &v1::ConnectionProfile, is_own: bool) -> Result<Profile, Stop> {
    use v1::connection_profile::Auth;
    let read = || {
        let (api_key, oauth) = match &wire.auth {
            Some(Auth::ApiKey(auth)) => (Some(api_key(auth, is_own)?), None),
            Some(Auth::Oauth(auth)) => (None, Some(oauth(auth)?)),
            None => return Err(unknown()),
        };
        Ok(Profile {
            description: wire.description.clone(),
            labels: keyed(&wire.labels, |label| Ok(label.clone()))?,
            api_key,
            oauth,
        })
    };
    read().map_err(|stop: Stop| stop.about(&wire.name))
}

pub(crate) fn wire_profile(
    project: &Id,
    name: String,
    etag: String,
    profile: &Profile,
) -> v1::ConnectionProfile {
    use v1::connection_profile::Auth;
    let of_project = |id: &Id| format!("projects/{project}/secrets/{id}");
    let key = profile.api_key.as_ref().map(|auth| {
        let definition = auth.definition.as_ref().map(|id| of_project(&id.value));
        Auth::ApiKey(v1::ApiKeyAuth {
            definition: definition.unwrap_or_default(),
            account: auth.account.clone(),
            context: auth.context.clone(),
            ..Default::default()
        })
    });
    let oauth = profile.oauth.as_ref().map(|auth| {
        Auth::Oauth(v1::OauthAuth {
            flavor: auth.flavor.number(),
            client_id: auth.client_id.clone(),
            account: auth.account.clone(),
            mode: auth.mode.map_or(0, StripeMode::number),
            app: auth.app.clone(),
            ..Default::default()
        })
    });
    v1::ConnectionProfile {
        name,
        etag,
        description: profile.description.clone(),
        labels: texts(&profile.labels),
        auth: key.or(oauth),
        ..Default::default()
    }
}

fn api_key(wire: &v1::ApiKeyAuth, is_own: bool) -> Result<ApiKey, Stop> {
    let definition = wire.definition.rsplit('/').next().filter(|_| !is_own);
    let definition = definition.map(|text| Ok::<_, Stop>(id(text)?.into()));
    Ok(ApiKey {
        definition: definition.transpose()?,
        account: wire.account.clone(),
        context: wire.context.clone(),
    })
}

fn oauth(wire: &v1::OauthAuth) -> Result<Oauth, Stop> {
    Ok(Oauth {
        client_id: wire.client_id.clone(),
        flavor: Flavor::of(wire.flavor()).ok_or_else(unknown)?,
        account: wire.account.clone(),
        mode: mode(wire.mode)?,
        app: wire.app.clone(),
    })
}

fn location(wire: &v1::Location) -> Location {
    Location {
        vault: wire.vault.clone(),
        secret: wire.secret.clone(),
        property: wire.property.clone(),
        version: wire.version.clone(),
        whole: wire.whole,
    }
}

fn wire_location(location: &Location) -> v1::Location {
    v1::Location {
        vault: location.vault.clone(),
        secret: location.secret.clone(),
        property: location.property.clone(),
        version: location.version.clone(),
        whole: location.whole,
    }
}

fn stripe(wire: &v1::StripeSettings) -> Result<StripeSettings, Stop> {
    let classes = wire.allowed_classes();
    let classes = classes.map(|class| Class::of(class).ok_or_else(unknown));
    Ok(StripeSettings {
        allowed_classes: classes.collect::<Result<_, _>>()?,
        account: wire.account.clone(),
        context: wire.context.clone(),
    })
}

fn freshness(wire: &v1::FreshnessPolicy) -> Result<Freshness, Stop> {
    let seconds = |span: &Duration| {
        u32::try_from(span.seconds)
            .map(Seconds)
            .map_err(|_| unknown())
    };
    Ok(Freshness {
        max_age: wire.max_age.as_ref().map(seconds).transpose()?,
        max_stale: wire.max_stale.as_ref().map(seconds).transpose()?,
    })
}

fn duration(Seconds(seconds): Seconds) -> Duration {
    Duration {
        seconds: seconds.into(),
        nanos: 0,
    }
}

fn mode(wire: i32) -> Result<Option<StripeMode>, Stop> {
    use v1::environment::StripeMode as Wire;
    match Wire::try_from(wire) {
        Ok(Wire::Unspecified) => Ok(None),
        Ok(known) => Ok(StripeMode::of(known)),
        Err(_) => Err(unknown()),
    }
}

fn id(text: &str) -> Result<Id, Stop> {
    Id::try_from(text.to_owned()).map_err(|_| unknown())
}

fn keyed<K: From<Id> + Ord, W, T>(
    wire: &HashMap<String, W>,
    read: impl Fn(&W) -> Result<T, Stop>,
) -> Result<BTreeMap<K, T>, Stop> {
    let entries = wire.iter();
    let entries = entries.map(|(key, value)| Ok((id(key)?.into(), read(value)?)));
    entries.collect()
}

fn texts(labels: &BTreeMap<Id, String>) -> HashMap<String, String> {
    let labels = labels.iter();
    let labels = labels.map(|(key, label)| (key.to_string(), label.clone()));
    labels.collect()
}

/// A message, unless nothing in it is set.
fn set<T: Default + PartialEq>(message: T) -> Option<T> {
    (message != T::default()).then_some(message)
}
