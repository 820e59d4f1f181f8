//! Whose a certificate is: the callers that an authority vouches for.
//!
//! SECURITY: the names in a certificate choose the bundle that has to vouch for it, so an id counts
//! under its own domain's authorities only, whichever else are trusted. The common name is never
//! looked at.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_core::{Id, spiffe_trust_domain};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use tokio_rustls::rustls::DistinguishedName;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::pem;

/// Longest name of a certificate that makes a principal.
const NAME_BYTES_MAX: usize = 512;

/// Most certificates between a caller's and its authority's.
const OTHERS_MAX: usize = 4;

const NO_CERTIFICATE: &str =
    "holds no certificate; put those of the authorities there, each as PEM (BEGIN CERTIFICATE)";
const NO_AUTHORITY: &str = "holds a certificate that is no authority's (CA:TRUE); put that of whoever \
                            signs there, and nothing else";
const NO_LIST: &str = "holds no revocation list that can be read; put one of each authority there, as PEM \
                       (BEGIN X509 CRL), without deltas and indirect ones";
const TWO_LISTS: &str = "holds two revocation lists of one authority; keep the newest of each authority \
                         alone, with all that it has revoked";

/// What certificates of a bundle stand for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Vouches {
    /// Workloads of this SPIFFE trust domain.
    Spiffe(String),
    /// Whoever the one DNS name or URI in them names: `x509:<name of the bundle>:<it>`.
    Names,
}

/// Authorities, and what they vouch for.
#[derive(Clone, Debug)]
pub struct Bundle {
    name: Id,
    vouches: Vouches,
    authorities: Vec<Authority>,
    anchors: Vec<TrustAnchor<'static>>,
    revoked: Arc<[CertRevocationList<'static>]>,
}

#[derive(Clone, Debug)]
struct Authority {
    subject: DistinguishedName,
    anchor: TrustAnchor<'static>,
    ends: SystemTime,
}

/// All bundles as they are at one time.
#[derive(Debug, Default)]
pub struct Bundles(Vec<Bundle>);

/// A caller whose certificate is believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certified {
    /// Whoever it stands for: the text of a principal.
    pub principal: String,
    /// The bundle that vouches.
    pub bundle: Id,
    /// When the first certificate of its chain ends.
    pub ends: SystemTime,
}

impl Bundle {
    /// Reads a bundle from PEM. With revocation lists each certificate of a chain has to be covered
    /// by one that has not ended.
    ///
    /// # Errors
    /// Whether it is the list of authorities or of revoked certificates that is wrong, and the
    /// remedy.
    pub fn parse(
        name: Id,
        vouches: Vouches,
        authorities: &[u8],
        revoked: Option<&[u8]>,
    ) -> Result<Self, (BundleFile, &'static str)> {
        let authorities = parse_authorities(authorities);
        let authorities = authorities.map_err(|remedy| (BundleFile::Authorities, remedy))?;
        let revoked = revoked.map(parse_revoked).transpose();
        let anchors = authorities.iter().map(|authority| authority.anchor.clone());
        Ok(Self {
            name,
            vouches,
            anchors: anchors.collect(),
            authorities,
            revoked: revoked
                .map_err(|remedy| (BundleFile::Revoked, remedy))?
                .unwrap_or_default()
                .into(),
        })
    }

    /// Whether its authorities vouch for a chain at a time, and until when.
    fn verify(&self, chain: &Chain<'_>, now: SystemTime) -> Result<SystemTime, CertificateRefusal> {
        let leaf = EndEntityCert::try_from(chain.leaf)?;
        let revoked: Vec<_> = self.revoked.iter().collect();
        // Without lists nothing can be revoked; with them what none covers is refused.
        let options = RevocationOptionsBuilder::new(&revoked).ok();
        let options = options.map(|options| {
            options
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let path = leaf.verify_for_usage(
            algorithms.all,
            &self.anchors,
            chain.others,
            UnixTime::since_unix_epoch(since_epoch(now)),
            KeyUsage::client_auth(),
            options,
            None,
        )?;
        let others = path.intermediate_certificates();
        let others = others.map(|certificate| Ok(ends(&parse(&certificate.der())?)));
        let others = others.collect::<Result<Vec<_>, CertificateRefusal>>()?;
        // An authority that was renewed with its key is one anchor.
        let used = self.authorities.iter();
        let used = used.filter(|authority| authority.anchor == *path.anchor());
        let used = used.map(|authority| authority.ends).max();
        let first = others.into_iter().chain(used).chain([chain.ends]).min();
        first
            .filter(|ends| now <= *ends)
            .ok_or(CertificateRefusal::Expired)
    }
}

/// The file of a bundle that something is wrong with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BundleFile {
    /// The authorities.
    Authorities,
    /// The revocation lists.
    Revoked,
}

impl Bundles {
    /// These, of which no two have one trust domain.
    pub fn new(bundles: Vec<Bundle>) -> Self {
        Self(bundles)
    }

    /// Whether nobody is vouched for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of all authorities, for clients that have several certificates.
    pub fn subjects(&self) -> Vec<DistinguishedName> {
        let authorities = self.0.iter().flat_map(|bundle| &bundle.authorities);
        authorities
            .map(|authority| authority.subject.clone())
            .collect()
    }

    /// Who a client with this chain is, its own certificate first. That it has the key is not
    /// judged here.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Certified, CertificateRefusal> {
        let chain = Chain::parse(chain)?;
        let vouching = |bundle: &&Bundle| match (&bundle.vouches, &chain.name) {
            (Vouches::Spiffe(domain), Name::Spiffe(id)) => spiffe_trust_domain(id) == Some(domain),
            (Vouches::Names, Name::Other(_)) => true,
            (Vouches::Spiffe(_), Name::Other(_)) | (Vouches::Names, Name::Spiffe(_)) => false,
        };
        let mut refusal = match chain.name {
            Name::Spiffe(_) => CertificateRefusal::TrustDomain,
            Name::Other(_) => CertificateRefusal::Authority,
        };
        for bundle in self.0.iter().filter(vouching) {
            match bundle.verify(&chain, now) {
                Ok(ends) => {
                    return Ok(Certified {
                        principal: match &chain.name {
                            Name::Spiffe(id) => id.clone(),
                            Name::Other(name) => format!("x509:{}:{name}", bundle.name),
                        },
                        bundle: bundle.name.clone(),
                        ends,
                    });
                }
                // Another one may know the authority.
                Err(CertificateRefusal::Authority)
                    if refusal != CertificateRefusal::TrustDomain => {}
                Err(other) => refusal = other,
            }
        }
        Err(refusal)
    }
}

/// A chain as far as it can be read before anybody vouches for it.
struct Chain<'a> {
    leaf: &'a CertificateDer<'a>,
    others: &'a [CertificateDer<'a>],
    name: Name,
    ends: SystemTime,
}

enum Name {
    Spiffe(String),
    Other(String),
}

impl<'a> Chain<'a> {
    fn parse(chain: &'a [CertificateDer<'a>]) -> Result<Self, CertificateRefusal> {
        let (leaf, others) = chain.split_first().ok_or(CertificateRefusal::Malformed)?;
        // SECURITY: the library tries every way through them, before anybody has proved anything.
        if others.len() > OTHERS_MAX {
            return Err(CertificateRefusal::Malformed);
        }
        let certificate = parse(leaf)?;
        check_usage(&certificate)?;
        Ok(Self {
            leaf,
            others,
            name: name(&certificate)?,
            ends: ends(&certificate),
        })
    }
}

/// Whether a certificate is a client's, and nothing that signs others.
fn check_usage(certificate: &X509Certificate<'_>) -> Result<(), CertificateRefusal> {
    let malformed = |_| CertificateRefusal::Malformed;
    let usage = certificate.key_usage().map_err(malformed)?;
    let usage = usage.map(|usage| usage.value);
    if certificate.is_ca() || usage.is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign()) {
        return Err(CertificateRefusal::Ca);
    }
    // The library takes a certificate that says nothing of it for any usage.
    let extended = certificate.extended_key_usage().map_err(malformed)?;
    let is_clients = extended.is_some_and(|extended| extended.value.client_auth);
    match is_clients && usage.is_none_or(|usage| usage.digital_signature()) {
        true => Ok(()),
        false => Err(CertificateRefusal::Usage),
    }
}

/// The one name of a certificate that counts.
fn name(certificate: &X509Certificate<'_>) -> Result<Name, CertificateRefusal> {
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| CertificateRefusal::Malformed)?;
    let names = names.map(|names| names.value.general_names.as_slice());
    let (mut hosts, mut uris) = (Vec::new(), Vec::new());
    for name in names.unwrap_or_default() {
        match name {
            GeneralName::DNSName(host) => hosts.push(*host),
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return Err(CertificateRefusal::Malformed),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    let is_spiffe = |uri: &&str| {
        let scheme = uri.split(':').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("spiffe")
    };
    let found = match (hosts.as_slice(), uris.as_slice()) {
        // A workload may have host names as well.
        (_, [id]) if is_spiffe(id) => {
            spiffe_trust_domain(id).map(|_| Name::Spiffe((*id).to_owned()))
        }
        ([], [uri]) => is_plain(uri, |byte| byte.is_ascii_graphic())
            .then(|| Name::Other((*uri).to_owned()))
            // So that it looks like no host's.
            .filter(|_| uri.contains(':')),
        ([host], []) => is_plain(host, |byte| {
            byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
        })
        .then(|| Name::Other(host.to_ascii_lowercase())),
        (_, _) => None,
    };
    found.ok_or(CertificateRefusal::Names)
}

/// Whether a name can be a principal's. SECURITY: one with a `*` could look like a pattern.
fn is_plain(name: &str, is_allowed: impl Fn(u8) -> bool) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| !b"*\"\\".contains(&byte) && is_allowed(byte))
}

fn parse_authorities(pem: &[u8]) -> Result<Vec<Authority>, &'static str> {
    let certificates = pem::all::<CertificateDer<'_>>(pem).ok_or(NO_CERTIFICATE)?;
    if certificates.is_empty() {
        return Err(NO_CERTIFICATE);
    }
    let authorities = certificates.iter().map(|der| {
        let certificate = parse(der).map_err(|_| NO_AUTHORITY)?;
        let anchor = webpki::anchor_from_trusted_cert(der).map_err(|_| NO_AUTHORITY)?;
        let anchor = anchor.to_owned();
        certificate.is_ca().then_some(()).ok_or(NO_AUTHORITY)?;
        Ok(Authority {
            subject: DistinguishedName::in_sequence(&anchor.subject),
            anchor,
            ends: ends(&certificate),
        })
    });
    authorities.collect()
}

fn parse_revoked(pem: &[u8]) -> Result<Vec<CertRevocationList<'static>>, &'static str> {
    let lists = pem::all::<CertificateRevocationListDer<'_>>(pem).ok_or(NO_LIST)?;
    let lists = lists
        .iter()
        .map(|der| OwnedCertRevocationList::from_der(der));
    let lists = lists
        .map(|list| list.map(Into::into))
        .collect::<Result<Vec<_>, _>>();
    let lists = lists.ok().filter(|lists| !lists.is_empty());
    let lists = lists.ok_or(NO_LIST)?;
    // SECURITY: the library goes by the first that covers a certificate, be it an old one.
    let issuers = lists.iter().map(CertRevocationList::issuer);
    match issuers.collect::<BTreeSet<_>>().len() == lists.len() {
        true => Ok(lists),
        false => Err(TWO_LISTS),
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateRefusal> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(CertificateRefusal::Malformed),
    }
}

/// When a certificate ends; `None` if it cannot be read.
pub fn certificate_ends(der: &CertificateDer<'_>) -> Option<SystemTime> {
    parse(der).ok().map(|certificate| ends(&certificate))
}

fn ends(certificate: &X509Certificate<'_>) -> SystemTime {
    let seconds = certificate.validity().not_after.timestamp();
    let seconds = u64::try_from(seconds).unwrap_or_default();
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Why a certificate is not believed. Whoever shows one may know: it holds nothing but what is in
/// the certificate, and what of it is not taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CertificateRefusal {
    /// No authority that counts for its name vouches for it.
    Authority,
    /// It is one that signs others.
    Ca,
    /// It, or one of its chain, has ended.
    Expired,
    /// It cannot be read, or breaks a rule of its standard.
    Malformed,
    /// It has not exactly one name that counts.
    Names,
    /// It, or one of its chain, is not valid yet.
    NotYetValid,
    /// It was revoked.
    Revoked,
    /// No revocation list that has not ended covers it.
    RevocationUnknown,
    /// Its SPIFFE id is of a trust domain that is not known.
    TrustDomain,
    /// It is not for clients.
    Usage,
}

impl CertificateRefusal {
    /// The code for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "CERTIFICATE_AUTHORITY",
            Self::Ca => "CERTIFICATE_CA",
            Self::Expired => "CERTIFICATE_EXPIRED",
            Self::Malformed => "CERTIFICATE_MALFORMED",
            Self::Names => "CERTIFICATE_NAMES",
            Self::NotYetValid => "CERTIFICATE_NOT_YET_VALID",
            Self::Revoked => "CERTIFICATE_REVOKED",
            Self::RevocationUnknown => "CERTIFICATE_REVOCATION_UNKNOWN",
            Self::TrustDomain => "CERTIFICATE_TRUST_DOMAIN",
            Self::Usage => "CERTIFICATE_USAGE",
        }
    }
}

impl fmt::Display for CertificateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for CertificateRefusal {}

impl From<webpki::Error> for CertificateRefusal {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library may add to them: whatever else it finds breaks a rule"
    )]
    fn from(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            Error::CaUsedAsEndEntity => Self::Ca,
            Error::CertExpired { .. } => Self::Expired,
            Error::CertNotValidYet { .. } => Self::NotYetValid,
            Error::CertRevoked => Self::Revoked,
            Error::CrlExpired { .. } | Error::UnknownRevocationStatus => Self::RevocationUnknown,
            Error::InvalidSignatureForPublicKey | Error::UnknownIssuer => Self::Authority,
            Error::RequiredEkuNotFoundContext(_) => Self::Usage,
            _ => Self::Malformed,
        }
    }
}
