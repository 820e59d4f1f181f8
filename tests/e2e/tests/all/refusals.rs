//! Things that the daemon refuses to start with: exit code 64, and a message with the remedy.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use claviger_e2e::{Home, tools};

const REFUSED: Option<i32> = Some(64);

fn message(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), REFUSED, "{message}");
    assert!(output.stdout.is_empty(), "it never was ready");
    // Without the log lines before it.
    let (_, said) = message.split_once("clavigerd: ").unwrap_or(("", &message));
    said.to_owned()
}

/// The daemon's refusal of these arguments.
fn refusal(home: &Home, arguments: &[&str]) -> String {
    message(&home.run(arguments))
}

/// The daemon's refusal of this configuration, with `FILE` in place of the file's path.
fn config_refusal(text: &str) -> String {
    let home = Home::new();
    let path = home.write_config(text).display().to_string();
    let said = refusal(&home, &["--config", &path]);
    let checked = refusal(&home, &["--config", &path, "--check-config"]);
    assert_eq!(said, checked, "--check-config says the same");
    assert!(!home.data_dir().exists() && !home.root_key().exists());
    said.replace(&path, "FILE")
}

/// All of these stand in the text.
#[track_caller]
fn assert_said(said: &str, all: &[&str]) {
    for words in all {
        assert!(said.contains(words), "{words} in\n{said}");
    }
}

/// A home with a store in it; no daemon runs.
fn used_home() -> Home {
    let home = Home::new();
    assert_eq!(home.start_dev().stop().code(), Some(0));
    home
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).expect("a directory").count()
}

#[test]
fn garbage_is_refused_with_file_line_and_column() {
    let said = config_refusal("data_dir = \"/srv\"\n]]] rk_live_oops\n");
    assert_said(&said, &["FILE:2: column 1 is not valid TOML"]);
    assert!(!said.contains("rk_live_oops"), "{said}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_each_with_its_line() {
    let said = config_refusal(
        "data_dri = \"/srv\"\n\
         deleted_retention = \"soon\"\n\
         [listen]\n\
         tcp = \"0.0.0.0:1\"\n\
         [vaults.other]\n\
         kind = \"other\"\n\
         [vaults.managed.settings]\n\
         region = \"eu\"\n",
    );
    let places = [
        "FILE:1: data_dri: ",
        "FILE:2: deleted_retention: ",
        "FILE:4: listen.tcp: ",
        "FILE:6: vaults.other.kind: is not a kind of vault; known: aws, azure, managed, snowflake",
        "FILE:8: vaults.managed.settings.region: ",
    ];
    assert_said(&said, &places);
    assert_eq!(said.lines().count(), 6, "one line each:\n{said}");
}

#[test]
fn configuration_file_that_is_not_there_is_named() {
    let said = refusal(&Home::new(), &["--config", "/nowhere/clavigerd.toml"]);
    assert_said(&said, &["--config: cannot read /nowhere/clavigerd.toml"]);
}

#[test]
fn listener_that_other_hosts_could_reach_is_refused() {
    for address in ["0.0.0.0:1", "[::]:1"] {
        let home = Home::new();
        let said = refusal(&home, &["--dev", "--listen", address]);
        assert_said(&said, &["--listen: is not a loopback address"]);
        assert_eq!(entries(home.path()), 0, "nothing was made");
    }
}

#[test]
fn wrong_usage_is_a_refusal_too() {
    let said = refusal(&Home::new(), &["--no-such-option"]);
    assert!(said.contains("--no-such-option"), "{said}");
}

#[test]
fn checking_a_good_configuration_binds_and_makes_nothing() {
    let home = Home::new();
    let example = tools::repository().join("deploy/config/clavigerd.toml");
    let data = home.path().join("data");
    let text = fs::read_to_string(example).expect("the example");
    let text = text.replace("/var/lib/claviger", &data.display().to_string());
    let socket = home.path().join("run/clavigerd.sock");
    let socket_text = socket.display().to_string();
    let text = text.replace("/run/claviger/clavigerd.sock", &socket_text);
    let path = home.write_config(&text).display().to_string();
    let output = home.run(&["--config", &path, "--check-config"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(entries(home.path()), 1, "only the file itself");

    let daemon = home.start(&mut home.clavigerd(&["--config", &path]));
    assert_eq!(daemon.socket(), socket, "the same file starts it");
    let ready = daemon.ready_line();
    assert!(ready.ends_with("tcp=-"), "{ready}");
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn another_root_key_opens_no_store() {
    let home = used_home();
    let other = Home::new();
    assert_eq!(other.start_dev().stop().code(), Some(0));
    let before = fs::read(home.store()).expect("a store");
    fs::copy(other.root_key(), home.root_key()).expect("a writable home");
    let said = refusal(&home, &["--dev"]);
    assert!(said.contains("the root key is not the one"), "{said}");
    let after = fs::read(home.store()).expect("a store");
    assert_eq!(after, before, "untouched");
}

#[test]
fn no_new_root_key_is_made_beside_a_store() {
    let home = used_home();
    fs::remove_file(home.root_key()).expect("it was made");
    let said = refusal(&home, &["--dev"]);
    let key = home.root_key().display().to_string();
    assert_said(&said, &[&key, "put the key file back from its backup"]);
    assert!(!home.root_key().exists());
}

#[test]
fn root_key_that_others_can_read_or_data_that_they_can_write_is_refused() {
    type PathOf = fn(&Home) -> PathBuf;
    let paths: [(PathOf, u32, &str); 2] = [
        (Home::root_key, 0o644, "chmod 600"),
        (Home::data_dir, 0o777, "chmod go-w"),
    ];
    for (path, mode, remedy) in paths {
        let home = used_home();
        let path = path(&home);
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
        let said = refusal(&home, &["--dev"]);
        assert_said(&said, &[&path.display().to_string(), remedy]);
    }
}

#[test]
fn second_daemon_on_the_same_data_is_refused_and_the_first_serves_on() {
    let home = Home::new();
    let daemon = home.start_dev();
    let elsewhere = home.path().join("other.sock").display().to_string();
    let said = refusal(&home, &["--dev", "--socket", &elsewhere]);
    assert_said(&said, &["another clavigerd has this store open"]);
    assert_eq!(home.run(&["status"]).status.code(), Some(0));
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn second_daemon_on_the_same_socket_is_refused_and_the_first_serves_on() {
    let home = Home::new();
    let daemon = home.start_dev();
    let socket = daemon.socket().display().to_string();
    let other = Home::new();
    let said = refusal(&other, &["--dev", "--socket", &socket]);
    assert!(said.contains("another daemon listens here"), "{said}");
    let status = home.run(&["status", "--socket", &socket]);
    assert_eq!(status.status.code(), Some(0));
    assert_eq!(daemon.stop().code(), Some(0));
}

/// A socket that nobody listens on any more.
fn leave_socket(path: &Path) {
    drop(UnixListener::bind(path).expect("a free path"));
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[test]
fn what_is_no_socket_of_ours_is_not_removed_from_the_socket_s_path() {
    let home = Home::new();
    let file = home.path().join("notes.txt");
    fs::write(&file, "kept").expect("a writable home");
    let directory = home.path().join("directory");
    fs::create_dir(&directory).expect("a writable home");
    let stale = home.path().join("stale.sock");
    leave_socket(&stale);
    let mut in_the_way = vec![file.clone(), directory];
    for (link, target) in [("to-file", &file), ("to-socket", &stale)] {
        let link = home.path().join(link);
        symlink(target, &link).expect("a writable home");
        in_the_way.push(link);
    }
    let foreign = home.path().join("foreign.sock");
    leave_socket(&foreign);
    // Only root can give a socket away; for others it is one of our own.
    if chown(&foreign, Some(65_534), None).is_ok() {
        in_the_way.push(foreign.clone());
    }
    for path in in_the_way {
        let before = fs::symlink_metadata(&path)
            .expect("it was made")
            .file_type();
        let path_text = path.display().to_string();
        let said = refusal(&home, &["--dev", "--socket", &path_text]);
        assert_said(&said, &[&path_text, "in the way"]);
        let after = fs::symlink_metadata(&path).map(|metadata| metadata.file_type());
        assert_eq!(after.ok(), Some(before), "{path_text}");
    }
    assert_eq!(fs::read_to_string(&file).expect("not removed"), "kept");
    assert!(is_socket(&stale) && is_socket(&foreign));
}

#[test]
fn stale_socket_of_ours_is_replaced() {
    let home = Home::new();
    let socket = home.path().join("stale.sock");
    leave_socket(&socket);
    let path = socket.display().to_string();
    for is_killed in [true, false] {
        assert!(is_socket(&socket), "left behind");
        let daemon = home.start(&mut home.clavigerd(&["--dev", "--socket", &path]));
        let status = home.run(&["status", "--socket", &path]);
        assert_eq!(status.status.code(), Some(0), "{status:?}");
        if is_killed {
            daemon.kill();
        } else {
            assert_eq!(daemon.stop().code(), Some(0));
        }
    }
    assert!(!socket.exists(), "a drain takes its socket along");
}

#[test]
fn socket_that_another_daemon_put_in_place_of_ours_stays() {
    let home = Home::new();
    let daemon = home.start_dev();
    let socket = daemon.socket();
    fs::remove_file(&socket).expect("ours");
    let _other = UnixListener::bind(&socket).expect("a free path");
    assert_eq!(daemon.stop().code(), Some(0));
    assert!(is_socket(&socket), "not ours to remove");
}
