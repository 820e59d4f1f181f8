//! Asks whatever is at a socket how the daemon is, and gives up by itself: what is there may be no
//! daemon, or one that does not go on.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use claviger_client::{Client, reason};
use claviger_proto::v1::{GetStatusRequest, GetStatusResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::owner::own_uid;
use crate::stop::Stop;

/// How long is waited for everything together: more than two questions to a vault that hangs take
/// the daemon, by default.
const PATIENCE: Duration = Duration::from_secs(13);

/// When a connection is tried again that found the line full.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// How HTTP/2 begins: the preface of a client, and its settings, of which there are none.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The type of the frame that it is answered with, and the place of that in the frame.
const SETTINGS: (usize, u8) = (3, 4);

/// Asks the daemon behind a socket how it is.
///
/// # Errors
/// What is there instead, and the remedy; within a quarter of a minute.
pub async fn ask_status(socket: &Path) -> Result<GetStatusResponse, Stop> {
    let mut asking = Asking::of(socket);
    let answer = timeout(PATIENCE, asking.ask()).await;
    answer.unwrap_or_else(|_| Err(asking.given_up()))
}

/// Asks whether a daemon takes calls at a socket. No part of it is asked, and nothing is recorded.
///
/// # Errors
/// What is there instead, and the remedy; within a quarter of a minute.
pub async fn ask_alive(socket: &Path) -> Result<(), Stop> {
    let mut asking = Asking::of(socket);
    let heard = timeout(PATIENCE, asking.hear()).await;
    heard.unwrap_or_else(|_| Err(asking.given_up()))
}

struct Asking<'a> {
    socket: &'a Path,
    progress: Progress,
    /// The process that listens.
    peer: Option<i32>,
}

/// How far it has come.
enum Progress {
    InLine,
    Connected,
    Heard,
}

impl<'a> Asking<'a> {
    fn of(socket: &'a Path) -> Self {
        Self {
            socket,
            progress: Progress::InLine,
            peer: None,
        }
    }

    /// Until the daemon begins to speak.
    async fn hear(&mut self) -> Result<(), Stop> {
        let stream = self.connect().await?;
        self.peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
        self.progress = Progress::Connected;
        match says_hello(stream).await {
            Ok(true) => {}
            Ok(false) => return Err(self.failed("speaks another language than clavigerd", OTHER)),
            Err(_) => return Err(self.failed("ends the connection at once", BUSY)),
        }
        self.progress = Progress::Heard;
        Ok(())
    }

    async fn ask(&mut self) -> Result<GetStatusResponse, Stop> {
        self.hear().await?;
        let client = Client::connect_unix(self.socket).await;
        let client = client.map_err(|error| Stop::failed(error.to_string()))?;
        match client.daemon().get_status(GetStatusRequest {}).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) if reason(&status).is_some() => {
                let said = status.message();
                Err(Stop::failed(format!("the daemon refuses: {said}")))
            }
            Err(_) => Err(self.failed("does not answer as clavigerd does", OTHER)),
        }
    }

    /// Waits in line as long as that is full: those that connect may be many.
    async fn connect(&self) -> Result<UnixStream, Stop> {
        loop {
            match UnixStream::connect(self.socket).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(RETRY_AFTER).await,
                connected => return connected.map_err(|error| self.unreachable(&error)),
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> Stop {
        let socket = self.socket.display();
        let found = fs::metadata(self.socket).map(|metadata| metadata.file_type());
        Stop::failed(match (error.kind(), found) {
            (io::ErrorKind::NotFound, _) => format!(
                "nothing is at {socket}, so no daemon runs, or it listens elsewhere; start it, or \
                pass --socket"
            ),
            (io::ErrorKind::PermissionDenied, _) => format!(
                "the user with uid {} may not connect to {socket}; ask as the user of the daemon, \
                or have its directory opened to this one (chmod o+x)",
                own_uid()
            ),
            (_, Ok(kind)) if !kind.is_socket() => {
                format!("{socket} is no socket; pass --socket with the one of the daemon")
            }
            (io::ErrorKind::ConnectionRefused, _) => format!(
                "nobody listens at {socket}: the daemon that made it was killed; start it again, \
                or pass --socket if it is elsewhere"
            ),
            _ => format!("cannot connect to {socket}: {error}; pass --socket if it is elsewhere"),
        })
    }

    /// After the whole time.
    fn given_up(&self) -> Stop {
        let socket = self.socket.display();
        match self.progress {
            Progress::InLine => Stop::failed(format!(
                "nobody takes the connections that wait at {socket}: the process that listens \
                there hangs or is stopped (ss -xlp names it); let it go on, or start it again"
            )),
            _ if self.is_peer_stopped() => {
                let peer = self.peer.unwrap_or_default();
                self.failed("is stopped", &format!("let it go on (kill -CONT {peer})"))
            }
            Progress::Connected => self.failed("says nothing", HANGS),
            Progress::Heard => self.failed(
                "answers, but does not say how it is",
                "its store or a vault hangs: see its log, and start it again if that does not help",
            ),
        }
    }

    /// What the process that listens does, and the remedy.
    fn failed(&self, does: &str, remedy: &str) -> Stop {
        let socket = self.socket.display();
        let peer = match self.peer {
            Some(peer) => format!("process {peer}"),
            None => "the process".to_owned(),
        };
        Stop::failed(format!("{peer} at {socket} {does}; {remedy}"))
    }

    fn is_peer_stopped(&self) -> bool {
        let stat = self
            .peer
            .and_then(|peer| fs::read_to_string(format!("/proc/{peer}/stat")).ok());
        // The name before the state may hold anything.
        let state = stat.as_deref().and_then(|stat| stat.rsplit_once(") "));
        state.is_some_and(|(_, state)| state.starts_with(['T', 't']))
    }
}

const BUSY: &str = "if it is clavigerd, it is about to end, or has as many connections as it takes \
    (listen.connections): ask again; if not, pass --socket";

const HANGS: &str = "if it is clavigerd, it hangs: see its log and start it again; if not, pass \
    --socket";

const OTHER: &str = "pass --socket with the one of the daemon";

/// Whether the other end begins as one of HTTP/2 does.
async fn says_hello(mut stream: UnixStream) -> io::Result<bool> {
    let mut frame = [0; 9];
    stream.write_all(HELLO).await?;
    stream.read_exact(&mut frame).await?;
    let (at, settings) = SETTINGS;
    Ok(frame.get(at) == Some(&settings))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::net::{UnixListener, UnixSocket};

    use super::*;

    /// The settings of a server, of which there are none.
    const HELLO_BACK: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

    /// Whoever listens takes connections, and keeps them.
    enum Peer {
        /// Says this at once, and nothing more.
        Says(&'static [u8]),
        /// Says a byte of this now and then.
        Trickles(&'static [u8]),
        Closes,
    }

    impl Peer {
        async fn listen(self, listener: UnixListener) -> ! {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("accepts");
                match self {
                    Self::Says(words) => stream.write_all(words).await.expect("written"),
                    Self::Trickles(words) => {
                        for byte in words.chunks(1).cycle() {
                            sleep(PATIENCE / 8).await;
                            if stream.write_all(byte).await.is_err() {
                                break;
                            }
                        }
                    }
                    Self::Closes => continue,
                }
                held.push(stream);
            }
        }
    }

    fn socket(directory: &TempDir) -> std::path::PathBuf {
        directory.path().join("sock")
    }

    async fn said(socket: &Path) -> String {
        let stop = ask_status(socket).await.expect_err("no daemon");
        assert!(matches!(stop, Stop::Failed(_)), "{stop}");
        stop.to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_takes_the_connection_is_given_up_and_told() {
        for (peer, wanted) in [
            (Peer::Says(b""), "says nothing; "),
            (Peer::Says(b"220 mail\r\n"), "speaks another language"),
            (Peer::Trickles(b"2"), "says nothing; "),
            (
                Peer::Says(b"HTTP/1.1 400 Bad\r\n"),
                "speaks another language",
            ),
            (
                Peer::Says(HELLO_BACK),
                "answers, but does not say how it is; ",
            ),
            (Peer::Closes, "ends the connection at once; "),
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            let socket = socket(&directory);
            let listener = UnixListener::bind(&socket).expect("bound");
            let said = tokio::select! {
                never = peer.listen(listener) => never,
                said = said(&socket) => said,
            };
            let own = format!(
                "process {} at {} {wanted}",
                std::process::id(),
                socket.display()
            );
            assert!(said.starts_with(&own), "{wanted} in {said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_takes_the_connection_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = socket(&directory);
        let listener = UnixSocket::new_stream().expect("a socket");
        listener.bind(&socket).expect("bound");
        let listener = listener.listen(0).expect("listens");
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(&socket).await {
            waiting.push(stream);
        }
        let said = said(&socket).await;
        assert!(
            said.contains("nobody takes the connections that wait"),
            "{said}"
        );
        assert!(said.contains(&socket.display().to_string()), "{said}");
        drop(listener);
    }
}
