//! The classes and modes of Stripe's credentials.

use std::fmt;

/// The sort of credential that a value is, told by its prefix.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// `ek_`: made for one device, gone after minutes.
    Ephemeral,
    /// `acct_`, `ca_`, `we_` and the like: the name of something, not a credential.
    Identifier,
    /// `sk_org_`: for all accounts of an organization; there is no restricted one.
    Organization,
    /// `pk_`: for browsers and apps, not a secret.
    Publishable,
    /// `rk_`: with single permissions; the right one for a job.
    Restricted,
    /// `sk_`: may do everything.
    Secret,
    /// Nothing that is known here.
    Unknown,
    /// `whsec_`: proves that an event comes from Stripe; opens nothing.
    WebhookSecret,
}

/// Which half of an account a key is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Mode {
    /// Real money.
    Live,
    /// Play money: test mode and sandboxes.
    Test,
}

/// The end of a value as Stripe's dashboard shows it: enough to find a key there.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct LastFour([u8; 4]);

impl Class {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ephemeral => "EPHEMERAL",
            Self::Identifier => "IDENTIFIER",
            Self::Organization => "ORGANIZATION",
            Self::Publishable => "PUBLISHABLE",
            Self::Restricted => "RESTRICTED",
            Self::Secret => "SECRET",
            Self::Unknown => "UNKNOWN",
            Self::WebhookSecret => "WEBHOOK_SECRET",
        }
    }

    /// Whether it opens Stripe's API to a server: the classes that a definition can allow.
    pub fn is_server_key(self) -> bool {
        match self {
            Self::Organization | Self::Restricted | Self::Secret => true,
            Self::Ephemeral
            | Self::Identifier
            | Self::Publishable
            | Self::Unknown
            | Self::WebhookSecret => false,
        }
    }

    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Ephemeral => "ephemeral key",
            Self::Identifier => "identifier",
            Self::Organization => "organization key",
            Self::Publishable => "publishable key",
            Self::Restricted => "restricted key",
            Self::Secret => "secret key",
            Self::Unknown => "not recognised",
            Self::WebhookSecret => "webhook signing secret",
        }
    }
}

impl Mode {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Test => "TEST",
        }
    }
}

impl LastFour {
    /// The last four of these bytes, if they are plain letters and digits.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let last: [u8; 4] = *bytes.last_chunk()?;
        let is_plain = last.iter().all(u8::is_ascii_alphanumeric);
        is_plain.then_some(Self(last))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for LastFour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for LastFour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
