//! The daemon's configuration: command line over environment over file over defaults.
//!
//! Everything that is wrong is reported at once, each with its place. Besides the file and the
//! credential files that it names nothing is opened, created or bound here: `--check-config`
//! promises that too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use claviger_api::serve::Limits;
use claviger_broker::CacheLimits;
use claviger_core::Id;
use claviger_identity::IdentitySettings;
use claviger_settings::{Place, Problems, read_document};
use claviger_stripe::live::LiveSettings;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::cli::Cli;
use crate::environment::{AWS_KEYS, Environment};
use crate::logging::{LogFormat, parse_filter};
use crate::owner;
use crate::root_key::{CREDENTIAL, RootKeySource};

mod file;
pub(crate) mod identities;
mod kinds;
mod limits;
#[cfg(test)]
mod tests;
mod tls;
mod vaults;

pub(crate) use kinds::VAULT_KINDS;
pub(crate) use tls::{BundleFiles, TlsConfig};
pub(crate) use vaults::VaultConfig;

use file::{ConfigFile, Given, parse_tcp};
use kinds::VaultKind;

/// Longest path of a Unix socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// The configuration as the daemon uses it: complete, paths absolute.
#[derive(Debug)]
pub struct Config {
    /// Whether `--dev` was given.
    pub(crate) is_dev: bool,
    /// Where the store is.
    pub(crate) data_dir: PathBuf,
    /// How long a deleted definition keeps its name.
    pub(crate) deleted_retention: Duration,
    /// The Unix socket.
    pub(crate) socket: PathBuf,
    /// The TCP address, if one is listened on; a loopback one unless TLS is spoken there.
    pub(crate) tcp: Option<SocketAddr>,
    /// What is spoken there, if that is TLS.
    pub(crate) tls: Option<TlsConfig>,
    /// The loopback address of the admin listener, if there is one.
    pub(crate) admin: Option<SocketAddr>,
    /// The bounds of all listeners.
    pub(crate) limits: Limits,
    /// Where the root key comes from.
    pub(crate) root_key: RootKeySource,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// Which lines are logged.
    pub(crate) log_filter: Targets,
    /// The audit log.
    pub(crate) audit_file: PathBuf,
    /// How large a file of it gets, in bytes.
    pub(crate) audit_segment_bytes: u64,
    /// How much disk it takes ahead, in bytes.
    pub(crate) audit_reserve_bytes: u64,
    /// Whether it may go on although records are missing.
    pub(crate) accepts_audit_gap: bool,
    /// Bounds of what is remembered of other systems' values.
    pub(crate) cache: CacheLimits,
    /// Whether metrics tell projects apart.
    pub(crate) tells_projects: bool,
    /// The vaults by id; `managed` is always there.
    pub(crate) vaults: BTreeMap<Id, VaultConfig>,
    /// The issuers whose tokens are believed, by name.
    pub(crate) identities: BTreeMap<Id, IdentitySettings>,
    /// What vouches for certificates of clients.
    pub(crate) bundles: Vec<BundleFiles>,
    /// How Stripe is asked about a key.
    pub(crate) stripe: LiveSettings,
}

impl Config {
    /// Puts the configuration together. With `--ephemeral` the caller brings the directory that
    /// holds everything, and nothing of `environment` but the log filter and the name of the
    /// configuration file counts.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn resolve(
        cli: &Cli,
        environment: &Environment,
        ephemeral_dir: Option<&Path>,
        kinds: &[VaultKind],
    ) -> Result<Self, Problems> {
        let (file, mut problems) = read_file(cli, environment, kinds)?;
        let problems = &mut problems;
        let ephemeral_dir = ephemeral_dir.filter(|_| cli.ephemeral);
        check_ephemeral(cli, &file, ephemeral_dir, problems);

        let data_dir = match ephemeral_dir {
            Some(dir) => Some(dir.to_path_buf()),
            None => data_dir(cli, environment, &file, problems),
        };
        let socket = socket(
            cli,
            environment,
            &file,
            ephemeral_dir,
            data_dir.as_deref(),
            problems,
        );
        let tcp = tcp(cli, &file, problems);
        let root_key = match ephemeral_dir {
            Some(_) => Some(RootKeySource::Memory),
            None => root_key(environment, &file, data_dir.as_deref(), problems),
        };
        let log_filter = log_filter(environment, &file, problems);
        check_aws_keys(environment, &file, problems);
        let audit_file = file.audit_file.map(|given| given.value);
        let audit_file = audit_file.or_else(|| Some(data_dir.as_ref()?.join("audit.jsonl")));
        check_distinct(&audit_file, &socket, &root_key, problems);

        match (data_dir, socket, root_key, audit_file, file.stripe) {
            (Some(data_dir), Some(socket), Some(root_key), Some(audit_file), Some(stripe))
                if problems.is_empty() =>
            {
                Ok(Self {
                    is_dev: cli.dev,
                    data_dir,
                    deleted_retention: file.deleted_retention,
                    socket,
                    tcp,
                    tls: file.tls,
                    admin: file.admin,
                    limits: file.limits,
                    root_key,
                    log_format: file.log_format,
                    log_filter,
                    audit_file,
                    audit_segment_bytes: file.audit_segment_bytes.into(),
                    audit_reserve_bytes: file.audit_reserve_bytes.into(),
                    accepts_audit_gap: cli.accept_audit_gap,
                    cache: file.cache,
                    tells_projects: file.tells_projects,
                    vaults: file.vaults,
                    identities: file.identities,
                    bundles: file.bundles,
                    stripe,
                })
            }
            _ => Err(std::mem::take(problems).sorted()),
        }
    }
}

/// Where a client on this host looks for the daemon when it is not told.
pub(crate) fn default_socket(environment: &Environment) -> Option<PathBuf> {
    claviger_client::default_socket(
        environment.xdg_runtime_dir.as_deref(),
        environment.state_home().as_deref(),
    )
}

fn default_data_dir(environment: &Environment) -> Option<PathBuf> {
    Some(environment.state_home()?.join("claviger"))
}

/// Reads the file, or an empty one if none is named. A file that cannot be read as a whole ends
/// it: its settings would have decided about the rest.
fn read_file(
    cli: &Cli,
    environment: &Environment,
    kinds: &[VaultKind],
) -> Result<(ConfigFile, Problems), Problems> {
    let named = match (&cli.config, &environment.config) {
        (Some(path), _) => Some((path, "--config")),
        (None, Some(path)) => Some((path, "CLAVIGER_CONFIG")),
        (None, None) => None,
    };
    let mut problems = Problems::new(named.map(|(path, _)| path.as_path()));
    let mut text = String::new();
    if let Some((path, key)) = named {
        match read_trusted(path) {
            Ok(read) => text = read,
            Err(message) => {
                problems.add(Place::outside(key), message);
                return Err(problems);
            }
        }
    }
    match read_document(&text, &mut problems, |root| ConfigFile::read(root, kinds)) {
        Some(file) => Ok((file, problems)),
        None => Err(problems.sorted()),
    }
}

/// SECURITY: who may write the configuration decides where values are sent.
fn read_trusted(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let mut file = File::open(path).map_err(unreadable)?;
    if let Some(fault) = owner::fault(&file.metadata().map_err(unreadable)?) {
        return Err(format!("{} {fault}", path.display()));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// With one half of the credentials AWS would be asked in vain.
fn check_aws_keys(environment: &Environment, file: &ConfigFile, problems: &mut Problems) {
    let has_aws = file.vaults.values().any(|vault| vault.kind == "aws");
    let missing = AWS_KEYS
        .iter()
        .find(|key| !environment.aws_keys.contains(key));
    if let (true, [half], Some(missing)) = (has_aws, environment.aws_keys.as_slice(), missing) {
        let message = format!("is set without {missing}; set both or neither");
        problems.add(Place::outside(*half), message);
    }
}

fn check_ephemeral(cli: &Cli, file: &ConfigFile, dir: Option<&Path>, problems: &mut Problems) {
    if !cli.ephemeral {
        return;
    }
    if !cli.dev {
        let remedy = "works only together with --dev";
        problems.add(Place::outside("--ephemeral"), remedy);
    } else if dir.is_none() {
        let remedy = "has no temporary directory to keep things in";
        problems.add(Place::outside("--ephemeral"), remedy);
    }
    let option = cli.data_dir.as_ref().map(|_| Place::outside("--data-dir"));
    let keys = [&file.data_dir, &file.root_key_file, &file.audit_file];
    let keys = keys.into_iter().flatten().map(|given| given.place.clone());
    for place in option.into_iter().chain(keys) {
        problems.add(
            place,
            "contradicts --ephemeral, which keeps nothing; drop one of the two",
        );
    }
}

fn data_dir(
    cli: &Cli,
    environment: &Environment,
    file: &ConfigFile,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let given = given_path(
        "--data-dir",
        cli.data_dir.as_deref(),
        &file.data_dir,
        problems,
    );
    let dir = given
        .map(|given| given.value)
        .or_else(|| default_data_dir(environment));
    if dir.is_none() && !problems.concern("data_dir") && !problems.concern("--data-dir") {
        let remedy = "is missing, and neither XDG_STATE_HOME nor HOME is set to derive it from; \
            give --data-dir, or write data_dir in the configuration file";
        problems.add(Place::outside("data_dir"), remedy);
    }
    dir
}

fn socket(
    cli: &Cli,
    environment: &Environment,
    file: &ConfigFile,
    ephemeral_dir: Option<&Path>,
    data_dir: Option<&Path>,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let given = given_path("--socket", cli.socket.as_deref(), &file.socket, problems);
    let socket = given.or_else(|| {
        // A throw-away daemon must not take the place of a real one.
        let runtime_dir = environment.xdg_runtime_dir.as_ref();
        let runtime_dir = runtime_dir.filter(|_| ephemeral_dir.is_none());
        let value = match runtime_dir {
            Some(_) => default_socket(environment)?,
            None => data_dir?.join("clavigerd.sock"),
        };
        let place = Place::outside("listen.socket");
        Some(Given { value, place })
    })?;
    if socket.value.as_os_str().as_bytes().len() > SOCKET_PATH_MAX {
        let message = format!(
            "is longer than {SOCKET_PATH_MAX} bytes, the most the path of a Unix socket can have; \
            give a shorter one (--socket or listen.socket)"
        );
        problems.add(socket.place, message);
    }
    Some(socket.value)
}

fn tcp(cli: &Cli, file: &ConfigFile, problems: &mut Problems) -> Option<SocketAddr> {
    match &cli.listen {
        Some(text) => parse_tcp(text, file.speaks_tls)
            .map_err(|remedy| problems.add(Place::outside("--listen"), remedy))
            .ok(),
        None => {
            let any_port = cli.dev.then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            file.tcp.or(any_port)
        }
    }
}

fn root_key(
    environment: &Environment,
    file: &ConfigFile,
    data_dir: Option<&Path>,
    problems: &mut Problems,
) -> Option<RootKeySource> {
    let credential = environment.credentials_directory.as_ref();
    let credential = credential
        .map(|dir| dir.join(CREDENTIAL))
        .filter(|path| path.exists());
    let given = match (credential, &file.root_key_file) {
        (Some(path), None) => return Some(RootKeySource::Credential(path)),
        (Some(_), Some(given)) => {
            let message =
                format!("contradicts the systemd credential {CREDENTIAL}; drop one of the two");
            problems.add(given.place.clone(), message);
            return None;
        }
        (None, given) => given.clone(),
    };
    let place = Place::outside("root_key.file");
    let given = given.or_else(|| {
        let value = environment.config_home()?.join("claviger/root.key");
        Some(Given {
            value,
            place: place.clone(),
        })
    });
    let Some(Given { value, place }) = given else {
        if !problems.concern("root_key.file") {
            let message = format!(
                "is missing, and neither XDG_CONFIG_HOME nor HOME is set to derive it from; write \
                root_key.file in the configuration file, or hand over the systemd credential \
                {CREDENTIAL}"
            );
            problems.add(place, message);
        }
        return None;
    };
    if data_dir.is_some_and(|dir| real(&value).starts_with(real(dir))) {
        let remedy = "is inside the data directory, so a copy of that directory would hold the \
            key to itself; put it elsewhere";
        problems.add(place, remedy);
    }
    Some(RootKeySource::File(value))
}

fn log_filter(environment: &Environment, file: &ConfigFile, problems: &mut Problems) -> Targets {
    let default = || Targets::new().with_default(LevelFilter::INFO);
    match &environment.log_filter {
        Some(text) => parse_filter(text).unwrap_or_else(|remedy| {
            problems.add(Place::outside("CLAVIGER_LOG"), remedy);
            default()
        }),
        None => file.log_filter.clone().unwrap_or_else(default),
    }
}

fn check_distinct(
    audit_file: &Option<PathBuf>,
    socket: &Option<PathBuf>,
    root_key: &Option<RootKeySource>,
    problems: &mut Problems,
) {
    let root_key_file = match root_key {
        Some(RootKeySource::File(path)) => Some(path),
        Some(RootKeySource::Credential(_) | RootKeySource::Memory) | None => None,
    };
    let paths = [
        ("audit.file", audit_file.as_ref()),
        ("listen.socket", socket.as_ref()),
        ("root_key.file", root_key_file),
    ];
    for (index, (key, path)) in paths.iter().enumerate() {
        for (other_key, other) in paths.iter().take(index) {
            if path.is_some() && path == other {
                let message = format!("is the same path as {other_key}; change one of the two");
                problems.add(Place::outside(*key), message);
            }
        }
    }
}

/// The path of the option, else that of the file.
fn given_path(
    option: &'static str,
    path: Option<&Path>,
    in_file: &Option<Given<PathBuf>>,
    problems: &mut Problems,
) -> Option<Given<PathBuf>> {
    let Some(path) = path else {
        return in_file.clone();
    };
    let place = Place::outside(option);
    match path::absolute(path) {
        Ok(value) => Some(Given { value, place }),
        Err(error) => {
            problems.add(place, format!("is not a path: {error}"));
            None
        }
    }
}

/// The path with symbolic links resolved as far as it exists.
fn real(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|ancestor| {
        let rest = path.strip_prefix(ancestor).ok()?;
        Some(ancestor.canonicalize().ok()?.join(rest))
    });
    existing.unwrap_or_else(|| path.to_path_buf())
}
