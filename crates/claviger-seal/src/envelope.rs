//! AES-256-GCM, twice: the record under a fresh data key, the data key under a key-encryption key.
//!
//! `format(1) | kek id(4, big endian) | box(data key) | box(record)`, a box being
//! `nonce(12) | ciphertext | tag(16)`. Both boxes authenticate the length-prefixed format, store id,
//! record key and kek id.
//!
//! Format 2 is for secrets, which can be destroyed: its record begins with padding.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use claviger_core::{Result, SecretBytes};
use zeroize::Zeroizing;

use crate::bytes::{length_prefixed, random_bytes};
use crate::refused::refused;

/// What an envelope's first byte says of the record in it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Format {
    /// It is all of the plaintext.
    Plain = 1,
    /// It follows [`PADDING_LEN`] zeros in the plaintext.
    Padded = 2,
}

/// SECURITY: keeps a secret out of the pages that its row shares with others. SQLite overwrites
/// what it deletes, but not the older copies that it leaves in such pages when it moves rows; they
/// have at most the first 1002 bytes of a row. The rest is in pages of the row's own, which never
/// move.
const PADDING_LEN: usize = 1024;

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const BOX_OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// A sealed record taken apart.
pub(crate) struct Envelope<'a> {
    pub(crate) kek_id: u32,
    format: Format,
    data_key: &'a [u8; KEY_LEN + BOX_OVERHEAD],
    record: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Takes a record apart, or `None` if it is too short or of another format.
    pub(crate) fn parse(sealed: &'a [u8]) -> Option<Self> {
        let (&[format], rest) = sealed.split_first_chunk()?;
        let (kek_id, rest) = rest.split_first_chunk()?;
        let (data_key, record) = rest.split_first_chunk()?;
        let known = [Format::Plain, Format::Padded];
        Some(Self {
            kek_id: u32::from_be_bytes(*kek_id),
            format: known.into_iter().find(|known| *known as u8 == format)?,
            data_key,
            record,
        })
    }

    /// The way to the record, or `None` if it is not bound to these.
    pub(crate) fn opener(
        &self,
        kek: &LessSafeKey,
        store: &str,
        record_key: &str,
    ) -> Option<Opener<&'a [u8]>> {
        let aad = aad(self.format, self.kek_id, store, record_key);
        let data_key = open_box(kek, &aad, self.data_key)?;
        Some(Opener {
            format: self.format,
            key: key(&data_key).ok()?,
            aad,
            record: self.record,
        })
    }
}

/// A sealed record with its data key at hand, for one that is opened often.
///
/// SECURITY: whoever can read the key in memory can read the keyring, which opens everything.
pub struct Opener<B = Box<[u8]>> {
    format: Format,
    key: LessSafeKey,
    aad: Vec<u8>,
    record: B,
}

impl<B: AsRef<[u8]>> Opener<B> {
    /// What it takes up beside its record, in bytes.
    pub const OVERHEAD: usize = size_of::<Self>() + 256;

    /// The record.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` if it was changed.
    pub fn open(&self) -> Result<SecretBytes> {
        let opened = open_box(&self.key, &self.aad, self.record.as_ref());
        let mut record =
            std::mem::take(&mut *opened.ok_or_else(|| refused("a record was changed"))?);
        if self.format == Format::Padded {
            if record.len() < PADDING_LEN {
                return Err(refused("a record is cut short"));
            }
            // In place: a copy would leave one more to wipe.
            record.drain(..PADDING_LEN);
        }
        Ok(SecretBytes::new(record))
    }
}

impl Opener<&[u8]> {
    /// The same with a record of its own.
    pub(crate) fn owned(self) -> Opener {
        Opener {
            format: self.format,
            key: self.key,
            aad: self.aad,
            record: self.record.into(),
        }
    }
}

impl<B> fmt::Debug for Opener<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

/// The id of the key-encryption key that a sealed record names, or `None` if it is not one.
pub fn key_id(sealed: &[u8]) -> Option<u32> {
    Envelope::parse(sealed).map(|envelope| envelope.kek_id)
}

/// Seals under a data key that is used for this one record only.
pub(crate) fn seal(
    format: Format,
    kek_id: u32,
    kek: &LessSafeKey,
    store: &str,
    record_key: &str,
    record: &SecretBytes,
) -> std::result::Result<Vec<u8>, Unspecified> {
    let aad = aad(format, kek_id, store, record_key);
    let data_key = Zeroizing::new(random_bytes::<KEY_LEN>());
    let padding: &[u8] = match format {
        Format::Plain => &[],
        Format::Padded => &[0; PADDING_LEN],
    };
    let plaintext = Zeroizing::new([padding, record.expose()].concat());
    let mut sealed = Vec::with_capacity(1 + 4 + KEY_LEN + plaintext.len() + 2 * BOX_OVERHEAD);
    sealed.push(format as u8);
    sealed.extend_from_slice(&kek_id.to_be_bytes());
    append_box(&mut sealed, kek, &aad, data_key.as_ref())?;
    append_box(&mut sealed, &key(data_key.as_ref())?, &aad, &plaintext)?;
    Ok(sealed)
}

pub(crate) fn key(bytes: &[u8]) -> std::result::Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new)
}

pub(crate) fn append_box(
    out: &mut Vec<u8>,
    key: &LessSafeKey,
    aad: &[u8],
    plaintext: &[u8],
) -> std::result::Result<(), Unspecified> {
    let nonce = random_bytes::<NONCE_LEN>();
    out.extend_from_slice(&nonce);
    let start = out.len();
    // SECURITY: reserved first, so that growing leaves no plaintext behind in freed memory.
    out.reserve(plaintext.len() + TAG_LEN);
    out.extend_from_slice(plaintext);
    let tag = key.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(aad),
        out.get_mut(start..).unwrap_or_default(),
    )?;
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

pub(crate) fn open_box(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>()?;
    let mut plaintext = Zeroizing::new(vec![0; ciphertext.len()]);
    let nonce = Nonce::assume_unique_for_key(*nonce);
    key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, plaintext.as_mut())
        .ok()?;
    Some(plaintext)
}

fn aad(format: Format, kek_id: u32, store: &str, record_key: &str) -> Vec<u8> {
    length_prefixed(&[
        &[format as u8],
        store.as_bytes(),
        record_key.as_bytes(),
        &kek_id.to_be_bytes(),
    ])
}
