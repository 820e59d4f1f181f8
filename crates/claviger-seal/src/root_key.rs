use std::fmt;

use aws_lc_rs::hmac;
use claviger_core::{Error, Reason, Result, SecretBytes};
use zeroize::Zeroizing;

use crate::{hex, hex_digits, random_bytes, unhex};

const TEXT_PREFIX: &[u8] = b"claviger-root-key-1:";

/// The key above all keys: it seals the keyring record and nothing else. Wiped when dropped.
pub struct RootKey(Zeroizing<[u8; 32]>);

impl RootKey {
    /// A fresh random key.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random_bytes()))
    }

    /// Reads the line that [`to_text`](Self::to_text) writes; its newline may be missing.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` for any other text, which is not echoed.
    pub fn from_text(text: &SecretBytes) -> Result<Self> {
        let text = text.expose();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut key = Zeroizing::new([0; 32]);
        text.strip_prefix(TEXT_PREFIX)
            .and_then(|digits| unhex(digits, key.as_mut()))
            .ok_or_else(|| {
                Error::new(Reason::IntegrityFailure).caused_by(
                    "the root key is not of the form claviger-root-key-1:<64 lower-case hexadecimal digits>",
                )
            })?;
        Ok(Self(key))
    }

    /// The key as one line of text, for a key file or a credential.
    pub fn to_text(&self) -> SecretBytes {
        let mut text = Vec::with_capacity(TEXT_PREFIX.len() + 65);
        text.extend_from_slice(TEXT_PREFIX);
        text.extend(hex_digits(self.bytes()));
        text.push(b'\n');
        SecretBytes::new(text)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells keys apart without telling anything about them.
    pub(crate) fn check(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes());
        let tag = hmac::sign(&key, b"claviger root key check");
        hex(tag.as_ref().get(..8).unwrap_or_default())
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}
