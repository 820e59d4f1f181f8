//! `cargo xtask new-backend NAME`: a crate of the same shape as all backends, which compiles and
//! which the conformance suite fails until its calls are written.
//!
//! Writes the crate and its two lines in the workspace's manifest, and prints the lines that make it a
//! kind of the daemon. [`check`] makes a backend in a copy of the tree and writes the printed lines
//! there too, so that neither template nor lines can go stale, and no template passes for a backend.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::{Context, Result, run};

/// The files of the crate, with [`KIND`] and [`TYPE`] where the name goes.
const TEMPLATE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../template-backend/Cargo.toml")),
    ("src/lib.rs", include_str!("../template-backend/src/lib.rs")),
    (
        "src/kind.rs",
        include_str!("../template-backend/src/kind.rs"),
    ),
    (
        "src/settings.rs",
        include_str!("../template-backend/src/settings.rs"),
    ),
    (
        "src/backend.rs",
        include_str!("../template-backend/src/backend.rs"),
    ),
    (
        "src/error.rs",
        include_str!("../template-backend/src/error.rs"),
    ),
    (
        "tests/conformance.rs",
        include_str!("../template-backend/tests/conformance.rs"),
    ),
];

/// A line of a file of the tree, which goes among others that have `mark`, in their order.
struct Line {
    file: &'static str,
    mark: &'static str,
    text: &'static str,
}

/// The lines that make the crate a member.
const LINES_WRITTEN: &[Line] = &[
    Line {
        file: "Cargo.toml",
        mark: "\"crates/claviger-backend-",
        text: "    \"crates/claviger-backend-newkind\",",
    },
    Line {
        file: "Cargo.toml",
        mark: "{ path = \"crates/claviger-backend-",
        text: "claviger-backend-newkind = { path = \"crates/claviger-backend-newkind\" }",
    },
];

/// The lines that make it a kind of the daemon, for a person to write.
const LINES_LEFT: &[Line] = &[
    Line {
        file: "crates/clavigerd/src/config/kinds.rs",
        mark: "    kind!(\"",
        text: "    kind!(\"newkind\", claviger_backend_newkind),",
    },
    Line {
        file: "crates/clavigerd/Cargo.toml",
        mark: "{ workspace = true, optional = true }",
        text: "claviger-backend-newkind = { workspace = true, optional = true }",
    },
    Line {
        file: "crates/clavigerd/Cargo.toml",
        mark: "[\"dep:claviger-backend-",
        text: "newkind = [\"dep:claviger-backend-newkind\"]",
    },
];

/// Changes that no line can tell.
const WORDS_LEFT: &[(&str, &str)] = &[
    (
        "crates/clavigerd/Cargo.toml",
        "newkind in the features that are on by default",
    ),
    (
        "crates/xtask/src/deps.rs",
        "the vault's client library in CONFINED",
    ),
    (
        "deploy/config/clavigerd.toml",
        "a block [vaults.newkind] that explains every setting",
    ),
];

/// Stands for the name in files and crates.
const KIND: &str = "newkind";

/// Stands for the name of the type.
const TYPE: &str = "Newkind";

/// Types that the template's macros write without their paths.
const TYPES_OF_MACROS: &[&str] = &["Box", "Self"];

/// Longest name; it ends up in file names.
const NAME_LEN_MAX: usize = 32;

/// The name of the backend that [`check`] makes.
const SAMPLE: &str = "sample";

/// Makes the crate and prints the rest.
pub(crate) fn command(cx: &mut Context) -> Result {
    let [name] = cx.extra.as_slice() else {
        return Err("new-backend needs one name, of the kind as in the configuration".into());
    };
    create(cx.root(), name)?;
    println!("made crates/claviger-backend-{name}/ and its two lines in Cargo.toml; still to add:");
    let lines = LINES_LEFT.iter().map(|line| (line.file, line.text));
    for (file, text) in lines.chain(WORDS_LEFT.iter().copied()) {
        println!("  {file}\n      {}", filled(text, name).trim_start());
    }
    println!("then write the calls that this names: cargo test -p claviger-backend-{name}");
    Ok(())
}

/// Refuses a template with a warning, a daemon that does not compile with it, a template whose
/// suite passes, and one whose suite fails for any other reason than that nothing is written.
pub(crate) fn check(cx: &mut Context) -> Result {
    let mut words = WORDS_LEFT.iter();
    if let Some((file, _)) = words.find(|(file, _)| !cx.root().join(file).exists()) {
        return Err(format!("new-backend names {file}, which does not exist").into());
    }
    let copy = copy_of_tree(cx)?;
    create(&copy, SAMPLE)?;
    write_lines(&copy, LINES_LEFT, SAMPLE)?;
    let cargo_of = |package: &str, arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command
            .current_dir(&copy)
            .args(arguments)
            .args(["--offline", "-p", package])
            // Nothing of others is built again.
            .env("CARGO_TARGET_DIR", cx.target());
        command
    };
    let package = format!("claviger-backend-{SAMPLE}");
    let cargo = |arguments: &[&str]| cargo_of(&package, arguments);
    let features = ["clippy", "--no-default-features", "--features", SAMPLE];
    run(cargo_of("clavigerd", &features).args(["--", "-D", "warnings"]))?;
    run(cargo(&["clippy", "--all-targets"]).args(["--", "-D", "warnings"]))?;
    run(&mut cargo(&["test", "--lib"]))?;
    let suite = cargo(&["test", "--test", "conformance"]).output()?;
    let said = String::from_utf8_lossy(&suite.stdout);
    fails_for_want_of_code(suite.status.success(), &said)
        .map_err(|fault| format!("{fault}:\n{said}{}", String::from_utf8_lossy(&suite.stderr)))?;
    println!(
        "a new backend compiles, in the daemon too, and fails the conformance suite with its \
         first call"
    );
    Ok(())
}

/// Whether this is how a conformance test ends that has nothing to test.
fn fails_for_want_of_code(is_green: bool, said: &str) -> std::result::Result<(), &'static str> {
    if is_green {
        return Err("a backend without any code passes the conformance suite");
    }
    let first_call = "a fresh vault is well: VAULT_CAPABILITY_MISSING: ";
    let is_named = said.contains(first_call) && said.contains("check is not written yet");
    if !is_named || !said.contains("test result: FAILED. 0 passed; ") {
        return Err("a backend without any code fails otherwise than with its first call");
    }
    Ok(())
}

/// The tree as far as cargo needs it, in a workspace of its own.
fn copy_of_tree(cx: &Context) -> Result<PathBuf> {
    let copy = cx.target().join("new-backend");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    fs::create_dir_all(&copy)?;
    run(Command::new("cp")
        .current_dir(cx.root())
        .args(["-R", "Cargo.toml", "Cargo.lock", "crates", "proto", "tests"])
        .arg(&copy))?;
    Ok(copy)
}

/// Writes the crate into the workspace at `root`; refuses before anything is written.
fn create(root: &Path, name: &str) -> Result {
    refuse_bad(name)?;
    let package = format!("claviger-backend-{name}");
    let directory = root.join("crates").join(&package);
    if directory.exists() {
        return Err(format!("crates/{package} exists already").into());
    }
    write_lines(root, LINES_WRITTEN, name)?;
    for (file, template) in TEMPLATE {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&directory))?;
        fs::write(path, filled(template, name))?;
    }
    // Where lines break depends on how long the name is.
    run(Command::new("cargo")
        .current_dir(root)
        .args(["fmt", "-p", &package]))
}

fn refuse_bad(name: &str) -> Result {
    let mut letters = name.bytes();
    let is_plain = letters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        && name.len() <= NAME_LEN_MAX;
    if !is_plain {
        return Err(format!(
            "a backend's name is a lower-case letter and then lower-case letters and digits, \
             {NAME_LEN_MAX} at most: {name:?} is not"
        )
        .into());
    }
    let type_name = type_name(name);
    let texts = TEMPLATE.iter().map(|(_, text)| *text);
    let mut words = texts.flat_map(|text| text.split(|letter: char| !letter.is_alphanumeric()));
    if words.any(|word| word == type_name) || TYPES_OF_MACROS.contains(&type_name.as_str()) {
        return Err(format!("the type {type_name} would hide another; choose another name").into());
    }
    Ok(())
}

fn type_name(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn filled(template: &str, name: &str) -> String {
    let typed = template.replace(TYPE, &type_name(name));
    typed.replace(KIND, name)
}

/// Writes lines where they belong; refuses all if one has no place.
fn write_lines(root: &Path, lines: &[Line], name: &str) -> Result {
    let mut files = BTreeMap::new();
    for line in lines {
        let text = match files.remove(line.file) {
            Some(text) => text,
            None => fs::read_to_string(root.join(line.file))?,
        };
        let added = with_line(&text, line.mark, &filled(line.text, name));
        let text = added.ok_or_else(|| format!("{} has no {} to go with", line.file, line.mark))?;
        files.insert(line.file, text);
    }
    for (file, text) in files {
        fs::write(root.join(file), text)?;
    }
    Ok(())
}

/// The text with a line more, in the order of those that have `mark`; `None` if none has.
fn with_line(text: &str, mark: &str, line: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let has_mark = |other: &&str| other.contains(mark);
    let before = lines
        .iter()
        .rposition(|other| has_mark(other) && *other < line);
    let position = match before {
        Some(index) => index + 1,
        None => lines.iter().position(has_mark)?,
    };
    lines.insert(position, line);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace]\nmembers = [\n    \"crates/claviger-backend\",\n    \
                            \"crates/claviger-backend-aws\",     # AWS\n    \
                            \"crates/claviger-backend-managed\",\n]\n[workspace.dependencies]\n\
                            claviger-backend-aws = { path = \"crates/claviger-backend-aws\" }\n\
                            claviger-backend-managed = { path = \"crates/claviger-backend-managed\" }\nserde = \"1\"\n";

    fn added(name: &str) -> Vec<(usize, String)> {
        let package = format!("claviger-backend-{name}");
        let manifest = LINES_WRITTEN
            .iter()
            .fold(MANIFEST.to_owned(), |text, line| {
                with_line(&text, line.mark, &filled(line.text, name)).unwrap()
            });
        let lines = manifest.lines().map(str::to_owned).enumerate();
        lines.filter(|(_, line)| line.contains(&package)).collect()
    }

    #[test]
    fn a_backend_is_listed_in_its_place() {
        let rows = |member: usize, dependency: usize, package: &str| {
            vec![
                (member, format!("    \"crates/{package}\",")),
                (
                    dependency,
                    format!("{package} = {{ path = \"crates/{package}\" }}"),
                ),
            ]
        };
        assert_eq!(added("aaa"), rows(3, 8, "claviger-backend-aaa"));
        assert_eq!(added("consul"), rows(4, 9, "claviger-backend-consul"));
        assert_eq!(added("vault"), rows(5, 10, "claviger-backend-vault"));
        assert_eq!(with_line("[workspace]\n", "\"crates/", "x"), None);
    }

    #[test]
    fn bad_names_are_refused_and_nothing_is_written() {
        let root = std::env::temp_dir().join(format!("xtask-backend-{}", std::process::id()));
        fs::create_dir_all(root.join("crates/claviger-backend-aws")).unwrap();
        fs::write(root.join("Cargo.toml"), MANIFEST).unwrap();
        let long = "x".repeat(NAME_LEN_MAX + 1);
        for name in [
            "",
            "Azure",
            "1password",
            "a-b",
            "a_b",
            "../x",
            "é",
            "a ",
            &long,
            "aws",
            "box",
            "self",
            "result",
            "address",
            KIND,
        ] {
            assert!(create(&root, name).is_err(), "{name:?} is taken");
        }
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        assert_eq!(manifest, MANIFEST);
        assert_eq!(fs::read_dir(root.join("crates")).unwrap().count(), 1);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn no_placeholder_is_left() {
        for (file, template) in TEMPLATE {
            let text = filled(template, "consul");
            assert!(!text.to_lowercase().contains(KIND), "{file}");
        }
        assert_eq!(filled("Newkind newkind", "consul"), "Consul consul");
    }

    #[test]
    fn only_the_first_unwritten_call_is_an_honest_failure() {
        let honest = "a fresh vault is well: VAULT_CAPABILITY_MISSING: vault; caused by: check is \
                      not written yet\ntest result: FAILED. 0 passed; 2 failed;";
        assert_eq!(fails_for_want_of_code(false, honest), Ok(()));
        assert!(fails_for_want_of_code(true, honest).is_err());
        let half = honest.replace("0 passed", "1 passed");
        assert!(fails_for_want_of_code(false, &half).is_err());
        assert!(fails_for_want_of_code(false, "error: could not compile").is_err());
    }
}
