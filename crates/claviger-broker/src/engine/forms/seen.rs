//! The stored form of who resolved a profile last.

use std::collections::BTreeMap;
use std::time::SystemTime;

use claviger_access::Principal;
use claviger_store::Record;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::engine::forms::grants::principal;

/// When each caller resolved a profile last; by the uid of the profile.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen(pub(crate) BTreeMap<Principal, SystemTime>);

impl Record for Seen {
    const KIND: &'static str = "consumers/";
    const FORM: u32 = 1;
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let times = self.0.iter();
        serializer.collect_map(times.map(|(principal, time)| (principal.to_string(), time)))
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = BTreeMap::<String, SystemTime>::deserialize(deserializer)?;
        let times = form.into_iter().map(|(text, time)| {
            let principal = principal(&text).map_err(de::Error::custom)?;
            Ok((principal, time))
        });
        times.collect::<Result<_, _>>().map(Self)
    }
}
