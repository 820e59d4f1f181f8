//! Claviger's knowledge of Stripe: which credential a value is, whether it may stand where it
//! stands, where to click when it may not, and whether Stripe takes it.
//!
//! [`judge`] and [`admit`] look at bytes only; [`live`] and [`oauth`] talk to Stripe. Does not know
//! projects, vaults or callers, and keeps no value.
//!
//! SECURITY: nothing here holds more of a value than its [`LastFour`], and of a value that is too
//! short, unknown or not in one piece not even those. Every text is written in the code.
#![forbid(unsafe_code)]

mod class;
mod finding;
mod http;
pub mod live;
pub mod oauth;
mod placeholder;
mod settings;
mod shape;
mod verdict;

pub use class::{Class, LastFour, Mode};
pub use finding::Finding;
pub use settings::Settings;
pub use verdict::Verdict;

use claviger_core::{Kind, SecretBytes};

use crate::shape::Shape;

/// Judges a value as it stands in a vault: at registration, at a check, at every read. `None` for
/// kinds that are not Stripe's.
pub fn judge(
    kind: Kind,
    value: &[u8],
    settings: &Settings,
    demanded: Option<Mode>,
) -> Option<Verdict> {
    let is_webhook = match kind {
        // Of the last, nobody reads the value.
        Kind::Opaque | Kind::Password | Kind::StripeOauth => return None,
        Kind::StripeApiKey => false,
        Kind::StripeWebhookSecret => true,
    };
    let shape = Shape::of(value);
    let findings = match is_webhook {
        true => webhook_findings(&shape),
        false => api_key_findings(&shape, settings, demanded),
    };
    Some(Verdict {
        class: shape.class,
        mode: shape.mode,
        last_four: shape.last_four,
        findings,
    })
}

/// Brings a value that is about to be stored into the form that is stored, without white space
/// around it, and judges that. Other kinds stay as they came.
pub fn admit(
    kind: Kind,
    value: SecretBytes,
    settings: &Settings,
    demanded: Option<Mode>,
) -> (SecretBytes, Option<Verdict>) {
    let trimmed = value.expose().trim_ascii();
    let Some(mut verdict) = judge(kind, trimmed, settings, demanded) else {
        return (value, None);
    };
    if trimmed.len() == value.len() {
        return (value, Some(verdict));
    }
    verdict.findings.push(Finding::Trimmed);
    (SecretBytes::new(trimmed.to_vec()), Some(verdict))
}

/// The kind that a value looks like, alone or among other text. `None` if nothing about it is
/// Stripe's.
pub fn kind_of(value: &[u8]) -> Option<Kind> {
    match shape::likely_class(value)? {
        Class::WebhookSecret => Some(Kind::StripeWebhookSecret),
        Class::Ephemeral
        | Class::Identifier
        | Class::Organization
        | Class::Publishable
        | Class::Restricted
        | Class::Secret
        | Class::Unknown => Some(Kind::StripeApiKey),
    }
}

/// Gravest first: the first one that refuses is the one a caller reads.
fn api_key_findings(shape: &Shape, settings: &Settings, demanded: Option<Mode>) -> Vec<Finding> {
    let wrong_kind = match shape.class {
        Class::Ephemeral => Some(Finding::EphemeralKey),
        Class::Identifier => Some(Finding::Identifier),
        Class::Publishable => Some(Finding::PublishableKey),
        Class::WebhookSecret => Some(Finding::WebhookSecret),
        Class::Organization | Class::Restricted | Class::Secret | Class::Unknown => None,
    };
    let mut findings = Vec::from_iter(wrong_kind);
    findings.extend(&shape.faults);
    let is_usable_unknown = shape.class == Class::Unknown && shape.faults.is_empty();
    if is_usable_unknown {
        findings.push(Finding::UnknownPrefix);
    }
    if shape.class.is_server_key() {
        findings.extend(demanded.and_then(|demanded| mode_finding(demanded, shape.mode)));
    }
    // A list is of what may stand there, so nothing that is not known does.
    let is_unlisted = is_usable_unknown && !settings.allowed_classes.is_empty();
    if is_unlisted || shape.class.is_server_key() && !settings.allows(shape.class) {
        findings.push(Finding::ClassNotAllowed);
    }
    if shape.class == Class::Organization && settings.context.is_none() {
        findings.push(Finding::ContextRequired);
    }
    if shape.class == Class::Secret && settings.allows(Class::Secret) {
        findings.push(Finding::FullSecretKey);
    }
    findings.extend(&shape.oddities);
    findings
}

fn mode_finding(demanded: Mode, found: Option<Mode>) -> Option<Finding> {
    match (demanded, found) {
        (Mode::Live, Some(Mode::Live)) | (Mode::Test, Some(Mode::Test)) => None,
        (Mode::Live, Some(Mode::Test)) => Some(Finding::TestKey),
        (Mode::Test, Some(Mode::Live)) => Some(Finding::LiveKey),
        (Mode::Live | Mode::Test, None) => Some(Finding::ModeUnknown),
    }
}

fn webhook_findings(shape: &Shape) -> Vec<Finding> {
    let wrong_kind = match shape.class {
        Class::Ephemeral
        | Class::Organization
        | Class::Publishable
        | Class::Restricted
        | Class::Secret => Some(Finding::ApiKey),
        Class::Identifier => Some(Finding::EndpointIdentifier),
        Class::Unknown | Class::WebhookSecret => None,
    };
    let mut findings = Vec::from_iter(wrong_kind);
    findings.extend(&shape.faults);
    if shape.class == Class::Unknown && shape.faults.is_empty() {
        findings.push(Finding::UnknownWebhookPrefix);
    }
    findings.extend(&shape.oddities);
    findings
}
