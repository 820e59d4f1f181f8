use std::process::Command;

use claviger_e2e::{Home, output_of};
use unicode_width::UnicodeWidthStr as _;

use super::{User, WIDTH, assert_stopped, on_a_terminal, said};

/// Everything that prints a table; the first is long.
const TABLES: &[&str] = &[
    "definition list",
    "definition get {long}",
    "definition check {long}",
    "secret versions {long}",
    "profile list",
    "profile get stripe",
    "project list",
    "project get dev",
    "vault list",
    "vault check managed",
    "grant list",
    "token list",
    "explain secrets.get {long}",
    "whoami",
    "status",
];

/// Fills the tables with names that are long and texts that are wide.
fn fill(user: &User) -> String {
    let long = format!("long{}", "-x".repeat(60));
    let wide = "鍵".repeat(100);
    let mut put = user.command(&format!("definition put {long} --value-from -"));
    put.args(["--description", &wide, "--label", &format!("{long}={wide}")]);
    said(&output_of(&mut put, "value"));
    let mut put = user.command("profile put stripe");
    put.args(["--description", &wide, "--label", &format!("{long}={wide}")]);
    said(&output_of(&mut put, "rk_test_51H8ZxQmC0nF4b7d"));
    user.become_operator();
    for line in ["project put dev --in", "project put other --in"] {
        let mut put = user.command(line);
        put.args([&long, "--description", &wide]);
        if line.contains("other") {
            said(&output_of(&mut put, ""));
        }
    }
    let purpose = "nightly-".repeat(10);
    let grant = format!("grant put unix:7 RUNNER {long} --purpose {purpose}");
    said(&user.run(&grant));
    let token = format!("token create --grant RUNNER={long} --ttl 1h --description {purpose}");
    said(&user.run(&token));
    long
}

#[test]
fn table_fits_a_terminal_and_nothing_has_escape_codes() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let long = fill(&user);
    let command = |line: &str, variables: &[(&str, &str)]| -> Command {
        let mut command = user.command(&line.replace("{long}", &long));
        command.envs(variables.iter().copied());
        command
    };
    let colourful = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];
    for line in TABLES {
        let (code, shown) = on_a_terminal(&mut command(line, &colourful));
        assert_eq!(code, Some(0), "{shown}");
        for row in shown.lines() {
            assert!(row.width() <= usize::from(WIDTH), "{line}: {row}");
        }
        let piped = said(&output_of(&mut command(line, &colourful), ""));
        assert!(!piped.contains('\x1b'), "{line}: {piped:?}");
        for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let variables = [colourful[0], plain];
            let (_, shown) = on_a_terminal(&mut command(line, &variables));
            assert!(!shown.contains('\x1b'), "{line}: {shown:?}");
        }
    }
    let piped = said(&user.run("definition list"));
    assert_eq!(piped.lines().count(), 3, "a line for each: {piped}");
    let (_, shown) = on_a_terminal(&mut user.command("definition list"));
    assert!(shown.lines().count() > 3, "it is broken: {shown}");
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
    for line in [
        "definition put 鍵",
        "definition put projects/鍵/secrets/db",
        "definition put narrow --label 鍵=b",
        "definition put narrow --in 鍵=managed",
        "secret put 鍵",
        "project put 鍵",
        "project put wide --in 鍵",
    ] {
        let output = output_of(&mut user.command(line), "");
        assert_stopped(&output, 1, &["use only the ASCII characters"]);
    }
    assert_eq!(listed(), before);
}
