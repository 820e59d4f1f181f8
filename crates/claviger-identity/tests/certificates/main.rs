//! Whose certificates are believed: those that a bundle vouches for, and no other.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "helpers of tests, outside the test functions themselves"
)]

mod hostile;
mod openssl;

use std::time::{Duration, SystemTime};

use claviger_core::Id;
use claviger_identity::{Bundle, Bundles, Vouches};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// When these tests take place, since 1970.
const NOW: Duration = Duration::from_secs(1_800_000_000);

fn at(since_epoch: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + since_epoch
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    certificates.collect::<Result<_, _>>().expect("PEM")
}

fn bundle(name: &str, domain: Option<&str>, authorities: &str, revoked: Option<&str>) -> Bundle {
    let vouches = match domain {
        Some(domain) => Vouches::Spiffe(domain.to_owned()),
        None => Vouches::Names,
    };
    let name = Id::parse("id", name).expect("an id");
    let revoked = revoked.map(str::as_bytes);
    Bundle::parse(name, vouches, authorities.as_bytes(), revoked).expect("a bundle")
}

/// The principal, or the code of the refusal.
fn judge(bundles: &Bundles, pem: &str, since_epoch: Duration) -> String {
    match bundles.judge(&chain(pem), at(since_epoch)) {
        Ok(certified) => certified.principal,
        Err(refusal) => refusal.to_string(),
    }
}
