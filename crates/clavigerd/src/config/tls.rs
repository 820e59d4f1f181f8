//! The table `[tls]`: what the TCP listener speaks.

use std::path::PathBuf;

use claviger_api::serve::{ClientAuth, TlsOptions};
use claviger_core::is_trust_domain;
use claviger_settings::Table;

/// What TLS is spoken with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TlsConfig {
    /// The certificate of the listener and those that vouch for it, as PEM.
    pub(crate) certificate_file: PathBuf,
    /// Its key, as PEM.
    pub(crate) private_key_file: PathBuf,
    /// Who is asked for a certificate, and how old TLS may be.
    pub(crate) options: TlsOptions,
    /// Those that vouch for clients of a trust domain.
    pub(crate) clients: Option<ClientsConfig>,
}

/// The bundle of a SPIFFE trust domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClientsConfig {
    /// The authorities, as PEM.
    pub(crate) ca_file: PathBuf,
    /// Their revocation lists, as PEM.
    pub(crate) crl_file: Option<PathBuf>,
    /// The domain, of which they vouch for ids and for nothing else.
    pub(crate) trust_domain: String,
}

impl TlsConfig {
    /// Reads the table; everything wrong with it goes to its problems. Opens no file.
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let certificate_file = table.path("certificate_file");
        let private_key_file = table.path("private_key_file");
        table.require(
            "certificate_file",
            "name the certificate of this listener (PEM)",
        );
        table.require("private_key_file", "name the key of the certificate (PEM)");
        let client_auth = table.parsed("client_auth", parse_client_auth);
        let client_auth = client_auth.unwrap_or_default();
        let options = TlsOptions {
            client_auth,
            is_tls12_allowed: table.flag("tls12"),
        };
        let ca_file = table.path("client_ca_file");
        let crl_file = table.path("crl_file");
        let trust_domain = table.parsed("spiffe_trust_domain", |text| match is_trust_domain(text) {
            true => Ok(text.to_owned()),
            false => Err(
                "is not a trust domain; write the part of its ids between spiffe:// and the next \
                slash (lower case letters, digits, - . _)",
            ),
        });
        let has_cas = table.has("client_ca_file");
        if has_cas {
            table.require(
                "spiffe_trust_domain",
                "name the domain whose ids client_ca_file vouches for; authorities of other names \
                go into an identity of kind \"x509\"",
            );
        }
        for key in ["crl_file", "spiffe_trust_domain"] {
            if table.has(key) && !has_cas {
                let remedy = "goes with client_ca_file, which is missing; name the authorities \
                    there, or drop this";
                table.wrong(key, remedy);
            }
        }
        if has_cas && client_auth == ClientAuth::None && !table.has("client_auth") {
            let remedy = "is missing, so no client is asked for a certificate; write \"optional\" \
                or \"required\", or drop client_ca_file";
            table.wrong("client_auth", remedy);
        }
        let clients = ca_file.zip(trust_domain);
        Some(Self {
            certificate_file: certificate_file?,
            private_key_file: private_key_file?,
            options,
            clients: clients.map(|(ca_file, trust_domain)| ClientsConfig {
                ca_file,
                crl_file,
                trust_domain,
            }),
        })
    }
}

fn parse_client_auth(text: &str) -> Result<ClientAuth, &'static str> {
    match text {
        "none" => Ok(ClientAuth::None),
        "optional" => Ok(ClientAuth::Optional),
        "required" => Ok(ClientAuth::Required),
        _ => {
            Err("says nothing of client certificates; write \"none\", \"optional\" or \"required\"")
        }
    }
}
