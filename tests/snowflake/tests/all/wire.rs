//! A client that sends texts as they are and shows the answers.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use claviger_snowflake_fake::Snowflake;
use serde_json::{Value, json};

/// One session, or none.
pub(crate) struct Wire {
    address: String,
    token: String,
}

/// The body of an answer to a statement.
pub(crate) struct Outcome(pub(crate) Value);

impl Wire {
    pub(crate) fn new(snowflake: &Snowflake) -> Self {
        Self::with_token(snowflake, &snowflake.issue_session())
    }

    pub(crate) fn with_token(snowflake: &Snowflake, token: &str) -> Self {
        let address = snowflake.base_url();
        let address = address.strip_prefix("http://").unwrap().to_owned();
        Self {
            address,
            token: token.to_owned(),
        }
    }

    pub(crate) fn run(&self, sql: &str) -> Outcome {
        self.bound(sql, &json!({}))
    }

    /// Runs a statement with binds of texts.
    pub(crate) fn run_with(&self, sql: &str, binds: &[&str]) -> Outcome {
        let binds = binds.iter().enumerate().map(|(index, value)| {
            let bind = json!({"type": "TEXT", "value": value});
            ((index + 1).to_string(), bind)
        });
        self.bound(sql, &Value::Object(binds.collect()))
    }

    pub(crate) fn bound(&self, sql: &str, binds: &Value) -> Outcome {
        let body = json!({"sqlText": sql, "bindings": binds});
        let (status, answer) = self.post("/queries/v1/query-request?requestId=1", &body);
        assert_eq!(status, 200, "{sql}: {answer}");
        Outcome(answer)
    }

    pub(crate) fn post(&self, target: &str, body: &Value) -> (u16, Value) {
        let answer = self.raw(target, body).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    /// Everything until the end of the connection.
    pub(crate) fn raw(&self, target: &str, body: &Value) -> io::Result<String> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Snowflake Token=\"{}\"\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Outcome {
    /// Code and SQL state of a refusal; nothing for a success.
    pub(crate) fn refusal(&self) -> Option<(&str, &str)> {
        let answer = &self.0;
        if answer["success"] == true {
            return None;
        }
        let code = answer["code"].as_str().unwrap();
        Some((
            code,
            answer["data"]["sqlState"].as_str().unwrap_or_default(),
        ))
    }

    pub(crate) fn message(&self) -> &str {
        self.0["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn rows(&self) -> Vec<Vec<Option<String>>> {
        assert_eq!(self.0["success"], true, "{}", self.0);
        let cell = |cell: &Value| cell.as_str().map(str::to_owned);
        let row = |row: &Value| row.as_array().unwrap().iter().map(cell).collect();
        let rows = self.0["data"]["rowset"].as_array().unwrap();
        rows.iter().map(row).collect()
    }

    pub(crate) fn columns(&self) -> Vec<&str> {
        let columns = self.0["data"]["rowtype"].as_array().unwrap();
        columns
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect()
    }

    /// The one cell of a status.
    pub(crate) fn status(&self) -> String {
        self.rows()[0][0].clone().unwrap()
    }
}
