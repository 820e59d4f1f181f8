use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::hmac;
use claviger_core::{Error, Reason, Result, SecretBytes, Uid};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::envelope::{self, Envelope};
use crate::{RootKey, hex, length_prefixed, random_bytes, unhex};

const FORMAT: u8 = 1;

/// The keys of one store: key-encryption keys by id, one of them current, and a MAC key.
///
/// New records are sealed under the current key; each record names the key it opens with. A key
/// may seal 2^32 records (random nonces); rotation is not built yet.
pub struct Keyring {
    store: Uid,
    store_text: String,
    current: u32,
    keks: BTreeMap<u32, LessSafeKey>,
    mac: hmac::Key,
}

/// The record that the store files: the keys, sealed with the root key.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u8,
    store: Uid,
    /// Tells "another root key" from "changed"; proves nothing.
    root_key_check: String,
    sealed_keys: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    current: u32,
    keks: BTreeMap<u32, [u8; 32]>,
    mac: [u8; 32],
}

impl Keyring {
    /// The keyring of a new store, and the record to file for it.
    ///
    /// # Errors
    /// `INTERNAL` if the cipher fails.
    pub fn generate(root: &RootKey) -> Result<(Self, Vec<u8>)> {
        let keys = Keys {
            current: 1,
            keks: BTreeMap::from([(1, random_bytes())]),
            mac: random_bytes(),
        };
        let store = Uid::random();
        let mut plaintext = Zeroizing::new(Vec::with_capacity(1024));
        serde_json::to_writer(&mut *plaintext, &keys).map_err(|_| cipher_failed())?;
        let mut sealed = Vec::new();
        envelope::key(root.bytes())
            .and_then(|key| envelope::append_box(&mut sealed, &key, &aad(store), &plaintext))
            .map_err(|_| cipher_failed())?;
        let record = Record {
            format: FORMAT,
            store,
            root_key_check: root.check(),
            sealed_keys: hex(&sealed),
        };
        let bytes = serde_json::to_vec(&record).map_err(|_| cipher_failed())?;
        Ok((Self::of(store, &keys)?, bytes))
    }

    /// Opens a keyring record.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` with another root key or a changed record; the source says which.
    pub fn open(root: &RootKey, record: &[u8]) -> Result<Self> {
        let changed = || refused("the keyring record was changed");
        let record: Record = serde_json::from_slice(record).map_err(|_| changed())?;
        if record.format != FORMAT {
            return Err(refused(
                "the keyring record has a format that is not known here",
            ));
        }
        if record.root_key_check != root.check() {
            return Err(refused(
                "the root key is not the one this store was made with",
            ));
        }
        let mut sealed = vec![0; record.sealed_keys.len() / 2];
        unhex(record.sealed_keys.as_bytes(), &mut sealed).ok_or_else(changed)?;
        let key = envelope::key(root.bytes()).map_err(|_| cipher_failed())?;
        let plaintext =
            envelope::open_box(&key, &aad(record.store), &sealed).ok_or_else(changed)?;
        let keys: Keys = serde_json::from_slice(&plaintext).map_err(|_| changed())?;
        Self::of(record.store, &keys)
    }

    /// Seals a record under a fresh data key, for the store to file under `record_key`.
    ///
    /// # Errors
    /// `INTERNAL` if the cipher fails.
    pub fn seal(&self, record_key: &str, plaintext: &SecretBytes) -> Result<Vec<u8>> {
        self.keks
            .get(&self.current)
            .and_then(|kek| {
                envelope::seal(self.current, kek, &self.store_text, record_key, plaintext).ok()
            })
            .ok_or_else(cipher_failed)
    }

    /// Opens a record that was filed under `record_key`.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` unless it is a record that this store sealed for this key.
    pub fn open_record(&self, record_key: &str, sealed: &[u8]) -> Result<SecretBytes> {
        let refused = |why| refused(format!("record {record_key} {why}"));
        let envelope = Envelope::parse(sealed)
            .ok_or_else(|| refused("is cut short or has a format that is not known here"))?;
        self.keks
            .get(&envelope.kek_id)
            .ok_or_else(|| refused("names a key that is not in the keyring"))
            .and_then(|kek| {
                envelope
                    .open(kek, &self.store_text, record_key)
                    .ok_or_else(|| refused("was changed or belongs elsewhere"))
            })
    }

    /// HMAC-SHA256 of `parts` for one purpose, under a key that only this store has.
    pub fn mac(&self, context: &'static str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.mac);
        for part in [context.as_bytes()].iter().chain(parts) {
            mac.update(&length_prefixed(&[part]));
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(mac.sign().as_ref());
        tag
    }

    /// The id of the store, made with the keyring.
    pub fn store_id(&self) -> Uid {
        self.store
    }

    fn of(store: Uid, keys: &Keys) -> Result<Self> {
        let mut keks = BTreeMap::new();
        for (id, bytes) in &keys.keks {
            keks.insert(*id, envelope::key(bytes).map_err(|_| cipher_failed())?);
        }
        if !keks.contains_key(&keys.current) {
            return Err(refused("the keyring record lacks its current key"));
        }
        Ok(Self {
            store,
            store_text: store.to_string(),
            current: keys.current,
            keks,
            mac: hmac::Key::new(hmac::HMAC_SHA256, &keys.mac),
        })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("store", &self.store_text)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.keks.values_mut().for_each(Zeroize::zeroize);
        self.mac.zeroize();
    }
}

fn aad(store: Uid) -> Vec<u8> {
    length_prefixed(&[b"claviger keyring", &[FORMAT], store.to_string().as_bytes()])
}

fn refused(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Reason::IntegrityFailure).caused_by(why)
}

fn cipher_failed() -> Error {
    Error::new(Reason::Internal).caused_by("the cipher failed")
}
