//! What differs between the servers that issue tokens.

use std::fmt;
use std::time::Duration;

/// Which of Stripe's two OAuth offers an install belongs to.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Flavor {
    /// An app of Stripe's marketplace: access tokens last an hour.
    #[default]
    Apps,
    /// A platform with Standard accounts: access tokens have no end.
    Connect,
}

/// Whether presenting a spent refresh token ends the connection. A property of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reuse {
    /// It is refused and the connection lives, as measured at Stripe.
    Tolerated,
    /// All tokens of the connection are revoked (RFC 9700).
    Revokes,
}

/// How long an access token of an app lasts: Stripe documents an hour and does not say so in its
/// answers.
const ACCESS_LIFE: Duration = Duration::from_secs(60 * 60);

impl Flavor {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apps => "APPS",
            Self::Connect => "CONNECT",
        }
    }
}

/// How long an access token lasts when the answer does not say so; none for one without an end.
pub fn access_life(flavor: Flavor) -> Option<Duration> {
    match flavor {
        Flavor::Apps => Some(ACCESS_LIFE),
        Flavor::Connect => None,
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
