//! The files that hold the private key and its password: read whole and judged before they are used,
//! and never shown.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use claviger_core::SecretBytes;
use claviger_settings::SettingsProblem;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{self, DecodePrivateKey as _};

use crate::SnowflakeSettings;
use crate::settings::{KEY_FILE, PASSWORD_FILE};

/// Longer than any key.
const LEN_MAX: usize = 64 * 1024;

/// What others than owner and group may do with a file.
const OTHERS: u32 = 0o007;

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const PLAIN: &str = "-----BEGIN PRIVATE KEY-----";

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
    pub(crate) fn read(settings: &SnowflakeSettings) -> Result<Self, SettingsProblem> {
        let pem = read(&settings.private_key_file).map_err(|remedy| problem(KEY_FILE, remedy))?;
        let password = settings.private_key_password_file.as_deref().map(read);
        let password = password
            .transpose()
            .map_err(|remedy| problem(PASSWORD_FILE, remedy))?;
        let key = Self { pem, password };
        key.check()?;
        Ok(key)
    }

    fn check(&self) -> Result<(), SettingsProblem> {
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
            // What a wrong password makes of a key may look like something.
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

fn problem(key: &'static str, remedy: &'static str) -> SettingsProblem {
    SettingsProblem { key, remedy }
}

/// Reads a file, trimmed. It may not be open to everybody.
fn read(path: &Path) -> Result<SecretBytes, &'static str> {
    let unreadable = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            "names a file that does not exist; correct the path"
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "names a file that the daemon's user may not read; give it to that user (chown)"
        } else {
            "names a file that cannot be read; see what it is, and its disk"
        }
    };
    // Asked first, because opening a named pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("names something that is no regular file; correct the path");
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(
            "names a file that every user may read or write; close it (chmod o-rwx), and \
                    replace the key if anybody read it",
        );
    }
    // With room for all of it, so that growing leaves no copy behind.
    let mut content = Vec::with_capacity(LEN_MAX + 1);
    let file = File::open(path).map_err(unreadable)?;
    let outcome = file.take(LEN_MAX as u64 + 1).read_to_end(&mut content);
    let content = SecretBytes::new(content);
    outcome.map_err(unreadable)?;
    if content.len() > LEN_MAX {
        return Err("names a file that is too long for a key; correct the path");
    }
    match content.expose().trim_ascii() {
        [] => Err("names an empty file; put the key or its password into it"),
        trimmed => Ok(SecretBytes::new(trimmed.to_vec())),
    }
}
