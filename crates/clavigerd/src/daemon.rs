//! The composition root: opens what the configuration names, puts it together, serves, drains.

use std::error::Error as _;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use claviger_api::About;
use claviger_api::serve::{Limits, Listeners, bind_loopback, serve};
use claviger_audit::Audit;
use claviger_backend::{Backend, Opening, Vault, Vaults};
use claviger_backend_managed::Managed;
use claviger_broker::{Broker, Parts};
use claviger_core::{Clock, Error, Reason, SystemClock};
use claviger_store::{OpenRefused, Records, SqliteStore};
use claviger_stripe::live::LiveClient;
use rustix::fs::Mode;
use rustix::process::Resource;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ready;
use crate::root_key;
use crate::upkeep::Upkeep;

/// Connections on the admin listener: probes, not clients.
const ADMIN_CONNECTIONS_MAX: usize = 64;

/// How long one of them is used.
const ADMIN_CONNECTION_AGE: Duration = Duration::from_secs(15);

/// How long its last calls may take then, and at the end.
const ADMIN_DRAIN: Duration = Duration::from_secs(2);

/// Why the daemon does not run.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A failure of its own.
    Failed(String),
    /// Configuration, key or directory: starting again does not help.
    Refused(String),
}

impl Stop {
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    /// What a part says when it does not open. The daemon's own operator may read the cause.
    fn opening(what: &str, error: &Error) -> Self {
        let cause = error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string);
        let text = format!("{what} does not open: {cause}");
        let is_refused = error.reason() == Reason::IntegrityFailure
            || error
                .source()
                .is_some_and(|cause| cause.is::<OpenRefused>());
        match is_refused {
            true => Self::Refused(text),
            false => Self::Failed(text),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(text) | Self::Refused(text)) = self;
        f.write_str(text)
    }
}

/// Serves until told to stop, then drains.
pub(crate) fn run(config: &Config) -> Result<(), Stop> {
    let runtime = vault_runtime().map_err(|error| Stop::failed(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let (broker, about) = open(config, runtime.handle()).await?;
        let listeners = listen(config).await?;
        let own_socket = inode(&config.socket);
        let address = listeners.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
        let (routes, health) = claviger_api::routes(Arc::clone(&broker), about)
            .map_err(|error| Stop::failed(format!("services cannot be built: {error}")))?;

        let admin = bind("listen.admin", config.admin).await?;
        let admin_address = admin.as_ref().and_then(|tcp| tcp.local_addr().ok());
        let (admin_routes, vault_health) = claviger_api::admin_routes(&broker)
            .await
            .map_err(|error| Stop::failed(format!("services cannot be built: {error}")))?;

        let stop = stop_signal()?;
        let upkeep = Upkeep::start(&broker, health, &vault_health, stop.clone());
        ready::announce(config, address, admin_address);
        let tcp = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        tracing::info!(socket = %config.socket.display(), tcp, "serving");
        let limits = limits().map_err(|e| Stop::failed(format!("no descriptors: {e}")))?;
        let threads = available_parallelism().map_or(1, usize::from);
        let serving = serve(listeners, routes, limits, threads, stop.clone());
        let admin = Listeners {
            unix: None,
            tcp: admin,
        };
        // Probes come again; who stays would take the place of others.
        let admin_limits = Limits {
            connections_max: ADMIN_CONNECTIONS_MAX,
            connection_age: ADMIN_CONNECTION_AGE,
            drain: ADMIN_DRAIN,
            ..limits
        };
        let serving_admin = serve(admin, admin_routes, admin_limits, 1, stop);
        tokio::try_join!(serving, serving_admin)
            .map_err(|error| Stop::failed(format!("serving ended: {error}")))?;

        broker.drain().await;
        upkeep.stop().await;
        remove_own_socket(&config.socket, own_socket);
        tracing::info!("drained");
        Ok(())
    })
}

/// As many connections as there are descriptors for, with a reserve for files.
fn limits() -> io::Result<Limits> {
    let mut files = rustix::process::getrlimit(Resource::Nofile);
    files.current = files.maximum;
    rustix::process::setrlimit(Resource::Nofile, files)?;
    let defaults = Limits::default();
    let most = files.current.map_or(defaults.connections_max, |files| {
        usize::try_from(files.saturating_sub(256) / 2).unwrap_or(defaults.connections_max)
    });
    Ok(Limits {
        connections_max: most.clamp(16, defaults.connections_max),
        ..defaults
    })
}

/// Owns backends and writes; serving has threads of its own.
fn vault_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name("vaults")
        .enable_all()
        .build()
}

async fn open(config: &Config, runtime: &Handle) -> Result<(Arc<Broker>, About), Stop> {
    make_private_dir(&config.data_dir)?;
    let store_file = config.data_dir.join("store.db");
    let (root_key, custody) = root_key::load_or_create(&config.root_key, store_file.exists())
        .map_err(|error| Stop::refused(error.to_string()))?;
    tracing::info!(%custody, "started");

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqliteStore::open(&store_file).map_err(|e| Stop::opening("the store", &e))?;
    let records = Records::open(Arc::new(store), &root_key).await;
    let records = Arc::new(records.map_err(|e| Stop::opening("the store", &e))?);
    drop(root_key);
    let audit = Audit::open(&config.audit_file, Arc::clone(&clock))
        .map_err(|e| Stop::opening("the audit log", &e))?;

    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        start_time: clock.now(),
        root_key: custody.to_string(),
    };
    let broker = Arc::new(Broker::new(Parts {
        vaults: vaults(config, &records, &clock).await?,
        records,
        audit,
        stripe: LiveClient::new(
            config.stripe.base_url.clone(),
            config.stripe.timeout,
            config.stripe.checks_per_minute,
            Arc::clone(&clock),
        ),
        clock,
        deleted_retention: config.deleted_retention,
        first_admin: own_uid(),
        runtime: runtime.clone(),
    }));
    let unsettled = broker
        .settle_all()
        .await
        .map_err(|e| Stop::opening("a pending write", &e))?;
    if unsettled > 0 {
        tracing::warn!(unsettled, "writes wait for their vault to answer");
    }
    if config.is_dev {
        broker
            .prepare_dev()
            .await
            .map_err(|e| Stop::opening("projects/dev", &e))?;
    }
    Ok((broker, about))
}

/// Asks no vault anything: the daemon starts whether they answer or not.
async fn vaults(
    config: &Config,
    records: &Arc<Records>,
    clock: &Arc<dyn Clock>,
) -> Result<Vaults, Stop> {
    let mut vaults = Vec::new();
    for (id, vault) in &config.vaults {
        let clock = Arc::clone(clock);
        let backend: Arc<dyn Backend> = match &vault.settings {
            Some(settings) => {
                for warning in settings.warnings() {
                    tracing::warn!(vault = %id, key = warning.key, "{}", warning.remedy);
                }
                let opened = settings.open(Opening {
                    id: id.clone(),
                    keyring: Arc::clone(records.keyring()),
                    timeout: vault.limits.timeout,
                    clock,
                });
                let opened = opened.await;
                opened.map_err(|error| Stop::opening(&format!("vault {id}"), &error))?
            }
            None => Arc::new(Managed::new(Arc::clone(records), clock)),
        };
        let allow = vault.allow.clone();
        let made = Vault::new(id.clone(), backend, &vault.limits, allow);
        vaults.push(match vault.is_default {
            true => made.marked_default(),
            false => made,
        });
    }
    Ok(Vaults::new(vaults))
}

fn make_private_dir(dir: &Path) -> Result<(), Stop> {
    let refused = |what: &str| Stop::refused(format!("{}: {what}", dir.display()));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| refused(&format!("cannot be created: {error}")))?;
    let metadata = fs::metadata(dir).map_err(|error| refused(&format!("unreadable: {error}")))?;
    if metadata.uid() != own_uid() {
        return Err(refused(
            "belongs to another user; name a directory of this user's own",
        ));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(refused("others may write here; chmod go-w it"));
    }
    Ok(())
}

async fn listen(config: &Config) -> Result<Listeners, Stop> {
    let socket = &config.socket;
    let refused = |error: &io::Error| Stop::refused(format!("{}: {error}", socket.display()));
    if let Some(dir) = socket.parent().filter(|dir| !dir.exists()) {
        make_private_dir(dir)?;
    }
    remove_stale_socket(socket).await?;
    // Anyone on this host may connect: what a uid may do is decided by its grants, and the
    // directory can be closed to keep others out altogether. Through the umask, because the path
    // may lead elsewhere a moment later.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o111));
    let unix = UnixListener::bind(socket);
    rustix::process::umask(umask);
    let unix = unix.map_err(|error| refused(&error))?;
    let tcp = bind("listen.tcp", config.tcp).await?;
    let unix = Some(unix);
    Ok(Listeners { unix, tcp })
}

async fn bind(key: &str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, Stop> {
    let Some(address) = address else {
        return Ok(None);
    };
    let refused = |error| Stop::refused(format!("{key} {address}: {error}"));
    bind_loopback(address).await.map_err(refused).map(Some)
}

/// Makes place for our socket: only a socket of ours that nobody listens on is removed.
async fn remove_stale_socket(socket: &Path) -> Result<(), Stop> {
    let refused = |what: &str| Err(Stop::refused(format!("{}: {what}", socket.display())));
    let metadata = match fs::symlink_metadata(socket) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return refused(&error.to_string()),
    };
    if !metadata.file_type().is_socket() || metadata.uid() != own_uid() {
        return refused("is in the way and not a socket of ours; name another path");
    }
    match UnixStream::connect(socket).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(socket).or_else(|error| refused(&error.to_string()))
        }
        Ok(_) | Err(_) => refused("another daemon listens here"),
    }
}

/// Removes the socket unless another daemon has put its own there.
fn remove_own_socket(socket: &Path, own: Option<(u64, u64)>) {
    if own.is_some() && inode(socket) == own {
        // What is left behind is seen to be stale by the next start.
        fs::remove_file(socket).ok();
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Cancelled at SIGTERM or SIGINT.
fn stop_signal() -> Result<CancellationToken, Stop> {
    let failed = |error: io::Error| Stop::failed(format!("signals cannot be caught: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    Handle::current().spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("draining");
        stopped.cancel();
    });
    Ok(stop)
}
