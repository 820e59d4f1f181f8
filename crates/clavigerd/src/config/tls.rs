//! The table `[tls]`: what the TCP listener speaks.

use std::path::PathBuf;

use claviger_api::serve::{ClientAuth, TlsOptions};
use claviger_core::{Id, is_trust_domain};
use claviger_identity::Vouches;
use claviger_settings::Table;

/// The name of the bundle in this table, which no identity has.
pub(super) const OWN_BUNDLE: &str = "tls";

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
    pub(crate) clients: Option<BundleFiles>,
}

/// Authorities that vouch for clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BundleFiles {
    /// The identity.
    pub(crate) name: Id,
    /// What they vouch for, and nothing else.
    pub(crate) vouches: Vouches,
    /// The key that names the authorities, and their file (PEM).
    pub(crate) authorities: (String, PathBuf),
    /// The same of their revocation lists.
    pub(crate) revoked: Option<(String, PathBuf)>,
}

impl BundleFiles {
    /// Those of `[identity.<name>]`.
    pub(super) fn of_identity(
        name: &Id,
        vouches: Vouches,
        ca_file: PathBuf,
        crl_file: Option<PathBuf>,
    ) -> Self {
        let key = |key| format!("identity.{name}.{key}");
        Self {
            name: name.clone(),
            vouches,
            authorities: (key("ca_file"), ca_file),
            revoked: crl_file.map(|file| (key("crl_file"), file)),
        }
    }
}

/// Reports bundles that do not go together with what is spoken.
pub(super) fn check_bundles(
    root: &mut Table<'_>,
    tls: Option<&TlsConfig>,
    bundles: &[BundleFiles],
) {
    let asks = tls.is_some_and(|tls| tls.options.client_auth != ClientAuth::None);
    let own = tls.and_then(|tls| tls.clients.as_ref());
    for bundle in bundles {
        let (key, _) = &bundle.authorities;
        if !asks {
            let remedy = "vouches for clients, none of which is asked for a certificate; write \
                [tls] with client_auth = \"optional\" or \"required\", or drop this";
            root.wrong(key, remedy);
        } else if own.is_some_and(|own| own.vouches == bundle.vouches) {
            let remedy = "is for the trust domain of [tls]; put all its authorities into one of \
                the two";
            root.wrong(key, remedy);
        }
    }
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
            clients: clients.map(|(ca_file, trust_domain)| BundleFiles {
                name: Id::from_static(OWN_BUNDLE),
                vouches: Vouches::Spiffe(trust_domain),
                authorities: ("tls.client_ca_file".to_owned(), ca_file),
                revoked: crl_file.map(|file| ("tls.crl_file".to_owned(), file)),
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
