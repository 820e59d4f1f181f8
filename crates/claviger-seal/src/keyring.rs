use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::hmac;
use claviger_core::{Error, Reason, Result, SecretBytes, Uid};
use zeroize::Zeroizing;

use crate::bytes::{hex, length_prefixed, random_bytes, unhex};
use crate::envelope::{self, Envelope, Format as Form, Opener};
use crate::refused::refused;
use crate::root_key::RootKey;
use crate::stored::{Format, KeyringRecord, Keys};

/// The keys of one store: key-encryption keys by id, one of them current, and a MAC key.
///
/// New records are sealed under the current key; each record names the key it opens with. A key
/// may seal 2^32 records (random nonces); rotation is not built yet.
///
/// The format of its record stands for the whole store: in format 1 the other records have no
/// envelope that names their form. Programs that know an older format only open nothing.
pub struct Keyring {
    store: Uid,
    store_text: String,
    format: u8,
    current: u32,
    keks: BTreeMap<u32, LessSafeKey>,
    mac: hmac::Key,
}

impl Keyring {
    /// The format of new stores.
    pub const FORMAT: u8 = 2;

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
        let record = seal_keys(root, store, &keys)?;
        Ok((Self::of(store, Self::FORMAT, &keys)?, record))
    }

    /// Opens a keyring record of this format or an older one.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` with another root key, a changed record or a newer format; the source
    /// says which.
    pub fn open(root: &RootKey, record: &[u8]) -> Result<Self> {
        let (record, keys) = open_keys(root, record)?;
        Self::of(record.store, record.format, &keys)
    }

    /// The same keys in a record of the format of new stores.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn renew(root: &RootKey, record: &[u8]) -> Result<Vec<u8>> {
        let (record, keys) = open_keys(root, record)?;
        seal_keys(root, record.store, &keys)
    }

    /// Seals a record under a fresh data key, for the store to file under `record_key`.
    ///
    /// # Errors
    /// `INTERNAL` if the cipher fails.
    pub fn seal(&self, record_key: &str, plaintext: &SecretBytes) -> Result<Vec<u8>> {
        self.seal_as(Form::Plain, record_key, plaintext)
    }

    /// As [`seal`](Self::seal), for a secret in the store: once the store has erased its row, what
    /// is left in the store's files does not hold it.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_erasable(&self, record_key: &str, plaintext: &SecretBytes) -> Result<Vec<u8>> {
        self.seal_as(Form::Padded, record_key, plaintext)
    }

    /// Opens the record that was filed under `record_key`.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` unless it is a record that this store sealed for this key.
    pub fn open_record(&self, record_key: &str, sealed: &[u8]) -> Result<SecretBytes> {
        let changed = |_| refused(format!("record {record_key} was changed"));
        self.unlock(record_key, sealed)?.open().map_err(changed)
    }

    /// As [`open_record`](Self::open_record), of one that is opened often.
    ///
    /// # Errors
    /// As [`open_record`](Self::open_record); whether the record itself was changed is seen when it
    /// is opened.
    pub fn opener(&self, record_key: &str, sealed: &[u8]) -> Result<Opener> {
        self.unlock(record_key, sealed).map(Opener::owned)
    }

    fn unlock<'a>(&self, record_key: &str, sealed: &'a [u8]) -> Result<Opener<&'a [u8]>> {
        let refused = |why| refused(format!("record {record_key} {why}"));
        let envelope = Envelope::parse(sealed)
            .ok_or_else(|| refused("is cut short or has a format that is not known here"))?;
        let kek = self.keks.get(&envelope.kek_id);
        let kek = kek.ok_or_else(|| refused("names a key that is not in the keyring"))?;
        envelope
            .opener(kek, &self.store_text, record_key)
            .ok_or_else(|| refused("was changed or belongs elsewhere"))
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

    /// The format of the store.
    pub fn format(&self) -> u8 {
        self.format
    }

    /// The id of the store, made with the keyring.
    pub fn store_id(&self) -> Uid {
        self.store
    }

    fn seal_as(&self, form: Form, record_key: &str, plaintext: &SecretBytes) -> Result<Vec<u8>> {
        let store = &self.store_text;
        self.keks
            .get(&self.current)
            .and_then(|kek| {
                envelope::seal(form, self.current, kek, store, record_key, plaintext).ok()
            })
            .ok_or_else(cipher_failed)
    }

    fn of(store: Uid, format: u8, keys: &Keys) -> Result<Self> {
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
            format,
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

fn seal_keys(root: &RootKey, store: Uid, keys: &Keys) -> Result<Vec<u8>> {
    let format = Keyring::FORMAT;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(1024));
    serde_json::to_writer(&mut *plaintext, keys).map_err(|_| cipher_failed())?;
    let mut sealed = Vec::new();
    envelope::key(root.bytes())
        .and_then(|key| envelope::append_box(&mut sealed, &key, &aad(format, store), &plaintext))
        .map_err(|_| cipher_failed())?;
    let record = KeyringRecord {
        format,
        store,
        root_key_check: root.check(),
        sealed_keys: hex(&sealed),
    };
    serde_json::to_vec(&record).map_err(|_| cipher_failed())
}

fn open_keys(root: &RootKey, record: &[u8]) -> Result<(KeyringRecord, Keys)> {
    let changed = || refused("the keyring record was changed");
    // Before the rest, which another format may spell otherwise.
    let Format { format } = serde_json::from_slice(record).map_err(|_| changed())?;
    if !(1..=Keyring::FORMAT).contains(&format) {
        return Err(refused(format!(
            "the store has format {format}, this program reads formats up to {}",
            Keyring::FORMAT
        )));
    }
    let record: KeyringRecord = serde_json::from_slice(record).map_err(|_| changed())?;
    if record.root_key_check != root.check() {
        return Err(refused(
            "the root key is not the one this store was made with",
        ));
    }
    let mut sealed = vec![0; record.sealed_keys.len() / 2];
    unhex(record.sealed_keys.as_bytes(), &mut sealed).ok_or_else(changed)?;
    let key = envelope::key(root.bytes()).map_err(|_| cipher_failed())?;
    let plaintext =
        envelope::open_box(&key, &aad(format, record.store), &sealed).ok_or_else(changed)?;
    let keys = serde_json::from_slice(&plaintext).map_err(|_| changed())?;
    Ok((record, keys))
}

fn aad(format: u8, store: Uid) -> Vec<u8> {
    length_prefixed(&[b"claviger keyring", &[format], store.to_string().as_bytes()])
}

fn cipher_failed() -> Error {
    Error::new(Reason::Internal).caused_by("the cipher failed")
}
