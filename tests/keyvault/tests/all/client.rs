//! A client that shows answers byte by byte: through the proxy, over TLS, one
//! connection for each request.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use claviger_keyvault_fake::Fake;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In the order of arrival, names in lower case.
    headers: Vec<(String, String)>,
    /// As much of it as came before the connection was closed.
    pub(crate) body: String,
    /// Whether less came than was announced.
    pub(crate) is_cut: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    /// The keys of the body, in its order.
    pub(crate) fn keys(&self) -> Vec<String> {
        keys(&self.body)
    }

    /// The keys of the attributes in the body, in its order.
    pub(crate) fn attribute_keys(&self) -> Vec<String> {
        let (_, rest) = self
            .body
            .split_once(r#""attributes":"#)
            .expect("attributes");
        let (attributes, _) = rest.split_once('}').expect("an object");
        keys(&format!("{attributes}}}"))
    }

    /// Code, inner code and message of a refusal.
    pub(crate) fn error(&self) -> (String, Option<String>, String) {
        assert_eq!(self.keys(), ["error"], "{}", self.body);
        let json = self.json();
        let text = |path| {
            json.pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        (
            text("/error/code").expect("a code"),
            text("/error/innererror/code"),
            text("/error/message").expect("a message"),
        )
    }
}

/// The keys of a JSON object, in its order.
pub(crate) fn keys(json: &str) -> Vec<String> {
    struct Keys(Vec<String>);

    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(KeysVisitor)
        }
    }

    struct KeysVisitor;

    impl<'de> Visitor<'de> for KeysVisitor {
        type Value = Keys;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, _)) = map.next_entry::<String, Value>()? {
                keys.push(key);
            }
            Ok(Keys(keys))
        }
    }

    let keys: Keys = serde_json::from_str(json).expect("an object");
    keys.0
}

/// Calls one vault with an accepted token.
pub(crate) struct Client<'a> {
    fake: &'a Fake,
    host: &'static str,
    token: String,
}

impl<'a> Client<'a> {
    pub(crate) fn new(fake: &'a Fake, host: &'static str) -> Self {
        Self {
            fake,
            host,
            token: fake.issue_token(),
        }
    }

    /// Calls with the API version added to the path.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}api-version=7.4");
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str())];
        send(self.fake, self.host, method, &target, &headers, body).expect("an answer")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "")
    }
}

/// Sends one request and reads its answer; none if the connection is closed before.
pub(crate) fn send(
    fake: &Fake,
    host: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let mut tls = open(fake, host).expect("a tunnel");
    let mut request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    tls.write_all(format!("{request}\r\n{body}").as_bytes())
        .expect("sent");
    read(&mut BufReader::new(tls))
}

/// Opens a tunnel through the proxy; the status of the proxy if it refuses.
pub(crate) fn open(fake: &Fake, host: &str) -> Result<Tls, u16> {
    let url = fake.proxy_url();
    let address = url.strip_prefix("http://").expect("plain HTTP");
    let mut stream = TcpStream::connect(address).expect("the proxy listens");
    write!(
        stream,
        "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"
    )
    .expect("sent");
    let mut answer = Vec::new();
    // Byte by byte: the next one belongs to TLS.
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    let answer = String::from_utf8(answer).expect("text");
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    match status.expect("a status") {
        200 => {}
        status => return Err(status),
    }
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(fake.ca_pem().as_bytes()).expect("a certificate");
    roots.add(ca).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).expect("a host name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    Ok(StreamOwned::new(session, stream))
}

/// Reads one answer; none if the connection is closed before.
pub(crate) fn read(stream: &mut impl BufRead) -> Option<Answer> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        // An error is a connection that was closed without the farewell of TLS.
        if stream.read_line(&mut line).unwrap_or_default() == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let (first, rest) = lines.split_first().expect("a status line");
    let headers = rest
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect::<Vec<_>>();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, length)| length.parse().expect("a number"));
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).ok();
    Some(Answer {
        status: first.split(' ').nth(1)?.parse().expect("a number"),
        is_cut: (body.len() as u64) < length,
        headers,
        body: String::from_utf8(body).expect("text"),
    })
}
