//! The tables `[identity.<name>]`: the issuers whose tokens are believed.

use std::collections::BTreeMap;

use claviger_core::{Id, List};
use claviger_identity::{IdentitySettings, Kind, overlaps};
use claviger_settings::Table;

pub(super) fn read_identities(table: &mut Table<'_>) -> BTreeMap<Id, IdentitySettings> {
    let ids = table.ids().into_iter();
    let read: BTreeMap<Id, IdentitySettings> = ids
        .filter_map(|id| {
            let settings = table.table(id.as_str(), read_identity)?;
            Some((id, settings))
        })
        .collect();
    for (id, problem) in overlaps(&read) {
        table.wrong(&format!("{id}.{}", problem.key), problem.remedy);
    }
    read
}

fn read_identity(identity: &mut Table<'_>) -> Option<IdentitySettings> {
    let known = || List(Kind::ALL.map(Kind::name).to_vec());
    identity.require(
        "kind",
        format!("write the kind of this identity: {}", known()),
    );
    let kind = identity.parsed("kind", |name| {
        Kind::parse(name).ok_or_else(|| format!("is not a kind of identity; known: {}", known()))
    });
    match kind {
        Some(kind) => Some(IdentitySettings::read(kind, identity)),
        // What else may be there depends on it.
        None => {
            identity.skip(&IdentitySettings::KEYS);
            None
        }
    }
}
