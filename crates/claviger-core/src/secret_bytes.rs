//! The one type a secret value has in memory.

use zeroize::Zeroize;

/// The bytes of a secret value, wiped when dropped.
///
/// SECURITY: no `Debug`, `Display`, `Serialize`, `Clone`, `Deref` or `PartialEq`, and none may be
/// added: a value must not be able to reach a log, an error or a file by accident.
/// [`expose`](Self::expose) is the only door, so that a search for it lists every reader.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over without copying them.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes up: their new owner has to wipe them.
    pub fn into_exposed(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// A visible copy.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// CRC-32C (Castagnoli) of the bytes.
    pub fn crc32c(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
