//! The tables `[vaults.<id>]`: the settings that every vault has, and those that only its kind has.

use std::collections::BTreeMap;
use std::time::Duration;

use claviger_backend::{
    Allow, BackendKind, BackendSettings, CONCURRENT_CALLS_DEFAULT, Freshness, Limits, NamePattern,
    Rule,
};
use claviger_core::{Id, List};
use claviger_settings::Table;

use super::kinds::VaultKind;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// Less than a call to the daemon may take.
const TIMEOUT_MAX: Duration = Duration::from_secs(25);

const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
const MAX_STALE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

const CONCURRENT_CALLS_MAX: u32 = 1024;
const CALLS_PER_SECOND_MAX: u32 = 100_000;

/// Id and kind of Claviger's own vault, which is there whether the file mentions it or not.
const MANAGED: &str = "managed";

/// One configured vault.
#[derive(Debug)]
pub(crate) struct VaultConfig {
    /// How long a call to it may take, and how many there may be.
    pub(crate) limits: Limits,
    /// The names that each project may point at.
    pub(crate) allow: Allow,
    /// Whether `[Default]` stands for it.
    pub(crate) is_default: bool,
    /// The kind, as written in the file.
    pub(crate) kind: &'static str,
    /// Those that only its backend understands. Claviger's own vault has none.
    pub(crate) settings: Option<Box<dyn BackendSettings>>,
}

/// A kind that a vault of this build can have.
#[derive(Clone, Copy)]
enum Kind {
    External(BackendKind),
    Managed,
}

pub(super) fn read_vaults(
    vaults: &mut Table<'_>,
    kinds: &[VaultKind],
) -> BTreeMap<Id, VaultConfig> {
    let mut ids = vaults.ids();
    let managed = Id::from_static(MANAGED);
    if !ids.contains(&managed) {
        ids.push(managed);
    }
    let read: BTreeMap<Id, VaultConfig> = ids
        .into_iter()
        .filter_map(|id| {
            let vault = vaults.table(id.as_str(), |vault| read_vault(vault, &id, kinds))?;
            Some((id, vault))
        })
        .collect();
    let mut marked = Vec::new();
    for (id, vault) in read.iter().filter(|(_, vault)| vault.is_default) {
        if marked.contains(&vault.kind) {
            let remedy = "is true of another vault of this kind as well; mark one of them";
            vaults.wrong(&format!("{id}.default"), remedy);
        }
        marked.push(vault.kind);
    }
    read
}

fn read_vault(vault: &mut Table<'_>, id: &Id, kinds: &[VaultKind]) -> Option<VaultConfig> {
    let timeout = vault.duration("timeout", TIMEOUT_MIN..=TIMEOUT_MAX, TIMEOUT_DEFAULT);
    let Some(kind) = read_kind(vault, id, kinds) else {
        vault.skip(&[
            "settings",
            "allow",
            "concurrent_calls",
            "calls_per_second",
            "max_age",
            "max_stale",
            "default",
        ]);
        return None;
    };
    Some(match kind {
        Kind::External(backend) => VaultConfig {
            allow: read_allow(vault),
            limits: read_limits(vault, timeout),
            is_default: vault.flag("default"),
            kind: backend.name,
            settings: Some(vault.table("settings", backend.read)),
        },
        // Reached only through the definitions that its values belong to, and no other system.
        Kind::Managed => {
            vault.table("settings", |_| ());
            VaultConfig {
                allow: Allow::everything(),
                limits: Limits::timeout(timeout),
                is_default: false,
                kind: MANAGED,
                settings: None,
            }
        }
    })
}

fn read_limits(vault: &mut Table<'_>, timeout: Duration) -> Limits {
    let concurrent = vault.number("concurrent_calls", 1..=CONCURRENT_CALLS_MAX);
    let concurrent = concurrent.and_then(|calls| usize::try_from(calls).ok());
    let default = Freshness::DEFAULT;
    Limits {
        timeout,
        concurrent_calls: Some(concurrent.unwrap_or(CONCURRENT_CALLS_DEFAULT)),
        calls_per_second: vault.number("calls_per_second", 1..=CALLS_PER_SECOND_MAX),
        freshness: Freshness {
            max_age: vault.duration("max_age", Duration::ZERO..=MAX_AGE_MAX, default.max_age),
            max_stale: vault.duration(
                "max_stale",
                Duration::ZERO..=MAX_STALE_MAX,
                default.max_stale,
            ),
        },
    }
}

fn read_allow(vault: &mut Table<'_>) -> Allow {
    let remedy = "without it no definition can point at this vault: write \
        allow = [{ project = \"acme\", names = [\"acme/*\"] }]";
    vault.require("allow", remedy);
    let rules = vault.tables("allow", |rule| {
        rule.require("project", "write the id of one, or \"any-project\"");
        rule.require("names", "list names, or \"acme/*\" for all under acme/");
        let project = rule.parsed("project", Rule::parse_project);
        let names = rule.texts("names", NamePattern::parse);
        Some(Rule {
            project: project?,
            names: names?,
        })
    });
    Allow::new(rules.into_iter().flatten().flatten().collect())
}

fn read_kind(vault: &mut Table<'_>, id: &Id, kinds: &[VaultKind]) -> Option<Kind> {
    let mut known: Vec<&str> = kinds
        .iter()
        .filter_map(|kind| Some(kind.backend?.name))
        .chain([MANAGED])
        .collect();
    known.sort_unstable();
    let known = List(known);
    let is_managed_id = id.as_str() == MANAGED;
    if !vault.has("kind") {
        if !is_managed_id {
            vault.require("kind", format!("write the kind of this vault: {known}"));
        }
        return is_managed_id.then_some(Kind::Managed);
    }
    vault.parsed("kind", |name| {
        let kind = match kinds.iter().find(|kind| kind.name == name) {
            _ if name == MANAGED => Kind::Managed,
            Some(VaultKind {
                backend: Some(backend),
                ..
            }) => Kind::External(*backend),
            Some(_) => {
                return Err(format!(
                    "is not in this build of clavigerd; build it with --features {name}"
                ));
            }
            None => return Err(format!("is not a kind of vault; known: {known}")),
        };
        if is_managed_id != matches!(kind, Kind::Managed) {
            return Err(
                "the vault `managed` and the kind \"managed\" go together: Claviger's own \
                vault has this id, and there is one of it"
                    .to_owned(),
            );
        }
        Ok(kind)
    })
}
