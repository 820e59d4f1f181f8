use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::aws_stub::{AwsReply, AwsRequest, AwsStub};
use crate::tools;

/// Region of every secret in the emulator.
pub const REGION: &str = "eu-central-1";

/// moto, the emulator of AWS: a server of its own that does not outlive this value.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    console: Console,
}

/// Calls Secrets Manager as an administrator does past Claviger.
#[derive(Clone, Debug)]
pub struct Console {
    address: String,
}

impl Moto {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let mut process = Command::new(tools::moto())
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto_server starts");
        let mut lines =
            BufReader::new(process.stderr.take().expect("a pipe was asked for")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("Running on http://")?.1.trim().to_owned()))
            .expect("moto says where it listens");
        // Its log is not looked at, but moto must never block on a full pipe.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            process,
            console: Console { address },
        }
    }

    /// The value of `endpoint_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.console.address)
    }

    /// For use beside this value, in another thread for example.
    pub fn console(&self) -> Console {
        self.console.clone()
    }

    /// See [`Console::call`].
    pub fn call(&self, action: &str, request: &Value) -> Value {
        self.console.call(action, request)
    }

    /// See [`Console::value`].
    pub fn value(&self, secret: &str) -> String {
        self.console.value(secret)
    }
}

impl Console {
    /// Makes a call that succeeds.
    pub fn call(&self, action: &str, request: &Value) -> Value {
        let (status, body) = self.answer(action, request);
        assert_eq!(status, 200, "{action}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Makes a call and returns status and body.
    pub fn answer(&self, action: &str, request: &Value) -> (u16, String) {
        let body = request.to_string();
        let answer = self.send(&format!(
            "POST / HTTP/1.1\r\n\
             Host: {}\r\n\
             Connection: close\r\n\
             Content-Type: application/x-amz-json-1.1\r\n\
             Content-Length: {}\r\n\
             X-Amz-Target: secretsmanager.{action}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=AKIAMOTO/20260101/{REGION}/secretsmanager/aws4_request, SignedHeaders=host, Signature=0\r\n\
             \r\n{body}",
            self.address,
            body.len(),
        ));
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Answers a call that came to the stub.
    pub fn play(&self, request: &AwsRequest) -> AwsReply {
        let (status, body) = self.answer(&request.operation, &request.body);
        AwsReply::text(status, &body)
    }

    /// The current value of a secret.
    pub fn value(&self, secret: &str) -> String {
        let (_, value) = self.current(secret);
        value
    }

    /// The current version of a secret and its value.
    pub fn current(&self, secret: &str) -> (String, String) {
        // Without the label moto gives the newest, which need not be the current one.
        let request = json!({ "SecretId": secret, "VersionStage": "AWSCURRENT" });
        let found = self.call("GetSecretValue", &request);
        let text = |key: &str| found.get(key).and_then(Value::as_str).map(str::to_owned);
        (
            text("VersionId").expect("a version"),
            text("SecretString").expect("a text"),
        )
    }

    /// Stores a value as somebody does in the console, and returns its version.
    pub fn put(&self, secret: &str, text: &str) -> String {
        let token = uuid::Uuid::new_v4();
        let request =
            json!({ "SecretId": secret, "SecretString": text, "ClientRequestToken": token });
        let put = self.call("PutSecretValue", &request);
        let version = put.get("VersionId").and_then(Value::as_str);
        version.expect("a version").to_owned()
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("moto listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl AwsStub {
    /// Passes everything on to moto, to see the calls.
    pub fn before(moto: &Moto) -> Self {
        let console = moto.console();
        Self::start(move |request| console.play(request))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Both fail if it has ended, which is fine.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
