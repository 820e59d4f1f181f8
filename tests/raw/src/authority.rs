//! An authority that signs whatever a test wants.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// How long certificates are good for, from a day before the time they are made for.
const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Signs certificates and revocation lists, which are good around one time, since 1970.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    now: Duration,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, as PEM.
    pub certificate: String,
    /// The key, as PEM.
    pub key: String,
    /// The number that revokes it.
    pub serial: SerialNumber,
}

impl Authority {
    /// One that signs itself.
    pub fn new(name: &str, now: Duration) -> Self {
        let (params, key) = (signing(name, now), key());
        let certificate = params.self_signed(&key).expect("signed");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            now,
        }
    }

    /// One that this one signs.
    pub fn signs(&self, name: &str) -> Self {
        let (mut params, key) = (signing(name, self.now), key());
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            now: self.now,
        }
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A client's certificate with these URIs, as `change` leaves it.
    pub fn client(
        &self,
        uris: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let mut params = CertificateParams::default();
        let uris = uris.iter().map(|uri| (*uri).try_into().expect("ASCII"));
        params.subject_alt_names = uris.map(SanType::URI).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, change)
    }

    /// A server's certificate for these hosts.
    pub fn server(&self, hosts: &[&str]) -> Certificate {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("hosts");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, |_| ())
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        valid_around(&mut params, self.now);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = key();
        let serial = SerialNumber::from(
            u64::from_le_bytes(key.public_key_raw().last_chunk().copied().expect("long")) >> 1,
        );
        params.serial_number = Some(serial.clone());
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Certificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            serial,
        }
    }

    /// Its revocation list, as PEM, good for so long.
    pub fn revokes(&self, certificates: &[&Certificate], life: Duration) -> String {
        let this_update = date_time_ymd(1970, 1, 1) + (self.now - DAY);
        let revoked = certificates.iter().map(|certificate| RevokedCertParams {
            serial_number: certificate.serial.clone(),
            revocation_time: this_update,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update,
            next_update: date_time_ymd(1970, 1, 1) + self.now + life,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("signed");
        list.pem().expect("PEM")
    }
}

fn signing(name: &str, now: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_around(&mut params, now);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Good from a day before.
fn valid_around(params: &mut CertificateParams, now: Duration) {
    params.not_before = date_time_ymd(1970, 1, 1) + (now - DAY);
    params.not_after = params.not_before + LIFE;
}
