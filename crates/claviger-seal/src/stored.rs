//! The stored forms of a keyring. Their field names are on disks.

use std::collections::BTreeMap;

use claviger_core::Uid;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// All that a record of any format is known to say.
#[derive(Deserialize)]
pub(crate) struct Format {
    pub(crate) format: u8,
}

/// The record in the store: the keys, sealed with the root key.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyringRecord {
    pub(crate) format: u8,
    pub(crate) store: Uid,
    /// Tells "another root key" from "changed"; proves nothing.
    pub(crate) root_key_check: String,
    pub(crate) sealed_keys: String,
}

/// The keys, as they are sealed.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) current: u32,
    pub(crate) keks: BTreeMap<u32, [u8; 32]>,
    pub(crate) mac: [u8; 32],
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.keks.values_mut().for_each(Zeroize::zeroize);
        self.mac.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_sealed_in_the_golden_form() {
        let golden = include_str!("../tests/golden/keys.json").trim_end();
        let keys: Keys = serde_json::from_str(golden).expect("reads");
        assert_eq!((keys.current, keys.mac), (2, [9; 32]));
        assert_eq!(keys.keks, BTreeMap::from([(1, [7; 32]), (2, [8; 32])]));
        assert_eq!(serde_json::to_string(&keys).expect("writes"), golden);
    }

    #[test]
    fn the_record_has_the_golden_form() {
        let golden = include_str!("../tests/golden/keyring-2.json").trim_end();
        let record: KeyringRecord = serde_json::from_str(golden).expect("reads");
        assert_eq!(record.format, 2);
        assert_eq!(serde_json::to_string(&record).expect("writes"), golden);
    }
}
