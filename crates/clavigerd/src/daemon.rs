//! The composition root: opens the parts that the configuration names, puts them together, serves,
//! drains.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use claviger_api::serve::{Limits, Listeners, serve};
use claviger_api::{About, Bodies, Page};
use claviger_audit::{Audit, FileOptions, Sink};
use claviger_backend::{Backend, Opening, Vault, Vaults};
use claviger_backend_managed::Managed;
use claviger_broker::{Broker, Identity};
use claviger_core::{Clock, Id, SteadyClock, SystemClock};
use claviger_identity::Verifier;
use claviger_store::{Records, SqliteStore, Store};
use claviger_stripe::live::LiveClient;
use claviger_stripe::oauth::OauthClient;
use rustix::process::Resource;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::audit_seal::{self, Seal};
use crate::config::Config;
use crate::config::identities::for_broker;
use crate::listen::{SocketFile, Sockets};
use crate::metrics::Metrics;
use crate::modes::{self, make_private_dir};
use crate::owner::own_uid;
use crate::ready;
use crate::root_key;
use crate::stop::Stop;
use crate::tls::TlsFiles;
use crate::upkeep::{Upkeep, watch_tls};

/// Connections on the admin listener: probes, not clients.
const ADMIN_CONNECTIONS_MAX: usize = 64;

/// How long one of them is used.
const ADMIN_CONNECTION_AGE: Duration = Duration::from_secs(15);

/// How long its last calls may take then, and at the end.
const ADMIN_DRAIN: Duration = Duration::from_secs(2);

/// The parts that the configuration does not name. The default is for production; tests put in
/// parts that they move, watch and break.
pub struct Parts {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The uid that is admin without a grant.
    pub first_admin: u32,
    /// Stands between the daemon and its store.
    pub store: Option<Box<PutBefore>>,
    /// Takes the audit log in place of its file.
    pub audit: Option<Box<dyn Sink>>,
    /// Vaults besides the configured ones.
    pub vaults: Vec<Vault>,
    /// Identities besides the configured ones.
    pub identities: BTreeMap<Id, Identity>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            first_admin: own_uid(),
            store: None,
            audit: None,
            vaults: Vec::new(),
            identities: BTreeMap::new(),
        }
    }
}

/// Puts something before the store, and returns what is to be used in its place.
pub type PutBefore = dyn FnOnce(SqliteStore) -> Arc<dyn Store> + Send;

/// A daemon that is open and listens, but does not answer yet.
pub struct Daemon {
    broker: Arc<Broker>,
    verifier: Arc<Verifier>,
    seal: Seal,
    about: About,
    limits: Limits,
    sockets: Sockets,
    tls: Option<Arc<TlsFiles>>,
    is_dev: bool,
}

impl Daemon {
    /// Opens the parts that the configuration names. The tasks of the vaults run on the runtime of
    /// the caller, which has to outlive the daemon. While the Unix socket is bound, the process has
    /// another umask.
    ///
    /// # Errors
    /// If a part does not open or an address cannot be listened on.
    pub async fn open(config: &Config, parts: Parts) -> Result<Self, Stop> {
        let Opened {
            broker,
            verifier,
            seal,
            mut about,
        } = open(config, parts).await?;
        let tls = config.tls.as_ref().map(|tls| {
            let files = TlsFiles::open(tls, &config.bundles, Arc::clone(&seal.clock));
            files.map_err(|fault| Stop::refused(fault.to_string()))
        });
        let tls = tls.transpose()?.map(Arc::new);
        about.tls = tls.as_ref().map(|files| Arc::clone(files.tls()));
        let sockets = Sockets::bind(config, about.tls.clone()).await?;
        Ok(Self {
            broker,
            verifier,
            seal,
            about,
            limits: config.limits,
            sockets,
            tls,
            is_dev: config.is_dev,
        })
    }

    /// The use cases that it serves.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The files of its TLS, if it speaks that.
    pub fn tls(&self) -> Option<&Arc<TlsFiles>> {
        self.tls.as_ref()
    }

    /// The path of its Unix socket.
    pub fn socket(&self) -> &Path {
        &self.sockets.file.path
    }

    /// The TCP address that it listens on, if there is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.sockets.listeners.tcp.as_ref()?.local_addr().ok()
    }

    /// The address for probes, if there is one.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.sockets.admin.as_ref()?.local_addr().ok()
    }

    /// For whoever started it: the ready line and, with `--dev`, lines to copy.
    pub fn greeting(&self) -> String {
        let mut text = ready::line(self.socket(), self.tcp(), self.admin());
        if self.is_dev {
            let plain = self.tcp().filter(|_| self.tls.is_none());
            text.push_str(&ready::lines(self.socket(), plain));
        }
        text
    }

    /// Serves until `stop` is cancelled, then drains: calls in flight and changes that were begun
    /// come to their end.
    ///
    /// # Errors
    /// If serving cannot start or breaks off.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), Stop> {
        let unbuilt = |error| Stop::failed(format!("services cannot be built: {error}"));
        let tcp = self
            .tcp()
            .map_or_else(|| "-".to_owned(), |tcp| tcp.to_string());
        let limits =
            afforded(self.limits).map_err(|e| Stop::failed(format!("no descriptors: {e}")))?;
        let bodies = Bodies::new(limits.unfinished_bytes_max, limits.own_uid);
        let tls = self.about.tls.clone();
        let services = claviger_api::services(
            Arc::clone(&self.broker),
            self.verifier,
            self.about,
            Arc::clone(&bodies),
        );
        let (door, health) = services.map_err(unbuilt)?;
        let metrics = Metrics {
            broker: Arc::clone(&self.broker),
            door: Arc::clone(door.counts()),
            tls,
        };
        let page = Page::new(move |admin| metrics.text(admin));
        let admin_services = claviger_api::admin_services(&self.broker, bodies, page).await;
        let (admin_door, part_health) = admin_services.map_err(unbuilt)?;
        let upkeep = Upkeep::start(&self.broker, health, &part_health, stop.clone());
        let sealing = self.seal.clone().keep(self.broker.audit());
        upkeep.spawn(sealing);
        if let Some(files) = self.tls {
            upkeep.spawn(watch_tls(files, part_health));
        }
        let Sockets {
            listeners,
            admin,
            file,
        } = self.sockets;
        tracing::info!(socket = %file.path.display(), tcp, "serving");

        let threads = available_parallelism().map_or(1, usize::from);
        let serving = serve(listeners, door, limits, threads, stop.clone());
        let admin = Listeners {
            unix: None,
            tcp: admin,
            tls: None,
        };
        // Probes come again; those that stay would take the place of others.
        let admin_limits = Limits {
            connections_max: ADMIN_CONNECTIONS_MAX,
            connection_age: ADMIN_CONNECTION_AGE,
            drain: ADMIN_DRAIN,
            // What it is there for.
            serves_health: true,
            serves_reflection: true,
            ..limits
        };
        let serving_admin = serve(admin, admin_door, admin_limits, 1, stop);
        tokio::try_join!(serving, serving_admin)
            .map_err(|error| Stop::failed(format!("serving ended: {error}")))?;
        drain(&self.broker, &self.seal, upkeep, file).await;
        Ok(())
    }
}

/// Once no calls are served: changes that they began come to their end.
async fn drain(broker: &Broker, seal: &Seal, upkeep: Upkeep, socket: SocketFile) {
    // First: it begins changes of its own.
    upkeep.stop().await;
    broker.drain().await;
    seal.finish(broker.audit()).await;
    drop(socket);
    tracing::info!("drained");
}

/// The bounds, with as many connections as there are descriptors for and a reserve for files.
fn afforded(limits: Limits) -> io::Result<Limits> {
    let mut files = rustix::process::getrlimit(Resource::Nofile);
    files.current = files.maximum;
    rustix::process::setrlimit(Resource::Nofile, files)?;
    let most = files.current.map_or(limits.connections_max, |files| {
        usize::try_from(files.saturating_sub(256) / 2).unwrap_or(limits.connections_max)
    });
    if most < limits.connections_max {
        // No fault: the default is more than many hosts allow.
        tracing::info!(
            connections = limits.connections_max,
            most,
            "listen.connections is more than there are file descriptors for; raise the limit \
            (LimitNOFILE= in a systemd unit, ulimit -n in a shell)"
        );
    }
    Ok(Limits {
        connections_max: limits.connections_max.min(most.max(16)),
        own_uid: own_uid(),
        ..limits
    })
}

/// What is open before anything is listened on.
struct Opened {
    broker: Arc<Broker>,
    verifier: Arc<Verifier>,
    seal: Seal,
    about: About,
}

async fn open(config: &Config, parts: Parts) -> Result<Opened, Stop> {
    make_private_dir(&config.data_dir)?;
    modes::check(config)?;
    let store_file = config.data_dir.join("store.db");
    let (root_key, custody) = root_key::load_or_create(&config.root_key, store_file.exists())
        .map_err(|error| Stop::refused(error.to_string()))?;
    tracing::info!(%custody, "started");

    let Parts {
        clock,
        first_admin,
        store: put_between,
        audit,
        vaults: more,
        identities,
    } = parts;
    // Only for what ends: what waits by the clock would wait until it has caught up.
    let steady = Arc::new(SteadyClock::new(Arc::clone(&clock)));
    let the_store = format!("the store {}", store_file.display());
    let store = SqliteStore::open(&store_file, Arc::<SteadyClock>::clone(&steady))
        .map_err(|e| Stop::opening(&the_store, &e))?;
    let store: Arc<dyn Store> = match put_between {
        Some(put_between) => put_between(store),
        None => Arc::new(store),
    };
    let upgrades = [
        &claviger_broker::UPGRADES[..],
        &claviger_backend_managed::UPGRADES,
    ]
    .concat();
    let records = Records::open(store, &root_key, &upgrades).await;
    let records = Arc::new(records.map_err(|e| Stop::opening(&the_store, &e))?);
    drop(root_key);
    let sealed = audit_seal::read(&records).await;
    let sealed = sealed.map_err(|e| Stop::opening(&the_store, &e))?;
    let sealed = sealed.map(|(mark, time)| {
        remember(&steady, time, clock.now(), config.accepts_audit_gap);
        mark
    });
    let notes = records.notes().await;
    let notes = notes.map_err(|e| Stop::opening(&the_store, &e))?;
    let options = FileOptions {
        segment_bytes: config.audit_segment_bytes,
        reserve_bytes: config.audit_reserve_bytes,
        sealed,
        accepts_gap: config.accepts_audit_gap,
        notes: notes.into_iter().map(|n| (n.revision, n.bytes)).collect(),
    };
    let audit = match audit {
        Some(sink) => Audit::with_sink(sink, Arc::clone(&clock)),
        None => Audit::open(&config.audit_file, options, Arc::clone(&clock)),
    };
    let the_log = format!("the audit log {}", config.audit_file.display());
    let audit = audit.map_err(|e| Stop::opening(&the_log, &e))?;
    let seal = Seal {
        records: Arc::clone(&records),
        clock: Arc::<SteadyClock>::clone(&steady),
    };
    // Before anything else can fail.
    seal.begin(&audit).await;

    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        start_time: clock.now(),
        root_key: custody.to_string(),
        tls: None,
    };
    let verifier = Verifier::new(
        config.identities.clone(),
        Arc::<SteadyClock>::clone(&steady),
        &Handle::current(),
    );
    let broker = Arc::new(Broker::new(claviger_broker::Parts {
        vaults: vaults(config, &records, &clock, more).await?,
        records,
        audit,
        stripe: LiveClient::new(
            config.stripe.base_url.clone(),
            config.stripe.timeout,
            config.stripe.checks_per_minute,
            Arc::clone(&clock),
        ),
        oauth: OauthClient::new(&config.stripe, Arc::clone(&clock)),
        clock: steady,
        cache: config.cache,
        tells_projects: config.tells_projects,
        deleted_retention: config.deleted_retention,
        first_admin,
        identities: for_broker(&config.bundles, &config.identities)
            .into_iter()
            .chain(identities)
            .collect(),
        runtime: Handle::current(),
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
    Ok(Opened {
        broker,
        verifier: Arc::new(verifier),
        seal,
        about,
    })
}

/// Goes on from the time that the last start had reached.
fn remember(steady: &SteadyClock, reached: SystemTime, now: SystemTime, is_accepted: bool) {
    let Ok(back) = reached.duration_since(now) else {
        return;
    };
    let back = back.as_secs();
    if is_accepted {
        tracing::warn!(
            back,
            "the clock was set back by so many seconds, which was accepted"
        );
        return;
    }
    tracing::warn!(
        back,
        "the clock was set back by so many seconds: grants and tokens end as if it had not been; \
        set it right, or start once with --accept-audit-gap if it was wrong before"
    );
    steady.not_before(reached);
}

/// Asks no vault anything: the daemon starts whether they answer or not.
async fn vaults(
    config: &Config,
    records: &Arc<Records>,
    clock: &Arc<dyn Clock>,
    more: Vec<Vault>,
) -> Result<Vaults, Stop> {
    let mut vaults = more;
    for (id, vault) in &config.vaults {
        let clock = Arc::clone(clock);
        let backend: Arc<dyn Backend> = match &vault.settings {
            Some(settings) => {
                for warning in settings.warnings(&vault.allow) {
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
    let vaults = Vaults::new(vaults);
    for (one, other) in vaults.overlaps() {
        tracing::warn!(
            vault = %one,
            %other,
            "both vaults lead to one account, as far as their settings say, so a secret is one \
             whichever leads to it; if that is not meant, name the account of each in its settings"
        );
    }
    Ok(vaults)
}
