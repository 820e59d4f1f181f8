//! The daemon without its `main`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use claviger_api::About;
use claviger_api::serve::{Limits, Listeners, bind_loopback};
use claviger_audit::Audit;
use claviger_backend::{Allow, Backend, Limits as VaultLimits, Vault, Vaults};
use claviger_backend_managed::Managed;
use claviger_broker::{Broker, Parts};
use claviger_core::{Clock, Id, ManualClock};
use claviger_proto::v1;
use claviger_seal::RootKey;
use claviger_store::{Records, SqliteStore};
use claviger_stripe::live::{BaseUrl, LiveClient};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::{Client, FaultyBackend, FaultySink};

/// The project that [`Server::prepared`] makes.
pub const PROJECT: &str = "projects/acme";

/// Where the audit log goes.
#[derive(Clone, Debug, Default)]
pub enum AuditLog {
    /// A file in the server's directory, as in production.
    #[default]
    File,
    /// A disk that can be full. A restart begins a new log in it, so it verifies only before one.
    Sink(FaultySink),
}

/// A vault besides the managed one.
#[derive(Clone, Debug)]
pub struct FaultyVault {
    /// Its id.
    pub id: &'static str,
    /// Outlives restarts, as a cloud would.
    pub backend: Arc<FaultyBackend>,
    /// How long a call may take, and how many; a pending write older than that is settled.
    pub limits: VaultLimits,
    /// Who may point at what in it.
    pub allow: Allow,
}

/// What a server is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the audit log goes.
    pub audit: AuditLog,
    /// The uid that is admin by itself. With another one than [`own_uid`] the caller on the socket
    /// is a nobody.
    pub first_admin: u32,
    /// Vaults besides the managed one.
    pub vaults: Vec<FaultyVault>,
    /// How long a soft-deleted definition keeps its name.
    pub deleted_retention: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            audit: AuditLog::File,
            first_admin: own_uid(),
            vaults: Vec::new(),
            deleted_retention: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

impl Options {
    /// With one faulty vault, `faulty`.
    pub fn with_faulty(backend: &Arc<FaultyBackend>) -> Self {
        let vault = FaultyVault {
            id: "faulty",
            backend: Arc::clone(backend),
            limits: VaultLimits::timeout(Duration::from_secs(10)),
            allow: Allow::everything(),
        };
        Self {
            vaults: vec![vault],
            ..Self::default()
        }
    }
}

/// The uid that calls over the Unix socket have.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A running server. Dropping it lets the calls in flight finish and removes its directory.
#[derive(Debug)]
pub struct Server {
    options: Options,
    /// Stands still until the test moves it; survives restarts.
    pub clock: Arc<ManualClock>,
    key: Arc<RootKey>,
    dir: TempDir,
    /// Of the server and of its clients' connections, so that they are alive while it stops,
    /// whatever the test's own runtime does.
    runtime: Option<Runtime>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    broker: Arc<Broker>,
    stop: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
    health: JoinHandle<()>,
    unix: Channel,
    tcp: SocketAddr,
}

impl Server {
    /// Starts a server with nothing in it: nobody has a grant but the first admin.
    pub async fn start(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let mut server = Self {
            options,
            clock: Arc::new(ManualClock::at(Duration::from_secs(1_795_320_000))),
            key: Arc::new(RootKey::generate()),
            dir: tempfile::tempdir().expect("a directory"),
            runtime: Some(runtime.expect("a runtime")),
            running: None,
        };
        server.run().await;
        server
    }

    /// Starts a server with [`PROJECT`] (no environments), where the caller on the socket is admin,
    /// operator and runner everywhere.
    pub async fn prepared(options: Options) -> (Self, Client) {
        let server = Self::start(options).await;
        let client = server.unix();
        let own = format!("unix:{}", own_uid());
        client.grant(&own, v1::Role::Operator, "*").await;
        client.grant(&own, v1::Role::Runner, "*").await;
        client.project(PROJECT, &[]).await;
        (server, client)
    }

    /// Stops, then starts again on the same directory with the same key. Clients of before are
    /// gone; take new ones.
    pub async fn restart(&mut self) {
        self.restart_with(|_| ()).await;
    }

    /// As [`Self::restart`], with other options.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Options)) {
        let running = self.running.take().expect("runs");
        let stopped = self.handle().spawn(running.stop());
        stopped.await.expect("stops");
        change(&mut self.options);
        self.run().await;
    }

    /// A caller on the Unix socket: `unix:<own uid>`.
    pub fn unix(&self) -> Client {
        Client::new(self.running().unix.clone())
    }

    /// A caller on TCP over a connection of its own, without a token.
    pub async fn tcp(&self) -> Client {
        let uri = format!("http://{}", self.running().tcp);
        Client::new(connect(&self.handle(), uri).await)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running().tcp
    }

    /// Its directory: store, audit log, socket.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The audit log as it is now.
    pub fn audit_bytes(&self) -> Vec<u8> {
        match &self.options.audit {
            AuditLog::File => fs::read(self.audit_file()).expect("a log"),
            AuditLog::Sink(sink) => sink.bytes(),
        }
    }

    /// The records of the audit log.
    pub fn audit_lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.audit_bytes()).expect("text");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// Waits until the changes that were begun have ended, also those whose caller left.
    pub async fn changes_ended(&self) {
        self.running().broker.drain().await;
    }

    fn audit_file(&self) -> PathBuf {
        self.dir.path().join("audit.jsonl")
    }

    fn handle(&self) -> Handle {
        let runtime = self.runtime.as_ref().expect("until dropped");
        runtime.handle().clone()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("runs")
    }

    async fn run(&mut self) {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let audit = match &self.options.audit {
            AuditLog::File => Audit::open(&self.audit_file(), Arc::clone(&clock)),
            AuditLog::Sink(sink) => Audit::with_sink(Box::new(sink.clone()), Arc::clone(&clock)),
        };
        let start = Start {
            options: self.options.clone(),
            clock,
            key: Arc::clone(&self.key),
            dir: self.dir.path().to_owned(),
            audit: audit.expect("an audit log"),
            runtime: self.handle(),
        };
        let running = self.handle().spawn(start.run()).await;
        self.running = Some(running.expect("starts"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A write that hangs would hold the drain up.
        for vault in &self.options.vaults {
            vault.backend.heal();
        }
        let (Some(runtime), Some(running)) = (self.runtime.take(), self.running.take()) else {
            return;
        };
        let (stopped, wait) = mpsc::channel();
        runtime.spawn(async move {
            running.stop().await;
            stopped.send(()).ok();
        });
        // Not `block_on`: the test is inside a runtime of its own.
        wait.recv().ok();
        runtime.shutdown_background();
    }
}

/// Nobody to ask: port 9 is reserved for throwing away.
fn stripe(clock: &Arc<dyn Clock>) -> LiveClient {
    let url = BaseUrl::parse("http://127.0.0.1:9", &["127.0.0.1"]).expect("a good address");
    LiveClient::new(url, Duration::from_secs(5), 60, Arc::clone(clock))
}

/// What a start takes to the server's own runtime.
struct Start {
    options: Options,
    clock: Arc<dyn Clock>,
    key: Arc<RootKey>,
    dir: PathBuf,
    audit: Arc<Audit>,
    runtime: Handle,
}

impl Start {
    async fn run(self) -> Running {
        let store = SqliteStore::open(&self.dir.join("store.db"), Arc::clone(&self.clock))
            .expect("a store");
        let records = Records::open(Arc::new(store), &self.key, &[]).await;
        let records = Arc::new(records.expect("records"));
        let broker = Arc::new(Broker::new(Parts {
            vaults: self.vaults(&records),
            records,
            audit: self.audit,
            stripe: stripe(&self.clock),
            clock: Arc::clone(&self.clock),
            deleted_retention: self.options.deleted_retention,
            first_admin: self.options.first_admin,
            runtime: self.runtime.clone(),
        }));
        broker.settle_all().await.expect("settled");

        let socket = self.dir.join("socket");
        fs::remove_file(&socket).ok();
        let tcp = bind_loopback(([127, 0, 0, 1], 0).into()).await;
        let listeners = Listeners {
            unix: Some(UnixListener::bind(&socket).expect("a socket")),
            tcp: Some(tcp.expect("a port")),
        };
        let tcp = listeners.tcp.as_ref().expect("set").local_addr();
        let about = About {
            version: "test",
            start_time: self.clock.now(),
            root_key: "of a test".to_owned(),
        };
        let (routes, reporter) =
            claviger_api::routes(Arc::clone(&broker), about).expect("services");
        // As the daemon does.
        let mut audit = broker.audit().watch_health();
        let health = self.runtime.spawn(async move {
            loop {
                let is_healthy = *audit.borrow_and_update();
                claviger_api::report_health(&reporter, is_healthy).await;
                if audit.changed().await.is_err() {
                    return;
                }
            }
        });
        let stop = CancellationToken::new();
        let serving =
            claviger_api::serve::serve(listeners, routes, Limits::default(), 2, stop.clone());
        Running {
            broker,
            stop,
            served: self.runtime.spawn(serving),
            health,
            unix: connect(&self.runtime, format!("unix:{}", socket.display())).await,
            tcp: tcp.expect("an address"),
        }
    }

    fn vaults(&self, records: &Arc<Records>) -> Vaults {
        let managed = Managed::new(Arc::clone(records), Arc::clone(&self.clock));
        let managed = Vault::new(
            Id::from_static(Managed::KIND),
            Arc::new(managed),
            &VaultLimits::timeout(Duration::from_secs(10)),
            Allow::everything(),
        );
        let faulty = self.options.vaults.iter().map(|vault| {
            let backend: Arc<dyn Backend> = Arc::<FaultyBackend>::clone(&vault.backend);
            Vault::new(
                Id::from_static(vault.id),
                backend,
                &vault.limits,
                vault.allow.clone(),
            )
        });
        Vaults::new(faulty.chain([managed]))
    }
}

impl Running {
    /// In the daemon's order: no new calls, calls in flight finish, begun changes finish.
    async fn stop(self) {
        self.stop.cancel();
        self.served.await.expect("serves").expect("serves");
        self.broker.drain().await;
        self.health.abort();
    }
}

/// Connects on the server's runtime, which drives the connection.
async fn connect(runtime: &Handle, uri: String) -> Channel {
    let endpoint = Endpoint::try_from(uri).expect("an address");
    let channel = runtime.spawn(async move { endpoint.connect().await });
    channel.await.expect("connects").expect("connects")
}
