//! The daemon in this process, with the parts that a test puts in.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use claviger_audit::Health;
use claviger_backend::{Allow, Limits, Vault};
use claviger_broker::{Broker, Identity};
use claviger_core::{Id, ManualClock};
use claviger_proto::v1;
use claviger_raw::Raw;
use clavigerd::{Cli, Config, Daemon, Environment, Parts, Stop, TlsFiles};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Client, FaultyBackend, FaultySink, Gate, SharedBackend};

/// The project that [`Server::prepared`] makes.
pub const PROJECT: &str = "projects/acme";

/// Older than this, a pending write of the vault `shared` is settled.
const SHARED_TIMEOUT: Duration = Duration::from_secs(10);

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
    pub limits: Limits,
    /// Which projects may point at which names in it.
    pub allow: Allow,
}

/// The parts of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the audit log goes.
    pub audit: AuditLog,
    /// The uid that is admin by itself. With another one than [`own_uid`] the caller on the socket
    /// is a nobody.
    pub first_admin: u32,
    /// Vaults besides the managed one.
    pub vaults: Vec<FaultyVault>,
    /// One more, `shared`, which every project may use.
    pub shared: Option<Arc<SharedBackend>>,
    /// Who vouches for callers of other systems.
    pub identities: BTreeMap<Id, Identity>,
    /// Before the store.
    pub gate: Gate,
    /// How long a soft-deleted definition keeps its name.
    pub deleted_retention: Duration,
    /// More keys of `[stripe]`.
    pub stripe: String,
    /// More lines of the configuration.
    pub config: &'static str,
    /// `--accept-audit-gap`.
    pub accept_audit_gap: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            audit: AuditLog::File,
            first_admin: own_uid(),
            vaults: Vec::new(),
            shared: None,
            identities: BTreeMap::new(),
            gate: Gate::default(),
            deleted_retention: Duration::from_secs(30 * 24 * 60 * 60),
            // Port 9 is reserved for throwing away: nobody is there to ask.
            stripe: "base_url = \"http://127.0.0.1:9\", connect_url = \"http://127.0.0.1:9\""
                .to_owned(),
            config: "",
            accept_audit_gap: false,
        }
    }
}

impl Options {
    /// With one faulty vault, `faulty`.
    pub fn with_faulty(backend: &Arc<FaultyBackend>) -> Self {
        let vault = FaultyVault {
            id: "faulty",
            backend: Arc::clone(backend),
            limits: Limits::timeout(Duration::from_secs(10)),
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

/// A directory of this user alone, whatever the umask of the process is: while a daemon of another
/// test binds its socket, it is one with which others could write to it.
pub fn own_directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).expect("it is ours");
    directory
}

/// One daemon is opened at a time, and no directory is made meanwhile: the umask of the process is
/// another one while a Unix socket is bound.
static OPENING: Mutex<()> = Mutex::const_new(());

/// A running server. Dropping it lets the calls in flight finish and removes its directory.
#[derive(Debug)]
pub struct Server {
    options: Options,
    /// Stands still until the test moves it; survives restarts.
    pub clock: Arc<ManualClock>,
    home: TempDir,
    /// Of the server and of its clients' connections, so that they are alive while it stops,
    /// whatever the test's own runtime does.
    runtime: Option<Runtime>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    broker: Arc<Broker>,
    stop: CancellationToken,
    served: JoinHandle<Result<(), Stop>>,
    unix: Client,
    tcp: SocketAddr,
    admin: Option<SocketAddr>,
    tls: Option<Arc<TlsFiles>>,
}

impl Server {
    /// Starts a server with nothing in it: nobody has a grant but the first admin.
    pub async fn start(options: Options) -> Self {
        let mut server = Self::stopped(options).await;
        server.run().await;
        server
    }

    /// Starts a server on a copy of a store and its root key.
    pub async fn start_on(store: &Path, root_key: &Path, options: Options) -> Self {
        let mut server = Self::stopped(options).await;
        let config = server.home.path().join(".config/claviger");
        for (file, dir, name) in [
            (store, server.dir(), "store.db"),
            (root_key, config, "root.key"),
        ] {
            let mut private = DirBuilder::new();
            private.recursive(true).mode(0o700);
            private.create(&dir).expect("made");
            let copy = dir.join(name);
            fs::copy(file, &copy).expect("copied");
            fs::set_permissions(&copy, Permissions::from_mode(0o600)).expect("set");
        }
        server.run().await;
        server
    }

    async fn stopped(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let alone = OPENING.lock().await;
        let home = tempfile::tempdir().expect("a directory");
        drop(alone);
        Self {
            options,
            clock: Arc::new(ManualClock::at(Duration::from_secs(1_795_320_000))),
            home,
            runtime: Some(runtime.expect("a runtime")),
            running: None,
        }
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
        self.stop().await;
        change(&mut self.options);
        self.run().await;
    }

    async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let stopped = self.handle().spawn(running.stop());
            stopped.await.expect("stops");
        }
    }

    /// Stops, lets `deed` happen to the audit log, and starts. Returns why it is refused; it is
    /// stopped then, until a [`restart_with`](Self::restart_with).
    pub async fn refuses_after(&mut self, deed: impl FnOnce(&Path)) -> String {
        self.stop().await;
        deed(&self.audit_file());
        let config = configure(self.home.path(), &self.options);
        let parts = self.options.parts(Arc::clone(&self.clock));
        let opening = async move {
            let _alone = OPENING.lock().await;
            Daemon::open(&config, parts).await.map(drop)
        };
        let opened = self.handle().spawn(opening).await.expect("no panic");
        opened.expect_err("refused").to_string()
    }

    /// A caller on the Unix socket: `unix:<own uid>`.
    pub fn unix(&self) -> Client {
        self.running().unix.clone()
    }

    /// A caller on TCP over a connection of its own, without a token.
    pub async fn tcp(&self) -> Client {
        self.connect(self.running().tcp).await
    }

    /// A probe on the admin listener, which the configuration has to name.
    pub async fn admin(&self) -> Client {
        let admin = self.running().admin.expect("configured");
        self.connect(admin).await
    }

    /// The answer of the admin listener, which the configuration has to name, to a request in
    /// HTTP/1.1.
    pub async fn http(&self, request: &str) -> String {
        let admin = self.running().admin.expect("configured");
        let mut stream = TcpStream::connect(admin).await.expect("connects");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("takes it");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        read.expect("answers to the end");
        answer
    }

    /// The page of the metrics.
    pub async fn metrics(&self) -> String {
        let answer = self
            .http("GET /metrics HTTP/1.1\r\nhost: claviger\r\n\r\n")
            .await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        body.to_owned()
    }

    async fn connect(&self, address: SocketAddr) -> Client {
        let connecting = claviger_client::Client::connect_tcp(address);
        // On the server's runtime, which drives the connection.
        let connected = self.handle().spawn(connecting).await;
        Client::new(connected.expect("connects").expect("connects"))
    }

    /// A connection on TCP from one of the addresses of this host, whose frames the test chooses.
    pub async fn raw(&self, from: &str) -> Raw {
        let from = from.parse().expect("an address");
        let connecting = Raw::address(from, self.running().tcp);
        // On the server's runtime, which drives the connection.
        self.handle().spawn(connecting).await.expect("connects")
    }

    /// Runs what opens connections, which are driven on the server's runtime then.
    pub async fn run_there<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.handle().spawn(task).await.expect("no panic")
    }

    /// The address of its TCP listener.
    pub fn address(&self) -> SocketAddr {
        self.running().tcp
    }

    /// Has the files of TLS, which the configuration has to name, looked at now.
    pub fn look_at_tls(&self) {
        self.running().tls.as_ref().expect("configured").look();
    }

    /// Its directory: store, audit log, socket.
    pub fn dir(&self) -> PathBuf {
        data_dir(self.home.path())
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

    /// Its use cases, for calls of callers that no listener knows.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.running().broker
    }

    /// Tells how the audit log is.
    pub fn audit_health(&self) -> watch::Receiver<Health> {
        self.running().broker.audit().watch_health()
    }

    /// Waits until the changes that were begun have ended, also those whose caller left.
    pub async fn changes_ended(&self) {
        self.running().broker.drain().await;
    }

    fn audit_file(&self) -> PathBuf {
        self.dir().join("audit.jsonl")
    }

    fn handle(&self) -> Handle {
        let runtime = self.runtime.as_ref().expect("until dropped");
        runtime.handle().clone()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("runs")
    }

    async fn run(&mut self) {
        let home = self.home.path();
        let parts = self.options.parts(Arc::clone(&self.clock));
        let alone = OPENING.lock().await;
        let config = configure(home, &self.options);
        drop(alone);
        let running = Running::start(config, parts);
        let running = self.handle().spawn(running).await;
        self.running = Some(running.expect("starts"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A write that hangs would hold the drain up.
        for vault in &self.options.vaults {
            vault.backend.heal();
        }
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        if let Some(running) = self.running.take() {
            let (stopped, wait) = mpsc::channel();
            runtime.spawn(async move {
                running.stop().await;
                stopped.send(()).ok();
            });
            // Not `block_on`: the test is inside a runtime of its own.
            wait.recv().ok();
        }
        runtime.shutdown_background();
    }
}

impl Options {
    /// Those parts that the daemon does not get from its configuration.
    fn parts(&self, clock: Arc<ManualClock>) -> Parts {
        let vault = |vault: &FaultyVault| {
            let backend = Arc::<FaultyBackend>::clone(&vault.backend);
            let id = Id::from_static(vault.id);
            Vault::new(id, backend, &vault.limits, vault.allow.clone())
        };
        let shared = self.shared.iter().map(|shared| {
            let backend = Arc::<SharedBackend>::clone(shared);
            let limits = Limits::timeout(SHARED_TIMEOUT);
            Vault::new(
                Id::from_static("shared"),
                backend,
                &limits,
                Allow::everything(),
            )
        });
        let gate = self.gate.clone();
        Parts {
            clock,
            store: Some(Box::new(move |store| gate.before(store))),
            first_admin: self.first_admin,
            audit: match &self.audit {
                AuditLog::File => None,
                AuditLog::Sink(sink) => Some(Box::new(sink.clone())),
            },
            vaults: self.vaults.iter().map(vault).chain(shared).collect(),
            identities: self.identities.clone(),
        }
    }
}

impl Running {
    /// On the server's runtime.
    async fn start(config: Config, parts: Parts) -> Self {
        let alone = OPENING.lock().await;
        let daemon = Daemon::open(&config, parts).await.expect("opens");
        drop(alone);
        let unix = claviger_client::Client::connect_unix(daemon.socket()).await;
        let stop = CancellationToken::new();
        Self {
            broker: Arc::clone(daemon.broker()),
            unix: Client::new(unix.expect("connects")),
            tcp: daemon.tcp().expect("a port"),
            admin: daemon.admin(),
            tls: daemon.tls().cloned(),
            served: Handle::current().spawn(daemon.serve(stop.clone())),
            stop,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.served.await.expect("serves").expect("serves");
    }
}

/// The configuration as an operator would write it; all that it names is below `home`.
fn configure(home: &Path, options: &Options) -> Config {
    let file = home.join("clavigerd.toml");
    let text = format!(
        r#"
        deleted_retention = "{}s"
        vaults.managed.timeout = "10s"
        stripe = {{ hosts = ["127.0.0.1"], {} }}
        {}
        "#,
        options.deleted_retention.as_secs(),
        options.stripe,
        options.config
    );
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("set");
    let cli = Cli {
        config: Some(file),
        data_dir: Some(data_dir(home)),
        accept_audit_gap: options.accept_audit_gap,
        listen: Some("127.0.0.1:0".to_owned()),
        ..Cli::default()
    };
    let environment = Environment {
        home: Some(home.to_path_buf()),
        ..Environment::default()
    };
    clavigerd::configure(&cli, &environment, None).expect("a good configuration")
}

fn data_dir(home: &Path) -> PathBuf {
    home.join("data")
}
