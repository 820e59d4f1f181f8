use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::tools;

/// stripe-mock, Stripe's own stand-in for its API: a process that does not outlive this value.
#[derive(Debug)]
pub struct StripeMock {
    process: Child,
    address: SocketAddr,
}

impl StripeMock {
    /// Starts one on free ports.
    pub fn start() -> Self {
        // Both, because the one that is not told an address listens on all interfaces.
        let mut process = Command::new(tools::stripe_mock())
            .args(["-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("stripe-mock starts");
        let stdout = process.stdout.take().expect("a pipe was asked for");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let mut address_of = |scheme: &str| {
            let said = format!("Listening for {scheme} at address: ");
            let told = lines.find_map(|line| Some(line.strip_prefix(&said)?.to_owned()));
            let told = told.expect("stripe-mock says where it listens");
            let address: SocketAddr = told.parse().expect("an address");
            assert!(address.ip().is_loopback(), "{scheme}: {address}");
            address
        };
        let address = address_of("HTTP");
        address_of("HTTPS");
        // Its log is not looked at, but it must never block on a full pipe.
        thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    /// The value of `STRIPE_API_BASE`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The ids of the customers there are, by a plain call.
    pub fn customers(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let request = "GET /v1/customers HTTP/1.0\r\nAuthorization: Bearer rk_test_plain\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let listed: Value = serde_json::from_str(body).expect("JSON");
        let customers = listed.get("data").and_then(Value::as_array);
        let ids = customers.expect("a list").iter();
        ids.map(|customer| {
            let id = customer.get("id").and_then(Value::as_str);
            id.expect("an id").to_owned()
        })
        .collect()
    }
}

impl Drop for StripeMock {
    fn drop(&mut self) {
        // Both fail if it has ended, which is fine.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
