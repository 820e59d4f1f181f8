//! What a file looks like. The schema for editors and the reader both come from here, so they agree.
//!
//! There is no field that a value would fit in.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::place::Placed;
use super::words::{Class, Flavor, Format, Id, Kind, Resource, Role, Seconds, StripeMode, Time};

/// Projects, definitions, connection profiles and grants of a clavigerd, without any value.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Definitions of Claviger")]
pub(crate) struct Document {
    /// The projects, by id. None is ever deleted.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) projects: BTreeMap<Placed<Id>, Project>,
    /// Grants on everything, of all projects. They are only added: --prune leaves them alone.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) grants: Vec<DaemonGrant>,
}

/// A name space of definitions, profiles and grants.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Project {
    /// For people; at most 256 characters.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) description: String,
    /// The vault of definitions that name none; unset: `managed`.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) default_vault: String,
    /// The environments that definitions of this project are read in, by id.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) environments: BTreeMap<Id, Environment>,
    /// The definitions, by id.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) definitions: BTreeMap<Placed<Id>, Definition>,
    /// The connection profiles, by id.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) profiles: BTreeMap<Placed<Id>, Profile>,
    /// Grants on the project, or on something in it.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) grants: Vec<Grant>,
}

/// One environment of a project.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Environment {
    /// The vault of definitions that name none, in this environment; unset: the project's.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) default_vault: String,
    /// The mode that Stripe keys of this environment have to be for; unset: either.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) stripe_mode: Option<StripeMode>,
}

/// A named pointer to a secret value.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Definition {
    /// For people; at most 256 characters.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) description: String,
    /// Cannot change once there is a value.
    pub(crate) kind: Kind,
    /// Cannot change once there is a value; unset: TEXT.
    #[serde(skip_serializing_if = "is_text")]
    pub(crate) format: Format,
    /// Where the value lives; unset: in the default vault, under the definition's own id.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) location: Location,
    /// Other locations for single environments of the project, by environment id.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) environments: BTreeMap<Placed<Id>, Location>,
    /// With overrides in `environments`: let the other environments use `location`.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) environment_fallback: bool,
    /// For the kinds of Stripe.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) stripe: StripeSettings,
    /// Until when its value is to be rotated.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) rotate_by: Option<Time>,
    /// For people and tools to find it by; at most 50.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) labels: BTreeMap<Id, String>,
    /// How old its values may be.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) freshness: Freshness,
}

/// Where a value lives.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Location {
    /// The vault's id; unset: the default vault.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) vault: String,
    /// The secret's name in the vault; unset: made from the definition's own id.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) secret: String,
    /// One key of a JSON document there, or an RFC 6901 pointer.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) property: String,
    /// A pinned version; unset: the current one.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) version: String,
    /// The whole secret, byte for byte; not together with `property`.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) whole: bool,
}

/// Demands on a Stripe key, and the account it is used for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StripeSettings {
    /// The classes that may stand there; none: all three.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) allowed_classes: BTreeSet<Class>,
    /// The connected account that calls are made for: the header `Stripe-Account`.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) account: String,
    /// The account, or path of accounts, that calls are made for: the header `Stripe-Context`.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) context: String,
}

/// How old values may be that are served without asking their vault.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Freshness {
    /// Served without asking the vault while they are younger; unset: as the vault is configured.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_age: Option<Seconds>,
    /// Served for so much longer while the vault does not answer; unset: as the vault is configured.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_stale: Option<Seconds>,
}

/// What jobs connect to Stripe with: `api_key` or `oauth`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{"required": ["api_key"]}, {"required": ["oauth"]}]))]
pub(crate) struct Profile {
    /// For people; at most 256 characters.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) description: String,
    /// For people and tools to find it by; at most 50.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) labels: BTreeMap<Id, String>,
    /// With an API key.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "ApiKey")]
    pub(crate) api_key: Option<ApiKey>,
    /// With an access token of Stripe Apps or Connect.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "Oauth")]
    pub(crate) oauth: Option<Oauth>,
}

/// An API key: that of a definition, or one that was pasted into the profile.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping; the key itself is no part of a file"
)]
pub(crate) struct ApiKey {
    /// The id of a STRIPE_API_KEY of the project; unset: the key that was pasted into the profile.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) definition: Option<Placed<Id>>,
    /// The connected account that calls are made for; unset: that of the definition.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) account: String,
    /// The account, or path of accounts, that calls are made for; unset: that of the definition.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) context: String,
}

/// A connection by OAuth. Its credentials are put by `claviger profile`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oauth {
    /// The client ID of the app or platform, `ca_…`.
    pub(crate) client_id: String,
    /// Which of Stripe's two.
    pub(crate) flavor: Flavor,
    /// The account to connect to; unset: the one that the first exchange answers with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) account: String,
    /// The mode to connect in; unset: as `account`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) mode: Option<StripeMode>,
    /// The app's id, `app_…`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) app: String,
}

/// A role given to a principal, in a project.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    /// Its holder, as `claviger whoami` shows it.
    pub(crate) principal: Placed<String>,
    /// The role that is given.
    pub(crate) role: Role,
    /// On secrets/ID or connectionProfiles/ID; unset: on the whole project.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) resource: Option<Resource>,
    /// Only in this environment of the project.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) environment: Option<Id>,
    /// Only before this time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) expire_time: Option<Time>,
    /// Only for calls that state this purpose.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) purpose: String,
}

/// A role given to a principal, on everything.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DaemonGrant {
    /// Its holder, as `claviger whoami` shows it.
    pub(crate) principal: Placed<String>,
    /// The role that is given.
    pub(crate) role: Role,
    /// Only before this time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) expire_time: Option<Time>,
    /// Only for calls that state this purpose.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) purpose: String,
}

impl Default for Definition {
    fn default() -> Self {
        Self {
            description: String::new(),
            kind: Kind::Opaque,
            format: Format::Text,
            location: Location::default(),
            environments: BTreeMap::new(),
            environment_fallback: false,
            stripe: StripeSettings::default(),
            rotate_by: None,
            labels: BTreeMap::new(),
            freshness: Freshness::default(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_text(format: &Format) -> bool {
    *format == Format::Text
}
