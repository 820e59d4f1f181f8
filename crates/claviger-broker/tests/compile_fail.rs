//! What must not compile: leaks of values, forged proofs, and a broker that forgot to ask.
//!
//! A scratch workspace below the build directory is checked with cargo, and the errors are
//! compared by line and code: the wording belongs to the compiler and changes with it. In it are
//!
//! * the files of `compile_fail/`, each a program with its expected errors marked `//~ CODE`;
//! * the broker itself with every `let authorized = …;` cut out of its sources.
#![expect(
    clippy::expect_used,
    clippy::string_slice,
    reason = "helpers of tests fail like tests"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BROKER: &str = env!("CARGO_MANIFEST_DIR");

/// Where an error is expected or was found: file, line, code.
type Place = (String, usize, String);

fn root() -> PathBuf {
    Path::new(BROKER).join("../..")
}

/// A scratch workspace with the rules, versions and crates of the real one.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn new(name: &str, member: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(dir.join("member/src")).expect("made");
        fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock")).expect("copied");
        let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace");
        let members = manifest.find("members = [").expect("members");
        let package = manifest.find("[workspace.package]").expect("package");
        let crates = format!("path = \"{}/crates/", root().display());
        let rest = manifest[package..].replace("path = \"crates/", &crates);
        let scratch = format!("{}members = [\"member\"]\n\n{rest}", &manifest[..members]);
        fs::write(dir.join("Cargo.toml"), scratch).expect("written");
        fs::write(dir.join("member/Cargo.toml"), member).expect("written");
        Self { dir }
    }

    /// The errors of `cargo check`, and what it said.
    fn check(&self) -> (BTreeSet<Place>, String) {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("the build directory");
        let output = Command::new(env!("CARGO"))
            .args([
                "check",
                "--offline",
                "--keep-going",
                "--message-format",
                "short",
            ])
            .env("CARGO_TARGET_DIR", target)
            .current_dir(self.dir.join("member"))
            .output()
            .expect("cargo starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "it compiles:\n{text}");
        (text.lines().filter_map(place).collect(), text)
    }
}

/// Reads `src/secrets.rs:93:30: error[E0425]: …`.
fn place(line: &str) -> Option<Place> {
    let (place, rest) = line.split_once(": error[")?;
    let (code, _) = rest.split_once(']')?;
    let mut parts = place.split(':');
    let file = parts.next()?.rsplit('/').next()?;
    let line = parts.next()?.parse().ok()?;
    Some((file.to_owned(), line, code.to_owned()))
}

fn sources(dir: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        // Folders hold the tests of the file of their name.
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let named = |path: &PathBuf| {
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (name, fs::read_to_string(path).expect("text"))
    };
    files.iter().map(named).collect()
}

#[test]
fn values_do_not_leak_and_proofs_are_not_forged() {
    let fixtures = sources(&Path::new(BROKER).join("tests/compile_fail"));
    let mut manifest = String::from(
        "[package]\nname = \"claviger-compile-fail\"\nedition.workspace = true\n\n[dependencies]\n",
    );
    for name in ["access", "audit", "broker", "core"] {
        writeln!(manifest, "claviger-{name}.workspace = true").expect("to a string");
    }
    manifest.push_str("serde_json.workspace = true\n");
    for (file, _) in &fixtures {
        let name = file.trim_end_matches(".rs");
        write!(
            manifest,
            "\n[[bin]]\nname = \"{name}\"\npath = \"src/{file}\"\n"
        )
        .expect("to a string");
    }
    let scratch = Scratch::new("compile-fail", &manifest);
    let mut expected = BTreeSet::new();
    for (file, text) in &fixtures {
        let marks = text.lines().enumerate().filter_map(|(index, line)| {
            let (_, code) = line.split_once("//~ ")?;
            Some((file.clone(), index + 1, code.to_owned()))
        });
        let before = expected.len();
        expected.extend(marks);
        assert!(expected.len() > before, "{file} marks no error");
        fs::write(
            scratch.dir.join("member/src").join(file),
            format!("{text}\nfn main() {{}}\n"),
        )
        .expect("written");
    }

    let (found, text) = scratch.check();
    assert_eq!(found, expected, "{text}");
}

/// The source with every `let authorized = …;` blanked, and the line each began at. Lines keep
/// their numbers.
fn without_asking(source: &str) -> (String, Vec<usize>) {
    let mut cut = Vec::new();
    let mut is_inside = false;
    let mut text = String::new();
    for (index, line) in source.lines().enumerate() {
        if line.trim_start().starts_with("let authorized = self") {
            cut.push(index + 1);
            is_inside = true;
        }
        if !is_inside {
            text.push_str(line);
        }
        text.push('\n');
        is_inside &= !line.ends_with(';');
    }
    (text, cut)
}

#[test]
fn broker_that_forgets_to_authorize_does_not_compile() {
    let manifest = fs::read_to_string(Path::new(BROKER).join("Cargo.toml")).expect("a manifest");
    let scratch = Scratch::new("forgetful-broker", &manifest);
    let mut forgotten = Vec::new();
    let mut asked = 0;
    for (file, source) in sources(&Path::new(BROKER).join("src")) {
        asked += source.matches(".authorize(call").count()
            + source.matches(".authorize_anywhere(call").count();
        let (text, cut) = without_asking(&source);
        fs::write(scratch.dir.join("member/src").join(&file), text).expect("written");
        let functions: Vec<usize> = source
            .lines()
            .enumerate()
            .filter_map(|(index, line)| line.contains("fn ").then_some(index + 1))
            .collect();
        for line in cut {
            let next = functions.iter().find(|start| **start > line).copied();
            forgotten.push((file.clone(), line, next.unwrap_or(usize::MAX)));
        }
    }
    // Every use case but the two that need no permission asks; none may have escaped the cut.
    assert!(
        asked > 20 && forgotten.len() == asked,
        "{asked} ask, {forgotten:?} were cut"
    );

    let (found, text) = scratch.check();
    for (file, line, next) in forgotten {
        let is_found = found.iter().any(|(found_in, at, code)| {
            *found_in == file && (line..next).contains(at) && code == "E0425"
        });
        assert!(is_found, "{file}:{line} may be left out\n{text}");
    }
}
