use std::fmt;

use aws_lc_rs::hmac;
use claviger_core::SecretBytes;
use zeroize::Zeroizing;

use crate::bytes::{hex, hex_digits, random_bytes, unhex};

const TEXT_PREFIX: &[u8] = b"claviger-root-key-1:";

/// How the text of every version begins.
const ANY_PREFIX: &[u8] = b"claviger-root-key-";

/// Byte-order marks of UTF-8 and of both forms of UTF-16.
const MARKS: &[&[u8]] = &[b"\xEF\xBB\xBF", b"\xFE\xFF", b"\xFF\xFE"];

const NO_KEY: &str = "does not hold a root key (claviger-root-key-1: and 64 lower-case hexadecimal \
                      digits); put it back from its backup";

/// The key above all keys: it seals the keyring record and nothing else. Wiped when dropped.
pub struct RootKey(Zeroizing<[u8; 32]>);

impl RootKey {
    /// A fresh random key.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random_bytes()))
    }

    /// Reads the text of [`to_text`](Self::to_text); white space around it counts for nothing.
    ///
    /// # Errors
    /// What is wrong with any other text and the remedy, to follow the name of what holds it. The
    /// text is not echoed.
    pub fn from_text(text: &SecretBytes) -> Result<Self, &'static str> {
        let text = text.expose().trim_ascii();
        let digits = text
            .strip_prefix(TEXT_PREFIX)
            .ok_or_else(|| fault_of_start(text))?;
        let mut key = Zeroizing::new([0; 32]);
        match unhex(digits, key.as_mut()) {
            Some(()) => Ok(Self(key)),
            None => Err(fault_of_digits(digits)),
        }
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

fn fault_of_start(text: &[u8]) -> &'static str {
    let is_start = |start: &[u8]| text.starts_with(start);
    let has_start = text.get(..TEXT_PREFIX.len()).unwrap_or_default();
    if MARKS.iter().any(|mark| is_start(mark)) {
        "begins with a byte-order mark, as some editors write it; save it as plain text without one"
    } else if is_start(b"\"") || is_start(b"'") {
        "has quotes around the root key; take them off"
    } else if has_start.eq_ignore_ascii_case(TEXT_PREFIX) {
        "holds a root key in upper case; write all of it in lower case"
    } else if is_start(ANY_PREFIX) {
        "holds a root key of a form that this version does not know (claviger-root-key-1: is \
         known); start the version that it belongs to"
    } else if text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit) {
        "holds the digits of a root key alone; write claviger-root-key-1: before them, in one line"
    } else {
        NO_KEY
    }
}

fn fault_of_digits(digits: &[u8]) -> &'static str {
    let has = |is_wrong: fn(&u8) -> bool| digits.iter().any(is_wrong);
    if has(u8::is_ascii_whitespace) {
        "holds a root key with a space or a line break inside; write it in one line"
    } else if has(|digit| !digit.is_ascii_hexdigit()) {
        "holds a root key with a character that is no hexadecimal digit; put it back from its backup"
    } else if digits.len() < 64 {
        "holds a root key with fewer than 64 digits, which was cut short; put it back from its backup"
    } else if digits.len() > 64 {
        "holds a root key with more than 64 digits; put it back from its backup"
    } else {
        "holds a root key with upper-case digits; write them in lower case"
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}
