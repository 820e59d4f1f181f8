//! The private key and its password: judged before they are used, and never shown.

use std::path::Path;

use claviger_backend::private_file;
use claviger_core::SecretBytes;
use pkcs8::{
    DecodePrivateKey as _, EncryptedPrivateKeyInfo, ObjectIdentifier, SecretDocument, pkcs5,
};
use rsa::RsaPrivateKey;
use rsa::traits::PublicKeyParts as _;

/// The setting that names the key's file.
pub(crate) const KEY_FILE: &str = "private_key_file";

/// The setting that names the file of its password.
pub(crate) const PASSWORD_FILE: &str = "private_key_password_file";

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const PLAIN: &str = "-----BEGIN PRIVATE KEY-----";

/// Fewest bits of a key that Snowflake takes.
const BITS_MIN: usize = 2048;

/// Bytes of an encrypted key in which its cipher is named.
const HEAD_LEN: usize = 256;

macro_rules! closed {
    ($cipher:literal) => {
        concat!(
            "names a private key that is encrypted with ",
            $cipher,
            ", which Claviger does not open; encrypt it anew: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW"
        )
    };
}

const UNKNOWN_CIPHER: &str = closed!("a cipher or a derivation of keys that is not known here");

/// What this build does not open, by its object identifier.
const CLOSED: &[(&str, &str)] = &[
    ("1.2.840.113549.1.5.1", closed!("PBE-MD2-DES")),
    ("1.2.840.113549.1.5.3", closed!("PBE-MD5-DES")),
    ("1.2.840.113549.1.5.4", closed!("PBE-MD2-RC2-64")),
    ("1.2.840.113549.1.5.6", closed!("PBE-MD5-RC2-64")),
    ("1.2.840.113549.1.5.10", closed!("PBE-SHA1-DES")),
    ("1.2.840.113549.1.5.11", closed!("PBE-SHA1-RC2-64")),
    ("1.2.840.113549.1.12.1.1", closed!("PBE-SHA1-RC4-128")),
    ("1.2.840.113549.1.12.1.2", closed!("PBE-SHA1-RC4-40")),
    ("1.2.840.113549.1.12.1.3", closed!("PBE-SHA1-3DES")),
    ("1.2.840.113549.1.12.1.4", closed!("PBE-SHA1-2DES")),
    ("1.2.840.113549.1.12.1.5", closed!("PBE-SHA1-RC2-128")),
    ("1.2.840.113549.1.12.1.6", closed!("PBE-SHA1-RC2-40")),
    ("1.3.14.3.2.7", closed!("DES")),
    ("1.2.840.113549.3.2", closed!("RC2")),
    ("1.2.392.200011.61.1.1.1.2", closed!("Camellia")),
    ("1.2.392.200011.61.1.1.1.3", closed!("Camellia")),
    ("1.2.392.200011.61.1.1.1.4", closed!("Camellia")),
    ("1.2.410.200046.1.1.2", closed!("ARIA")),
    ("1.2.410.200046.1.1.7", closed!("ARIA")),
    ("1.2.410.200046.1.1.12", closed!("ARIA")),
];

/// A key that cannot be used: the setting that is at fault, and the remedy.
#[derive(Clone, Debug)]
pub(crate) struct KeyProblem {
    pub(crate) setting: &'static str,
    pub(crate) remedy: &'static str,
}

/// A private key that works.
pub(crate) struct Key {
    pub(crate) pem: SecretBytes,
    pub(crate) password: Option<SecretBytes>,
}

impl Key {
    /// Reads it, again at every login so that it can be replaced.
    ///
    /// # Errors
    /// The setting that is at fault, and the remedy.
    pub(crate) fn read(file: &Path, password_file: Option<&Path>) -> Result<Self, KeyProblem> {
        let read = |setting, file| {
            private_file::read(file).map_err(|fault| problem(setting, fault.remedy()))
        };
        let pem = read(KEY_FILE, file)?;
        let password = password_file.map(|file| read(PASSWORD_FILE, file));
        let key = Self {
            pem,
            password: password.transpose()?,
        };
        key.check()?;
        Ok(key)
    }

    fn check(&self) -> Result<(), KeyProblem> {
        let pem = std::str::from_utf8(self.pem.expose()).unwrap_or_default();
        let key = match &self.password {
            _ if !pem.starts_with(ENCRYPTED) && !pem.starts_with(PLAIN) => {
                return Err(problem(
                    KEY_FILE,
                    "names a file that is not a private key in PKCS#8 PEM; make one with openssl \
                     genrsa 2048 | openssl pkcs8 -topk8 -v2 aes256",
                ));
            }
            None if pem.starts_with(ENCRYPTED) => {
                return Err(problem(
                    PASSWORD_FILE,
                    "is missing, and the private key is encrypted; write the path of a file that \
                     holds its password",
                ));
            }
            None => RsaPrivateKey::from_pkcs8_pem(pem).map_err(|_| {
                problem(
                    KEY_FILE,
                    "names a private key that is cut short or not RSA; Snowflake takes RSA keys of \
                     2048 bits or more",
                )
            })?,
            Some(_) if pem.starts_with(PLAIN) => {
                return Err(problem(
                    PASSWORD_FILE,
                    "is given, but the private key is not encrypted; encrypt the key (openssl \
                     pkcs8 -topk8 -v2 aes256) or leave the password out",
                ));
            }
            Some(password) => decrypted(pem, password)?,
        };
        match key.n().bits() < BITS_MIN {
            true => Err(problem(
                KEY_FILE,
                "names an RSA key of fewer than 2048 bits, which Snowflake does not take; make one \
                 with openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes256",
            )),
            false => Ok(()),
        }
    }
}

fn decrypted(pem: &str, password: &SecretBytes) -> Result<RsaPrivateKey, KeyProblem> {
    let Ok((_, document)) = SecretDocument::from_pem(pem) else {
        return Err(problem(
            KEY_FILE,
            "names an encrypted private key that is cut short or changed; copy it whole",
        ));
    };
    let document = document.as_bytes();
    let closed = || problem(KEY_FILE, cipher_fault(document));
    let info = EncryptedPrivateKeyInfo::try_from(document).map_err(|_| closed())?;
    let wrong = problem(
        PASSWORD_FILE,
        "holds a password that does not open the private key; correct the password",
    );
    let opened = info.decrypt(password.expose()).map_err(|error| {
        let is_closed = matches!(
            error,
            pkcs8::Error::EncryptedPrivateKey(
                pkcs5::Error::NoPbes1CryptSupport | pkcs5::Error::UnsupportedAlgorithm { .. },
            )
        );
        if is_closed { closed() } else { wrong }
    })?;
    // The product of a wrong password and a key may look like something.
    RsaPrivateKey::from_pkcs8_der(opened.as_bytes()).map_err(|_| {
        problem(
            PASSWORD_FILE,
            "holds a password that does not open the private key, or the key is not RSA; correct \
             the password, or make an RSA key",
        )
    })
}

/// Names the cipher that a key is under and that this build does not open. Where it stands in the
/// document depends on who wrote it; what it is called is long enough to be found anywhere.
fn cipher_fault(document: &[u8]) -> &'static str {
    let head = document.get(..HEAD_LEN).unwrap_or(document);
    let mut closed = CLOSED.iter();
    let found = closed.find(|(id, _)| {
        let id = ObjectIdentifier::new_unwrap(id);
        let mut windows = head.windows(id.as_bytes().len());
        windows.any(|window| window == id.as_bytes())
    });
    found.map_or(UNKNOWN_CIPHER, |(_, remedy)| *remedy)
}

fn problem(setting: &'static str, remedy: &'static str) -> KeyProblem {
    KeyProblem { setting, remedy }
}
