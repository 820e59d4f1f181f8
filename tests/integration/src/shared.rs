//! A vault of ours that others write to as well, at the worst moments. It is no emulator of
//! anybody's product.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use async_trait::async_trait;
use claviger_backend::{
    Address, Backend, Capabilities, ListedSecret, Reading, VersionInfo, VersionState, Write,
    Written,
};
use claviger_core::{Error, Id, Reason, Result, SecretBytes, Uid};

/// What somebody else does at a write of ours: sets a key of the document.
#[derive(Clone, Copy, Debug)]
pub enum Meanwhile {
    /// Just before it is stored.
    Before(&'static str),
    /// Just before, a text in place of the document.
    BeforeText(&'static str),
    /// Just after, in what it has stored.
    After(&'static str),
    /// Just after, in what was there before it.
    Late(&'static str),
    /// As `Before`, and the version so many before the last is switched off then.
    Off(&'static str, usize),
    /// Nothing.
    Nothing,
}

/// A vault in memory, with its console.
#[derive(Debug, Default)]
pub struct SharedBackend(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    secrets: BTreeMap<String, Secret>,
    meanwhile: VecDeque<Meanwhile>,
    /// How many answers to writes are lost.
    lost: usize,
    /// Whether values are refused to Claviger.
    is_denied: bool,
}

#[derive(Debug, Default)]
struct Secret {
    /// Whose it is, with the definition that wrote it last.
    project: Option<Id>,
    /// Oldest first.
    versions: Vec<Version>,
}

struct Version {
    id: Id,
    value: Vec<u8>,
    state: VersionState,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").finish_non_exhaustive()
    }
}

impl SharedBackend {
    /// As somebody does in the console. Returns the version.
    pub fn type_in(&self, secret: &str, value: &str) -> String {
        let mut inner = self.inner();
        let secret = inner.secrets.entry(secret.to_owned()).or_default();
        secret.store(Uid::random(), value.into()).to_string()
    }

    /// Switches a version off, or on, in the console.
    pub fn set(&self, secret: &str, version: &str, state: VersionState) {
        let mut inner = self.inner();
        let secret = inner.secrets.get_mut(secret).expect("there");
        secret.version(version).expect("there").state = state;
    }

    /// Takes a secret away for good.
    pub fn delete(&self, secret: &str) {
        self.inner().secrets.remove(secret);
    }

    /// What somebody else does at the next writes, one each.
    pub fn meanwhile(&self, planned: &[Meanwhile]) {
        self.inner().meanwhile = planned.iter().copied().collect();
    }

    /// How much of that nobody has done yet.
    pub fn left(&self) -> usize {
        self.inner().meanwhile.len()
    }

    /// The answers to this many writes are lost; the values are stored.
    pub fn lose_answers(&self, count: usize) {
        self.inner().lost = count;
    }

    /// Refuses values to Claviger from now on, and nothing else.
    pub fn deny_values(&self) {
        self.inner().is_denied = true;
    }

    /// The latest value of a secret.
    pub fn latest_value(&self, secret: &str) -> String {
        let inner = self.inner();
        let last = inner
            .secrets
            .get(secret)
            .and_then(|one| one.versions.last());
        String::from_utf8(last.expect("there").value.clone()).expect("text")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panics in here")
    }
}

impl Secret {
    fn store(&mut self, write_id: Uid, value: Vec<u8>) -> Id {
        let id = Id::parse("version", &write_id.to_string()).expect("an id");
        self.versions.push(Version {
            id: id.clone(),
            value,
            state: VersionState::Enabled,
        });
        id
    }

    fn version(&mut self, id: &str) -> Option<&mut Version> {
        self.versions
            .iter_mut()
            .find(|version| version.id.as_str() == id)
    }

    /// Sets a key of the version so many before the last.
    fn edit(&mut self, back: usize, key: &str) {
        let from = self.versions.iter().rev().nth(back);
        let bytes = from.map_or(b"{}".as_slice(), |version| &version.value);
        let mut document: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(bytes).expect("JSON");
        document.insert(key.to_owned(), "edited".into());
        let document = serde_json::Value::Object(document);
        self.store(Uid::random(), document.to_string().into());
    }
}

#[async_trait]
impl Backend for SharedBackend {
    fn kind(&self) -> &'static str {
        "shared"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            secret: true,
            property: true,
            version: true,
            latest: true,
            list: true,
            disable_version: true,
            destroy_version: false,
            value_bytes_max: 64 * 1024,
        }
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let mut inner = self.inner();
        if inner.is_denied {
            return Err(Error::new(Reason::VaultAccessDenied));
        }
        let secret = inner.secrets.get_mut(&address.secret);
        let secret = secret.ok_or_else(|| Error::new(Reason::SecretNotFound))?;
        let found = match version {
            Some(version) => secret.version(version),
            None => secret.versions.last_mut(),
        };
        let found = found.ok_or_else(|| Error::new(Reason::VersionNotFound))?;
        match found.state {
            VersionState::Enabled => Ok(Reading::new(
                address.secret.clone(),
                found.id.clone(),
                SecretBytes::new(found.value.clone()),
            )),
            VersionState::Destroyed | VersionState::Disabled => {
                Err(Error::new(Reason::VersionDisabled))
            }
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let mut inner = self.inner();
        let meanwhile = inner.meanwhile.pop_front().unwrap_or(Meanwhile::Nothing);
        let is_lost = inner.lost > 0;
        inner.lost = inner.lost.saturating_sub(1);
        let is_new = !inner.secrets.contains_key(&address.secret);
        let secret = inner.secrets.entry(address.secret.clone()).or_default();
        if is_new || write.adopt {
            secret.project = Some(address.project.clone());
        }
        if secret.project.as_ref() != Some(&address.project) {
            return Err(Error::new(Reason::SecretNotOwned));
        }
        let value = write.value.expose().to_vec();
        match meanwhile {
            Meanwhile::Before(key) => secret.edit(0, key),
            Meanwhile::BeforeText(text) => drop(secret.store(Uid::random(), text.into())),
            Meanwhile::Off(key, back) => {
                secret.edit(0, key);
                let off = secret.versions.iter_mut().rev().nth(back);
                off.expect("there").state = VersionState::Disabled;
            }
            Meanwhile::After(_) | Meanwhile::Late(_) | Meanwhile::Nothing => {}
        }
        let id = match secret.version(&write.write_id.to_string()) {
            Some(version) => version.id.clone(),
            None => secret.store(write.write_id, value),
        };
        let place = secret.versions.iter().position(|one| one.id == id);
        let before = place.and_then(|place| place.checked_sub(1));
        let before = before.and_then(|place| secret.versions.get(place));
        let replaced = before.map(|one| one.id.clone()).into_iter().collect();
        match meanwhile {
            Meanwhile::After(key) => secret.edit(0, key),
            Meanwhile::Late(key) => secret.edit(1, key),
            Meanwhile::Before(_)
            | Meanwhile::BeforeText(_)
            | Meanwhile::Off(..)
            | Meanwhile::Nothing => {}
        }
        if is_lost {
            return Err(Error::new(Reason::WriteOutcomeUnknown));
        }
        let is_last = secret.versions.last().is_some_and(|last| last.id == id);
        let written = Written::new(id).replacing(Some(replaced));
        Ok(written.followed(!is_last))
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        let mut inner = self.inner();
        let secret = inner.secrets.get_mut(&address.secret);
        let found = secret.and_then(|secret| secret.version(&write_id.to_string()));
        Ok(found.map(|version| version.id.clone()))
    }

    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let inner = self.inner();
        let wanted = inner
            .secrets
            .iter()
            .filter(|(name, _)| is_wanted(name) && after.is_none_or(|after| name.as_str() > after));
        let listed = wanted.map(|(name, secret)| ListedSecret {
            name: name.clone(),
            is_ours: secret.project.is_some(),
            change_time: None,
        });
        Ok(listed.take(limit).collect())
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let inner = self.inner();
        let versions = inner.secrets.get(&address.secret).into_iter();
        let newest_first = versions.flat_map(|secret| secret.versions.iter().rev());
        let infos = newest_first.map(|version| VersionInfo {
            version: version.id.clone(),
            state: version.state,
            create_time: SystemTime::UNIX_EPOCH,
        });
        Ok(VersionInfo::page(infos.collect(), after, limit))
    }

    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        let inner = self.inner();
        let secret = inner.secrets.get(&address.secret);
        let last = secret.and_then(|secret| secret.versions.last());
        Ok(last.map(|version| version.id.clone()))
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let mut inner = self.inner();
        let secret = inner.secrets.get_mut(&address.secret);
        let secret = secret.ok_or_else(|| Error::new(Reason::VersionNotFound))?;
        let project = secret.project.clone();
        let found = secret.version(version.as_str());
        let found = found.ok_or_else(|| Error::new(Reason::VersionNotFound))?;
        if project.as_ref() != Some(&address.project) {
            return Err(Error::new(Reason::SecretNotOwned));
        }
        found.state = state;
        Ok(VersionInfo {
            version: version.clone(),
            state,
            create_time: SystemTime::UNIX_EPOCH,
        })
    }

    async fn purge(&self, _: &Address) -> Result<()> {
        Ok(())
    }
}
