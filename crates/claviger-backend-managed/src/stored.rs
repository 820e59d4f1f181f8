//! The records of the managed vault, and the keys of its values. Their field names are on disks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger_backend::{Address, VersionInfo, VersionState};
use claviger_core::{Id, Result, Uid};
use claviger_store::{Record, Upgrade};
use serde::{Deserialize, Serialize};

/// The upgrades of the managed vault's records.
pub const UPGRADES: [Upgrade; 3] = [
    Upgrade::unchanged::<Head>(),
    Upgrade::unchanged::<Version>(),
    Upgrade::secrets(OLD_VALUES),
];

/// The time they were stored comes first: what is stored at a time lies together, at the end of
/// all rows, so that many puts fill few pages of the store.
const VALUES: &str = "values/";

/// Of those that were stored before that was so.
const OLD_VALUES: &str = "managed-values/";

/// Most versions that a head tells: with them it is small enough to lie in a page with others.
const RECENT_MAX: usize = 16;

/// How many of them stay when there are more: the others get their own records at once, side by
/// side.
const RECENT_KEPT: usize = RECENT_MAX / 2;

/// The state of a secret: its newest write, and its newest versions. Those before them have records
/// of their own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) newest: u64,
    pub(crate) write_id: Uid,
    /// Newest first, without a gap.
    #[serde(default)]
    recent: Vec<Recent>,
}

/// A version that its place in the head tells the number of.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Recent(State, Micros);

/// Since the epoch.
pub(crate) type Micros = u64;

impl Record for Head {
    const KIND: &'static str = "managed-secrets/";
    const FORM: u32 = 2;
    /// Without `recent`: all versions had records of their own.
    const FORM_OLDEST: u32 = 1;
}

impl Head {
    /// The head after one more version, and the versions that it no longer tells.
    pub(crate) fn after(
        before: Option<&Self>,
        write_id: Uid,
        now: SystemTime,
    ) -> (Self, Vec<Version>) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let older = before.map(|head| head.recent.as_slice());
        let newest = Recent(State::Enabled, micros);
        let mut head = Self {
            newest: before.map_or(0, |head| head.newest) + 1,
            write_id,
            recent: [&[newest], older.unwrap_or_default()].concat(),
        };
        if head.recent.len() <= RECENT_MAX {
            return (head, Vec::new());
        }
        let left = head.versions().skip(RECENT_KEPT).collect();
        head.recent.truncate(RECENT_KEPT);
        (head, left)
    }

    /// The versions that it tells, newest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Version> {
        let numbers = (1..=self.newest).rev();
        let version = |(number, Recent(state, micros))| Version {
            number,
            state,
            create_time: UNIX_EPOCH + Duration::from_micros(micros),
            micros: Some(micros),
        };
        numbers.zip(self.recent.iter().copied()).map(version)
    }

    /// All versions below this number have records of their own, and no others.
    pub(crate) fn end(&self) -> u64 {
        let told = u64::try_from(self.recent.len()).unwrap_or(u64::MAX);
        (self.newest + 1).saturating_sub(told)
    }

    /// The version of this number, if it tells it.
    pub(crate) fn version(&self, number: u64) -> Option<Version> {
        let place = usize::try_from(self.newest.checked_sub(number)?).ok()?;
        self.versions().nth(place)
    }

    /// The same with the state of a version that it tells.
    pub(crate) fn with(&self, changed: &Version) -> Self {
        let state = |version: Version| match version.number == changed.number {
            true => changed.state,
            false => version.state,
        };
        let recent = self.recent.iter().zip(self.versions());
        let recent = recent.map(|(Recent(_, micros), version)| Recent(state(version), *micros));
        Self {
            recent: recent.collect(),
            ..*self
        }
    }
}

/// A version without its value.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) state: State,
    pub(crate) create_time: SystemTime,
    /// What its value's key begins with.
    #[serde(default)]
    pub(crate) micros: Option<Micros>,
}

/// [`VersionState`], as it is stored.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum State {
    Destroyed,
    Disabled,
    Enabled,
}

impl Record for Version {
    const KIND: &'static str = "managed-versions/";
    const FORM: u32 = 2;
    /// Without `micros`.
    const FORM_OLDEST: u32 = 1;
}

impl Version {
    pub(crate) fn info(&self) -> Result<VersionInfo> {
        Ok(VersionInfo {
            version: id_of(self.number)?,
            state: match self.state {
                State::Destroyed => VersionState::Destroyed,
                State::Disabled => VersionState::Disabled,
                State::Enabled => VersionState::Enabled,
            },
            create_time: self.create_time,
        })
    }

    /// INVARIANT: the key of a value, which it is sealed to, names its definition: a row that was
    /// moved to another one's key does not open there.
    pub(crate) fn value_key(&self, address: &Address) -> String {
        let (owner, number) = (address.owner, self.number);
        match self.micros {
            Some(micros) => format!("{VALUES}{micros:020}/{owner}/{number}"),
            None => format!("{OLD_VALUES}{owner}/{number}"),
        }
    }
}

impl From<VersionState> for State {
    fn from(state: VersionState) -> Self {
        match state {
            VersionState::Destroyed => Self::Destroyed,
            VersionState::Disabled => Self::Disabled,
            VersionState::Enabled => Self::Enabled,
        }
    }
}

/// Counts down, so that a scan meets the newest version first.
pub(crate) fn version_id(address: &Address, number: u64) -> String {
    format!("{}/{:020}", address.owner, u64::MAX - number)
}

pub(crate) fn id_of(number: u64) -> Result<Id> {
    Id::parse("version", &number.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const UID: &str = "4b6e9131-b0c4-4941-b50f-b6f6c7ac2d7e";

    /// The record of a golden file, which is written as it was read.
    fn golden<T: Record>(file: &str) -> T {
        let text = file.trim_end();
        let record = T::decode("golden", text.as_bytes()).expect("reads");
        let written = record.encode().expect("writes");
        assert_eq!(str::from_utf8(written.expose()), Ok(text));
        record
    }

    fn address() -> Address {
        let head: Head = golden(include_str!("../tests/golden/head.json"));
        Address {
            project: Id::from_static("acme"),
            owner: head.write_id,
            secret: String::new(),
        }
    }

    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::new(1_700_000_000, 5_000)
    }

    #[test]
    fn records_have_their_golden_forms() {
        let head: Head = golden(include_str!("../tests/golden/head.json"));
        assert_eq!(head.newest, 3);
        assert_eq!(head.write_id.to_string(), UID);
        let told = head
            .versions()
            .map(|version| (version.number, version.state));
        assert!(told.eq([
            (3, State::Enabled),
            (2, State::Disabled),
            (1, State::Destroyed)
        ]));
        let newest = head.version(3).expect("told");
        assert_eq!(newest.create_time, time());
        for (state, file) in [
            (
                State::Destroyed,
                include_str!("../tests/golden/version-destroyed.json"),
            ),
            (
                State::Disabled,
                include_str!("../tests/golden/version-disabled.json"),
            ),
            (
                State::Enabled,
                include_str!("../tests/golden/version-enabled.json"),
            ),
        ] {
            let version: Version = golden(file);
            assert_eq!((version.number, version.state), (2, state));
            assert_eq!(version.create_time, time());
        }
    }

    #[test]
    fn records_of_the_oldest_form_have_their_values_where_they_were() {
        let file = include_str!("../tests/golden/head-form-1.json");
        let head = Head::decode("golden", file.trim_end().as_bytes()).expect("reads");
        assert_eq!((head.newest, head.end()), (3, 4));
        assert!(head.version(3).is_none());
        let file = include_str!("../tests/golden/version-form-1.json");
        let version = Version::decode("golden", file.trim_end().as_bytes()).expect("reads");
        let key = version.value_key(&address());
        assert_eq!(key, format!("managed-values/{UID}/2"));
        // Also once its state was changed.
        let written = version.encode().expect("writes");
        let version = Version::decode("new", written.expose()).expect("reads");
        assert_eq!(version.value_key(&address()), key);
    }

    #[test]
    fn keys_are_spelt_as_they_always_were() {
        let version = version_id(&address(), 2);
        assert_eq!(version, format!("{UID}/18446744073709551613"));
        let enabled: Version = golden(include_str!("../tests/golden/version-enabled.json"));
        let key = enabled.value_key(&address());
        assert_eq!(key, format!("values/00001700000000000005/{UID}/2"));
    }

    #[test]
    fn head_tells_the_newest_versions_and_stays_small() {
        let (mut head, mut apart) = (None, Vec::new());
        for number in 1..=100 {
            let (next, left) = Head::after(head.as_ref(), Uid::random(), time());
            assert!(
                left.iter()
                    .map(|version| version.number)
                    .is_sorted_by(|a, b| a > b)
            );
            apart.extend(left.iter().rev().map(|version| version.number));
            // Every version is in one place.
            let told = next.versions().map(|version| version.number);
            assert!(told.eq((next.end()..=number).rev()), "{next:?}");
            assert!(apart.iter().copied().eq(1..next.end()), "{apart:?}");
            // Sealed, with its key, below the 1002 bytes from which on a row has a page of its own.
            assert!(next.encode().expect("writes").len() < 800, "{next:?}");
            head = Some(next);
        }
    }

    #[test]
    fn state_of_a_version_is_changed_alone() {
        let head: Head = golden(include_str!("../tests/golden/head.json"));
        let changed = Version {
            state: State::Enabled,
            ..head.version(2).expect("told")
        };
        let states = |head: &Head| head.versions().map(|v| v.state).collect::<Vec<_>>();
        let wanted = [State::Enabled, State::Enabled, State::Destroyed];
        assert_eq!(states(&head.with(&changed)), wanted);
    }
}
