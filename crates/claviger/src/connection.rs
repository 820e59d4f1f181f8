//! The way to the daemon.

use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger_client::{Client, ConnectError, Tls, Token};
use rustix::process::geteuid;
use tokio::time::timeout;

use crate::cli::ConnectionOptions;
use crate::output::note;
use crate::pasted;
use crate::stop::Stop;

/// Where the daemon is, and what it is shown.
pub(crate) struct Connection {
    address: Address,
    token: Option<Token>,
    patience: Duration,
}

/// Where a daemon listens.
enum Address {
    /// This host, in plain text.
    Local(SocketAddr),
    /// `host:port`, over TLS.
    Tls(String, Tls),
    Unix(PathBuf),
}

impl Connection {
    /// `options` has all that is settled; `default_socket` is where a daemon of this user listens.
    pub(crate) fn of(
        options: &ConnectionOptions,
        default_socket: Option<&Path>,
    ) -> Result<Self, Stop> {
        let files = [
            &options.token_file,
            &options.ca_file,
            &options.certificate_file,
            &options.private_key_file,
        ];
        for file in files.into_iter().flatten() {
            pasted::refuse(&file.to_string_lossy())?;
        }
        pasted::refuse(options.address.as_deref().unwrap_or_default())?;
        for file in [&options.token_file, &options.private_key_file] {
            file.as_deref()
                .filter(|file| is_open(file))
                .inspect(|file| {
                    note(&format!(
                        "warning: {0} is open to others; chmod 600 {0}",
                        file.display()
                    ));
                });
        }
        let tls = tls(options)?;
        let address = match (&options.address, default_socket) {
            (Some(text), _) => Address::parse(text, tls)?,
            (None, Some(socket)) if tls.is_none() => Address::Unix(socket.to_owned()),
            (None, _) => {
                let said = "where the daemon is cannot be told; pass --address";
                return Err(Stop::usage(said));
            }
        };
        let token_file = options.token_file.as_ref();
        let token = token_file
            .map(|file| Token::from_file(file).map_err(|error| Stop::usage(told(&error))))
            .transpose()?;
        Ok(Self {
            address,
            token,
            patience: options.timeout,
        })
    }

    /// Whether nobody else can come to listen there when the daemon is gone.
    pub(crate) fn is_vouched_for(&self) -> bool {
        match &self.address {
            Address::Local(_) => false,
            Address::Tls(..) | Address::Unix(_) => true,
        }
    }

    /// Connects.
    pub(crate) async fn client(&self) -> Result<Client, Stop> {
        let connected = timeout(self.patience, self.connect()).await;
        let client = match connected {
            Ok(Ok(client)) => client.with_deadline(self.patience),
            Ok(Err(error)) => return Err(self.address.refused(root_cause(&error))),
            Err(_) => return Err(self.address.away("nothing came in time")),
        };
        Ok(match &self.token {
            Some(token) => client.with_token(token.clone()),
            None => client,
        })
    }

    async fn connect(&self) -> Result<Client, ConnectError> {
        match &self.address {
            Address::Local(address) => Client::connect_tcp(*address).await,
            Address::Tls(address, tls) => Client::connect_tls(address, tls.clone()).await,
            Address::Unix(socket) => Client::connect_unix(socket).await,
        }
    }
}

impl Address {
    fn parse(text: &str, tls: Option<Tls>) -> Result<Self, Stop> {
        match (Place::parse(text), tls) {
            (Some(Place::Unix(socket)), None) => Ok(Self::Unix(socket)),
            (Some(Place::Unix(_)), Some(_)) => Err(Stop::usage(
                "no TLS is spoken over a Unix socket; leave --ca-file away",
            )),
            (Some(Place::ThisHost(_) | Place::AnotherHost), Some(tls)) => {
                Ok(Self::Tls(text.to_owned(), tls))
            }
            (Some(Place::ThisHost(address)), None) => Ok(Self::Local(address)),
            (Some(Place::AnotherHost), None) => Err(Stop::usage(format!(
                "plain text goes to this host only; pass --ca-file to speak TLS with {text}"
            ))),
            (None, _) if text.starts_with("unix:") => Err(Stop::usage(
                "an address with unix: needs the path from the root, such as \
                unix:/run/claviger/clavigerd.sock",
            )),
            (None, _) => Err(Stop::usage(format!(
                "the address {text} is none; give unix:/path or host:port"
            ))),
        }
    }

    /// That no daemon answers there, or why none will until a person has changed something.
    fn refused(&self, cause: &(dyn StdError + 'static)) -> Stop {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        match (self, kind) {
            (Self::Unix(socket), Some(io::ErrorKind::PermissionDenied)) => Stop::failed(format!(
                "this user may not use the socket {} ({cause}); become a member of the group \
                    that it belongs to, or pass --address and --token-file",
                socket.display()
            )),
            (Self::Tls(address, _), Some(io::ErrorKind::InvalidData)) => Stop::failed(format!(
                "{address} is not trusted ({cause}); pass the authority that its certificate is \
                from (--ca-file), and use the name that it is for, if TLS is spoken there"
            )),
            _ => self.away(&cause.to_string()),
        }
    }

    fn away(&self, cause: &str) -> Stop {
        Stop::no_daemon(format!(
            "no daemon answers at {self} ({cause}); start it, or pass --address if it is elsewhere"
        ))
    }
}

/// What an address leads to, whatever is spoken there.
pub(crate) enum Place {
    /// A port of another host.
    AnotherHost,
    /// A port of this one.
    ThisHost(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// Reads `unix:/path` or `host:port`; anything else is no address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
        let local = match host {
            "localhost" => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            _ => text.parse().ok(),
        };
        let local = local.filter(|address: &SocketAddr| address.ip().is_loopback());
        Some(local.map_or(Self::AnotherHost, Self::ThisHost))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(address) => write!(f, "{address}"),
            Self::Tls(address, _) => f.write_str(address),
            Self::Unix(socket) => write!(f, "{}", socket.display()),
        }
    }
}

fn tls(options: &ConnectionOptions) -> Result<Option<Tls>, Stop> {
    let pair = match (&options.certificate_file, &options.private_key_file) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            let said = "--certificate-file and --private-key-file go together";
            return Err(Stop::usage(said));
        }
    };
    let Some(authorities) = &options.ca_file else {
        return match pair {
            None => Ok(None),
            Some(_) => Err(Stop::usage("--certificate-file needs --ca-file")),
        };
    };
    let tls = Tls::trusting(content(authorities)?);
    Ok(Some(match pair {
        Some((certificate, key)) => tls.with_certificate(content(certificate)?, content(key)?),
        None => tls,
    }))
}

/// Whether a file of this user can be read or written by others.
fn is_open(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|file| {
        file.is_file() && file.uid() == geteuid().as_raw() && file.mode() & 0o077 != 0
    })
}

fn content(file: &Path) -> Result<Vec<u8>, Stop> {
    fs::read(file)
        .map_err(|error| Stop::usage(format!("{} cannot be read: {error}", file.display())))
}

/// An error with what it comes from.
fn told(error: &dyn StdError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The last of the errors that an error comes from: those between have nothing to say.
fn root_cause<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// What an address is taken for.
    fn parsed(text: &str, is_tls: bool) -> Result<String, String> {
        let address = Address::parse(text, is_tls.then(|| Tls::trusting("")));
        let address = address.map_err(|stop| stop.to_string())?;
        Ok(match &address {
            Address::Local(_) => format!("plain text to {address}"),
            Address::Tls(..) => format!("TLS to {address}"),
            Address::Unix(_) => format!("socket {address}"),
        })
    }

    #[test]
    fn an_address_is_a_socket_or_a_host_with_a_port() {
        for (text, is_tls, expected) in [
            ("unix:/run/c.sock", false, "socket /run/c.sock"),
            ("127.0.0.1:7433", false, "plain text to 127.0.0.1:7433"),
            ("[::1]:7433", false, "plain text to [::1]:7433"),
            ("localhost:7433", false, "plain text to 127.0.0.1:7433"),
            ("broker.acme:7433", true, "TLS to broker.acme:7433"),
            ("127.0.0.1:7433", true, "TLS to 127.0.0.1:7433"),
        ] {
            assert_eq!(parsed(text, is_tls).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_way_that_is_barred_is_told_apart_from_a_daemon_that_is_away() {
        let socket = || Address::Unix("/run/c.sock".into());
        let tls = || Address::Tls("broker.acme:7433".to_owned(), Tls::trusting(""));
        for (address, kind, may_pass, remedy) in [
            (
                socket(),
                io::ErrorKind::PermissionDenied,
                false,
                "the group",
            ),
            (socket(), io::ErrorKind::NotFound, true, "start it"),
            (tls(), io::ErrorKind::InvalidData, false, "--ca-file"),
            (tls(), io::ErrorKind::ConnectionRefused, true, "start it"),
        ] {
            let stop = address.refused(&io::Error::from(kind));
            assert_eq!(stop.may_pass(), may_pass, "{stop}");
            assert!(stop.to_string().contains(remedy), "{stop}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_the_remedy() {
        for (text, is_tls, remedy) in [
            ("broker.acme", false, "unix:/path or host:port"),
            (":7433", false, "unix:/path or host:port"),
            ("host:port", true, "unix:/path or host:port"),
            ("unix:c.sock", false, "the path from the root"),
            ("unix:/c.sock", true, "leave --ca-file away"),
        ] {
            let said = parsed(text, is_tls).unwrap_err();
            assert!(said.contains(remedy), "{said}");
        }
    }

    #[test]
    fn plain_text_goes_to_this_host_only() {
        for text in [
            "broker.acme:7433",
            "10.0.0.1:7433",
            "0.0.0.0:7433",
            "[::]:7433",
        ] {
            let said = parsed(text, false).unwrap_err();
            assert!(said.contains("--ca-file"), "{said}");
        }
    }

    fn of(options: &ConnectionOptions, default_socket: Option<&str>) -> Result<String, String> {
        Connection::of(options, default_socket.map(Path::new))
            .map(|connection| connection.address.to_string())
            .map_err(|stop| stop.to_string())
    }

    #[test]
    fn an_address_comes_before_the_default() {
        let mut options = ConnectionOptions::default();
        assert!(of(&options, None).unwrap_err().contains("--address"));
        assert_eq!(of(&options, Some("/default")), Ok("/default".to_owned()));
        options.address = Some("unix:/flag".to_owned());
        assert_eq!(of(&options, Some("/default")), Ok("/flag".to_owned()));
    }

    #[test]
    fn a_file_that_others_can_read_is_open() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, expected) in [(0o600, false), (0o400, false), (0o644, true), (0o640, true)] {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(file.path(), mode).unwrap();
            assert_eq!(is_open(file.path()), expected);
        }
        assert!(!is_open(Path::new("/nowhere/token")));
        assert!(!is_open(Path::new("/tmp")));
    }

    #[test]
    fn a_key_in_the_place_of_a_file_or_an_address_is_not_repeated() {
        const KEY: &str = "clv_canary0123456789abcdef";
        let options = |address, token_file, ca_file| ConnectionOptions {
            address,
            token_file,
            ca_file,
            ..ConnectionOptions::default()
        };
        for options in [
            options(Some(KEY.to_owned()), None, None),
            options(None, Some(KEY.into()), None),
            options(None, None, Some(KEY.into())),
        ] {
            let said = of(&options, Some("/default")).unwrap_err();
            assert!(
                said.contains("replace it") && !said.contains("canary"),
                "{said}"
            );
        }
    }

    #[test]
    fn files_of_tls_go_together() {
        let file = || Some(PathBuf::from("/nowhere/file.pem"));
        let said = |ca_file, certificate_file, private_key_file| {
            let options = ConnectionOptions {
                address: Some("broker.acme:7433".to_owned()),
                ca_file,
                certificate_file,
                private_key_file,
                ..ConnectionOptions::default()
            };
            of(&options, None).unwrap_err()
        };
        assert!(said(file(), file(), None).contains("go together"));
        assert!(said(file(), None, file()).contains("go together"));
        assert!(said(None, file(), file()).contains("needs --ca-file"));
        assert!(said(file(), None, None).starts_with("/nowhere/file.pem cannot be read"));
    }
}
