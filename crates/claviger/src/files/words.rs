//! What stands in a file in place of text: ids, times, and words of the proto's enums.

use std::cmp::Ordering;
use std::fmt;

use claviger_proto::v1;
use prost_types::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stop::Stop;

/// 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("pattern" = "^[0-9A-Za-z_()-]{1,128}$"))]
pub(crate) struct Id(String);

impl Id {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let id = claviger_core::Id::parse("id", &text);
        match id.is_ok_and(|id| id.as_str() == text) {
            true => Ok(Self(text)),
            false => Err("an id has 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -"),
        }
    }
}

/// What a grant is on within its project.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("pattern" = "^(secrets|connectionProfiles)/[0-9A-Za-z_()-]{1,128}$"))]
pub(crate) struct Resource(String);

impl Resource {
    /// The id of the definition.
    pub(crate) fn definition(&self) -> Option<&str> {
        self.0.strip_prefix("secrets/")
    }

    /// The id of the connection profile.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.0.strip_prefix("connectionProfiles/")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Resource> for String {
    fn from(resource: Resource) -> Self {
        resource.0
    }
}

impl TryFrom<String> for Resource {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let resource = Self(text);
        let id = resource.definition().or(resource.profile());
        let is_one = id.is_some_and(|id| Id::try_from(id.to_owned()).is_ok());
        is_one.then_some(resource).ok_or(
            "a grant is on secrets/ID or connectionProfiles/ID, or on the whole project without \
            resource",
        )
    }
}

/// A time, such as 2026-12-31T00:00:00Z.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("format" = "date-time"))]
pub(crate) struct Time(pub(crate) Timestamp);

impl Ord for Time {
    fn cmp(&self, other: &Self) -> Ordering {
        let [own, other] = [self, other].map(|Self(time)| (time.seconds, time.nanos));
        own.cmp(&other)
    }
}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.0.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let time = text.parse().map(Self);
        time.map_err(|_| "a time is written as 2026-12-31T00:00:00Z")
    }
}

/// Whole seconds, such as 300s.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("pattern" = "^[0-9]{1,9}s$"))]
pub(crate) struct Seconds(pub(crate) u32);

impl From<Seconds> for String {
    fn from(Seconds(seconds): Seconds) -> Self {
        format!("{seconds}s")
    }
}

impl TryFrom<String> for Seconds {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_suffix('s');
        let digits = digits.filter(|digits| digits.len() <= 9);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let seconds = digits.and_then(|digits| digits.parse().ok());
        let seconds = seconds.map(Self);
        seconds.ok_or("a span of time is written in whole seconds, as 300s")
    }
}

/// An enum of the proto: its words, without the one that stands for none.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident = $wire:ty { $($(#[$word_doc:meta])* $word:ident,)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
        )]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub(crate) enum $name {
            $($(#[$word_doc])* $word,)+
        }

        impl $name {
            /// `None` where the proto has no word, or one that is unknown here.
            pub(crate) fn of(wire: $wire) -> Option<Self> {
                let words = [$((<$wire>::$word, Self::$word)),+];
                words.into_iter().find_map(|(known, word)| (known == wire).then_some(word))
            }

            /// As a field of a message has it.
            pub(crate) fn number(self) -> i32 {
                <$wire>::from(self).into()
            }
        }

        impl From<$name> for $wire {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$word => Self::$word,)+
                }
            }
        }
    };
}

words! {
    /// The sort of a value: decides its checks.
    Kind = v1::secret_definition::Kind {
        /// Anything; not checked.
        Opaque,
        /// A password.
        Password,
        /// A Stripe secret, restricted or organization key.
        StripeApiKey,
        /// The signing secret of a Stripe webhook endpoint.
        StripeWebhookSecret,
    }
}

words! {
    /// How a value's bytes are meant.
    Format = v1::secret_definition::Format {
        /// UTF-8.
        Text,
        /// Any bytes.
        Binary,
    }
}

words! {
    /// The sort of a Stripe key.
    Class = v1::stripe_settings::Class {
        /// With single permissions: the right one for a job.
        Restricted,
        /// May do everything.
        Secret,
        /// For all accounts of an organization.
        Organization,
    }
}

words! {
    /// A mode of Stripe.
    StripeMode = v1::environment::StripeMode {
        /// Play money: test mode and sandboxes.
        Test,
        /// Real money.
        Live,
    }
}

words! {
    /// Which of Stripe's two ways of OAuth.
    Flavor = v1::oauth_auth::Flavor {
        /// Stripe Apps.
        Apps,
        /// Connect, for Standard accounts.
        Connect,
    }
}

words! {
    /// A named set of permissions.
    Role = v1::Role {
        /// Grants and tokens; reads no value and puts nothing.
        Admin,
        /// Reads everything but values.
        Auditor,
        /// Projects, definitions and new values; reads no value.
        Operator,
        /// Reads values.
        Runner,
    }
}

/// The daemon is newer.
pub(crate) fn unknown() -> Stop {
    Stop::failed(
        "has something in it that this claviger does not know; use the one that came with the daemon",
    )
}
