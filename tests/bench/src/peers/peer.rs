//! Other brokers of secrets, started as close to how the daemon runs as each of them can be.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::aws::Aws;
use crate::load::http1::{Http1, request};
use crate::load::{PEER_SECRET, peer_body, peer_path};
use crate::server::{Server, VALUE_BYTES};
use crate::step::{Error, Result, runtime};

/// Those that are measured where `cargo xtask bench peers` could install them.
pub(crate) const PEERS: [Peer; 2] = [
    Peer {
        name: "rustyvault",
        variable: "CLAVIGER_BENCH_RUSTYVAULT",
        about: "file storage that is never synced, so its puts are not durable; KV v1, the root \
            token; has no audit log and no policies",
        writes: true,
        start: start_rustyvault,
    },
    Peer {
        name: "awsagent",
        variable: "CLAVIGER_BENCH_AWSAGENT",
        about: "answers from its cache, one token for all; has no audit log, no policies, no puts",
        writes: false,
        start: start_aws_agent,
    },
];

/// Those that cannot be installed, with the reason.
pub(crate) const LEFT_OUT: [(&str, &str); 3] = [
    (
        "vault",
        "its server is built with a library of its own repository, of which no version tried fits it",
    ),
    (
        "openbao",
        "its server is built from Go modules of which the proxy refuses one, its sdk/v2",
    ),
    (
        "dapr",
        "its sidecar is built from Go modules of which the proxy refuses one, durabletask-go",
    ),
];

/// What the agent of AWS asks its callers for.
const AGENT_TOKEN: &str = "bench";

/// A broker of secrets that speaks HTTP/1.1.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Names the variable of the environment that says where its program is.
    pub(crate) variable: &'static str,
    /// How it is set up, and what it lacks.
    pub(crate) about: &'static str,
    /// Whether it takes new values, too.
    pub(crate) writes: bool,
    start: fn(&Path, &Path) -> Result<Running>,
}

/// A peer that serves, and has the secret.
pub(crate) struct Running {
    pub(crate) server: Server,
    /// What a caller brings.
    pub(crate) token: String,
    /// What it stands in front of.
    _aws: Option<Aws>,
}

impl Peer {
    /// Starts it, with a directory of its own below this one.
    pub(crate) fn start(&self, below: &Path) -> Result<Running> {
        let program = std::env::var_os(self.variable)
            .ok_or_else(|| format!("no {} says where its program is", self.variable))?;
        let dir = below.join(self.name);
        fs::create_dir(&dir)?;
        (self.start)(Path::new(&program), &dir)
    }
}

fn start_rustyvault(program: &Path, dir: &Path) -> Result<Running> {
    let address = free_address()?;
    let config = dir.join("config.hcl");
    let text = format!(
        "storage \"file\" {{\n path = \"{0}/data\"\n}}\n\
         listener \"tcp\" {{\n address = \"{address}\"\n tls_disable = \"true\"\n}}\n\
         api_addr = \"http://{address}\"\nwork_dir = \"{0}\"\nlog_level = \"error\"\n",
        dir.display()
    );
    fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("server").arg("--config").arg(&config);
    let server = Server::foreign(&mut command, address)?;
    let token = runtime()?.block_on(async {
        let mut api = Api::unsealed(server.tcp).await?;
        let body = peer_body(&"x".repeat(VALUE_BYTES));
        api.tell("POST", &peer_path(PEER_SECRET), &body).await?;
        Ok::<_, Error>(api.token)
    })?;
    Ok(Running {
        server,
        token,
        _aws: None,
    })
}

fn start_aws_agent(program: &Path, dir: &Path) -> Result<Running> {
    let aws = Aws::start(VALUE_BYTES);
    let address = free_address()?;
    let config = dir.join("config.toml");
    let text = format!(
        "http_port = \"{}\"\nmax_conn = \"1000\"\nttl_seconds = \"3600\"\n\
         log_level = \"error\"\nlog_to_file = false\nvalidate_credentials = false\n",
        address.port()
    );
    fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config).envs([
        ("AWS_ACCESS_KEY_ID", "bench"),
        ("AWS_SECRET_ACCESS_KEY", "bench"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", aws.url().as_str()),
        ("AWS_TOKEN", AGENT_TOKEN),
    ]);
    let server = Server::foreign(&mut command, address)?;
    Ok(Running {
        server,
        token: AGENT_TOKEN.to_owned(),
        _aws: Some(aws),
    })
}

/// Nobody has it now, and it is asked for soon.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// The API of HashiCorp Vault, which RustyVault has taken over.
struct Api {
    connection: Http1,
    token: String,
}

impl Api {
    /// Of a server that had nothing in it.
    async fn unsealed(address: SocketAddr) -> Result<Self> {
        let mut api = Self {
            connection: Http1::over(TcpStream::connect(address).await?),
            token: String::new(),
        };
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let made = api.tell("PUT", "/v1/sys/init", &shares).await?;
        let key = json!({ "key": text_at(&made, "/keys/0")? });
        api.tell("PUT", "/v1/sys/unseal", &key).await?;
        api.token = text_at(&made, "/root_token")?;
        Ok(api)
    }

    async fn tell(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let request = request(method, path, &self.token, &body.to_string());
        let answer = self.connection.call(&request).await?;
        Ok(serde_json::from_slice(answer).unwrap_or_default())
    }
}

fn text_at(answer: &Value, pointer: &str) -> Result<String> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    Ok(found
        .ok_or_else(|| format!("an answer has no {pointer}"))?
        .to_owned())
}
