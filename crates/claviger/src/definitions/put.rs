use std::time::Duration;

use claviger_client::Service;
use claviger_core::Reason;
use claviger_proto::v1::secret_definition::Format;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::{
    FreshnessPolicy, GetSecretDefinitionRequest, Location, PutSecretDefinitionRequest,
    PutSecretDefinitionResponse, SecretDefinition, StripeSettings,
};
use prost_types::FieldMask;
use uuid::Uuid;

use crate::ask::Asking;
use crate::cli::{Maybe, PutDefinition};
use crate::output::{duration, end, note, show, warn};
use crate::stop::{Stop, found};
use crate::value;

pub(crate) async fn put(asking: &Asking, options: &PutDefinition) -> Result<(), Stop> {
    let name = asking.secret(&options.id)?;
    let mut definitions = asking.client().await?.definitions();
    let existing = existing(&mut definitions, &name).await?;
    let takes_value = options.value.value_from.is_some();
    if existing.is_some() && takes_value {
        return Err(Stop::failed(format!(
            "{name} is there already; store a new value with `claviger secret put`"
        )));
    }
    if takes_value && !asking.environment.is_empty() {
        note(&format!(
            "the value is for all environments; `claviger secret put` stores one for {} alone",
            asking.environment
        ));
    }
    let is_new = existing.is_none();
    let mut definition = existing.unwrap_or_else(|| SecretDefinition {
        name: name.clone(),
        ..Default::default()
    });
    let paths = apply(options, &mut definition)?;
    let payload = takes_value.then(|| value::read(&options.value, &name));
    let request = PutSecretDefinitionRequest {
        definition: Some(definition),
        payload: payload.transpose()?,
        update_mask: (!is_new).then_some(paths),
        validate_only: options.dry_run,
        request_id: Uuid::new_v4().to_string(),
        adopt: options.adopt,
        skip_value_check: options.skip_value_check,
    };
    let put = async || {
        definitions
            .clone()
            .put_secret_definition(request.clone())
            .await
    };
    let answer = asking.answer_to(&name, put).await?;
    let answer = answer.map_err(|status| Stop::of_change(status, &name, "definition get"))?;
    warn(&answer.warnings);
    show(asking.is_json, &answer, || {
        told(&answer, end(options.dry_run))
    })
}

fn told(answer: &PutSecretDefinitionResponse, end: &str) -> String {
    let definition = answer.definition.as_ref();
    let name = definition.map(|definition| definition.name.as_str());
    match answer.version.as_str() {
        "" => format!("{}{end}", name.unwrap_or_default()),
        version => format!("{}, version {version}{end}", name.unwrap_or_default()),
    }
}

/// The definition as it is, with its etag. Of a deleted one the daemon says what can be done.
async fn existing(
    definitions: &mut SecretDefinitionServiceClient<Service>,
    name: &str,
) -> Result<Option<SecretDefinition>, Stop> {
    let name = name.to_owned();
    let request = GetSecretDefinitionRequest { name };
    let answer = definitions.get_secret_definition(request).await;
    let definition = found(answer, Reason::DefinitionNotFound)?;
    Ok(definition.filter(|definition| definition.delete_time.is_none()))
}

/// Changes what the options name; returns the fields that these are in.
fn apply(options: &PutDefinition, definition: &mut SecretDefinition) -> Result<FieldMask, Stop> {
    let mut paths = Vec::new();
    if let Some(kind) = options.kind {
        definition.kind = kind.into();
        paths.push("kind");
    }
    if options.value.binary {
        definition.format = Format::Binary.into();
        paths.push("format");
    }
    if let Some(description) = &options.description {
        definition.description.clone_from(description);
        paths.push("description");
    }
    if let Some(Maybe(time)) = &options.rotate_by {
        definition.rotate_by = *time;
        paths.push("rotate_by");
    }
    paths.extend(apply_places(options, definition));
    if !options.labels.is_empty() || !options.removed_labels.is_empty() {
        for key in &options.removed_labels {
            definition.labels.remove(key);
        }
        definition.labels.extend(options.labels.iter().cloned());
        paths.push("labels");
    }
    paths.extend(apply_freshness(options, definition)?);
    paths.extend(apply_stripe(options, definition));
    if paths.is_empty() {
        // No field at all would stand for all of them, those too that only a newer daemon knows.
        paths.push("description");
    }
    Ok(FieldMask {
        paths: paths.into_iter().map(str::to_owned).collect(),
    })
}

fn apply_places(options: &PutDefinition, definition: &mut SecretDefinition) -> Vec<&'static str> {
    let mut paths = Vec::new();
    let mut location = definition.location.clone().unwrap_or_default();
    let before = location.clone();
    for (field, option) in [
        (&mut location.vault, &options.vault),
        (&mut location.secret, &options.secret),
        (&mut location.property, &options.property),
        (&mut location.version, &options.version),
    ] {
        if let Some(text) = option {
            field.clone_from(text);
        }
    }
    if options.whole {
        location.whole = true;
        location.property.clear();
    } else if options.property.is_some() {
        location.whole = false;
    }
    if location != before {
        definition.location = (location != Location::default()).then_some(location);
        paths.push("location");
    }
    for place in &options.places {
        let environment = place.environment.clone();
        match &place.location {
            Some(location) => definition
                .environments
                .insert(environment, location.clone()),
            None => definition.environments.remove(&environment),
        };
    }
    if !options.places.is_empty() {
        paths.push("environments");
    }
    if let Some(fallback) = options.environment_fallback {
        definition.environment_fallback = fallback;
        paths.push("environment_fallback");
    }
    paths
}

fn apply_freshness(
    options: &PutDefinition,
    definition: &mut SecretDefinition,
) -> Result<Option<&'static str>, Stop> {
    let mut freshness = definition.freshness.unwrap_or_default();
    for (field, option) in [
        (&mut freshness.max_age, &options.max_age),
        (&mut freshness.max_stale, &options.max_stale),
    ] {
        if let Some(Maybe(time)) = option {
            *field = time.map(|time: Duration| duration(time)).transpose()?;
        }
    }
    let is_named = options.max_age.is_some() || options.max_stale.is_some();
    definition.freshness = (freshness != FreshnessPolicy::default()).then_some(freshness);
    Ok(is_named.then_some("freshness"))
}

fn apply_stripe(
    options: &PutDefinition,
    definition: &mut SecretDefinition,
) -> Option<&'static str> {
    let mut stripe = definition.stripe.clone().unwrap_or_default();
    if !options.classes.is_empty() {
        let classes = options.classes.iter().filter_map(|Maybe(class)| *class);
        stripe.allowed_classes = classes.map(Into::into).collect();
    }
    for (field, option) in [
        (&mut stripe.account, &options.account),
        (&mut stripe.context, &options.stripe_context),
    ] {
        if let Some(text) = option {
            field.clone_from(text);
        }
    }
    let is_named = !options.classes.is_empty()
        || options.account.is_some()
        || options.stripe_context.is_some();
    definition.stripe = (stripe != StripeSettings::default()).then_some(stripe);
    is_named.then_some("stripe")
}
