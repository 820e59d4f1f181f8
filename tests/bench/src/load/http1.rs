//! HTTP/1.1 as a load needs it: a connection that is kept, one request at a time, answers that say
//! how long they are.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::step::Result;

/// What ends the head of an answer.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Room for a usual answer, so that one read takes it.
const ANSWER_BYTES: usize = 4096;

/// A request as it travels.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-vault-token: {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A connection.
pub(crate) struct Http1 {
    stream: TcpStream,
    /// What was read of the answer.
    read: Vec<u8>,
}

impl Http1 {
    /// Speaks it on a connection.
    pub(crate) fn over(stream: TcpStream) -> Self {
        let read = Vec::with_capacity(ANSWER_BYTES);
        Self { stream, read }
    }

    /// Sends a request; returns the body of the answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let head = loop {
            if let Some(head) = find(&self.read, HEAD_END) {
                break head;
            }
            self.read_more().await?;
        };
        let (status, length) = parse_head(self.read.get(..head).unwrap_or_default())?;
        let body = head + HEAD_END.len();
        while self.read.len() < body + length {
            self.read_more().await?;
        }
        let body = self.read.get(body..).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(body);
        Err(format!("a call failed: status {status}: {text}").into())
    }

    async fn read_more(&mut self) -> Result {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err("the server closed a connection in the middle of an answer".into()),
            _ => Ok(()),
        }
    }
}

/// Status and length of the body.
fn parse_head(head: &[u8]) -> Result<(u16, usize)> {
    let mut lines = std::str::from_utf8(head)?.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.ok_or("an answer is not HTTP")?.parse()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim())
    });
    match length {
        Some(length) => Ok((status, length.parse()?)),
        None if status == 204 => Ok((status, 0)),
        None => Err(format!("an answer with status {status} has no content-length").into()),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(wanted.len());
    windows.position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    use claviger_stub::{Reply, Stub};

    use crate::step::runtime;

    #[test]
    fn the_head_of_an_answer_says_its_status_and_length() {
        for (head, wanted) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 12", (200, 12)),
            (
                "HTTP/1.1 503 Sealed\r\nDate: x\r\nContent-Length:7",
                (503, 7),
            ),
            ("HTTP/1.1 204 No Content\r\nDate: x", (204, 0)),
        ] {
            assert_eq!(parse_head(head.as_bytes()).unwrap(), wanted, "{head}");
        }
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked";
        let error = parse_head(chunked).unwrap_err().to_string();
        assert_eq!(error, "an answer with status 200 has no content-length");
        let error = parse_head(b"220-smtp").unwrap_err().to_string();
        assert_eq!(error, "an answer is not HTTP");
    }

    #[test]
    fn calls_on_one_connection_return_the_bodies_of_their_answers() {
        let stub = Stub::start(|asked| match asked.target() {
            "POST /there" => Reply::json(200, &asked.body),
            _ => Reply::json(404, "absent"),
        });
        let address = stub.url().replace("http://", "");
        runtime().unwrap().block_on(async {
            let mut connection = Http1::over(TcpStream::connect(address).await.unwrap());
            for body in ["one", "", "three"] {
                let asked = request("POST", "/there", "token", body);
                assert_eq!(connection.call(&asked).await.unwrap(), body.as_bytes());
            }
            let asked = request("GET", "/elsewhere", "token", "");
            let error = connection.call(&asked).await.unwrap_err().to_string();
            assert_eq!(error, "a call failed: status 404: absent");
        });
    }
}
