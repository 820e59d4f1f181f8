//! Checks that the files which prose names are there, so that prose cannot go stale in silence.
//!
//! Looks at every page of the repository: links, and words in backticks that look like paths of this
//! repository. Fenced code is not read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::context::{Context, Result};
use crate::tree;

/// The beginnings of a path of this repository; anything else in backticks is not one.
const TOP_LEVEL: &[&str] = &[
    ".cargo/", ".ci/", ".github/", "crates/", "deploy/", "proto/", "tests/",
];

/// Refuses prose that names a file which does not exist.
pub(crate) fn check(cx: &mut Context) -> Result {
    let root = cx.root();
    let mut faults = Vec::new();
    for page in tree::files(root, &["*.md"])? {
        let text = fs::read_to_string(root.join(&page))?;
        for (line, path) in missing(Path::new(&page), &text, |path| root.join(path).exists()) {
            faults.push(format!("{page}:{line}: there is no {path}"));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n").into())
}

/// The paths that `text` names and that do not exist, each with its line.
fn missing(page: &Path, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            continue;
        }
        if is_fenced {
            continue;
        }
        let spans = line.split('`').skip(1).step_by(2);
        let named = spans.filter(|span| is_path(span)).map(PathBuf::from);
        let directory = page.parent().unwrap_or(Path::new(""));
        let linked = link_targets(line).map(|target| from_directory(directory, target));
        for path in named.chain(linked) {
            if !exists(&path) {
                found.push((index + 1, path.display().to_string()));
            }
        }
    }
    found
}

/// Whether a word in backticks is a path of this repository, and not a placeholder of one.
fn is_path(span: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/".contains(letter);
    span.chars().all(plain) && TOP_LEVEL.iter().any(|prefix| span.starts_with(prefix))
}

/// The targets of the links in a line that lead to files, without their anchors.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', '#']).next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}

/// `target` as seen from `directory`, with its `..` taken out.
fn from_directory(directory: &Path, target: &str) -> PathBuf {
    let mut path = directory.to_owned();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            name => path.push(name),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(page: &str, text: &str, existing: &[&str]) -> Vec<(usize, String)> {
        missing(Path::new(page), text, |path| {
            existing.iter().any(|name| Path::new(name) == path)
        })
    }

    #[test]
    fn stale_path_in_backticks_is_named_with_its_line() {
        let text = "Read `crates/a/src/lib.rs`,\nthen `crates/gone/` and `secrets.get`.";
        let faults = missing_of("README.md", text, &["crates/a/src/lib.rs"]);
        assert_eq!(faults, [(2, "crates/gone/".to_owned())]);
    }

    #[test]
    fn link_is_followed_from_where_its_page_lies() {
        let text =
            "[a](../README.md#top) [b](SECURITY.md) [c](https://x.test/y) [d](#here) [e](GONE.md)";
        let faults = missing_of(
            ".github/CONTRIBUTING.md",
            text,
            &["README.md", ".github/SECURITY.md"],
        );
        assert_eq!(faults, [(1, ".github/GONE.md".to_owned())]);
    }

    #[test]
    fn placeholders_commands_and_fenced_code_are_not_paths() {
        let text = "`crates/claviger-backend-<kind>/` `cargo test -p x` `projects/acme`\n\
                    ```\n`crates/gone/`\n```\n";
        assert!(missing_of("README.md", text, &[]).is_empty());
    }
}
