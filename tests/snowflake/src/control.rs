//! The control endpoint: one small HTTP request per call, no connection kept.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::console::Refusal;

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
    let mut request = String::from("POST /_control HTTP/1.1\r\nHost: localhost\r\n");
    write!(
        request,
        "Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a string takes everything");
    request
}

fn outcome(answer: &str) -> Result<Value, Refusal> {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let mut answer: Value = serde_json::from_str(body).expect("JSON");
    if let Some(refusal) = answer.get("refusal") {
        let field = |name: &str| crate::text(&refusal[name]);
        return Err(Refusal {
            code: field("code"),
            sql_state: field("sql_state"),
            message: field("message"),
        });
    }
    Ok(answer["answer"].take())
}
