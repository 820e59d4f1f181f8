//! Makes the Debian package that `deploy/debian/nfpm.yaml` describes: both programs, the unit, the
//! configuration, completions and manual pages. What was made is looked into, and runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::{Context, Result, run};
use crate::tools;

const DESCRIPTION: &str = "deploy/debian/nfpm.yaml";

/// The shells with a place for completions on Debian.
const SHELLS: [&str; 3] = ["bash", "fish", "zsh"];

/// Where manual pages are, in the package.
const MANUAL: &str = "./usr/share/man/man1/";

/// What is in the package beside manual pages, with its mode.
const CONTENTS: [(&str, &str); 9] = [
    ("-rw-r--r--", "./etc/claviger/clavigerd.toml"),
    ("-rwxr-xr-x", "./usr/bin/claviger"),
    ("-rwxr-xr-x", "./usr/bin/clavigerd"),
    ("-rw-r--r--", "./usr/lib/systemd/system/clavigerd.service"),
    ("-rw-r--r--", "./usr/lib/sysusers.d/claviger.conf"),
    (
        "-rw-r--r--",
        "./usr/share/bash-completion/completions/claviger",
    ),
    ("-rw-r--r--", "./usr/share/doc/claviger/copyright"),
    (
        "-rw-r--r--",
        "./usr/share/fish/vendor_completions.d/claviger.fish",
    ),
    ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_claviger"),
];

/// Makes the package from the build of a profile: `dist`, or the one that is named.
pub(crate) fn make(cx: &mut Context) -> Result {
    let profile = cx.extra.first().cloned();
    make_from(cx, profile.as_deref().unwrap_or("dist"))
}

/// The same from the build that all steps share.
pub(crate) fn check(cx: &mut Context) -> Result {
    make_from(cx, "release")
}

fn make_from(cx: &Context, profile: &str) -> Result {
    let programs = ["-p", "clavigerd", "-p", "claviger"];
    run(cx.cargo(&["build", "--profile", profile]).args(programs))?;
    let directory = if profile == "dev" { "debug" } else { profile };
    let programs = cx.target().join(directory);
    let made = cx.target().join("deb");
    if made.exists() {
        fs::remove_dir_all(&made)?;
    }
    let generated = made.join("generated");
    generate(&programs.join("claviger"), &generated)?;
    let package = made.join(format!(
        "claviger_{}_{}.deb",
        env!("CARGO_PKG_VERSION"),
        architecture()
    ));
    run(Command::new(tools::python_program(cx, "nfpm")?)
        .current_dir(cx.root())
        .args([
            "package",
            "--packager",
            "deb",
            "--config",
            DESCRIPTION,
            "--target",
        ])
        .arg(&package)
        .env("ARCH", architecture())
        .env("GENERATED", &generated)
        .env("LIBC", libc_version()?)
        .env("PROGRAMS", &programs)
        .env("VERSION", env!("CARGO_PKG_VERSION")))?;
    let pages = fs::read_dir(generated.join("man"))?.count();
    look_into(&package, pages)?;
    try_out(&package, &made.join("root"))?;
    println!("{}", package.display());
    Ok(())
}

/// Lets the command write what is made of its command line.
fn generate(claviger: &Path, generated: &Path) -> Result {
    fs::create_dir_all(generated)?;
    for shell in SHELLS {
        run(Command::new(claviger)
            .args(["completions", shell])
            .stdout(File::create(generated.join(shell))?))?;
    }
    let pages = generated.join("man");
    run(Command::new(claviger).arg("man").arg(&pages))?;
    let pages = fs::read_dir(pages)?
        .map(|page| Ok(page?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    // Without names and times, so that the same page is the same file.
    run(Command::new("gzip").args(["-9", "--no-name"]).args(pages))
}

/// The architecture in Debian's words.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The version of the C library that is linked with, without Debian's own part.
fn libc_version() -> Result<String> {
    let version = printed(Command::new("dpkg-query").args(["-W", "-f", "${Version}", "libc6"]))?;
    let upstream = version.split('-').next().unwrap_or_default();
    Ok(upstream.to_owned())
}

/// Refuses a package that has less than it should, or more.
fn look_into(package: &Path, pages: usize) -> Result {
    let listing = printed(Command::new("dpkg-deb").arg("--contents").arg(package))?;
    let is_page = |(_, path): &(&str, &str)| path.starts_with(MANUAL);
    let (manual, others): (Vec<_>, Vec<_>) = files(&listing).into_iter().partition(is_page);
    if others != CONTENTS {
        return Err(format!("the package holds {others:#?}").into());
    }
    if pages == 0 || manual.len() != pages {
        return Err(format!("the package holds {} of {pages} manual pages", manual.len()).into());
    }
    if !listing.lines().all(|line| line.contains(" root/root ")) {
        return Err("not all in the package belongs to root".into());
    }
    Ok(())
}

/// The files of a listing, each with its mode, in the order of their names.
fn files(listing: &str) -> Vec<(&str, &str)> {
    let lines = listing.lines().filter(|line| !line.starts_with('d'));
    let mut files: Vec<_> = lines
        .filter_map(|line| Some((line.split(' ').next()?, line.split(' ').next_back()?)))
        .collect();
    files.sort_by_key(|(_, path)| *path);
    files
}

/// Unpacks the package, and lets its programs say that they run and take its configuration.
fn try_out(package: &Path, root: &Path) -> Result {
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(package)
        .arg(root))?;
    run(Command::new(root.join("usr/bin/claviger")).arg("--version"))?;
    run(Command::new(root.join("usr/bin/clavigerd"))
        .arg("--check-config")
        .arg("--config")
        .arg(root.join("etc/claviger/clavigerd.toml")))
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_with_their_modes_and_directories_are_not() {
        let listing = "\
            drwxr-xr-x root/root         0 2026-11-30 21:00 ./usr/bin/\n\
            -rwxr-xr-x root/root       100 2026-11-30 21:00 ./usr/bin/clavigerd\n\
            -rw-r--r-- root/root        10 2026-11-30 21:00 ./etc/a\n";
        let expected = [
            ("-rw-r--r--", "./etc/a"),
            ("-rwxr-xr-x", "./usr/bin/clavigerd"),
        ];
        assert_eq!(files(listing), expected);
    }

    /// A package whose script fails is half installed, and apt stops at it from then on.
    #[test]
    fn a_daemon_that_does_not_restart_leaves_the_package_installed() {
        for (script, argument) in [
            (
                include_str!("../../../deploy/debian/postinst.sh"),
                "configure",
            ),
            (include_str!("../../../deploy/debian/prerm.sh"), "remove"),
            (include_str!("../../../deploy/debian/postrm.sh"), "purge"),
        ] {
            let failing = script
                .replace("/run/systemd/system", "/")
                .replace("systemd-sysusers", "true")
                .replace("systemctl ", "false ");
            let mut shell = Command::new("sh");
            shell.args(["-c", &failing, "sh", argument]);
            let output = shell.output().unwrap();
            assert!(output.status.success(), "{script}");
            assert!(!output.stderr.is_empty(), "{script}");
        }
    }
}
