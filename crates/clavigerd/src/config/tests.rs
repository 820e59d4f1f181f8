use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::sync::Arc;

use clap::Parser as _;
use claviger_backend::{Backend, BackendKind, BackendSettings, Opening};

use super::*;
use crate::cli::Cli;

#[cfg(feature = "azure")]
mod azure;
#[cfg(all(feature = "aws", feature = "azure", feature = "snowflake"))]
mod every_kind;
#[cfg(all(feature = "aws", feature = "azure", feature = "snowflake"))]
mod example;
mod identities;
mod kinds;
#[cfg(feature = "snowflake")]
mod snowflake;
mod stripe;
mod tls;
mod vaults;

const EXAMPLE: &str = include_str!("../../../../deploy/config/clavigerd.toml");

fn as_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// The kinds there are, one with settings of its own, and one that is not in the build.
fn kinds() -> Vec<VaultKind> {
    let cloud = BackendKind {
        name: "cloud",
        read: |settings| {
            settings.parsed("region", as_text);
            settings.table("tags", |tags| tags.parsed("owner", as_text));
            Box::new(Cloud)
        },
    };
    let known = VAULT_KINDS.iter().map(|kind| (kind.name, kind.backend));
    known
        .chain([("cloud", Some(cloud)), ("left-out", None)])
        .map(|(name, backend)| VaultKind { name, backend })
        .collect()
}

#[derive(Debug)]
struct Cloud;

#[async_trait::async_trait]
impl BackendSettings for Cloud {
    async fn open(&self, _: Opening) -> claviger_core::Result<Arc<dyn Backend>> {
        panic!("a configuration opens nothing")
    }
}

struct Case {
    dir: tempfile::TempDir,
    environment: Environment,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment {
            home: Some(dir.path().join("home")),
            ..Environment::default()
        };
        Self { dir, environment }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn resolve(&self, arguments: &str) -> Result<Config, String> {
        let ephemeral_dir = self.path("ephemeral");
        let arguments = arguments.split_whitespace();
        let cli = Cli::try_parse_from(std::iter::once("clavigerd").chain(arguments)).unwrap();
        Config::resolve(&cli, &self.environment, Some(&ephemeral_dir), &kinds())
            .map_err(|problems| problems.to_string())
    }

    fn with_file(&self, text: &str, arguments: &str) -> Result<Config, String> {
        let file = self.path("c.toml");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        self.resolve(&format!("--config {} {arguments}", file.display()))
            .map_err(|problems| problems.replace(&format!("{}", file.display()), "c.toml"))
    }
}

/// The problems of a file.
#[track_caller]
fn problems(text: &str) -> String {
    Case::new().with_file(text, "").unwrap_err()
}

#[test]
fn a_file_that_others_may_write_is_refused_unread() {
    let case = Case::new();
    let file = case.path("c.toml");
    fs::write(&file, "canary").unwrap();
    let refused = |mode| {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        case.resolve(&format!("--config {}", file.display()))
            .unwrap_err()
    };
    for mode in [0o620, 0o602, 0o666] {
        let said = refused(mode);
        let path = file.display();
        let expected =
            format!("--config: {path} can be written by other users; close it (chmod go-w)");
        assert!(said.starts_with(&expected), "{said}");
    }
    assert!(refused(0o644).contains("not valid TOML"));
    // Only root can give a file away.
    if chown(&file, Some(65_533), None).is_ok() {
        assert!(refused(0o600).contains("belongs to another user"));
    }
}

#[test]
fn what_is_not_toml_is_located_and_not_quoted() {
    let text = "data_dir = \"/d\"\n[log]\nformat = canary\"\n";
    assert_eq!(problems(text), "c.toml:3: column 10 is not valid TOML");
    let text = "data_dir = \"/canary\"\n[log]\n\n[log]\n";
    let expected = "has a key or table that was given before; keep one of them";
    assert!(problems(text).contains(expected), "{}", problems(text));
    let text = "data_dir = \"canary";
    assert!(
        problems(text).starts_with("c.toml:1: column"),
        "{}",
        problems(text)
    );
    assert!(!problems(text).contains("canary"));
}

#[test]
fn metrics_tell_projects_apart_only_if_asked_to() {
    let case = Case::new();
    let tells = |text| case.with_file(text, "").unwrap().tells_projects;
    assert!(!tells(""));
    assert!(!tells("metrics.labels = []"));
    assert!(tells("metrics.labels = [\"project\"]"));
    let problems = problems("metrics.labels = [\"project\", \"secret\"]");
    let remedy = "is not a label that can be asked for; write \"project\", or leave it out";
    assert!(
        problems.starts_with("c.toml:1: metrics.labels"),
        "{problems}"
    );
    assert!(problems.ends_with(remedy), "{problems}");
}

#[test]
fn values_are_never_quoted() {
    let keys = "data_dir deleted_retention listen.socket listen.tcp root_key.file log.format \
        log.filter audit.file vaults.managed.kind vaults.managed.timeout vaults.managed.settings \
        vaults.cloud.kind vaults.aws.allow vaults.aws.settings unknown listen vaults vaults.managed";
    for key in keys.split_whitespace() {
        for value in [
            "\"canary\"",
            "[\"canary\"]",
            "{ x = \"canary\" }",
            "1234567890",
        ] {
            let problems = problems(&format!("{key} = {value}\n"));
            assert!(!problems.contains("canary"), "{key} = {value}: {problems}");
            assert!(
                !problems.contains("1234567890"),
                "{key} = {value}: {problems}"
            );
        }
    }
}

#[test]
fn an_odd_key_cannot_forge_a_line_of_the_log() {
    let problems = problems("\"a\\nc.toml:1: b\" = 1\n");
    assert_eq!(problems.lines().count(), 1, "{problems}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_named_it() {
    let mut case = Case::new();
    let problems = case.resolve("--config /nowhere/c.toml").unwrap_err();
    assert!(
        problems.starts_with("--config: cannot read /nowhere/c.toml: "),
        "{problems}"
    );
    case.environment.config = Some(PathBuf::from("/nowhere/e.toml"));
    let problems = case.resolve("").unwrap_err();
    assert!(
        problems.starts_with("CLAVIGER_CONFIG: cannot read /nowhere/e.toml"),
        "{problems}"
    );
}

#[test]
fn without_a_file_the_defaults_hold() {
    let mut case = Case::new();
    let config = case.resolve("").unwrap();
    let data_dir = case.path("home/.local/state/claviger");
    assert_eq!(config.data_dir, data_dir);
    assert_eq!(config.audit_file, data_dir.join("audit.jsonl"));
    assert_eq!(config.socket, data_dir.join("clavigerd.sock"));
    assert_eq!(Some(config.socket), default_socket(&case.environment));
    let root_key = case.path("home/.config/claviger/root.key");
    assert_eq!(config.root_key, RootKeySource::File(root_key));
    assert_eq!(
        config.deleted_retention,
        Duration::from_secs(30 * 24 * 3600)
    );
    assert_eq!(config.log_format, LogFormat::Text);
    assert_eq!(config.log_filter.default_level(), Some(LevelFilter::INFO));
    assert_eq!((config.tcp, config.is_dev), (None, false));
    let [(id, vault)] = Vec::from_iter(config.vaults).try_into().unwrap();
    assert_eq!(id.as_str(), "managed");
    assert_eq!(vault.limits.timeout, Duration::from_secs(5));

    case.environment.xdg_state_home = Some(case.path("state"));
    case.environment.xdg_config_home = Some(case.path("config"));
    case.environment.xdg_runtime_dir = Some(case.path("run"));
    let config = case.resolve("").unwrap();
    assert_eq!(config.data_dir, case.path("state/claviger"));
    assert_eq!(config.socket, case.path("run/claviger/clavigerd.sock"));
    let root_key = case.path("config/claviger/root.key");
    assert_eq!(config.root_key, RootKeySource::File(root_key));
}

#[test]
fn the_command_line_goes_before_the_environment_and_the_file() {
    let mut case = Case::new();
    let text = r#"
data_dir = "/file/data"
listen = { socket = "/file/socket", tcp = "[::1]:1" }
log = { format = "json", filter = "warn" }
root_key.file = "/file/key"
audit.file = "/file/audit"
vaults.eu = { kind = "cloud", allow = [], timeout = "250ms", settings.region = "eu" }
"#;
    let config = case.with_file(text, "").unwrap();
    assert_eq!(config.data_dir, Path::new("/file/data"));
    assert_eq!(config.socket, Path::new("/file/socket"));
    assert_eq!(config.tcp, Some("[::1]:1".parse().unwrap()));
    assert_eq!(
        config.root_key,
        RootKeySource::File(PathBuf::from("/file/key"))
    );
    assert_eq!(config.audit_file, Path::new("/file/audit"));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.log_filter.default_level(), Some(LevelFilter::WARN));
    let eu = &config.vaults[&Id::from_static("eu")];
    assert_eq!(eu.limits.timeout, Duration::from_millis(250));
    assert!(config.vaults.contains_key(&Id::from_static("managed")));

    case.environment.log_filter = Some("debug".to_owned());
    let options = "--data-dir /cli/data --socket /cli/socket --listen 127.0.0.1:2";
    let config = case.with_file(text, options).unwrap();
    assert_eq!(config.data_dir, Path::new("/cli/data"));
    assert_eq!(config.socket, Path::new("/cli/socket"));
    assert_eq!(config.tcp, Some("127.0.0.1:2".parse().unwrap()));
    assert_eq!(config.log_filter.default_level(), Some(LevelFilter::DEBUG));
}

#[test]
fn dev_listens_on_a_free_port_unless_told_otherwise() {
    let case = Case::new();
    let config = case.resolve("--dev").unwrap();
    assert_eq!(config.tcp, Some("127.0.0.1:0".parse().unwrap()));
    assert!(config.is_dev);
    assert_eq!(config.data_dir, case.path("home/.local/state/claviger"));
    let config = case
        .with_file("listen.tcp = \"127.0.0.1:7\"", "--dev")
        .unwrap();
    assert_eq!(config.tcp, Some("127.0.0.1:7".parse().unwrap()));
}

#[test]
fn an_ephemeral_daemon_needs_nothing_around_it() {
    let mut case = Case::new();
    case.environment = Environment::default();
    let config = case.resolve("--dev --ephemeral").unwrap();
    let dir = case.path("ephemeral");
    assert_eq!(config.root_key, RootKeySource::Memory);
    assert_eq!(config.socket, dir.join("clavigerd.sock"));
    assert_eq!(config.audit_file, dir.join("audit.jsonl"));
    assert_eq!(config.data_dir, dir);

    case.environment.xdg_runtime_dir = Some(case.path("run"));
    let config = case.resolve("--dev --ephemeral").unwrap();
    assert_eq!(
        config.socket,
        dir.join("clavigerd.sock"),
        "not that of a real daemon"
    );
}

#[test]
fn ephemeral_goes_with_dev_and_with_nothing_that_keeps() {
    let case = Case::new();
    let problems = case.resolve("--ephemeral").unwrap_err();
    assert_eq!(problems, "--ephemeral: works only together with --dev");
    let text = "data_dir = \"/d\"\nroot_key.file = \"/k\"\naudit.file = \"/a\"\n";
    let problems = case
        .with_file(text, "--dev --ephemeral --data-dir d")
        .unwrap_err();
    let why = "contradicts --ephemeral, which keeps nothing; drop one of the two";
    let expected = format!(
        "--data-dir: {why}\nc.toml:1: data_dir: {why}\nc.toml:2: root_key.file: {why}\n\
        c.toml:3: audit.file: {why}"
    );
    assert_eq!(problems, expected);
}

#[test]
fn without_a_home_the_missing_directories_are_named_with_their_remedies() {
    let mut case = Case::new();
    case.environment = Environment::default();
    let problems = case.resolve("").unwrap_err();
    let [data_dir, root_key] = problems.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(data_dir.contains("--data-dir") && data_dir.contains("write data_dir"));
    assert!(root_key.contains("root_key.file") && root_key.contains(CREDENTIAL));

    let text = "root_key.file = \"/key\"";
    assert!(case.with_file(text, "--data-dir /d").is_ok());
    // A wrong one is not called missing as well.
    let problems = case
        .with_file("data_dir = 1\nroot_key.file = 1", "")
        .unwrap_err();
    assert_eq!(problems.lines().count(), 2, "{problems}");
}

#[test]
fn the_root_key_may_not_lie_beside_what_it_opens() {
    let case = Case::new();
    let real = case.path("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, case.path("link")).unwrap();
    for (data_dir, key) in [
        ("real", "real/k"),
        ("link", "real/new/k"),
        ("real/new", "link/new/k"),
    ] {
        let (data_dir, key) = (case.path(data_dir), case.path(key));
        let text = format!("data_dir = {data_dir:?}\nroot_key.file = {key:?}\n");
        let problems = case.with_file(&text, "").unwrap_err();
        let expected = "c.toml:2: root_key.file: is inside the data directory";
        assert!(problems.starts_with(expected), "{problems}");
    }
    let config_home = case.path("home/.config/claviger");
    let problems = case.resolve(&format!("--data-dir {}", config_home.display()));
    assert!(
        problems
            .unwrap_err()
            .starts_with("root_key.file: is inside")
    );
}

#[test]
fn a_systemd_credential_is_the_root_key_and_the_only_one() {
    let mut case = Case::new();
    case.environment.credentials_directory = Some(case.path("credentials"));
    let config = case.resolve("").unwrap();
    assert!(
        matches!(config.root_key, RootKeySource::File(_)),
        "no such credential"
    );

    let credential = case.path("credentials").join(CREDENTIAL);
    fs::create_dir(case.path("credentials")).unwrap();
    fs::write(&credential, "").unwrap();
    let config = case.resolve("").unwrap();
    assert_eq!(config.root_key, RootKeySource::Credential(credential));
    let problems = case.with_file("root_key.file = \"/k\"", "").unwrap_err();
    assert!(
        problems.starts_with("c.toml:1: root_key.file: contradicts"),
        "{problems}"
    );
}

#[test]
fn paths_that_cannot_work_are_refused() {
    let case = Case::new();
    let long = format!("/{}", "s".repeat(SOCKET_PATH_MAX));
    let problems = case.resolve(&format!("--socket {long}")).unwrap_err();
    assert!(
        problems.starts_with("--socket: is longer than 107 bytes"),
        "{problems}"
    );
    assert!(
        case.resolve(&format!("--socket {}", long.split_at(SOCKET_PATH_MAX).0))
            .is_ok()
    );

    let problems = case.with_file("audit.file = \"/a/../b\"", "").unwrap_err();
    assert!(
        problems.contains("audit.file: has `..` in it"),
        "{problems}"
    );
    let problems = case.with_file("audit.file = \"/a\"\nlisten.socket = \"/a\"", "");
    let expected = "listen.socket: is the same path as audit.file; change one of the two";
    assert_eq!(problems.unwrap_err(), expected);
}

#[test]
fn the_audit_log_has_sizes_in_bounds() {
    let case = Case::new();
    let config = case.resolve("").unwrap();
    let sizes = (config.audit_segment_bytes, config.audit_reserve_bytes);
    assert_eq!(sizes, (256 << 20, 64 << 20));
    assert!(!config.accepts_audit_gap);
    assert!(
        case.resolve("--accept-audit-gap")
            .unwrap()
            .accepts_audit_gap
    );

    let text = "audit = { segment_bytes = 65536, reserve_bytes = 0 }";
    let config = case.with_file(text, "").unwrap();
    let sizes = (config.audit_segment_bytes, config.audit_reserve_bytes);
    assert_eq!(sizes, (65536, 0));
    for (key, value, bounds) in [
        ("segment_bytes", "65535", "from 65536 to 2147483648"),
        ("segment_bytes", "2147483649", "from 65536 to 2147483648"),
        ("reserve_bytes", "-1", "from 0 to 2147483648"),
    ] {
        let problems = problems(&format!("audit.{key} = {value}\n"));
        let expected = format!("audit.{key}: is not a whole number {bounds}");
        assert!(problems.contains(&expected), "{problems}");
    }
}

#[test]
fn only_loopback_is_listened_on() {
    let case = Case::new();
    for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
        let problems = case.resolve(&format!("--listen {address}")).unwrap_err();
        assert!(
            problems.starts_with("--listen: is not a loopback address"),
            "{problems}"
        );
    }
    for address in ["localhost:1", "127.0.0.1", "7433", ""] {
        let problems = case.resolve(&format!("--listen={address}")).unwrap_err();
        assert!(problems.contains("write 127.0.0.1:PORT"), "{problems}");
    }
}
