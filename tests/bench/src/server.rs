//! The processes that are measured, and the few calls that prepare the daemon.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use claviger_client::Client;
use claviger_proto::v1;
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::step::Result;

/// Length of the secret that is read, and of those that are written.
pub(crate) const VALUE_BYTES: usize = 200;

/// Definitions that are written to: one per writer at most.
pub(crate) const PUT_DEFINITIONS: usize = 64;

/// The project that `--dev` makes.
const PROJECT: &str = "projects/dev";

/// How long a server of others may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a process may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Name of the definition that is read.
pub(crate) fn read_name() -> String {
    format!("{PROJECT}/secrets/bench")
}

/// Name of one of the definitions whose values lie in another system.
pub(crate) fn external_name(index: usize) -> String {
    format!("{PROJECT}/secrets/external-{index}")
}

/// Name of one of the definitions that are written to.
pub(crate) fn put_name(index: usize) -> String {
    format!("{PROJECT}/secrets/put-{index}")
}

/// Builds the daemon that is measured, the way a release is built from the workspace.
pub(crate) fn build_daemon() -> Result {
    if cfg!(debug_assertions) {
        return Err("a benchmark of a debug build says nothing: run it with --release".into());
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "-p", "clavigerd"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = cargo.current_dir(root).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo build: {status}").into())
    }
}

/// Directories of a daemon that is started more than once.
pub(crate) struct Home {
    /// Below the build directory, because the usual place for temporary files may be in memory,
    /// where making a write durable costs nothing.
    pub(crate) kept: TempDir,
    /// Apart from it, because the path of a socket must be short.
    socket: TempDir,
}

impl Home {
    /// New and empty.
    pub(crate) fn new() -> Result<Self> {
        let program = std::env::current_exe()?;
        let build_dir = program.parent().ok_or("this program has no directory")?;
        Ok(Self {
            kept: tempfile::tempdir_in(build_dir)?,
            socket: tempfile::tempdir()?,
        })
    }
}

impl Home {
    /// Lets other users reach the socket.
    pub(crate) fn open_to_all(&self) -> Result {
        let mode = Permissions::from_mode(0o711);
        Ok(fs::set_permissions(self.socket.path(), mode)?)
    }
}

/// A process that serves. It is ended with this value, also when a benchmark fails.
pub(crate) struct Server {
    process: Process,
    /// Kept open: a server must not fail because nobody reads its output.
    _stdout: Option<BufReader<ChildStdout>>,
    /// Where it listens on loopback.
    pub(crate) tcp: SocketAddr,
    /// The daemon's Unix socket.
    unix: Option<String>,
}

impl Server {
    /// Starts the daemon with this configuration, in front of an AWS that takes any credentials.
    pub(crate) fn ephemeral_daemon_with(config: &str) -> Result<Self> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(config.as_bytes())?;
        let mut command = daemon()?;
        command
            .args(["--dev", "--ephemeral", "--config"])
            .arg(file.path())
            .envs([
                ("AWS_ACCESS_KEY_ID", "bench"),
                ("AWS_SECRET_ACCESS_KEY", "bench"),
            ]);
        Self::start(&mut command, &[])
    }

    /// Starts the daemon on a directory that is kept, and that may have been used before.
    pub(crate) fn daemon_in(home: &Home) -> Result<Self> {
        let dir = home.kept.path();
        let mut command = daemon()?;
        command
            .arg("--dev")
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--socket")
            .arg(home.socket.path().join("sock"))
            .env("HOME", dir);
        Self::start(&mut command, &[])
    }

    /// Starts the echo server, which gives this reply to every call.
    pub(crate) fn echo(reply: &v1::GetSecretResponse) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(command.arg("echo-server"), &reply.encode_to_vec())
    }

    /// The same over TLS, with the files in this directory.
    pub(crate) fn tls_echo(reply: &v1::GetSecretResponse, files: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.arg("echo-server").arg(files);
        Self::start(command, &reply.encode_to_vec())
    }

    fn start(command: &mut Command, input: &[u8]) -> Result<Self> {
        let mut log = tempfile::tempfile()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(command, &log)?;
        if let Some(mut stdin) = process.0.stdin.take() {
            stdin.write_all(input)?;
        }
        let stdout = process.0.stdout.take().ok_or("no standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut ready = String::new();
        stdout.read_line(&mut ready)?;
        let word = |key| ready.split_whitespace().find_map(|w| w.strip_prefix(key));
        let Some(tcp) = word("tcp=") else {
            drop(process);
            let text = text_of(&mut log)?;
            return Err(format!("a server did not become ready: {ready}{text}").into());
        };
        Ok(Self {
            tcp: tcp.parse()?,
            unix: word("unix=").map(str::to_owned),
            process,
            _stdout: Some(stdout),
        })
    }

    /// Starts a server of others, which listens on `tcp` and says so in a way of its own.
    pub(crate) fn foreign(command: &mut Command, tcp: SocketAddr) -> Result<Self> {
        let mut log = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        let mut process = Process::spawn(command, &log)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(tcp).is_err() {
            if Instant::now() > deadline || process.0.try_wait()?.is_some() {
                drop(process);
                let text = text_of(&mut log)?;
                return Err(format!("a server does not listen on {tcp}: {text}").into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(Self {
            process,
            _stdout: None,
            tcp,
            unix: None,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Its Unix socket, if it has one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.unix.as_deref().map(Path::new)
    }

    /// Connects: to the Unix socket if it has one, where this user is the daemon's administrator.
    pub(crate) async fn connect(&self) -> Result<Client> {
        Ok(match &self.unix {
            Some(socket) => Client::connect_unix(socket).await?,
            None => Client::connect_tcp(self.tcp).await?,
        })
    }
}

/// A child process that does not outlive this value.
struct Process(Child);

impl Process {
    fn spawn(command: &mut Command, log: &File) -> Result<Self> {
        let child = command.stderr(log.try_clone()?).spawn().map_err(|error| {
            format!("{} cannot start: {error}", command.get_program().display())
        })?;
        Ok(Self(child))
    }

    /// Asks it to end, so that it removes temporary files and leaves the rest in order.
    fn stop(&mut self) -> Result {
        if self.0.try_wait()?.is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.0.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err("a server did not end in time".into());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error}: killed");
            // Nothing is left to be done if even this fails.
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }
}

fn text_of(log: &mut File) -> Result<String> {
    let mut text = String::new();
    log.rewind()?;
    log.read_to_string(&mut text)?;
    Ok(text)
}

/// The built daemon, without the developer's own settings.
fn daemon() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("clavigerd"));
    for name in [
        "CLAVIGER_CONFIG",
        "CLAVIGER_LOG",
        "CREDENTIALS_DIRECTORY",
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
        "XDG_STATE_HOME",
    ] {
        command.env_remove(name);
    }
    Ok(command)
}

/// Registers this many secrets of the vault `aws`; returns their names.
pub(crate) async fn register_external(client: &Client, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (0..count).map(external_name).collect();
    for name in &names {
        let request = v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                name: name.clone(),
                location: Some(v1::Location {
                    vault: "aws".to_owned(),
                    secret: name.clone(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        client.definitions().put_secret_definition(request).await?;
    }
    Ok(names)
}

/// Registers a definition in the managed vault, with a value.
pub(crate) async fn register(client: &Client, name: String) -> Result {
    let request = v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name,
            ..Default::default()
        }),
        payload: Some(v1::Payload {
            value: Some(v1::payload::Value::Text("x".repeat(VALUE_BYTES))),
            crc32c: None,
        }),
        ..Default::default()
    };
    client.definitions().put_secret_definition(request).await?;
    Ok(())
}

/// Makes a token with one role in the project.
pub(crate) async fn token(client: &Client, role: v1::Role) -> Result<String> {
    let request = v1::CreateTokenRequest {
        grants: vec![v1::TokenGrant {
            role: role.into(),
            resource: PROJECT.to_owned(),
            environment: String::new(),
        }],
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..Default::default()
    };
    let made = client.access().create_token(request).await?;
    Ok(made.into_inner().token)
}

/// Reads the secret.
pub(crate) async fn read(client: &Client) -> Result<v1::GetSecretResponse> {
    let request = v1::GetSecretRequest {
        name: read_name(),
        ..Default::default()
    };
    Ok(client.secrets().get_secret(request).await?.into_inner())
}
