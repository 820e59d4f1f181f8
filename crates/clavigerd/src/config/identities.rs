//! The tables `[identity.<name>]`: the issuers whose tokens are believed, and
//! the authorities whose certificates are.

use std::collections::BTreeMap;
use std::fmt::Debug;

use claviger_broker::{self as broker, Names};
use claviger_core::{Id, List};
use claviger_identity::{IdentitySettings, Kind, Vouches, overlaps};
use claviger_seal::sha256;
use claviger_settings::Table;

use super::tls::{BundleFiles, OWN_BUNDLE};

/// The kind that is for certificates alone.
const X509: &str = "x509";

/// What an identity is.
enum Identity {
    /// An issuer; or a trust domain, which may have certificates besides.
    Tokens(IdentitySettings),
    Certificates(BundleFiles),
}

/// Reads the identities, and what vouches for certificates.
pub(super) fn read_identities(
    table: &mut Table<'_>,
) -> (BTreeMap<Id, IdentitySettings>, Vec<BundleFiles>) {
    let (mut identities, mut bundles) = (BTreeMap::new(), Vec::new());
    for id in table.ids() {
        if id.as_str() == OWN_BUNDLE {
            let remedy = "is the name of what [tls] vouches for; give this identity another one";
            table.wrong(OWN_BUNDLE, remedy);
        }
        match table.table(id.as_str(), |identity| read_identity(&id, identity)) {
            Some(Identity::Tokens(settings)) => {
                bundles.extend(bundle_of(&id, &settings));
                identities.insert(id, settings);
            }
            Some(Identity::Certificates(files)) => bundles.push(files),
            None => {}
        }
    }
    for (id, problem) in overlaps(&identities) {
        table.wrong(&format!("{id}.{}", problem.key), problem.remedy);
    }
    (identities, bundles)
}

/// The certificates of a trust domain.
fn bundle_of(id: &Id, settings: &IdentitySettings) -> Option<BundleFiles> {
    let ca_file = settings
        .ca_file
        .clone()
        .filter(|_| settings.kind == Kind::Spiffe)?;
    let vouches = Vouches::Spiffe(settings.trust_domain.clone());
    let crl_file = settings.crl_file.clone();
    Some(BundleFiles::of_identity(id, vouches, ca_file, crl_file))
}

fn read_identity(id: &Id, identity: &mut Table<'_>) -> Option<Identity> {
    let known = || {
        List(
            Kind::ALL
                .map(Kind::name)
                .into_iter()
                .chain([X509])
                .collect(),
        )
    };
    identity.require(
        "kind",
        format!("write the kind of this identity: {}", known()),
    );
    let kind = identity.parsed("kind", |name| match (name, Kind::parse(name)) {
        (X509, _) => Ok(None),
        (_, Some(kind)) => Ok(Some(kind)),
        (_, None) => Err(format!("is not a kind of identity; known: {}", known())),
    });
    match kind {
        Some(Some(kind)) => Some(Identity::Tokens(IdentitySettings::read(kind, identity))),
        Some(None) => {
            identity.require("ca_file", "name the authorities of the certificates (PEM)");
            let (ca_file, crl_file) = (identity.path("ca_file"), identity.path("crl_file"));
            let files = BundleFiles::of_identity(id, Vouches::Names, ca_file?, crl_file);
            Some(Identity::Certificates(files))
        }
        // What else may be there depends on it.
        None => {
            identity.skip(&IdentitySettings::KEYS);
            None
        }
    }
}

/// The identities as the broker knows them. An identity is another one if somebody else may say who its
/// callers are: what its files hold may change, but not where they are.
pub(crate) fn for_broker(
    bundles: &[BundleFiles],
    identities: &BTreeMap<Id, IdentitySettings>,
) -> BTreeMap<Id, broker::Identity> {
    let by_certificates = bundles.iter().map(|bundle| {
        let names = match bundle.vouches {
            Vouches::Names => Names::X509,
            Vouches::Spiffe(_) => Names::Spiffe,
        };
        let digest = digest_of(&(&bundle.vouches, &bundle.authorities));
        (bundle.name.clone(), broker::Identity { names, digest })
    });
    let by_tokens = identities.iter().map(|(id, settings)| {
        let names = match settings.kind == Kind::Spiffe {
            true => Names::Spiffe,
            false => Names::Oidc {
                pattern_parts: settings.kind.pattern_parts(),
            },
        };
        let digest = digest_of(&(
            settings.kind,
            &settings.issuer,
            &settings.tenant,
            &settings.trust_domain,
            &settings.audience,
            (&settings.jwks_file, &settings.jwks_uri, &settings.ca_file),
        ));
        (id.clone(), broker::Identity { names, digest })
    });
    // A trust domain with both is what all of its settings say.
    by_certificates.chain(by_tokens).collect()
}

fn digest_of(what: &impl Debug) -> [u8; 32] {
    sha256(format!("{what:?}").as_bytes())
}
