//! The words for Stripe's answers about a key.

use std::fmt;

use crate::Mode;

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $text:literal;)+) => {
        /// The outcome of asking Stripe about a key.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Outcome {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Outcome {
            /// Every outcome there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire: `UPPER_SNAKE_CASE`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Its meaning and the remedy.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

outcomes! {
    /// This host cannot ask anybody.
    CannotAsk "CANNOT_ASK"
        "the daemon could not set up a connection; see that its host has the certificates of authorities (ca-certificates), and what HTTPS_PROXY says";
    /// The account to name beside an organization key is missing.
    ContextRequired "CONTEXT_REQUIRED"
        "Stripe wants an account with this organization key; set stripe.context of the definition";
    /// The key had an end, and it has come.
    Expired "EXPIRED"
        "the key has expired; create a new one: Developers → API keys → Create restricted key, and store it with PutSecretValue";
    /// The key is good, but not from this machine's address.
    IpNotAllowed "IP_NOT_ALLOWED"
        "the key may not be used from this host's address; add it: Developers → API keys → the key → Manage IP restrictions";
    /// The key is good; reading the balance is not among its permissions.
    Limited "LIMITED"
        "the key is good but may not read the balance; whether it may do what its jobs need is seen under Developers → API keys → the key → Edit";
    /// Not a key for servers.
    NotAServerKey "NOT_A_SERVER_KEY"
        "this key cannot call Stripe from a server; create a restricted key: Developers → API keys → Create restricted key";
    /// There was no value to ask Stripe about.
    NotAsked "NOT_ASKED"
        "Stripe was not asked, because there is no value that looks like its key; see existence, format, kind and warnings";
    /// Too many questions at a time, for us or for Stripe; the key may be good.
    Overloaded "OVERLOADED"
        "too many live checks at a time; try again in a minute";
    /// Stripe does not know the key (any longer), or the platform behind it lost its access.
    Revoked "REVOKED"
        "Stripe does not know this key: it was deleted or rolled, or its platform lost access; create a new one: Developers → API keys → Create restricted key";
    /// An answer that says nothing about the key.
    Unexpected "UNEXPECTED"
        "Stripe's address answers, but not as Stripe does; see the base URL in the daemon's configuration";
    /// No answer in time.
    Unreachable "UNREACHABLE"
        "Stripe did not answer in time; try again";
    /// Stripe took it.
    Works "WORKS"
        "Stripe takes the key";
    /// The key is good; the account or context of the definition is out of its reach.
    WrongAccount "WRONG_ACCOUNT"
        "the key has no access to the account of the definition; see stripe.account and stripe.context, and Connect → Connected accounts";
    /// Stripe took it, in the mode that the environment does not demand.
    WrongMode "WRONG_MODE"
        "Stripe takes the key, but in the other mode than the environment demands; create one there: Developers → API keys → Create restricted key";
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Stripe's answer about a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LiveVerdict {
    /// Its meaning.
    pub outcome: Outcome,
    /// With [`Outcome::Limited`]: the permission that the key lacks, if the answer says so.
    pub missing_permission: Option<&'static str>,
    /// With [`Outcome::Works`]: which mode the key is for, by Stripe's own word.
    pub mode: Option<Mode>,
}

impl From<Outcome> for LiveVerdict {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            missing_permission: None,
            mode: None,
        }
    }
}
