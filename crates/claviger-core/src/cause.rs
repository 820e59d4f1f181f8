//! Why a vault was not reached: throttled is not down, and a name that is not found is neither.

use std::fmt;

use crate::error::{Detail, Error, Public, Reason};

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $remedy:literal;)+) => {
        /// What kept Claviger from a vault, or from the service where it logs in for one.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Cause {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Cause {
            /// Every cause there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire: `UPPER_SNAKE_CASE`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What happened and what helps, for clients.
            fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }
        }
    };
}

causes! {
    /// No connection, or one that broke.
    Connection "CONNECTION"
        "no connection to it, or to where Claviger logs in for it, comes about or lasts; see that it runs at the address in its settings and that the network lets this machine through to it";
    /// The name of a host leads nowhere.
    Dns "DNS"
        "the name of its host, or of where Claviger logs in for it, is not found; correct the name in its settings, or this machine's name service (DNS)";
    /// It knows where we call from, and lets nobody in from there.
    Firewall "FIREWALL"
        "its firewall does not let this machine in; allow this machine's address in its network settings, or reach it through a private endpoint";
    /// The proxy on the way refuses, cannot be reached, or answers itself.
    Proxy "PROXY"
        "a proxy on the way to it refuses, is not there or answers in its place; see HTTPS_PROXY and NO_PROXY of the daemon, and what the proxy says of this host";
    /// It failed, or answered what nobody understands.
    ServerError "SERVER_ERROR"
        "it answers with a failure of its own, or with something that cannot be read; try again, and see the daemon's log and the provider's status if it stays so";
    /// It has been asked too often.
    Throttled "THROTTLED"
        "it has been asked too often and turns calls away; come back later, and lower calls_per_second of the vault or have its quota raised if it stays so";
    /// No answer yet.
    Timeout "TIMEOUT"
        "it, or where Claviger logs in for it, does not answer in time; try again, and see the daemon's log if it stays so";
    /// There is somebody, but not provably the vault.
    Tls "TLS"
        "no TLS with it comes about: its certificate is not one that this machine trusts for this host, or it speaks no TLS; correct the host, this machine's clock or its root certificates, and see whether something on the way opens TLS";
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Public for Cause {}

impl Error {
    /// `VAULT_UNREACHABLE` with its cause.
    pub fn unreachable(cause: Cause) -> Self {
        Self::new(Reason::VaultUnreachable)
            .with(Detail::Cause, cause)
            .with(Detail::Remedy, cause.remedy())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_cause_has_a_name_and_a_text_of_its_own() {
        let texts = Cause::ALL.iter().map(|cause| {
            let error = Error::unreachable(*cause).with(Detail::Vault, "aws-eu");
            assert_eq!(error.reason(), Reason::VaultUnreachable);
            assert_eq!(error.detail(Detail::Cause), Some(cause.as_str()));
            let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            assert!(cause.as_str().bytes().all(is_plain), "{cause}");
            let text = error.to_string();
            assert!(text.starts_with("vault aws-eu is not reached: "), "{text}");
            let is_late = text.contains("does not answer in time");
            assert_eq!(is_late, *cause == Cause::Timeout, "{text}");
            text
        });
        assert_eq!(texts.collect::<HashSet<_>>().len(), Cause::ALL.len());
    }
}
