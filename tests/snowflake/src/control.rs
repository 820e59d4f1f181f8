//! The control endpoint: one small HTTP request per call, no connection kept.

use std::fmt;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A statement of the console that was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Six digits.
    pub code: String,
    /// Five letters or digits.
    pub sql_state: String,
    /// Text for a human.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.sql_state, self.message)
    }
}

/// Asks for something that is answered at once.
pub(crate) fn call(address: &str, verb: &str, arguments: &Value) -> Result<Value, Refusal> {
    let mut stream = TcpStream::connect(address).expect("the emulator listens");
    stream
        .write_all(request(verb, arguments).as_bytes())
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    outcome(&answer)
}

/// Asks for something that is answered when it has come true.
pub(crate) async fn wait(address: &str, verb: &str, arguments: &Value) {
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("the emulator listens");
    stream
        .write_all(request(verb, arguments).as_bytes())
        .await
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    if let Err(refusal) = outcome(&answer) {
        panic!("{verb}: {refusal}");
    }
}

fn request(verb: &str, arguments: &Value) -> String {
    let body = json!({"verb": verb, "arguments": arguments}).to_string();
    format!(
        "POST /_control HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn outcome(answer: &str) -> Result<Value, Refusal> {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let mut answer: Value = serde_json::from_str(body).expect("JSON");
    if let Some(refusal) = answer.get("refusal") {
        let field = |name: &str| text(&refusal[name]);
        return Err(Refusal {
            code: field("code"),
            sql_state: field("sql_state"),
            message: field("message"),
        });
    }
    Ok(answer["answer"].take())
}

pub(crate) fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.to_owned()
}

pub(crate) fn count(value: &Value) -> usize {
    let number = value.as_u64().expect("a count");
    usize::try_from(number).expect("a small count")
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}
