use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::{Value, json};

use crate::tools;

/// Region of every secret in the emulator.
pub const REGION: &str = "eu-central-1";

/// moto, the emulator of AWS: a server of its own that does not outlive this value.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    address: String,
    log: Receiver<String>,
    marks: usize,
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
        let (sender, log) = mpsc::channel();
        // Reads on when nobody listens, so that moto never blocks on a full pipe.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        Self {
            process,
            address,
            log,
            marks: 0,
        }
    }

    /// What goes into `endpoint_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls Secrets Manager as an administrator does past Claviger.
    pub fn call(&self, action: &str, request: &Value) -> Value {
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
        assert!(head.starts_with("HTTP/1.1 200"), "{action}: {answer}");
        serde_json::from_str(body).expect("JSON")
    }

    /// The current value of a secret.
    pub fn value(&self, secret: &str) -> String {
        let found = self.call("GetSecretValue", &json!({ "SecretId": secret }));
        let text = found.get("SecretString").and_then(Value::as_str);
        text.expect("a text").to_owned()
    }

    /// How many calls to a service moto answered since this was asked last.
    pub fn calls(&mut self) -> usize {
        self.marks += 1;
        let mark = format!("/moto-api/?mark={} ", self.marks);
        let address = &self.address;
        self.send(&format!(
            "GET {mark}HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        ));
        let lines = self.log.iter().take_while(|line| !line.contains(&mark));
        lines.filter(|line| line.contains("\"POST / ")).count()
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("moto listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what is wanted.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
