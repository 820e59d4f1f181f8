//! TLS to a daemon on another host.

use std::fmt;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Which daemon is believed, and what it is shown. The key never shows.
#[derive(Clone)]
pub struct Tls(ClientTlsConfig);

impl Tls {
    /// Believes a daemon that these authorities (PEM) vouch for.
    pub fn trusting(authorities: impl AsRef<[u8]>) -> Self {
        let authorities = Certificate::from_pem(authorities);
        Self(ClientTlsConfig::new().ca_certificate(authorities))
    }

    /// Shows it this certificate, with those that vouch for it, and proves that it has its key
    /// (both PEM).
    #[must_use]
    pub fn with_certificate(self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        Self(self.0.identity(Identity::from_pem(chain, key)))
    }

    pub(crate) fn into_config(self) -> ClientTlsConfig {
        self.0
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
