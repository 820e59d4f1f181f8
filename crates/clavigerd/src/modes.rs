//! Who may change what the daemon rests on: judged at the start, before any of it is used.
//!
//! Files that hold a credential are judged more strictly, where they are read
//! (`claviger_backend::private_file`).

use std::fs::{self, DirBuilder, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use crate::config::Config;
use crate::owner::{OTHERS_WRITE, fault_of, own_uid};
use crate::root_key::RootKeySource;
use crate::stop::{Stop, writable_remedy};

const OTHERS_READ: u32 = 0o044;
/// In such a directory others may make files, but not replace those that are there.
const STICKY: u32 = 0o1000;

/// Refuses directories and files of the daemon that others may write to. What is not there yet is
/// made with no rights for others.
pub(crate) fn check(config: &Config) -> Result<(), Stop> {
    check_dir_of("socket", &config.socket)?;
    if let RootKeySource::File(path) = &config.root_key {
        check_dir_of("root key", path)?;
    }
    check_path("directory of the audit log", parent(&config.audit_file), 0)?;
    check_writable("data directory", &config.data_dir)?;
    check_writable("directory of the audit log", parent(&config.audit_file))?;
    check_writable("directory of the socket", parent(&config.socket))?;
    let files = ["store.db", "store.db-wal", "store.db-shm", "store.db.lock"];
    let files = files.map(|name| ("file of the store", config.data_dir.join(name)));
    let audit_file = ("audit log", config.audit_file.clone());
    for (what, path) in files.into_iter().chain([audit_file]) {
        if let Some(metadata) = check_path(what, &path, 0)?
            && metadata.mode() & OTHERS_READ != 0
        {
            let path = path.display();
            tracing::warn!(%path, "other users may read this {what}; close it (chmod 600)");
        }
    }
    for (what, path) in believed_files(config) {
        // SECURITY: whoever writes there says who is believed, and who we seem to be; so does
        // whoever makes the file, if it is not there.
        let is_there = check_path(&what, path, 0)?.is_some();
        let allowed = if is_there { STICKY } else { 0 };
        check_path(&format!("directory of {what}"), parent(path), allowed)?;
    }
    if own_uid() == 0 {
        tracing::warn!("runs as root, which needs none of its rights; give it a user of its own");
    }
    Ok(())
}

/// The settings that name files of keys and certificates, with these.
fn believed_files(config: &Config) -> impl Iterator<Item = (String, &Path)> {
    let identities = config.identities.iter().flat_map(|(id, settings)| {
        let files = settings.files();
        files.map(move |(key, path)| (format!("identity.{id}.{key}"), path))
    });
    let pair = config.tls.iter().flat_map(|tls| {
        [
            ("tls.certificate_file".to_owned(), &*tls.certificate_file),
            ("tls.private_key_file".to_owned(), &*tls.private_key_file),
        ]
    });
    let bundles = config.bundles.iter();
    let bundles =
        bundles.flat_map(|bundle| [&bundle.authorities].into_iter().chain(&bundle.revoked));
    let bundles = bundles.map(|(key, path)| (key.clone(), path.as_path()));
    identities.chain(pair).chain(bundles)
}

/// Makes a directory of this user's own, if it is not there, and refuses one that others may
/// write to.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), Stop> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| refused("directory", dir, &format!("cannot be created: {error}")))?;
    check_path("directory", dir, 0).map(drop)
}

/// Whoever may write to the directory of a file may put another in its place.
fn check_dir_of(what: &str, file: &Path) -> Result<(), Stop> {
    check_path(&format!("directory of the {what}"), parent(file), STICKY).map(drop)
}

/// With one of the bits of `allowed` others may write.
fn check_path(what: &str, path: &Path, allowed: u32) -> Result<Option<Metadata>, Stop> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(refused(
                what,
                path,
                &format!("cannot be looked at: {error}"),
            ));
        }
    };
    let mode = match metadata.mode() & allowed {
        0 => metadata.mode(),
        _ => metadata.mode() & !OTHERS_WRITE,
    };
    match fault_of(metadata.uid(), mode, own_uid()) {
        Some(fault) => Err(refused(what, path, fault)),
        None => Ok(Some(metadata)),
    }
}

/// Refuses a directory in which no file can be made and filled, whatever its mode says: the disk may
/// be full or read-only.
fn check_writable(what: &str, dir: &Path) -> Result<(), Stop> {
    match tempfile::tempfile_in(dir).and_then(|mut file| file.write_all(&[0; 4096])) {
        Ok(()) => Ok(()),
        // Whoever needs it makes it, or says so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let cause = error
                .get_ref()
                .map_or_else(|| error.to_string(), ToString::to_string);
            let why = format!("cannot be written: {cause}; {}", writable_remedy());
            Err(refused(what, dir, &why))
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn refused(what: &str, path: &Path, why: &str) -> Stop {
    Stop::refused(format!("{what} {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;
    use crate::cli::Cli;
    use crate::environment::Environment;

    /// A configuration with its own directories for data, socket, root key and audit log, in which
    /// all files are.
    fn home() -> (tempfile::TempDir, Config) {
        let home = tempfile::tempdir().unwrap();
        let file = |path: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            set_mode(path.parent().unwrap(), 0o700);
            set_mode(&path, 0o600);
            path
        };
        for name in ["store.db", "store.db-wal", "store.db-shm", "store.db.lock"] {
            file(&format!("data/{name}"));
        }
        let audit = file("log/audit.jsonl");
        let keys = file("keys/jwks.json");
        let [certificate, key] = [file("pair/tls.crt"), file("pair-key/tls.key")];
        let [clients, revoked] = [file("clients/ca.crt"), file("lists/clients.crl")];
        let corp = file("corp/ca.crt");
        let text = format!(
            "[audit]\nfile = {audit:?}\n[identity.ci]\nkind = \"generic\"\n\
             issuer = \"https://ci.acme.example\"\naudience = \"claviger\"\njwks_file = {keys:?}\n\
             [tls]\ncertificate_file = {certificate:?}\nprivate_key_file = {key:?}\n\
             client_auth = \"optional\"\nspiffe_trust_domain = \"acme.example\"\n\
             client_ca_file = {clients:?}\ncrl_file = {revoked:?}\n\
             [identity.corp]\nkind = \"x509\"\nca_file = {corp:?}\n"
        );
        let config_file = file("etc/clavigerd.toml");
        fs::write(&config_file, text).unwrap();
        file("config/claviger/root.key");
        file("run/clavigerd.sock");
        let cli = Cli {
            config: Some(config_file),
            data_dir: Some(home.path().join("data")),
            socket: Some(home.path().join("run/clavigerd.sock")),
            ..Cli::default()
        };
        let environment = Environment {
            xdg_config_home: Some(home.path().join("config")),
            ..Environment::default()
        };
        let config = crate::configure(&cli, &environment, None).unwrap();
        (home, config)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn checked(config: &Config) -> Result<(), String> {
        make_private_dir(&config.data_dir)
            .and_then(|()| check(config))
            .map_err(|stop| stop.to_string())
    }

    const DIRECTORIES: [&str; 10] = [
        "config/claviger",
        "data",
        "log",
        "run",
        "keys",
        "pair",
        "pair-key",
        "clients",
        "lists",
        "corp",
    ];
    const FILES: [&str; 11] = [
        "keys/jwks.json",
        "pair/tls.crt",
        "pair-key/tls.key",
        "clients/ca.crt",
        "lists/clients.crl",
        "corp/ca.crt",
        "data/store.db",
        "data/store.db-shm",
        "data/store.db-wal",
        "data/store.db.lock",
        "log/audit.jsonl",
    ];

    #[test]
    fn what_others_may_write_to_is_refused_with_its_path_and_the_remedy() {
        let (home, config) = home();
        assert_eq!(checked(&config), Ok(()));
        for name in DIRECTORIES.into_iter().chain(FILES) {
            let path = home.path().join(name);
            let good = fs::metadata(&path).unwrap().permissions();
            for bits in [0o020, 0o002] {
                set_mode(&path, good.mode() | bits);
                let said = checked(&config).unwrap_err();
                assert!(said.contains(&format!("{}: ", path.display())), "{said}");
                assert!(said.contains("(chmod go-w)"), "{said}");
            }
            // To be read by others is no reason to refuse.
            set_mode(&path, good.mode() | 0o055);
            assert_eq!(checked(&config), Ok(()), "{name}");
            fs::set_permissions(&path, good).unwrap();
        }
    }

    #[test]
    fn a_sticky_directory_may_hold_all_but_store_and_audit_log() {
        let (home, config) = home();
        for name in DIRECTORIES {
            let is_fit = !["data", "log"].contains(&name);
            let path = home.path().join(name);
            set_mode(&path, 0o1777);
            assert_eq!(checked(&config).is_ok(), is_fit, "{name}");
            set_mode(&path, 0o700);
        }
    }

    #[test]
    fn a_file_of_keys_or_certificates_that_anybody_could_make_is_refused() {
        let (home, config) = home();
        for (file, key) in [
            ("keys/jwks.json", "identity.ci.jwks_file"),
            ("pair/tls.crt", "tls.certificate_file"),
            ("pair-key/tls.key", "tls.private_key_file"),
            ("clients/ca.crt", "tls.client_ca_file"),
            ("lists/clients.crl", "tls.crl_file"),
            ("corp/ca.crt", "identity.corp.ca_file"),
        ] {
            let file = home.path().join(file);
            set_mode(parent(&file), 0o1777);
            assert_eq!(checked(&config), Ok(()), "{key}");
            fs::remove_file(&file).unwrap();
            let said = checked(&config).unwrap_err();
            assert!(said.contains(&format!("directory of {key}")), "{said}");
            set_mode(parent(&file), 0o700);
        }
    }

    #[test]
    fn what_another_user_owns_is_refused_unless_it_is_root() {
        for (owner, own, is_fit) in [(7, 7, true), (0, 7, true), (8, 7, false), (7, 0, false)] {
            let fault = fault_of(owner, 0o100_600, own);
            assert_eq!(fault.is_none(), is_fit, "{owner} {own}");
        }
        let (home, config) = home();
        for name in DIRECTORIES.into_iter().chain(FILES) {
            let path = home.path().join(name);
            // Only root can give a file away.
            if chown(&path, Some(65_533), None).is_err() {
                return;
            }
            let said = checked(&config).unwrap_err();
            assert!(said.contains("(chown)"), "{said}");
            chown(&path, Some(own_uid()), None).unwrap();
        }
    }

    #[test]
    fn what_is_not_there_yet_is_no_fault() {
        let (home, config) = home();
        for name in ["config", "log", "run"] {
            fs::remove_dir_all(home.path().join(name)).unwrap();
        }
        assert_eq!(checked(&config), Ok(()));
    }
}
