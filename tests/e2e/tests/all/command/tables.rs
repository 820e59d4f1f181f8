use std::fs;

use clap::CommandFactory as _;
use claviger::Cli;
use claviger_e2e::{Daemon, Home, output_of};
use claviger_stub::stripe_oauth::{Rules, StripeOauth};
use unicode_width::UnicodeWidthStr as _;

use super::contract::{is_of, leaves};
use super::{User, WIDTH, assert_stopped, on_a_terminal, said, write_private};
use crate::peers::{Azure, azure};
use crate::stage::{Peer as _, VAULT};

/// All commands that print a table, with arguments that make it wider than a terminal.
const TABLES: &[&str] = &[
    "adopt {vault}",
    "context",
    "definition check {long}",
    "definition get {long}",
    "definition list",
    "explain secrets.get {long}",
    "grant list",
    "profile get stripe",
    "profile list",
    "profile test stripe",
    "project get other",
    "project list",
    "status",
    "token list",
    "vault check {vault}",
    "vault list",
    "vault secrets {vault}",
    "whoami",
];

/// Those whose tables stay narrow as long as all is well.
const NARROW_TABLES: &[&str] = &["secret versions {long}", "vault inspect {vault} {long}"];

/// The other commands. They print a line, text that is written elsewhere, or nothing.
const NO_TABLES: &[&str] = &[
    "completions",
    "definition apply",
    "definition delete",
    "definition export",
    "definition put",
    "definition undelete",
    "grant delete",
    "grant put",
    "man",
    "profile connect",
    "profile delete",
    "profile disconnect",
    "profile put",
    "profile resolve",
    "profile undelete",
    "project delete",
    "project put",
    "run",
    "schema",
    "secret destroy",
    "secret disable",
    "secret enable",
    "secret get",
    "secret put",
    "token create",
    "token exchange",
    "token revoke",
];

/// A terminal that could do everything.
const COLOURFUL: [(&str, &str); 2] = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];

const KEY: &str = "rk_test_51H8ZxQmC0nF4b7d";

/// A daemon with names that are long and texts that are wide, in all that is shown.
struct Stage {
    home: Home,
    peer: Azure,
    stripe: StripeOauth,
    long: String,
    vault: String,
}

impl Stage {
    fn new() -> Self {
        let stripe = StripeOauth::start(Rules::default());
        stripe.add_key(KEY, &format!("acct_{}", "1".repeat(90)), false);
        let stage = Self {
            home: Home::new(),
            peer: azure(),
            stripe,
            long: format!("long{}", "-x".repeat(60)),
            vault: format!("vault{}", "-x".repeat(29)),
        };
        stage.peer.set(&stage.long, KEY);
        stage
    }

    fn start(&self) -> Daemon {
        let stripe = format!(
            "[stripe]\nbase_url = \"{}\"\nhosts = [\"127.0.0.1\"]\n",
            self.stripe.url()
        );
        let config = stripe + &self.peer.vault("").replace(VAULT, &self.vault);
        self.home.start(&mut self.peer.command(&self.home, &config))
    }

    fn line(&self, line: &str) -> String {
        line.replace("{long}", &self.long)
            .replace("{vault}", &self.vault)
    }

    fn fill(&self, user: &User) {
        let long = &self.long;
        let wide = "鍵".repeat(100);
        let described = |line: &str, value: &str| {
            let mut put = user.command(&self.line(line));
            put.args(["--description", &wide]);
            said(&output_of(&mut put, value));
        };
        let label = format!("--label {long}={wide}");
        described(
            &format!("definition put {long} --value-from - {label}"),
            "value",
        );
        described(&format!("profile put stripe {label}"), KEY);
        user.become_operator();
        described("project put other --in {long}", "");
        let purpose = "nightly-".repeat(10);
        let told = said(&user.run("whoami"));
        let principal = told.lines().next().expect("a principal");
        for line in [
            format!("grant put {principal} RUNNER {long} --purpose {purpose}"),
            format!("token create --grant RUNNER={long} --ttl 1h --description {purpose}"),
        ] {
            said(&user.run(&line));
        }
        let file = self.home.path().join(".config/claviger/claviger.toml");
        fs::create_dir_all(file.parent().expect("a directory")).expect("a writable home");
        let context = format!("[contexts.{long}]\naddress = \"unix:/run/claviger.sock\"\n");
        write_private(&file, context);
    }
}

#[test]
fn every_command_prints_a_table_or_none() {
    for leaf in leaves(&Cli::command(), "") {
        let of = |lines: &[&str]| lines.iter().filter(|line| is_of(line, &leaf)).count();
        assert_eq!(
            of(TABLES) + of(NARROW_TABLES) + of(NO_TABLES),
            1,
            "`claviger {leaf}` needs a row in TABLES, or in NO_TABLES"
        );
    }
}

#[test]
fn table_fits_a_terminal_and_a_pipe_gets_a_line_for_a_row() {
    let stage = Stage::new();
    let daemon = stage.start();
    let user = User {
        home: &stage.home,
        daemon: &daemon,
    };
    stage.fill(&user);
    let is_wide = |row: &str| row.width() > usize::from(WIDTH);
    for line in TABLES.iter().chain(NARROW_TABLES) {
        let mut command = user.command(&stage.line(line));
        let piped = said(&output_of(&mut command, ""));
        let is_broken = piped.lines().any(is_wide);
        assert_eq!(is_broken, TABLES.contains(line), "{line}: {piped}");
        // Here nothing moves, so that each line is one of a table.
        let (code, shown) = on_a_terminal(command.env("TERM", "dumb"));
        assert_eq!(code, Some(0), "{shown}");
        for row in shown.lines() {
            assert!(!is_wide(row), "{line}: {row}");
        }
        let rows = [&shown, &piped].map(|text| text.lines().count());
        assert_eq!(rows[0] > rows[1], is_broken, "{line}: {shown}");
    }
    let piped = said(&user.run("definition list"));
    assert_eq!(piped.lines().count(), 3, "a line for each: {piped}");
}

/// What moves a cursor is for a terminal, so the bar of `adopt` may do it; colours are for nobody.
#[test]
fn no_colour_shows_on_a_terminal() {
    let stage = Stage::new();
    let daemon = stage.start();
    let user = User {
        home: &stage.home,
        daemon: &daemon,
    };
    for (line, code, wanted) in [
        ("adopt {vault}", 0, "inspecting ["),
        ("--help", 0, "Usage:"),
        ("definition put --help", 0, "--value-from"),
        ("definition put --nonsense", 2, "--nonsense"),
        ("nonsense", 2, "Usage:"),
        ("secret get {long}", 2, "--reveal"),
    ] {
        let mut command = user.command(&stage.line(line));
        let (ended, shown) = on_a_terminal(command.envs(COLOURFUL));
        assert_eq!(ended, Some(code), "{shown}");
        assert!(shown.contains(wanted), "{line}: {shown}");
        let mut sequences = shown.split("\x1b[").skip(1);
        let is_colour = |rest: &str| {
            let end = rest.trim_start_matches(|byte: char| byte.is_ascii_digit() || byte == ';');
            end.starts_with('m')
        };
        assert!(!sequences.any(is_colour), "{line}: {shown:?}");
    }
}

#[test]
fn text_of_others_cannot_steer_a_terminal() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let mut put = user.command("definition put db");
    put.args(["--description", "\x1b[2J\u{9b}2Jgone\rnothing\u{202e}"]);
    said(&output_of(&mut put, ""));
    for line in ["definition get db", "definition list"] {
        let mut command = user.command(line);
        let piped = said(&output_of(&mut command, ""));
        let (code, shown) = on_a_terminal(&mut command);
        assert_eq!(code, Some(0), "{shown}");
        for text in [piped, shown.replace("\r\n", "\n")] {
            assert!(text.contains("?[2J?2Jgone?nothing?"), "{line}: {text:?}");
        }
    }
}

#[test]
fn name_with_wide_characters_is_refused_before_anything_is_stored() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.become_operator();
    said(&user.run("definition put narrow --label a=b"));
    let listed = || {
        let tables = ["definition list", "definition get narrow", "project list"];
        tables.map(|line| said(&user.run(line)))
    };
    let before = listed();
    // By the command itself, or by the daemon.
    for (line, code) in [
        ("definition put 鍵", 2),
        ("definition put projects/鍵/secrets/db", 2),
        ("definition put narrow --label 鍵=b", 1),
        ("definition put narrow --in 鍵=managed", 1),
        ("secret put 鍵", 2),
        ("project put 鍵", 1),
        ("project put wide --in 鍵", 1),
    ] {
        let output = output_of(&mut user.command(line), "");
        assert_stopped(&output, code, &["use only the ASCII characters"]);
    }
    assert_eq!(listed(), before);
}
