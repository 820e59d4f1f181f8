//! What must not compile: leaks of values, forged proofs, and a broker that forgot to ask.
//!
//! A scratch workspace below the build directory is checked with cargo, and the errors are
//! compared by line and code: the wording belongs to the compiler and changes with it. In it are
//!
//! * the files of `compile_fail/`, each a program with its expected errors marked `//~ CODE`;
//! * the broker itself with every `let asked = …;` cut out of its use cases;
//! * the broker itself with every commit of its use cases made as the engine's own, without a proof.
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
    let file = parts.next()?;
    let file = file.rsplit_once("src/").map_or(file, |(_, file)| file);
    let line = parts.next()?.parse().ok()?;
    Some((file.to_owned(), line, code.to_owned()))
}

/// All sources below a directory, by their paths in it.
fn sources(dir: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below").to_string_lossy();
                files.push((name.into_owned(), fs::read_to_string(&path).expect("text")));
            }
        }
    }
    files.sort();
    files
}

/// Writes the sources of a changed broker into the scratch workspace.
fn write_sources(scratch: &Scratch, sources: impl IntoIterator<Item = (String, String)>) {
    for (file, text) in sources {
        let path = scratch.dir.join("member/src").join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
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

/// A broker without its tests, whose golden files are not in the scratch workspace.
fn broker() -> Vec<(String, String)> {
    let all = sources(&Path::new(BROKER).join("src"));
    let is_test = |file: &String| file.ends_with("tests.rs");
    all.into_iter().filter(|(file, _)| !is_test(file)).collect()
}

/// The source with every `let asked = …;` blanked, and the line each began at. Lines keep their
/// numbers.
fn without_asking(source: &str) -> (String, Vec<usize>) {
    let mut cut = Vec::new();
    let mut is_inside = false;
    let mut text = String::new();
    for (index, line) in source.lines().enumerate() {
        if line.trim_start().starts_with("let asked = self") {
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
    let mut changed = Vec::new();
    for (file, source) in broker() {
        let calls = ["definition", "profile", "project", "resource", "anywhere"];
        let calls = calls.map(|on| format!(".ask_{on}(call"));
        asked += calls
            .iter()
            .map(|call| source.matches(call).count())
            .sum::<usize>();
        let (text, cut) = without_asking(&source);
        let functions: Vec<usize> = source
            .lines()
            .enumerate()
            .filter_map(|(index, line)| line.contains("fn ").then_some(index + 1))
            .collect();
        for line in cut {
            let next = functions.iter().find(|start| **start > line).copied();
            forgotten.push((file.clone(), line, next.unwrap_or(usize::MAX)));
        }
        changed.push((file, text));
    }
    write_sources(&scratch, changed);
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

#[test]
fn broker_that_commits_without_a_proof_does_not_compile() {
    let manifest = fs::read_to_string(Path::new(BROKER).join("Cargo.toml")).expect("a manifest");
    let scratch = Scratch::new("headstrong-broker", &manifest);
    let mut commits = Vec::new();
    let mut changed = Vec::new();
    for (file, source) in broker() {
        let is_engine = file.starts_with("engine") || file.starts_with("model");
        let mut text = String::new();
        for (index, line) in source.lines().enumerate() {
            let own = line
                .replace(".commit(", ".commit_own(")
                .replace(".update(", ".update_own(");
            if own != line && !is_engine {
                commits.push((file.clone(), index + 1, "E0624".to_owned()));
                text.push_str(&own);
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        changed.push((file, text));
    }
    write_sources(&scratch, changed);
    assert!(commits.len() >= 10, "{commits:?}");

    let (found, text) = scratch.check();
    for commit in commits {
        assert!(found.contains(&commit), "{commit:?} needs no proof\n{text}");
    }
}
