//! The sockets: bound before the daemon says that it is ready, and removed at its end.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_api::serve::{self, Listeners, Tls};
use rustix::fs::Mode;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::config::Config;
use crate::modes::make_private_dir;
use crate::owner::own_uid;
use crate::stop::Stop;

/// Everything that is listened on.
pub(crate) struct Sockets {
    /// For clients.
    pub(crate) listeners: Listeners,
    /// For probes.
    pub(crate) admin: Option<TcpListener>,
    /// The path of the Unix socket.
    pub(crate) file: SocketFile,
}

impl Sockets {
    /// Binds the addresses that the configuration names.
    pub(crate) async fn bind(config: &Config, tls: Option<Arc<Tls>>) -> Result<Self, Stop> {
        let unix = Some(bind_unix(&config.socket).await?);
        let file = SocketFile::new(&config.socket);
        let bind_clients = match tls {
            Some(_) => serve::bind_tcp,
            None => serve::bind_loopback,
        };
        let tcp = bind_tcp("listen.tcp", config.tcp, bind_clients)?;
        let admin = bind_tcp("listen.admin", config.admin, serve::bind_loopback)?;
        Ok(Self {
            listeners: Listeners { unix, tcp, tls },
            admin,
            file,
        })
    }
}

/// The path of a bound Unix socket, which is removed at the end.
pub(crate) struct SocketFile {
    pub(crate) path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            inode: inode(path),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Not if another daemon has put its own there.
        if self.inode.is_some() && inode(&self.path) == self.inode {
            // A socket that is left behind is seen to be stale by the next start.
            fs::remove_file(&self.path).ok();
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

async fn bind_unix(socket: &Path) -> Result<UnixListener, Stop> {
    if let Some(dir) = socket.parent().filter(|dir| !dir.exists()) {
        make_private_dir(dir)?;
    }
    remove_stale(socket).await?;
    // Anyone on this host may connect: its grants decide about a uid, and the directory can be
    // closed to keep others out altogether. Through the umask, because the path may lead elsewhere
    // a moment later.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o111));
    let bound = serve::bind_unix(socket);
    rustix::process::umask(umask);
    bound.map_err(|error| Stop::refused(format!("{}: {error}", socket.display())))
}

fn bind_tcp(
    key: &str,
    address: Option<SocketAddr>,
    bind: fn(SocketAddr) -> io::Result<TcpListener>,
) -> Result<Option<TcpListener>, Stop> {
    let Some(address) = address else {
        return Ok(None);
    };
    let refused = |error| Stop::refused(format!("{key} {address}: {error}"));
    bind(address).map_err(refused).map(Some)
}

/// Makes place for our socket: only a socket of ours that nobody listens on is removed.
async fn remove_stale(socket: &Path) -> Result<(), Stop> {
    let refused = |what: &str| Err(Stop::refused(format!("{}: {what}", socket.display())));
    let metadata = match fs::symlink_metadata(socket) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return refused(&error.to_string()),
    };
    if !metadata.file_type().is_socket() || metadata.uid() != own_uid() {
        return refused("is in the way and not a socket of ours; name another path");
    }
    match UnixStream::connect(socket).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(socket).or_else(|error| refused(&error.to_string()))
        }
        Ok(_) | Err(_) => refused("another daemon listens here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than there is room for by default, and far below what Linux grants.
    const HERD: usize = 2_000;

    #[tokio::test]
    async fn thousands_that_come_at_once_find_room_to_wait() {
        let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        files.current = files.maximum;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, files).expect("ours");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let _listener = bind_unix(&path).await.expect("bound");
        let mut waiting = Vec::new();
        for _ in 0..HERD {
            // One without room is told to come again, which a client takes for a failure.
            waiting.push(UnixStream::connect(&path).await.expect("room to wait"));
        }
    }
}
