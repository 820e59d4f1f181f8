//! The configuration file as it is written: the settings given, each with its line.
//!
//! Defaults that depend on anything outside of the file are not filled in here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use claviger_api::serve::Limits;
use claviger_broker::CacheLimits;
use claviger_core::Id;
use claviger_identity::IdentitySettings;
use claviger_settings::{Place, Table};
use claviger_stripe::live::LiveSettings;
use tracing_subscriber::filter::Targets;

use super::identities::read_identities;
use super::kinds::VaultKind;
use super::limits::{read_cache, read_limits};
use super::tls::{BundleFiles, TlsConfig, check_bundles};
use super::vaults::{VaultConfig, read_vaults};
use crate::logging::{LogFormat, parse_filter};

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const RETENTION_DEFAULT: Duration = Duration::from_secs(30 * DAY.as_secs());
const RETENTION_MAX: Duration = Duration::from_secs(3650 * DAY.as_secs());

/// A setting and the place where it was made.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// The settings of the file.
pub(super) struct ConfigFile {
    pub(super) data_dir: Option<Given<PathBuf>>,
    pub(super) deleted_retention: Duration,
    pub(super) socket: Option<Given<PathBuf>>,
    pub(super) tcp: Option<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) limits: Limits,
    pub(super) root_key_file: Option<Given<PathBuf>>,
    pub(super) log_format: LogFormat,
    pub(super) log_filter: Option<Targets>,
    pub(super) audit_file: Option<Given<PathBuf>>,
    pub(super) audit_segment_bytes: u32,
    pub(super) audit_reserve_bytes: u32,
    pub(super) cache: CacheLimits,
    pub(super) tells_projects: bool,
    pub(super) vaults: BTreeMap<Id, VaultConfig>,
    pub(super) identities: BTreeMap<Id, IdentitySettings>,
    /// All that vouch for certificates.
    pub(super) bundles: Vec<BundleFiles>,
    /// Whether there is a table for it.
    pub(super) speaks_tls: bool,
    /// None if it is not there, or something is wrong with it.
    pub(super) tls: Option<TlsConfig>,
    /// None if something is wrong with it.
    pub(super) stripe: Option<LiveSettings>,
}

impl ConfigFile {
    /// Reads the whole file; everything wrong with it goes to the table's problems.
    pub(super) fn read(root: &mut Table<'_>, kinds: &[VaultKind]) -> Self {
        let data_dir = given_path(root, "data_dir");
        let allowed = Duration::from_secs(1)..=RETENTION_MAX;
        let deleted_retention = root.duration("deleted_retention", allowed, RETENTION_DEFAULT);
        let speaks_tls = root.has("tls");
        let (socket, tcp, admin, limits) = root.table("listen", |listen| {
            (
                given_path(listen, "socket"),
                listen.parsed("tcp", |text| parse_tcp(text, speaks_tls)),
                listen.parsed("admin", parse_loopback),
                read_limits(listen),
            )
        });
        let root_key_file = root.table("root_key", |root_key| given_path(root_key, "file"));
        let (log_format, log_filter) = root.table("log", |log| {
            let format = log.parsed("format", parse_format);
            (format, log.parsed("filter", parse_filter))
        });
        let (audit_file, segment_bytes, reserve_bytes) = root.table("audit", |audit| {
            (
                given_path(audit, "file"),
                audit.number("segment_bytes", 64 * KIB..=2048 * MIB),
                audit.number("reserve_bytes", 0..=2048 * MIB),
            )
        });
        let (identities, mut bundles) = root.table("identity", read_identities);
        let tls = speaks_tls.then(|| root.table("tls", TlsConfig::read));
        let tls = tls.flatten();
        check_bundles(root, tls.as_ref(), &bundles);
        bundles.extend(tls.as_ref().and_then(|tls| tls.clients.clone()));
        Self {
            data_dir,
            deleted_retention,
            socket,
            tcp,
            admin,
            limits,
            root_key_file,
            log_format: log_format.unwrap_or_default(),
            log_filter,
            audit_file,
            audit_segment_bytes: segment_bytes.unwrap_or(256 * MIB),
            audit_reserve_bytes: reserve_bytes.unwrap_or(64 * MIB),
            cache: root.table("cache", read_cache),
            // There is one label to ask for.
            tells_projects: root
                .table("metrics", |metrics| metrics.texts("labels", parse_label))
                .is_some_and(|labels| !labels.is_empty()),
            vaults: root.table("vaults", |vaults| read_vaults(vaults, kinds)),
            identities,
            bundles,
            speaks_tls,
            tls,
            stripe: root.table("stripe", LiveSettings::read),
        }
    }
}

fn given_path(table: &mut Table<'_>, key: &str) -> Option<Given<PathBuf>> {
    let value = table.path(key)?;
    let place = table.place(key);
    Some(Given { value, place })
}

/// Reads the address for clients, which other hosts reach only over TLS.
///
/// # Errors
/// The remedy.
pub(super) fn parse_tcp(text: &str, speaks_tls: bool) -> Result<SocketAddr, &'static str> {
    let address = parse_address(text)?;
    let is_safe = speaks_tls || address.ip().is_loopback();
    is_safe.then_some(address).ok_or(
        "is not a loopback address; have it speak TLS ([tls] with certificate_file and \
        private_key_file), put it on loopback (127.0.0.1:PORT) or use the Unix socket",
    )
}

/// Reads an address that other hosts cannot reach.
fn parse_loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let address = parse_address(text)?;
    let is_loopback = address.ip().is_loopback();
    is_loopback
        .then_some(address)
        .ok_or("is not a loopback address; put it on loopback (127.0.0.1:PORT)")
}

fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    let address = text.parse();
    address.map_err(|_| "is not an address with a port; write 127.0.0.1:PORT or [::1]:PORT")
}

fn parse_label(text: &str) -> Result<(), &'static str> {
    match text {
        "project" => Ok(()),
        _ => Err("is not a label that can be asked for; write \"project\", or leave it out"),
    }
}

fn parse_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("is not a log format; write \"text\" or \"json\""),
    }
}
