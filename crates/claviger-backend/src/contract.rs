//! The contract that every vault backend keeps, and the types it is spoken in.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use claviger_core::{Detail, Error, Format, Id, Reason, Result, SecretBytes, Uid};
use claviger_store::{Batch, Sealed};

/// Which secret of a vault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// The project it belongs to: vaults that others use too mark their secrets with it and the
    /// store, and let both write what has that mark.
    pub project: Id,
    /// The definition it belongs to; vaults of Claviger's own know their secrets by it. In a mark it
    /// is for people.
    pub owner: Uid,
    /// Its name in the vault.
    pub secret: String,
}

/// Where a secret is, whichever vault of the configuration and name lead to it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Site {
    /// The system that holds it, spelled one way.
    pub system: String,
    /// Whose it is there; `None` if the settings do not say.
    pub account: Option<String>,
    /// Its one name there.
    pub secret: String,
}

impl Site {
    /// Whether both may be one secret: what is not known may be the same.
    pub fn may_be(&self, other: &Self) -> bool {
        let accounts = self.account.as_ref().zip(other.account.as_ref());
        self.system == other.system
            && self.secret == other.secret
            && accounts.is_none_or(|(one, other)| one == other)
    }
}

/// The abilities of a vault. Every field is exercised by the conformance suite, so a false claim is
/// red.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// `location.secret` can be set.
    pub secret: bool,
    /// `location.property` can be set: every write names the version it replaced, so that changing
    /// one property of a document can be told from overwriting somebody else's change.
    pub property: bool,
    /// `location.version` can be set: the vault serves its latest version unless another one is
    /// asked for, and has those.
    pub version: bool,
    /// An unpinned read asks the vault for its latest version; else Claviger's own record of the
    /// current version decides.
    pub latest: bool,
    /// Its secrets can be listed.
    pub list: bool,
    /// Versions can be enabled and disabled.
    pub disable_version: bool,
    /// Versions can be destroyed.
    pub destroy_version: bool,
    /// Longest value, in bytes.
    pub value_bytes_max: usize,
}

/// A value to be stored.
pub struct Write<'a> {
    /// Names this write: a repeat with the same id stores nothing.
    pub write_id: Uid,
    /// The bytes.
    pub value: &'a SecretBytes,
    /// How they are meant, for vaults that store text apart.
    pub format: Format,
    /// Whether a secret may be written that is not the project's.
    pub adopt: bool,
}

impl fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("write_id", &self.write_id)
            .field("format", &self.format)
            .field("adopt", &self.adopt)
            .finish_non_exhaustive()
    }
}

/// The outcome of a write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// The version it stored.
    pub version: Id,
    /// The version that was the latest just before, or several of which one was; empty if there was
    /// none. `None` if the vault does not tell.
    pub replaced: Option<Vec<Id>>,
    /// Whether another writer has stored a later version by now, as far as the vault tells.
    pub followed: bool,
    /// Whether the secret was deleted in the vault and had to be brought back first.
    pub recovered: bool,
    /// Things that were left undone beside it. The value is stored all the same.
    pub warnings: Vec<WriteWarning>,
}

impl Written {
    /// This version was stored, and there is no more to say.
    pub fn new(version: Id) -> Self {
        Self {
            version,
            replaced: None,
            followed: false,
            recovered: false,
            warnings: Vec::new(),
        }
    }

    /// The version that was the latest just before, if that is known.
    #[must_use]
    pub fn replacing(self, replaced: Option<Vec<Id>>) -> Self {
        Self { replaced, ..self }
    }

    /// Whether another writer has stored a later version by now.
    #[must_use]
    pub fn followed(self, followed: bool) -> Self {
        Self { followed, ..self }
    }

    /// Whether the secret had to be brought back first.
    #[must_use]
    pub fn recovering(self, recovered: bool) -> Self {
        Self { recovered, ..self }
    }

    /// Things that were left undone beside it.
    #[must_use]
    pub fn warning(self, warnings: Vec<WriteWarning>) -> Self {
        Self { warnings, ..self }
    }
}

/// A write that is ready, and stored once its changes of the store are committed.
pub struct Staged {
    /// The version that it stores.
    pub version: Id,
    /// The version that was the newest until then.
    pub replaced: Option<Id>,
    /// The changes, refused if another write came in between.
    pub batch: Batch,
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Something that a write could not do, and that an administrator of the vault can.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WriteWarning {
    /// Its name on the wire.
    pub reason: &'static str,
    /// For people: checked names and text of the code.
    pub message: String,
}

/// A secret of a vault, without its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedSecret {
    /// Its name in the vault.
    pub name: String,
    /// Whether this Claviger created it, or adopted it.
    pub is_ours: bool,
    /// When it was changed last, where the vault says.
    pub change_time: Option<SystemTime>,
}

/// A name that works but may not be the one that was meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NameWarning {
    /// Its name on the wire.
    pub reason: &'static str,
    /// For people.
    pub message: &'static str,
}

/// A value that was read.
pub struct Reading {
    /// The secret that it is of, as the vault's answer names it: spelled as in the address where
    /// the vault knows several spellings.
    pub secret: String,
    /// The version it is.
    pub version: Id,
    /// Its bytes.
    pub value: SecretBytes,
    /// The same bytes in Claviger's own store, if that is where they are: to be opened again while
    /// no record has changed that this was read from.
    pub sealed: Option<Sealed>,
}

impl Reading {
    /// A value that another system has told.
    pub fn new(secret: String, version: Id, value: SecretBytes) -> Self {
        Self {
            secret,
            version,
            value,
            sealed: None,
        }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("secret", &self.secret)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The use that a version is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VersionState {
    /// Its bytes are gone for good.
    Destroyed,
    /// Not readable until enabled.
    Disabled,
    /// Readable.
    Enabled,
}

impl VersionState {
    /// The refusal of a vault that cannot bring its versions into this state.
    pub fn unsupported(self) -> Error {
        let capability = match self {
            Self::Destroyed => "destroy a version",
            Self::Disabled | Self::Enabled => "enable or disable a version",
        };
        Error::new(Reason::VaultCapabilityMissing).with(Detail::Capability, capability)
    }
}

/// A version without its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionInfo {
    /// Its name in the vault.
    pub version: Id,
    /// The use it is of.
    pub state: VersionState,
    /// When it was stored.
    pub create_time: SystemTime,
}

impl VersionInfo {
    /// Of all versions the page that [`Backend::versions`] answers: empty if `after` is not among
    /// them.
    pub fn page(mut all: Vec<Self>, after: Option<&Id>, limit: usize) -> Vec<Self> {
        if let Some(after) = after {
            let position = all.iter().position(|info| info.version == *after);
            all.drain(..position.map_or(all.len(), |position| position + 1));
        }
        all.truncate(limit);
        all
    }
}

/// A place where secret values live.
///
/// Shared between tasks; must not block. A call that is dropped half-way leaves nothing half done.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// As in the configuration, `managed` for example.
    fn kind(&self) -> &'static str;

    /// The abilities of this vault, which never change.
    fn capabilities(&self) -> Capabilities;

    /// How many calls per second the vault's provider lets an account make, where it says. Requests
    /// are counted ([`count_request`](crate::count_request)): some calls of the contract make
    /// several, and a listing one per page.
    fn calls_per_second(&self) -> Option<u32> {
        None
    }

    /// Judges the name of a secret without asking the vault.
    ///
    /// # Errors
    /// `LOCATION_INVALID` with the remedy, for a name that the vault would refuse or misread.
    fn check_name(&self, _secret: &str) -> Result<Option<NameWarning>> {
        Ok(None)
    }

    /// The name by which rules know a secret, such as the one inside a full name. `None` if only
    /// its full name tells which secret it is, because it may lead to another region or account.
    fn plain_name<'a>(&self, secret: &'a str) -> Option<&'a str> {
        Some(secret)
    }

    /// The name that a secret gets which a definition does not name: it tells the definition, and
    /// `hash` keeps names apart that the vault takes for one, because it ignores case or has fewer
    /// characters.
    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        format!("{project}/{id}-{hash}")
    }

    /// Which credentials the vault is called with, for people: their kind and whose they are, and
    /// nothing secret. Empty where there are none.
    fn credentials(&self) -> String {
        String::new()
    }

    /// One spelling for all that the vault takes for the same, in lower case where it ignores case.
    /// Names, and the patterns of rules, are compared in no other one.
    fn fold(&self, secret: &str) -> String {
        secret.to_owned()
    }

    /// One name for a secret however it is spelled: spellings that the vault takes for the same
    /// have the same.
    fn place_name(&self, secret: &str) -> String {
        self.fold(self.plain_name(secret).unwrap_or(secret))
    }

    /// Where a secret is, for telling whether another vault or another name leads to it too. `None`
    /// if none does: its values are found by the definition that they belong to.
    fn site(&self, secret: &str) -> Option<Site> {
        Some(Site {
            system: self.kind().to_owned(),
            account: None,
            secret: self.place_name(secret),
        })
    }

    /// Asks whether the vault answers and takes our credentials.
    ///
    /// # Errors
    /// `VAULT_UNREACHABLE`, `VAULT_CREDENTIALS_REJECTED`.
    async fn check(&self) -> Result<()>;

    /// Judges what a location pins without asking the vault; what it takes is what
    /// [`read`](Self::read) understands.
    ///
    /// # Errors
    /// `LOCATION_INVALID` with the remedy.
    fn check_version(&self, version: &str) -> Result<()> {
        match Id::parse("version", version) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(Reason::LocationInvalid).violation(
                "location.version",
                "pins something that is not a version; see ListSecretVersions",
            )),
        }
    }

    /// Judges a version that a caller names, without asking the vault. Narrower than
    /// [`check_version`](Self::check_version) where [`read`](Self::read) also understands
    /// other names of one, such as a label: those are for people that write a location.
    ///
    /// # Errors
    /// `VERSION_NOT_FOUND`.
    fn check_caller_version(&self, _version: &Id) -> Result<()> {
        Ok(())
    }

    /// Reads a version, by its name or another one that the vault knows it by; `None` is the
    /// latest, and asked only where [`Capabilities::latest`] is set, or a write was
    /// [staged](Self::stage).
    ///
    /// # Errors
    /// `SECRET_NOT_FOUND`, `SECRET_DELETED`, `VERSION_NOT_FOUND`, `VERSION_DISABLED`,
    /// `VERSION_DESTROYED`, `VALUE_EXPIRED`, `VALUE_NOT_READABLE`, `VALUE_NOT_YET_VALID`,
    /// `INTEGRITY_FAILURE`, and the three refusals: `VAULT_UNREACHABLE`, `VAULT_CREDENTIALS_REJECTED`, `VAULT_ACCESS_DENIED`.
    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading>;

    /// Stores a value as a new version. A repeat with the same `write_id` answers the same version
    /// and stores nothing. A vault that others use too creates a secret that is not there, marks it
    /// as the project's, and touches nothing but the value and that mark. A secret that is
    /// deleted there is refused, or brought back and said so.
    ///
    /// # Errors
    /// `SECRET_NOT_OWNED` without `adopt`, `SECRET_DELETED`, `WRITE_IN_PROGRESS` if another writer
    /// came in between or the secret is still coming back, `WRITE_OUTCOME_UNKNOWN` if the answer was
    /// lost, and the three refusals if nothing was stored.
    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written>;

    /// Makes a write ready, for the caller to commit together with what else it changes. `None` of a
    /// vault that is not in Claviger's own store: there [`write`](Self::write) is the way.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    async fn stage(&self, _address: &Address, _write: &Write<'_>) -> Result<Option<Staged>> {
        Ok(None)
    }

    /// The version that `write_id` stored, if the vault still knows that write; it knows at least
    /// the newest one.
    ///
    /// # Errors
    /// The three refusals.
    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>>;

    /// Up to `limit` of the vault's secrets that `is_wanted`, sorted by name, starting after
    /// `after`; none is left out but those scheduled for deletion.
    ///
    /// # Errors
    /// `VAULT_CAPABILITY_MISSING` unless [`Capabilities::list`] is set; the three refusals.
    async fn list(
        &self,
        _is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        Err(Error::new(Reason::VaultCapabilityMissing).with(Detail::Capability, "list secrets"))
    }

    /// Up to `limit` versions, newest first, starting after `after`. An unknown secret has none.
    ///
    /// # Errors
    /// The three refusals.
    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>>;

    /// The version that an unpinned read asks for, also while it cannot be read, because it is
    /// disabled or out of its dates for example. `None` if there is no such secret. Asked only where
    /// [`Capabilities::latest`] is set, or a write was [staged](Self::stage).
    ///
    /// # Errors
    /// The three refusals.
    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        match self.read(address, None).await {
            Ok(reading) => Ok(Some(reading.version)),
            Err(error) if error.reason() == Reason::SecretNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Written::replaced`], for a write that is settled long after it.
    ///
    /// # Errors
    /// The three refusals.
    async fn replaced(&self, address: &Address, version: &Id) -> Result<Option<Vec<Id>>> {
        let older = self.versions(address, Some(version), 1).await?;
        Ok(Some(older.into_iter().map(|older| older.version).collect()))
    }

    /// Enables, disables or destroys a version; doing it again changes nothing.
    ///
    /// # Errors
    /// `VAULT_CAPABILITY_MISSING` unless [`Capabilities::disable_version`] or
    /// [`Capabilities::destroy_version`] is set; `VERSION_NOT_FOUND`, `VERSION_DESTROYED`,
    /// `SECRET_NOT_OWNED`, and the three refusals.
    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo>;

    /// How many sealed records the vault holds per key-encryption key of Claviger's: a key may go
    /// when nobody holds any.
    ///
    /// # Errors
    /// The three refusals.
    async fn holders(&self) -> Result<BTreeMap<u32, u64>> {
        Ok(BTreeMap::new())
    }

    /// Forgets everything this vault holds for a purged definition. A vault that others use too
    /// keeps its secrets and does nothing.
    ///
    /// # Errors
    /// `VAULT_UNREACHABLE`; a repeat goes on where it stopped.
    async fn purge(&self, address: &Address) -> Result<()>;
}
