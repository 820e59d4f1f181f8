//! Stripe's OAuth.

/// Which of Stripe's two.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Flavor {
    /// Stripe Apps.
    #[default]
    Apps,
    /// Connect.
    Connect,
}

impl Flavor {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apps => "APPS",
            Self::Connect => "CONNECT",
        }
    }
}
