//! How the fields of a line are written: as serde would, but in pieces that can be kept.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;

/// Adds fields of a JSON object to a buffer, each with the comma before it.
pub(crate) struct Fields<'a>(pub(crate) &'a mut Vec<u8>);

impl Fields<'_> {
    /// Adds fields that were written before.
    pub(crate) fn raw(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// Adds a text as it is displayed.
    pub(crate) fn text(&mut self, key: &str, value: impl Display) {
        self.key(key);
        self.quote(value);
    }

    /// The same of a text without a character that JSON does not allow between quotes.
    pub(crate) fn plain(&mut self, key: &str, value: &str) {
        self.key(key);
        for part in ["\"", value, "\""] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }

    /// Adds a text as it is displayed, if there is one.
    pub(crate) fn some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        write!(self.0, "{value}").ok();
    }

    /// Adds a list, unless it is empty.
    pub(crate) fn list(&mut self, key: &str, words: &[&'static str]) {
        let mut before = b'[';
        for word in words {
            if before == b'[' {
                self.key(key);
            }
            self.0.push(before);
            self.quote(word);
            before = b',';
        }
        if before == b',' {
            self.0.push(b']');
        }
    }

    /// Adds an object of texts, unless it is empty.
    pub(crate) fn object(
        &mut self,
        key: &str,
        entries: impl Iterator<Item = (impl Display, impl Display)>,
    ) {
        let mut before = b'{';
        for (name, value) in entries {
            if before == b'{' {
                self.key(key);
            }
            self.0.push(before);
            self.quote(name);
            self.0.push(b':');
            self.quote(value);
            before = b',';
        }
        if before == b',' {
            self.0.push(b'}');
        }
    }

    fn key(&mut self, key: &str) {
        for part in [",\"", key, "\":"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }

    fn quote(&mut self, value: impl Display) {
        self.0.push(b'"');
        // Neither the memory nor a name of ours fails.
        write!(Escaped(self.0), "{value}").ok();
        self.0.push(b'"');
    }
}

/// Escapes what JSON does not allow between quotes.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_plain = |byte: u8| !matches!(byte, b'"' | b'\\' | ..b' ');
        if text.bytes().all(is_plain) {
            self.0.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        for byte in text.bytes() {
            let short = match byte {
                b'"' | b'\\' => byte,
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                ..b' ' => {
                    write!(self.0, "\\u{byte:04x}").ok();
                    continue;
                }
                _ => {
                    self.0.push(byte);
                    continue;
                }
            };
            self.0.extend_from_slice(&[b'\\', short]);
        }
        Ok(())
    }
}
