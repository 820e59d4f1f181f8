//! The records of the managed vault, and the keys of its values. Their field names are on disks.

use std::time::SystemTime;

use claviger_backend::{Address, VersionInfo, VersionState};
use claviger_core::{Id, Result, Uid};
use claviger_store::{Record, Upgrade};
use serde::{Deserialize, Serialize};

/// The upgrades of the managed vault's records.
pub const UPGRADES: [Upgrade; 3] = [
    Upgrade::unchanged::<Head>(),
    Upgrade::unchanged::<Version>(),
    Upgrade::secrets(VALUES),
];

const VALUES: &str = "managed-values/";

/// The newest write of a secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) newest: u64,
    pub(crate) write_id: Uid,
}

impl Record for Head {
    const KIND: &'static str = "managed-secrets/";
    const FORM: u32 = 1;
}

/// A version without its value.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) state: State,
    pub(crate) create_time: SystemTime,
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
    const FORM: u32 = 1;
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

pub(crate) fn value_key(address: &Address, number: u64) -> String {
    format!("{VALUES}{}/{number}", address.owner)
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

    #[test]
    fn records_have_their_golden_forms() {
        let head: Head = golden(include_str!("../tests/golden/head.json"));
        assert_eq!(head.newest, 3);
        assert_eq!(head.write_id.to_string(), UID);
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
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
            assert_eq!(version.create_time, time);
        }
    }

    #[test]
    fn keys_are_spelt_as_they_always_were() {
        let head: Head = golden(include_str!("../tests/golden/head.json"));
        let address = Address {
            project: Id::from_static("acme"),
            owner: head.write_id,
            secret: String::new(),
        };
        let version = version_id(&address, 2);
        assert_eq!(version, format!("{UID}/18446744073709551613"));
        let value = value_key(&address, 2);
        assert_eq!(value, format!("managed-values/{UID}/2"));
    }
}
