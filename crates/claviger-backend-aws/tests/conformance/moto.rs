//! moto, started for one test and ended with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use claviger_backend::testkit::Console;
use claviger_backend_aws::AwsSettings;

/// Where the server is that `cargo xtask` installs.
const PROGRAM: &str = "CLAVIGER_TEST_MOTO";

/// moto takes any.
pub(crate) const CREDENTIALS: (&str, &str) = ("AKIAMOTO", "secret");

/// A running server on a port of its own.
pub(crate) struct Moto {
    process: Child,
    address: String,
}

impl Moto {
    pub(crate) fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the environment rule is the daemon's; this is how a test finds its peer"
        )]
        let program = std::env::var_os(PROGRAM);
        let program = program.unwrap_or_else(|| {
            panic!("{PROGRAM} is not set: run `cargo xtask ci` or `cargo xtask test`, which install moto")
        });
        let mut process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto_server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("Running on http://")?.1.trim().to_owned()))
            .expect("moto says where it listens");
        // Nobody may block on a full pipe.
        thread::spawn(move || lines.count());
        let moto = Self { process, address };
        assert!(moto.is_ready(), "moto listens but does not answer");
        moto
    }

    fn is_ready(&self) -> bool {
        let mut stream = TcpStream::connect(&self.address).expect("moto listens");
        let request = format!(
            "GET /moto-api/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        answer.starts_with(b"HTTP/1.1 200")
    }

    pub(crate) fn settings(&self) -> AwsSettings {
        AwsSettings {
            region: "eu-central-1".to_owned(),
            endpoint_url: Some(format!("http://{}", self.address)),
            ..AwsSettings::default()
        }
    }

    /// What an administrator does in the AWS console.
    pub(crate) fn console(&self) -> AwsConsole {
        let (key_id, secret) = CREDENTIALS;
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(Credentials::new(key_id, secret, None, None, "test"))
            .endpoint_url(format!("http://{}", self.address));
        AwsConsole(Client::from_conf(config.build()))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.process.kill().expect("moto is killed");
        self.process.wait().expect("moto has ended");
    }
}

/// Acts in AWS past Claviger.
pub(crate) struct AwsConsole(pub(crate) Client);

#[async_trait]
impl Console for AwsConsole {
    async fn put(&self, secret: &str, text: &str) {
        let put = self.0.put_secret_value().secret_id(secret);
        if put.secret_string(text).send().await.is_ok() {
            return;
        }
        let create = self.0.create_secret().name(secret).secret_string(text);
        create.send().await.expect("created");
    }

    async fn delete(&self, secret: &str) {
        let delete = self.0.delete_secret().secret_id(secret);
        let delete = delete.recovery_window_in_days(7);
        delete.send().await.expect("deleted");
    }
}
