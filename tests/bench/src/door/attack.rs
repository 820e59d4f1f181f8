//! The attackers: a thread of this process, as another user if this one may, else from another
//! address.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use claviger_raw::{Raw, connect_from, may_be_others, message};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::machine::on_core;
use crate::step::{Error, Result, runtime};

/// A uid that nothing is granted to.
const STRANGER: u32 = 54_321;

const GET_SECRET: &str = "claviger.v1.SecretService/GetSecret";
const CREATE_TOKEN: &str = "claviger.v1.AccessService/CreateToken";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const MIB: usize = 1024 * 1024;

/// What a stranger does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attack {
    /// Holds connections that answer pings.
    Idle,
    /// Holds connections that say nothing.
    Silent,
    /// Sends requests that do not end.
    Bodies,
    /// The same to a public service.
    Reflection,
    /// Sends requests that cost much to decode.
    Fields,
    /// Resets requests as fast as it can.
    Resets,
    /// Asks for what it may not have, as fast as it can.
    Denied,
}

/// Where the daemon is.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) socket: Option<PathBuf>,
    pub(crate) tcp: SocketAddr,
}

impl Attack {
    pub(crate) const ALL: &[Self] = &[
        Self::Idle,
        Self::Silent,
        Self::Bodies,
        Self::Reflection,
        Self::Fields,
        Self::Resets,
        Self::Denied,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Silent => "silent",
            Self::Bodies => "bodies",
            Self::Reflection => "reflection",
            Self::Fields => "fields",
            Self::Resets => "resets",
            Self::Denied => "denied",
        }
    }

    pub(crate) fn connections(self) -> u16 {
        match self {
            Self::Idle => 5000,
            Self::Silent => 6000,
            Self::Bodies | Self::Reflection | Self::Fields | Self::Resets | Self::Denied => 2,
        }
    }

    /// Goes on until it is dropped; says when it is under way.
    async fn go_on(self, target: Target, under_way: mpsc::Sender<()>) -> Result {
        let mut silent = Vec::new();
        let mut speaking = Vec::new();
        for _ in 0..self.connections() {
            if matches!(self, Self::Silent) {
                silent.push(connect_from([127, 0, 0, 2].into(), target.tcp).await?);
            } else {
                speaking.push(target.connect().await?);
            }
        }
        let mut streams = JoinSet::new();
        if !matches!(self, Self::Idle | Self::Silent) {
            for raw in std::mem::take(&mut speaking) {
                streams.spawn(self.press(raw, target.clone()));
            }
        }
        under_way.send(())?;
        while streams.join_next().await.is_some() {}
        std::future::pending::<()>().await;
        drop((silent, speaking));
        Ok(())
    }

    /// As much as one connection carries.
    async fn press(self, mut raw: Raw, target: Target) {
        let (method, promised, body, width) = match self {
            Self::Reflection => (REFLECTION, 4000, vec![0; 2000], 128),
            Self::Fields => (CREATE_TOKEN, MIB, [0x0a, 0x00].repeat(MIB / 2), 128),
            Self::Denied => (GET_SECRET, 3, vec![0x0a, 0x01, b'x'], 128),
            Self::Bodies | Self::Idle | Self::Resets | Self::Silent => {
                (GET_SECRET, MIB, vec![0; MIB], 128)
            }
        };
        let body = message(promised, &body);
        let mut open = JoinSet::new();
        loop {
            if open.len() >= width {
                open.join_next().await;
            }
            let Ok(mut begun) = raw.begin(method, &[]).await else {
                // Cut off: a hostile client comes again.
                let Ok(again) = target.connect().await else {
                    return;
                };
                raw = again;
                continue;
            };
            if matches!(self, Self::Resets) {
                begun.cancel();
                tokio::task::yield_now().await;
                continue;
            }
            let body = body.clone();
            open.spawn(async move {
                begun.send(body).await;
                if matches!(self, Self::Denied) {
                    begun.send_end();
                }
                begun.answer().await.is_ok()
            });
        }
    }
}

impl Target {
    async fn connect(&self) -> Result<Raw> {
        Ok(match &self.socket {
            Some(socket) if may_be_others() => Raw::user(STRANGER, socket).await,
            _ => Raw::address([127, 0, 0, 2].into(), self.tcp).await,
        })
    }
}

/// An attack under way.
pub(crate) struct Attacker {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result>,
}

impl Attacker {
    /// Returns once it is under way.
    pub(crate) fn start(attack: Attack, target: Target, core: usize) -> Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (under_way, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            // On the reader's core, but after it: what is measured is what the server makes it wait.
            rustix::process::setpriority_process(None, 19)?;
            on_core(core, || {
                runtime()?.block_on(async {
                    tokio::select! {
                        result = attack.go_on(target, under_way) => result,
                        _ = stopped => Ok(()),
                    }
                })
            })
        });
        if wait.recv().is_err() {
            let ended = thread
                .join()
                .map_err(|_| Error::from("an attacker panicked"))?;
            return Err(ended.err().unwrap_or_else(|| "an attack ended".into()));
        }
        Ok(Self { stop, thread })
    }

    pub(crate) fn stop(self) -> Result {
        self.stop.send(()).ok();
        self.thread.join().map_err(|_| "an attacker panicked")?
    }
}
