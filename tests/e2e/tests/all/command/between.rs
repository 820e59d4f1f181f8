//! What stands between a command and its daemon, so that something happens at a known call.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;

use claviger_e2e::{Daemon, Home};

/// How HTTP/2 begins, and the length of what begins each of its frames.
const PREFACE_LEN: usize = 24;
const FRAME_HEAD_LEN: usize = 9;

/// The type of a frame that begins a call.
const HEADERS: u8 = 1;

/// Listens already, so that a command that is started now connects.
pub(super) struct Between {
    socket: PathBuf,
    listener: UnixListener,
}

impl Between {
    pub(super) fn new(home: &Home, name: &str) -> Self {
        let socket = home.path().join(name);
        let listener = UnixListener::bind(&socket).expect("a writable home");
        Self { socket, listener }
    }

    pub(super) fn address(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// Passes one connection on to the daemon, and does something before its call of this number,
    /// which may end it; returns how many calls there were.
    pub(super) fn pass_on(
        self,
        daemon: &Daemon,
        number: usize,
        then: impl FnOnce() -> ControlFlow<()>,
    ) -> io::Result<usize> {
        let (mut client, _) = self.listener.accept()?;
        // The daemon is there for this connection alone.
        drop(self.listener);
        let mut server = UnixStream::connect(daemon.socket())?;
        let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
        let returning = thread::spawn(move || {
            // Ends with the client, whichever way.
            io::copy(&mut answers, &mut back).ok();
        });
        let mut preface = [0; PREFACE_LEN];
        client.read_exact(&mut preface)?;
        server.write_all(&preface)?;
        let (mut calls, mut then) = (0, Some(then));
        loop {
            let mut head = [0; FRAME_HEAD_LEN];
            if client.read_exact(&mut head).is_err() {
                break;
            }
            if head[3] == HEADERS {
                calls += 1;
            }
            if calls == number
                && let Some(then) = then.take()
                && then().is_break()
            {
                break;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut frame = head.to_vec();
            frame.resize(FRAME_HEAD_LEN + length as usize, 0);
            client.read_exact(&mut frame[FRAME_HEAD_LEN..])?;
            server.write_all(&frame)?;
        }
        for end in [&client, &server] {
            end.shutdown(Shutdown::Both).ok();
        }
        returning.join().expect("no panic");
        Ok(calls)
    }
}
