//! Completions and manual pages: shells and readers of manuals take them.

use std::fs;
use std::process::Command;

use claviger_e2e::{Home, output_of, tools};

use super::{complaint, said};

/// Completes the last word of a line in bash; returns what it offers.
fn completed(home: &Home, words: &[&str]) -> Vec<String> {
    let script = home.path().join("claviger.bash");
    let claviger = output_of(
        &mut home.program(tools::claviger(), &["completions", "bash"]),
        "",
    );
    fs::write(&script, said(&claviger)).expect("a writable home");
    let completing = "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                      _claviger claviger \"${@: -1}\" \"${@: -2:1}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = home.program("bash".into(), &["-c", completing]);
    let output = output_of(bash.arg(&script).args(words), "");
    assert_eq!(complaint(&output), "");
    said(&output).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_tasks_and_options() {
    let home = Home::new();
    assert_eq!(completed(&home, &["claviger", "secr"]), ["secret"]);
    let below = completed(&home, &["claviger", "secret", ""]);
    for task in ["put", "get", "versions"] {
        assert!(below.iter().any(|offered| offered == task), "{below:?}");
    }
    let option = ["claviger", "secret", "put", "--if"];
    assert_eq!(completed(&home, &option), ["--if-version"]);
    let shell = completed(&home, &["claviger", "completions", "z"]);
    assert_eq!(shell, ["zsh"]);
    // That of our tests alone is no option for anybody.
    let hidden = ["claviger", "profile", "connect", "--stand"];
    assert_eq!(completed(&home, &hidden), [""]);
}

#[test]
fn each_task_has_a_page_that_a_reader_of_manuals_takes_without_a_warning() {
    let home = Home::new();
    let directory = home.path().join("man");
    let mut man = home.program(tools::claviger(), &["man"]);
    said(&output_of(man.arg(&directory), ""));
    let pages = fs::read_dir(&directory).expect("it was made");
    let pages = pages.map(|page| page.expect("a page").path());
    let mut names = Vec::new();
    for page in pages {
        let mut groff = Command::new(tools::groff());
        groff.args(["-man", "-ww", "-Tascii", "-P-cbou"]).arg(&page);
        let output = output_of(&mut groff, "");
        assert_eq!(complaint(&output), "", "{}", page.display());
        let text = said(&output);
        assert!(text.contains("SYNOPSIS"), "{text}");
        // The foot, whichever task it is about.
        assert!(text.contains("claviger 0."), "{text}");
        names.push(page.file_name().expect("a name").display().to_string());
    }
    for name in [
        "claviger.1",
        "claviger-secret.1",
        "claviger-secret-put.1",
        "claviger-run.1",
    ] {
        assert!(names.iter().any(|made| made == name), "{names:?}");
    }
    // An example stands as it was written.
    let page = fs::read_to_string(directory.join("claviger.1")).expect("a page");
    assert!(
        page.contains(".nf\n") && page.contains("\n  claviger "),
        "{page}"
    );
}
