//! Between the wire and the broker's types.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use claviger_access::{Label, Permission, Principal, Role};
use claviger_broker::{
    Class, Content, Definition, Environment, FreshnessPolicy, GrantView, LiveOutcome, LiveVerdict,
    Location, Mode, NewGrant, Payload, Project, ProjectContent, SecretVersion, StripeSettings,
    StripeVerdict, VersionState, Warning,
};
use claviger_core::{
    DefinitionName, Error, Format, Id, Kind, Reason, Resource, Result, SecretBytes, VersionName,
    clamp_time, refuse_pasted, time_range,
};
use claviger_proto::v1;
use prost_types::Timestamp;
use v1::environment::StripeMode as WireMode;
use v1::secret_definition::{Format as WireFormat, Kind as WireKind};
use v1::stripe_live_verdict::Outcome as WireOutcome;
use v1::stripe_settings::Class as WireClass;

use crate::status::check_told;

const ENVIRONMENT_TWICE: &str = "names an environment twice";

pub(crate) fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Some(Timestamp::from(clamp_time(time)))
}

/// An age is never too long for the wire.
pub(crate) fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

/// # Errors
/// `FIELD_INVALID` for one before zero.
pub(crate) fn optional_duration(
    field: &'static str,
    wire: Option<prost_types::Duration>,
) -> Result<Option<Duration>> {
    let is_negative =
        |_| Error::new(Reason::FieldInvalid).violation(field, "is negative; leave it out");
    wire.map(|wire| Duration::try_from(wire).map_err(is_negative))
        .transpose()
}

/// The text without surrounding white space; empty is none.
///
/// # Errors
/// `FIELD_INVALID` if a credential was pasted there.
pub(crate) fn optional(field: &'static str, text: &str) -> Result<Option<String>> {
    let text = text.trim_ascii();
    refuse_pasted(Reason::FieldInvalid, field, text)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The name of something of others, letter for letter: white space at its end may be a part of it,
/// and what it would lead to without is another one. Empty is none.
///
/// # Errors
/// `FIELD_INVALID` if a credential was pasted there.
pub(crate) fn exact(field: &'static str, text: &str) -> Result<Option<String>> {
    refuse_pasted(Reason::FieldInvalid, field, text)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

pub(crate) fn optional_id(field: &'static str, text: &str) -> Result<Option<Id>> {
    let text = text.trim_ascii();
    let is_given = !text.is_empty();
    is_given.then(|| Id::parse(field, text)).transpose()
}

/// Text for people, as it is.
///
/// # Errors
/// `FIELD_INVALID` if a credential was pasted there.
pub(crate) fn free_text(field: &'static str, text: &str) -> Result<String> {
    refuse_pasted(Reason::FieldInvalid, field, text)?;
    Ok(text.to_owned())
}

pub(crate) fn missing(field: &'static str) -> Error {
    Error::new(Reason::FieldInvalid).violation(field, "is missing")
}

/// `{collection}/{id}`.
pub(crate) fn id_in(collection: &str, text: &str, remedy: &'static str) -> Result<Id> {
    match text.trim_ascii().split_once('/') {
        Some((before, id)) if before == collection => Id::parse("name", id),
        _ => Err(Error::new(Reason::NameInvalid).violation("name", remedy)),
    }
}

pub(crate) fn project_content(project: &v1::Project) -> Result<ProjectContent> {
    let mut environments = BTreeMap::new();
    for (id, environment) in &project.environments {
        let default_vault = optional_id("project.environments", &environment.default_vault)?;
        let stripe_mode = stripe_mode("project.environments", environment.stripe_mode)?;
        let environment = Environment {
            default_vault,
            stripe_mode,
        };
        let id = Id::parse("project.environments", id)?;
        if environments.insert(id, environment).is_some() {
            return Err(twice("project.environments", ENVIRONMENT_TWICE));
        }
    }
    Ok(ProjectContent {
        description: free_text("project.description", &project.description)?,
        default_vault: optional_id("project.default_vault", &project.default_vault)?,
        environments,
    })
}

pub(crate) fn stripe_mode(field: &'static str, wire: i32) -> Result<Option<Mode>> {
    match WireMode::try_from(wire) {
        Ok(WireMode::Unspecified) => Ok(None),
        Ok(WireMode::Test) => Ok(Some(Mode::Test)),
        Ok(WireMode::Live) => Ok(Some(Mode::Live)),
        Err(_) => Err(unknown_enum(field)),
    }
}

pub(crate) fn wire_mode(mode: Option<Mode>) -> i32 {
    match mode {
        None => WireMode::Unspecified.into(),
        Some(Mode::Test) => WireMode::Test.into(),
        Some(Mode::Live) => WireMode::Live.into(),
    }
}

/// Two spellings of one id in a map: one of them would be lost.
fn twice(field: &'static str, fault: &'static str) -> Error {
    Error::new(Reason::FieldInvalid).violation(field, fault)
}

pub(crate) fn project(project: Project) -> v1::Project {
    let etag = project.etag();
    let environment = |environment: Environment| v1::Environment {
        default_vault: text(environment.default_vault),
        stripe_mode: wire_mode(environment.stripe_mode),
    };
    v1::Project {
        name: project.name.to_string(),
        uid: project.uid.to_string(),
        description: project.content.description,
        default_vault: text(project.content.default_vault),
        environments: project
            .content
            .environments
            .into_iter()
            .map(|(id, e)| (id.to_string(), environment(e)))
            .collect(),
        etag,
        create_time: timestamp(project.create_time),
        update_time: timestamp(project.update_time),
    }
}

pub(crate) fn content(definition: &v1::SecretDefinition) -> Result<Content> {
    let mut environments = BTreeMap::new();
    for (id, wire) in &definition.environments {
        let id = Id::parse("definition.environments", id)?;
        let location = location("definition.environments", wire)?;
        if environments.insert(id, location).is_some() {
            return Err(twice("definition.environments", ENVIRONMENT_TWICE));
        }
    }
    Ok(Content {
        description: free_text("definition.description", &definition.description)?,
        kind: kind("definition.kind", definition.kind)?.unwrap_or_default(),
        format: match WireFormat::try_from(definition.format) {
            Ok(WireFormat::Unspecified | WireFormat::Text) => Format::Text,
            Ok(WireFormat::Binary) => Format::Binary,
            Err(_) => return Err(unknown_enum("definition.format")),
        },
        location: match &definition.location {
            Some(wire) => location("definition.location", wire)?,
            None => Location::default(),
        },
        environments,
        environment_fallback: definition.environment_fallback,
        freshness: freshness_policy(definition.freshness.as_ref())?,
        stripe: match &definition.stripe {
            Some(wire) => stripe_settings(wire)?,
            None => StripeSettings::default(),
        },
        rotate_by: optional_time("definition.rotate_by", definition.rotate_by)?,
        labels: labels("definition.labels", &definition.labels)?,
    })
}

fn freshness_policy(wire: Option<&v1::FreshnessPolicy>) -> Result<FreshnessPolicy> {
    let Some(wire) = wire else {
        return Ok(FreshnessPolicy::default());
    };
    Ok(FreshnessPolicy {
        max_age: optional_duration("definition.freshness.max_age", wire.max_age)?,
        max_stale: optional_duration("definition.freshness.max_stale", wire.max_stale)?,
    })
}

fn wire_freshness(policy: FreshnessPolicy) -> Option<v1::FreshnessPolicy> {
    let wire = |age: Option<Duration>| age.and_then(duration);
    (policy != FreshnessPolicy::default()).then(|| v1::FreshnessPolicy {
        max_age: wire(policy.max_age),
        max_stale: wire(policy.max_stale),
    })
}

pub(crate) fn labels(
    field: &'static str,
    wire: &HashMap<String, String>,
) -> Result<BTreeMap<Id, String>> {
    let mut labels = BTreeMap::new();
    for (key, value) in wire {
        let key = Id::parse(field, key)?;
        let value = free_text(field, value)?;
        if labels.insert(key, value).is_some() {
            return Err(twice(field, "names a label twice"));
        }
    }
    Ok(labels)
}

fn stripe_settings(wire: &v1::StripeSettings) -> Result<StripeSettings> {
    let field = "definition.stripe.allowed_classes";
    let class = |number: &i32| match WireClass::try_from(*number) {
        Ok(WireClass::Organization) => Ok(Class::Organization),
        Ok(WireClass::Restricted) => Ok(Class::Restricted),
        Ok(WireClass::Secret) => Ok(Class::Secret),
        Ok(WireClass::Unspecified) | Err(_) => Err(unknown_enum(field)),
    };
    Ok(StripeSettings {
        allowed_classes: wire
            .allowed_classes
            .iter()
            .map(class)
            .collect::<Result<_>>()?,
        account: optional("definition.stripe.account", &wire.account)?,
        context: optional("definition.stripe.context", &wire.context)?,
    })
}

fn wire_stripe(settings: StripeSettings) -> Option<v1::StripeSettings> {
    let class = |class: Class| match class {
        Class::Organization => Some(WireClass::Organization.into()),
        Class::Restricted => Some(WireClass::Restricted.into()),
        Class::Secret => Some(WireClass::Secret.into()),
        // None of these is ever allowed.
        Class::Ephemeral
        | Class::Identifier
        | Class::Publishable
        | Class::Unknown
        | Class::WebhookSecret => None,
    };
    (settings != StripeSettings::default()).then(|| v1::StripeSettings {
        allowed_classes: settings
            .allowed_classes
            .into_iter()
            .filter_map(class)
            .collect(),
        account: settings.account.unwrap_or_default(),
        context: settings.context.unwrap_or_default(),
    })
}

fn location(field: &'static str, wire: &v1::Location) -> Result<Location> {
    Ok(Location {
        vault: match wire.vault.as_str() {
            "" => None,
            vault => Some(vault.parse().map_err(|error: Error| error.at(field))?),
        },
        secret: exact(field, &wire.secret)?,
        property: exact(field, &wire.property)?,
        is_whole: wire.whole,
        version: exact(field, &wire.version)?,
    })
}

pub(crate) fn kind(field: &'static str, wire: i32) -> Result<Option<Kind>> {
    match WireKind::try_from(wire) {
        Ok(WireKind::Unspecified) => Ok(None),
        Ok(WireKind::Opaque) => Ok(Some(Kind::Opaque)),
        Ok(WireKind::Password) => Ok(Some(Kind::Password)),
        Ok(WireKind::StripeApiKey) => Ok(Some(Kind::StripeApiKey)),
        Ok(WireKind::StripeOauth) => Ok(Some(Kind::StripeOauth)),
        Ok(WireKind::StripeWebhookSecret) => Ok(Some(Kind::StripeWebhookSecret)),
        Err(_) => Err(unknown_enum(field)),
    }
}

pub(crate) fn wire_kind(kind: Kind) -> WireKind {
    match kind {
        Kind::Opaque => WireKind::Opaque,
        Kind::Password => WireKind::Password,
        Kind::StripeApiKey => WireKind::StripeApiKey,
        Kind::StripeOauth => WireKind::StripeOauth,
        Kind::StripeWebhookSecret => WireKind::StripeWebhookSecret,
    }
}

pub(crate) fn unknown_enum(field: &'static str) -> Error {
    Error::new(Reason::FieldInvalid).violation(
        field,
        "is a number this version does not know; see the proto",
    )
}

fn wire_location(location: Location) -> v1::Location {
    v1::Location {
        vault: location.vault.map(|v| v.to_string()).unwrap_or_default(),
        secret: location.secret.unwrap_or_default(),
        property: location.property.unwrap_or_default(),
        version: location.version.unwrap_or_default(),
        whole: location.is_whole,
    }
}

pub(crate) fn definition(
    definition: Definition,
    purge_time: Option<SystemTime>,
) -> v1::SecretDefinition {
    let etag = definition.etag();
    let content = definition.content;
    let location = (content.location != Location::default()).then_some(content.location);
    let environments: HashMap<_, _> = content
        .environments
        .into_iter()
        .map(|(id, location)| (id.to_string(), wire_location(location)))
        .collect();
    v1::SecretDefinition {
        stripe: wire_stripe(content.stripe),
        freshness: wire_freshness(content.freshness),
        rotate_by: content.rotate_by.and_then(timestamp),
        labels: content
            .labels
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect(),
        name: definition.name.to_string(),
        id: definition.name.id().to_string(),
        uid: definition.uid.to_string(),
        description: content.description,
        kind: wire_kind(content.kind).into(),
        format: match content.format {
            Format::Binary => WireFormat::Binary,
            Format::Text => WireFormat::Text,
        }
        .into(),
        location: location.map(wire_location),
        environments,
        environment_fallback: content.environment_fallback,
        etag,
        create_time: timestamp(definition.create_time),
        update_time: timestamp(definition.update_time),
        delete_time: definition.delete_time.and_then(timestamp),
        purge_time: purge_time.and_then(timestamp),
    }
}

/// The payload as it is; the broker checks it.
pub(crate) fn payload(wire: v1::Payload) -> Result<Payload> {
    let (format, bytes) = match wire.value {
        Some(v1::payload::Value::Text(text)) => (Format::Text, text.into_bytes()),
        Some(v1::payload::Value::Data(data)) => (Format::Binary, data),
        None => {
            return Err(Error::new(Reason::PayloadEmpty)
                .violation("payload", "has neither text nor data; send the value"));
        }
    };
    Ok(Payload {
        format,
        value: SecretBytes::new(bytes),
        crc32c: wire.crc32c,
    })
}

pub(crate) fn warnings(warnings: &[Warning]) -> Vec<v1::Warning> {
    let wire = |warning: &Warning| v1::Warning {
        reason: warning.reason.to_string(),
        message: warning.message.to_string(),
        field: warning.field.to_string(),
    };
    warnings.iter().map(wire).collect()
}

pub(crate) fn version(name: &DefinitionName, version: &SecretVersion) -> v1::SecretVersion {
    use v1::secret_version::State;
    v1::SecretVersion {
        name: VersionName::new(name.clone(), version.info.version.clone()).to_string(),
        version: version.info.version.to_string(),
        state: match version.info.state {
            VersionState::Destroyed => State::Destroyed,
            VersionState::Disabled => State::Disabled,
            VersionState::Enabled => State::Enabled,
        }
        .into(),
        current: version.is_current,
        create_time: timestamp(version.info.create_time),
    }
}

pub(crate) fn role(field: &'static str, wire: i32) -> Result<Role> {
    match v1::Role::try_from(wire) {
        Ok(v1::Role::Admin) => Ok(Role::Admin),
        Ok(v1::Role::Auditor) => Ok(Role::Auditor),
        Ok(v1::Role::Operator) => Ok(Role::Operator),
        Ok(v1::Role::Runner) => Ok(Role::Runner),
        Ok(v1::Role::Unspecified) | Err(_) => Err(Error::new(Reason::FieldInvalid).violation(
            field,
            "is not a role; use ADMIN, AUDITOR, OPERATOR or RUNNER",
        )),
    }
}

/// One principal; empty is none.
///
/// # Errors
/// `FIELD_INVALID`, also for a pattern: what holds for one is not what holds for all who fit it.
pub(crate) fn optional_principal(field: &'static str, text: &str) -> Result<Option<Principal>> {
    let Some(text) = optional(field, text)? else {
        return Ok(None);
    };
    match Principal::parse(field, &text)? {
        Principal::Foreign(name) if name.is_pattern() => Err(Error::new(Reason::FieldInvalid)
            .violation(
                field,
                "is a pattern; name one principal, as WhoAmI shows it",
            )),
        principal @ (Principal::Foreign(_) | Principal::Token(_) | Principal::Unix(_)) => {
            Ok(Some(principal))
        }
    }
}

pub(crate) fn permission(field: &'static str, text: &str) -> Result<Permission> {
    let text = text.trim_ascii();
    refuse_pasted(Reason::FieldInvalid, field, text)?;
    let named = |permission: &&Permission| permission.as_str() == text;
    let found = Permission::ALL.iter().find(named).copied();
    found.ok_or_else(|| {
        Error::new(Reason::FieldInvalid).violation(
            field,
            "is not a permission; write it as the comments of the RPCs do, secrets.get for \
             example",
        )
    })
}

pub(crate) fn new_grant(wire: &v1::Grant) -> Result<(Principal, NewGrant)> {
    let principal = Principal::parse("grant.principal", &wire.principal)?;
    let grant = NewGrant {
        role: role("grant.role", wire.role)?,
        resource: Resource::parse("grant.resource", &wire.resource)?,
        environment: optional_id("grant.environment", &wire.environment)?,
        expire_time: optional_time("grant.expire_time", wire.expire_time)?,
        purpose: Label::parse("grant.purpose", &wire.purpose)?,
    };
    Ok((principal, grant))
}

pub(crate) fn token_grant(wire: &v1::TokenGrant) -> Result<NewGrant> {
    Ok(NewGrant {
        role: role("grants.role", wire.role)?,
        resource: Resource::parse("grants.resource", &wire.resource)?,
        environment: optional_id("grants.environment", &wire.environment)?,
        expire_time: None,
        purpose: None,
    })
}

/// A time that can be kept and given back.
pub(crate) fn optional_time(
    field: &'static str,
    time: Option<Timestamp>,
) -> Result<Option<SystemTime>> {
    let Some(time) = time else {
        return Ok(None);
    };
    let time = SystemTime::try_from(time).ok();
    let kept = time.filter(|time| time_range().contains(time));
    match kept {
        Some(time) => Ok(Some(time)),
        None => Err(Error::new(Reason::FieldInvalid).violation(
            field,
            "is not a time that can be kept; use one in the years 1970 to 9999",
        )),
    }
}

pub(crate) fn grant(view: GrantView) -> v1::Grant {
    let grant = view.grant;
    v1::Grant {
        name: format!("grants/{}", grant.id),
        principal: view.principal.to_string(),
        role: match grant.role {
            Role::Admin => v1::Role::Admin,
            Role::Auditor => v1::Role::Auditor,
            Role::Operator => v1::Role::Operator,
            Role::Runner => v1::Role::Runner,
        }
        .into(),
        resource: grant.scope.resource().to_string(),
        environment: text(grant.environment),
        expire_time: grant.expire_time.and_then(timestamp),
        purpose: grant
            .purpose
            .map(|purpose| purpose.as_str().to_owned())
            .unwrap_or_default(),
    }
}

pub(crate) fn check(check: &Result<(), Error>) -> v1::check_secret_definition_response::Verdict {
    let error = check.as_ref().err();
    v1::check_secret_definition_response::Verdict {
        ok: error.is_none(),
        reason: text(error.map(Error::reason)),
        message: told(error),
    }
}

/// For programs: which fault it is.
pub(crate) fn reason(error: Option<&Error>) -> String {
    text(error.map(Error::reason))
}

/// For people: the fault and the remedy.
pub(crate) fn told(error: Option<&Error>) -> String {
    text(error.inspect(|error| check_told(error)))
}

pub(crate) fn stripe_verdict(found: &StripeVerdict) -> v1::StripeVerdict {
    v1::StripeVerdict {
        class: found.class.to_string(),
        mode: text(found.mode),
        last_four: text(found.last_four),
    }
}

pub(crate) fn live(found: &LiveVerdict) -> v1::StripeLiveVerdict {
    v1::StripeLiveVerdict {
        outcome: wire_outcome(found.outcome).into(),
        message: found.outcome.text().to_owned(),
        missing_permission: text(found.missing_permission),
        mode: text(found.mode),
    }
}

/// The proto has the same names.
fn wire_outcome(outcome: LiveOutcome) -> WireOutcome {
    WireOutcome::from_str_name(outcome.as_str()).unwrap_or_default()
}

/// Something optional as it is on the wire.
pub(crate) fn text(found: Option<impl ToString>) -> String {
    found.map(|found| found.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_outcome_of_a_live_check_is_in_the_proto() {
        for outcome in LiveOutcome::ALL {
            assert_eq!(wire_outcome(*outcome).as_str_name(), outcome.as_str());
        }
    }

    /// The last second of the year 9999.
    const LAST: i64 = 253_402_300_799;

    fn seconds() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -2..=2_i64, LAST - 2..=LAST + 2]
    }

    proptest! {
        #[test]
        fn a_time_is_refused_or_given_back_as_it_came(
            seconds in seconds(),
            nanos in prop_oneof![any::<i32>(), 0..1_000_000_000_i32],
        ) {
            let mut sent = Timestamp { seconds, nanos };
            let read = optional_time("field", Some(sent));
            sent.normalize();
            let is_fit = (0..=LAST).contains(&sent.seconds);
            match read {
                Ok(time) => prop_assert_eq!(time.and_then(timestamp), is_fit.then_some(sent)),
                Err(error) => {
                    prop_assert!(!is_fit);
                    let said = error.to_string();
                    prop_assert!(said.contains("the years 1970 to 9999"), "{}", said);
                }
            }
        }

        #[test]
        fn whatever_time_a_vault_tells_the_answer_can_be_written(
            seconds in any::<i64>(),
            nanos in 0..1_000_000_000_u32,
        ) {
            let since = Duration::new(seconds.unsigned_abs(), nanos);
            let time = match seconds < 0 {
                true => SystemTime::UNIX_EPOCH.checked_sub(since),
                false => SystemTime::UNIX_EPOCH.checked_add(since),
            };
            let written = time.and_then(timestamp).unwrap_or_default();
            prop_assert!((0..=LAST).contains(&written.seconds));
            prop_assert!((0..1_000_000_000).contains(&written.nanos));
        }
    }
}
