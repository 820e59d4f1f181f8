//! The private key and its password: judged before they are used, and never shown.

use std::path::Path;

use claviger_backend::private_file;
use claviger_core::SecretBytes;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{self, DecodePrivateKey as _};

/// The setting that names the key's file.
pub(crate) const KEY_FILE: &str = "private_key_file";

/// The setting that names the file of its password.
pub(crate) const PASSWORD_FILE: &str = "private_key_password_file";

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const PLAIN: &str = "-----BEGIN PRIVATE KEY-----";

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
        let parsed = match &self.password {
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
            None => RsaPrivateKey::from_pkcs8_pem(pem),
            Some(_) if pem.starts_with(PLAIN) => {
                return Err(problem(
                    PASSWORD_FILE,
                    "is given, but the private key is not encrypted; encrypt the key (openssl \
                     pkcs8 -topk8 -v2 aes256) or leave the password out",
                ));
            }
            Some(password) => RsaPrivateKey::from_pkcs8_encrypted_pem(pem, password.expose()),
        };
        match parsed {
            Ok(_) => Ok(()),
            Err(pkcs8::Error::EncryptedPrivateKey(_)) => Err(problem(
                PASSWORD_FILE,
                "holds a password that does not open the private key; correct the password",
            )),
            // The product of a wrong password and a key may look like something.
            Err(_) if self.password.is_some() => Err(problem(
                PASSWORD_FILE,
                "holds a password that does not open the private key, or the key is not RSA; \
                 correct the password, or make an RSA key",
            )),
            Err(_) => Err(problem(
                KEY_FILE,
                "names a private key that is cut short or not RSA; Snowflake takes RSA keys of \
                 2048 bits or more",
            )),
        }
    }
}

fn problem(setting: &'static str, remedy: &'static str) -> KeyProblem {
    KeyProblem { setting, remedy }
}
