//! A vault and a disk of ours that fail on demand. Neither is an emulator of anybody's product.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::SystemTime;

use async_trait::async_trait;
use claviger_audit::{Flush, Sink};
use claviger_backend::{
    Address, Backend, Capabilities, ListedSecret, Reading, VersionInfo, VersionState, Write,
    Written,
};
use claviger_core::{Cause, Error, Id, Reason, Result, SecretBytes, Uid};
use tokio::sync::watch;

/// When everything that was typed in by hand was.
pub const TYPED_TIME: SystemTime = SystemTime::UNIX_EPOCH;

/// The version that everything that was typed in by hand is.
const TYPED: &str = "typed";

/// The fate of a call of a [`FaultyBackend`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// Fails with this reason before anything is done.
    Fail(Reason),
    /// Waits until another fault is set, then does as that says.
    Hang,
    /// Does all of it, then loses the answer.
    LoseAnswer,
    /// Works.
    #[default]
    None,
}

/// Which calls a fault is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Verb {
    /// [`Backend::find_write`]: the question of settling.
    FindWrite,
    /// [`Backend::list`].
    List,
    /// [`Backend::read`].
    Read,
    /// [`Backend::write`].
    Write,
}

/// A vault in memory.
#[derive(Debug, Default)]
pub struct FaultyBackend {
    faults: watch::Sender<HashMap<Verb, Fault>>,
    entered: watch::Sender<HashMap<Verb, usize>>,
    secrets: Mutex<HashMap<(Uid, String), Vec<Stored>>>,
    /// What was typed in by hand, as long as it is the latest version.
    foreign: Mutex<BTreeMap<String, Stored>>,
    /// What was typed in and then written over.
    overwritten: Mutex<HashMap<String, Stored>>,
    is_shared: bool,
}

struct Stored {
    write_id: Uid,
    value: SecretBytes,
    state: VersionState,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

impl FaultyBackend {
    /// An empty vault that works.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// An empty vault that others write to as well: it serves its latest version, and documents.
    pub fn shared() -> Arc<Self> {
        Arc::new(Self {
            is_shared: true,
            ..Self::default()
        })
    }

    /// From now on calls of `verb` do this; those that hang do it too.
    pub fn set(&self, verb: Verb, fault: Fault) {
        self.faults.send_modify(|faults| {
            faults.insert(verb, fault);
        });
    }

    /// Has secrets of these names that Claviger did not make.
    pub fn add_foreign(&self, names: &[&str]) {
        for name in names {
            self.type_in(name, "typed in by hand");
        }
    }

    /// Has a secret with this value that Claviger did not make, or has it typed in over one that it
    /// made: its latest version, called `typed`, until the next write.
    pub fn type_in(&self, name: &str, value: &str) {
        let mut foreign = self.foreign.lock().expect("nobody panics in here");
        let typed = Stored {
            write_id: Uid::random(),
            value: SecretBytes::new(value.into()),
            state: VersionState::Enabled,
        };
        foreign.insert(name.to_owned(), typed);
    }

    /// From now on everything works.
    pub fn heal(&self) {
        self.faults.send_modify(HashMap::clear);
    }

    /// How many calls of `verb` have come in.
    pub fn count(&self, verb: Verb) -> usize {
        self.entered.borrow().get(&verb).copied().unwrap_or(0)
    }

    /// Waits until `count` calls of `verb` have come in.
    pub async fn entered(&self, verb: Verb, count: usize) {
        let mut entered = self.entered.subscribe();
        let waited = entered.wait_for(|calls| calls.get(&verb).copied().unwrap_or(0) >= count);
        waited.await.expect("the sender is ours");
    }

    /// How many versions it holds of all secrets together.
    pub fn versions_held(&self) -> usize {
        self.secrets().values().map(Vec::len).sum()
    }

    /// Acts as the fault of `verb` says; `true` if the answer is to be lost.
    async fn suffer(&self, verb: Verb) -> Result<bool> {
        self.entered
            .send_modify(|calls| *calls.entry(verb).or_default() += 1);
        tracing::info!(?verb, "asked");
        let mut faults = self.faults.subscribe();
        let of = |faults: &HashMap<Verb, Fault>| faults.get(&verb).copied().unwrap_or_default();
        let fault = faults.wait_for(|faults| of(faults) != Fault::Hang).await;
        match of(&fault.expect("the sender is ours")) {
            Fault::Fail(Reason::VaultUnreachable) => Err(Error::unreachable(Cause::Connection)),
            Fault::Fail(reason) => Err(Error::new(reason)),
            Fault::Hang | Fault::None => Ok(false),
            Fault::LoseAnswer => Ok(true),
        }
    }

    /// Ends what was typed in as the latest version.
    fn write_over(&self, name: &str) -> Option<Id> {
        let mut foreign = self.foreign.lock().expect("nobody panics in here");
        let typed = foreign.remove(name)?;
        let mut overwritten = self.overwritten.lock().expect("nobody panics in here");
        overwritten.insert(name.to_owned(), typed);
        Some(Id::from_static(TYPED))
    }

    fn secrets(&self) -> MutexGuard<'_, HashMap<(Uid, String), Vec<Stored>>> {
        self.secrets.lock().expect("nobody panics in here")
    }
}

#[async_trait]
impl Backend for FaultyBackend {
    fn kind(&self) -> &'static str {
        "faulty"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            secret: true,
            property: self.is_shared,
            version: false,
            latest: self.is_shared,
            list: true,
            disable_version: true,
            destroy_version: true,
            value_bytes_max: 64 * 1024,
        }
    }

    /// As some vaults do, it ignores case.
    fn fold(&self, secret: &str) -> String {
        secret.to_ascii_lowercase()
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        self.suffer(Verb::Read).await?;
        let foreign = self.foreign.lock().expect("nobody panics in here");
        let overwritten = self.overwritten.lock().expect("nobody panics in here");
        let typed = foreign.get(&address.secret);
        let typed = match version {
            None => typed,
            Some(TYPED) => typed.or(overwritten.get(&address.secret)),
            Some(_) => None,
        };
        if let Some(typed) = typed {
            return Ok(Reading::new(
                address.secret.clone(),
                Id::from_static(TYPED),
                typed.value.duplicate(),
            ));
        }
        drop((foreign, overwritten));
        let secrets = self.secrets();
        let latest = secrets.get(&key(address)).map(Vec::len);
        let latest = latest.filter(|_| self.is_shared).map(version_of);
        let version = match version {
            Some(version) => Id::parse("version", version)?,
            None => latest.ok_or_else(|| Error::new(Reason::SecretNotFound))?,
        };
        let stored = secrets
            .get(&key(address))
            .and_then(|versions| versions.get(index_of(&version)?))
            .ok_or_else(|| Error::new(Reason::VersionNotFound))?;
        match stored.state {
            VersionState::Destroyed => Err(Error::new(Reason::VersionDestroyed)),
            VersionState::Disabled => Err(Error::new(Reason::VersionDisabled)),
            VersionState::Enabled => Ok(Reading::new(
                address.secret.clone(),
                version,
                stored.value.duplicate(),
            )),
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let is_lost = self.suffer(Verb::Write).await?;
        let mut secrets = self.secrets();
        let versions = secrets.entry(key(address)).or_default();
        let mut replaced = None;
        if versions
            .last()
            .is_none_or(|last| last.write_id != write.write_id)
        {
            if self.is_shared {
                let own = Some(versions.len()).filter(|count| *count > 0);
                let typed = self.write_over(&address.secret);
                replaced = Some(typed.or(own.map(version_of)).into_iter().collect());
            }
            versions.push(Stored {
                write_id: write.write_id,
                value: write.value.duplicate(),
                state: VersionState::Enabled,
            });
        }
        if is_lost {
            return Err(Error::new(Reason::WriteOutcomeUnknown));
        }
        Ok(Written::new(version_of(versions.len())).replacing(replaced))
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        self.suffer(Verb::FindWrite).await?;
        let secrets = self.secrets();
        let versions = secrets.get(&key(address)).map_or(&[][..], Vec::as_slice);
        let is_newest = versions
            .last()
            .is_some_and(|last| last.write_id == write_id);
        Ok(is_newest.then(|| version_of(versions.len())))
    }

    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        self.suffer(Verb::List).await?;
        let foreign = self.foreign.lock().expect("nobody panics in here");
        let mut names: BTreeMap<String, bool> =
            foreign.keys().map(|name| (name.clone(), false)).collect();
        drop(foreign);
        let ours = self.secrets();
        names.extend(ours.keys().map(|(_, name)| (name.clone(), true)));
        let wanted = names
            .into_iter()
            .filter(|(name, _)| is_wanted(name) && after.is_none_or(|after| name.as_str() > after));
        let listed = |(name, is_ours)| ListedSecret {
            name,
            is_ours,
            change_time: None,
        };
        Ok(wanted.take(limit).map(listed).collect())
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let foreign = self.foreign.lock().expect("nobody panics in here");
        if foreign.contains_key(&address.secret) {
            return Ok(vec![VersionInfo {
                version: Id::from_static(TYPED),
                state: VersionState::Enabled,
                create_time: TYPED_TIME,
            }]);
        }
        drop(foreign);
        let secrets = self.secrets();
        let versions = secrets.get(&key(address)).map_or(&[][..], Vec::as_slice);
        let end = after.and_then(index_of).unwrap_or(versions.len());
        let older = versions.iter().enumerate().take(end).rev().take(limit);
        let info = |(index, stored): (usize, &Stored)| VersionInfo {
            version: version_of(index + 1),
            state: stored.state,
            create_time: SystemTime::UNIX_EPOCH,
        };
        Ok(older.map(info).collect())
    }

    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        let foreign = self.foreign.lock().expect("nobody panics in here");
        if foreign.contains_key(&address.secret) {
            return Ok(Some(Id::from_static(TYPED)));
        }
        let secrets = self.secrets();
        let versions = secrets.get(&key(address));
        Ok(versions
            .map(Vec::len)
            .filter(|count| *count > 0)
            .map(version_of))
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let mut secrets = self.secrets();
        let stored = secrets
            .get_mut(&key(address))
            .and_then(|versions| versions.get_mut(index_of(version)?))
            .ok_or_else(|| Error::new(Reason::VersionNotFound))?;
        if stored.state == VersionState::Destroyed && state != VersionState::Destroyed {
            return Err(Error::new(Reason::VersionDestroyed));
        }
        stored.state = state;
        Ok(VersionInfo {
            version: version.clone(),
            state,
            create_time: SystemTime::UNIX_EPOCH,
        })
    }

    async fn purge(&self, address: &Address) -> Result<()> {
        self.secrets().remove(&key(address));
        Ok(())
    }
}

fn key(address: &Address) -> (Uid, String) {
    (address.owner, address.secret.to_ascii_lowercase())
}

fn version_of(number: usize) -> Id {
    Id::parse("version", &number.to_string()).expect("digits")
}

fn index_of(version: &Id) -> Option<usize> {
    version.as_str().parse::<usize>().ok()?.checked_sub(1)
}

/// An audit log in memory that can be full.
#[derive(Clone, Debug, Default)]
pub struct FaultySink {
    disk: Arc<Mutex<Disk>>,
    released: Arc<Condvar>,
    entered: watch::Sender<usize>,
    written: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    is_full: bool,
    /// Records with these words in them wait.
    held: Option<[String; 2]>,
    holds_syncs: bool,
}

impl FaultySink {
    /// Whether nothing can be written from now on.
    pub fn set_full(&self, is_full: bool) {
        self.disk().is_full = is_full;
    }

    /// From now on a write that has both words in it hangs.
    pub fn hold(&self, words: [String; 2]) {
        self.disk().held = Some(words);
    }

    /// From now on a sync hangs.
    pub fn hold_syncs(&self) {
        self.disk().holds_syncs = true;
    }

    /// From now on nothing hangs.
    pub fn release(&self) {
        let mut disk = self.disk();
        disk.held = None;
        disk.holds_syncs = false;
        drop(disk);
        self.released.notify_all();
    }

    /// Waits until a write or a sync hangs.
    pub async fn entered(&self) {
        let mut entered = self.entered.subscribe();
        let waited = entered.wait_for(|count| *count > 0);
        waited.await.expect("the sender is ours");
    }

    /// Waits until something with these words in it is written.
    pub async fn written(&self, words: &str) {
        let mut written = self.written.subscribe();
        while !String::from_utf8_lossy(&self.bytes()).contains(words) {
            written.changed().await.expect("the sender is ours");
        }
    }

    /// The bytes that were written.
    pub fn bytes(&self) -> Vec<u8> {
        self.disk().bytes.clone()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("nobody panics in here")
    }
}

impl Sink for FaultySink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let text = String::from_utf8_lossy(bytes);
        let is_held = |disk: &Disk| {
            let words = disk.held.as_ref();
            words.is_some_and(|words| words.iter().all(|word| text.contains(word)))
        };
        while is_held(&disk) {
            self.entered.send_modify(|count| *count += 1);
            disk = self.released.wait(disk).expect("nobody panics in here");
        }
        if disk.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.bytes.extend_from_slice(bytes);
        self.written.send_modify(|()| ());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<Flush> {
        let sink = self.clone();
        Ok(Box::new(move || {
            let mut disk = sink.disk();
            while disk.holds_syncs {
                sink.entered.send_modify(|count| *count += 1);
                disk = sink.released.wait(disk).expect("nobody panics in here");
            }
            match disk.is_full {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }))
    }
}
