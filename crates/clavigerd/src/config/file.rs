//! The configuration file as it is written: what was given, each with its line.
//!
//! Defaults that depend on anything outside of the file are not filled in here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use claviger_backend::{Allow, CONCURRENT_CALLS_DEFAULT, Limits, NamePattern, Rule};
use claviger_core::{Id, List};
use claviger_stripe::live::BaseUrl;
use tracing_subscriber::filter::Targets;

use super::document::{Given, Table};
use super::{StripeConfig, VaultConfig, VaultKind};
use crate::logging::{LogFormat, parse_filter};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const RETENTION_DEFAULT: Duration = Duration::from_secs(30 * DAY.as_secs());
const RETENTION_MAX: Duration = Duration::from_secs(3650 * DAY.as_secs());
const VAULT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const VAULT_TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// Less than a call to the daemon may take.
const VAULT_TIMEOUT_MAX: Duration = Duration::from_secs(25);

const CONCURRENT_CALLS_MAX: u32 = 1024;
const CALLS_PER_SECOND_MAX: u32 = 100_000;

const STRIPE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const STRIPE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(20);
const STRIPE_CHECKS_DEFAULT: u32 = 60;
const STRIPE_CHECKS_MAX: u32 = 6000;

/// Id and kind of Claviger's own vault, which is there whether the file mentions it or not.
const MANAGED: &str = "managed";

/// What the file says.
pub(super) struct ConfigFile {
    pub(super) data_dir: Option<Given<PathBuf>>,
    pub(super) deleted_retention: Duration,
    pub(super) socket: Option<Given<PathBuf>>,
    pub(super) tcp: Option<Given<SocketAddr>>,
    pub(super) admin: Option<Given<SocketAddr>>,
    pub(super) root_key_file: Option<Given<PathBuf>>,
    pub(super) log_format: LogFormat,
    pub(super) log_filter: Option<Given<Targets>>,
    pub(super) audit_file: Option<Given<PathBuf>>,
    pub(super) vaults: BTreeMap<Id, VaultConfig>,
    /// None if something is wrong with it.
    pub(super) stripe: Option<StripeConfig>,
}

impl ConfigFile {
    /// Reads the whole file; what is wrong with it goes to the table's problems.
    pub(super) fn read(root: &mut Table<'_>, kinds: &[VaultKind]) -> Self {
        let data_dir = root.path("data_dir");
        let allowed = Duration::from_secs(1)..=RETENTION_MAX;
        let deleted_retention = root.duration("deleted_retention", allowed, RETENTION_DEFAULT);
        let (socket, tcp, admin) = root.table("listen", |listen| {
            let tcp = listen.parsed("tcp", parse_loopback);
            (
                listen.path("socket"),
                tcp,
                listen.parsed("admin", parse_loopback),
            )
        });
        let root_key_file = root.table("root_key", |root_key| root_key.path("file"));
        let (log_format, log_filter) = root.table("log", |log| {
            let format = log.parsed("format", parse_format);
            (format, log.parsed("filter", parse_filter))
        });
        Self {
            data_dir,
            deleted_retention,
            socket,
            tcp,
            admin,
            root_key_file,
            log_format: log_format.map_or_else(LogFormat::default, |given| given.value),
            log_filter,
            audit_file: root.table("audit", |audit| audit.path("file")),
            vaults: root.table("vaults", |vaults| read_vaults(vaults, kinds)),
            stripe: root.table("stripe", read_stripe),
        }
    }
}

/// Reads an address that other hosts cannot reach.
///
/// # Errors
/// The remedy.
pub(super) fn parse_loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let Ok(address) = text.parse::<SocketAddr>() else {
        return Err("is not an address with a port; write 127.0.0.1:PORT or [::1]:PORT");
    };
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(
            "is not a loopback address; TLS listeners come later: put it on loopback \
            (127.0.0.1:PORT) or use the Unix socket",
        )
    }
}

fn parse_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("is not a log format; write \"text\" or \"json\""),
    }
}

fn read_stripe(stripe: &mut Table<'_>) -> Option<StripeConfig> {
    let timeout = stripe.duration("timeout", STRIPE_TIMEOUT, STRIPE_TIMEOUT_DEFAULT);
    let checks = stripe.number("checks_per_minute", 1..=STRIPE_CHECKS_MAX);
    let hosts = stripe.texts("hosts", |host| {
        let has_port = !host.starts_with('[') && host.contains(':');
        match has_port || host.contains(['/', '@']) {
            false => Ok(host.to_owned()),
            true => Err("is not a host alone; write it without scheme and port: api.stripe.com"),
        }
    });
    let hosts = hosts.unwrap_or_else(|| vec![BaseUrl::DEFAULT_HOST.to_owned()]);
    let parse = |url: &str| BaseUrl::parse(url, &hosts).map_err(|problem| problem.to_string());
    let base_url = match stripe.has("base_url") {
        true => stripe.parsed("base_url", parse)?.value,
        false => match parse(BaseUrl::DEFAULT) {
            Ok(url) => url,
            Err(_) => {
                stripe.missing(
                    "base_url",
                    "hosts does not list api.stripe.com, where it would be",
                );
                return None;
            }
        },
    };
    Some(StripeConfig {
        base_url,
        timeout,
        checks_per_minute: checks.unwrap_or(STRIPE_CHECKS_DEFAULT),
    })
}

fn read_vaults(vaults: &mut Table<'_>, kinds: &[VaultKind]) -> BTreeMap<Id, VaultConfig> {
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
        let kind = std::mem::discriminant(&vault.settings);
        if marked.contains(&kind) {
            let remedy = "is true of another vault of this kind as well; mark one of them";
            vaults.wrong_in(id.as_str(), "default", remedy);
        }
        marked.push(kind);
    }
    read
}

fn read_vault(vault: &mut Table<'_>, id: &Id, kinds: &[VaultKind]) -> Option<VaultConfig> {
    let allowed = VAULT_TIMEOUT_MIN..=VAULT_TIMEOUT_MAX;
    let timeout = vault.duration("timeout", allowed, VAULT_TIMEOUT_DEFAULT);
    let Some(kind) = read_kind(vault, id, kinds) else {
        for key in [
            "settings",
            "allow",
            "concurrent_calls",
            "calls_per_second",
            "default",
        ] {
            vault.skip(key);
        }
        return None;
    };
    let (allow, limits) = match kind.name {
        // Reached only through the definitions that its values belong to, and no other system.
        MANAGED => (Allow::everything(), Limits::timeout(timeout)),
        _ => (read_allow(vault), read_limits(vault, timeout)),
    };
    Some(VaultConfig {
        is_default: kind.name != MANAGED && vault.flag("default"),
        limits,
        allow,
        settings: vault.table("settings", kind.read_settings),
    })
}

fn read_limits(vault: &mut Table<'_>, timeout: Duration) -> Limits {
    let concurrent = vault.number("concurrent_calls", 1..=CONCURRENT_CALLS_MAX);
    let concurrent = concurrent.and_then(|calls| usize::try_from(calls).ok());
    Limits {
        timeout,
        concurrent_calls: Some(concurrent.unwrap_or(CONCURRENT_CALLS_DEFAULT)),
        calls_per_second: vault.number("calls_per_second", 1..=CALLS_PER_SECOND_MAX),
    }
}

fn read_allow(vault: &mut Table<'_>) -> Allow {
    if !vault.has("allow") {
        let remedy = "without it no definition can point at this vault: write \
            allow = [{ project = \"acme\", names = [\"acme/*\"] }]";
        vault.missing("allow", remedy);
    }
    let rules = vault.tables("allow", |rule| {
        if !rule.has("project") {
            rule.missing("project", "write the id of one, or \"any-project\"");
        }
        if !rule.has("names") {
            rule.missing("names", "list names, or \"acme/*\" for all under acme/");
        }
        let project = rule.parsed("project", Rule::parse_project);
        let names = rule.texts("names", NamePattern::parse);
        Some(Rule {
            project: project?.value,
            names: names?,
        })
    });
    Allow::new(rules.into_iter().flatten().flatten().collect())
}

fn read_kind<'k>(vault: &mut Table<'_>, id: &Id, kinds: &'k [VaultKind]) -> Option<&'k VaultKind> {
    let known = || List(kinds.iter().map(|kind| kind.name).collect());
    let find = |name: &str| kinds.iter().find(|kind| kind.name == name);
    let is_managed_id = id.as_str() == MANAGED;
    let given = vault.parsed("kind", |name| {
        let Some(kind) = find(name) else {
            return Err(format!("is not a kind of vault; known: {}", known()));
        };
        if is_managed_id != (kind.name == MANAGED) {
            return Err(
                "the vault `managed` and the kind \"managed\" go together: Claviger's own \
                vault has this id, and there is one of it"
                    .to_owned(),
            );
        }
        Ok(kind)
    });
    match given {
        Some(kind) => Some(kind.value),
        None if vault.has("kind") => None,
        None if is_managed_id => find(MANAGED),
        None => {
            let remedy = format!("write the kind of this vault: {}", known());
            vault.missing("kind", remedy);
            None
        }
    }
}
