//! AES-256-GCM, twice: the record under a fresh data key, the data key under a key-encryption key.
//!
//! `format(1) | kek id(4, big endian) | box(data key) | box(record)`, a box being
//! `nonce(12) | ciphertext | tag(16)`. Both boxes authenticate the length-prefixed format, store id,
//! record key and kek id.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use claviger_core::SecretBytes;
use zeroize::Zeroizing;

use crate::bytes::{length_prefixed, random_bytes};

const FORMAT: u8 = 1;
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const BOX_OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// A sealed record taken apart.
pub(crate) struct Envelope<'a> {
    pub(crate) kek_id: u32,
    data_key: &'a [u8; KEY_LEN + BOX_OVERHEAD],
    record: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Takes a record apart, or `None` if it is too short or of another format.
    pub(crate) fn parse(sealed: &'a [u8]) -> Option<Self> {
        let (&[format], rest) = sealed.split_first_chunk()?;
        let (kek_id, rest) = rest.split_first_chunk()?;
        let (data_key, record) = rest.split_first_chunk()?;
        (format == FORMAT).then_some(Self {
            kek_id: u32::from_be_bytes(*kek_id),
            data_key,
            record,
        })
    }

    /// The record, or `None` if anything it is bound to differs.
    pub(crate) fn open(
        &self,
        kek: &LessSafeKey,
        store: &str,
        record_key: &str,
    ) -> Option<SecretBytes> {
        let aad = aad(self.kek_id, store, record_key);
        let data_key = open_box(kek, &aad, self.data_key)?;
        open_box(&key(&data_key).ok()?, &aad, self.record)
            .map(|mut record| SecretBytes::new(std::mem::take(&mut record)))
    }
}

/// The id of the key-encryption key that a sealed record names, or `None` if it is not one.
pub fn key_id(sealed: &[u8]) -> Option<u32> {
    Envelope::parse(sealed).map(|envelope| envelope.kek_id)
}

/// Seals under a data key that is used for this one record only.
pub(crate) fn seal(
    kek_id: u32,
    kek: &LessSafeKey,
    store: &str,
    record_key: &str,
    record: &SecretBytes,
) -> Result<Vec<u8>, Unspecified> {
    let aad = aad(kek_id, store, record_key);
    let data_key = Zeroizing::new(random_bytes::<KEY_LEN>());
    let mut sealed = Vec::with_capacity(1 + 4 + KEY_LEN + record.len() + 2 * BOX_OVERHEAD);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&kek_id.to_be_bytes());
    append_box(&mut sealed, kek, &aad, data_key.as_ref())?;
    append_box(&mut sealed, &key(data_key.as_ref())?, &aad, record.expose())?;
    Ok(sealed)
}

pub(crate) fn key(bytes: &[u8]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new)
}

pub(crate) fn append_box(
    out: &mut Vec<u8>,
    key: &LessSafeKey,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(), Unspecified> {
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

fn aad(kek_id: u32, store: &str, record_key: &str) -> Vec<u8> {
    length_prefixed(&[
        &[FORMAT],
        store.as_bytes(),
        record_key.as_bytes(),
        &kek_id.to_be_bytes(),
    ])
}
