//! A Stripe of our own that plays one answer: not Stripe's, made after answers that were recorded.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The stub's reply to a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status and body, with further header lines.
    Answer(u16, &'static str, String),
    /// Takes the request and says nothing.
    Hang,
    /// Begins an answer and never ends it.
    Stall,
}

pub(crate) struct Stub {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    /// Ends with the stub.
    _serving: JoinSet<()>,
}

impl Stub {
    pub(crate) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, reply, Arc::clone(&asked)));
        Self {
            url,
            asked,
            _serving: serving,
        }
    }

    /// The heads of all requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

async fn serve(listener: TcpListener, reply: Reply, asked: Arc<Mutex<Vec<String>>>) {
    let mut open = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let head = head(&mut stream).await;
        asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(head);
        let answer = match &reply {
            Reply::Answer(status, headers, body) => format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
                body.len()
            ),
            Reply::Hang => String::new(),
            Reply::Stall => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok();
        open.push(stream);
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}
