//! Checks that no file holds text that a secret scanner would take for a live Stripe credential.
//!
//! Whoever publishes or forks this repository must not get an alarm, nor learn to ignore one. Keys in
//! tests are put together at run time.

use std::fs;
use std::io::ErrorKind;

use crate::context::{Context, Result};
use crate::tree;

/// How a credential begins (in two parts, so that this file is none), and how many letters and digits
/// make it one. Wider than scanners look for: they want 10 to 24.
const SHAPES: &[(&str, &str, usize)] = &[
    ("sk_", "live_", 10),
    ("rk_", "live_", 10),
    ("sk_", "prod_", 10),
    ("rk_", "prod_", 10),
    ("sk_", "org_live_", 10),
    ("ek_", "live_", 10),
    ("wh", "sec_", 24),
];

/// Refuses the tree if a file that is or could be committed has such a shape.
pub(crate) fn check(cx: &mut Context) -> Result {
    let mut faults = Vec::new();
    for file in tree::files(cx.root(), &[])? {
        match fs::read(cx.root().join(&file)) {
            Ok(content) => faults.extend(faults_in(&file, &content)),
            // Removed, but not from the index yet; a link to a directory.
            Err(error)
                if [ErrorKind::NotFound, ErrorKind::IsADirectory].contains(&error.kind()) => {}
            Err(error) => return Err(format!("{file}: {error}").into()),
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n").into())
}

/// Each line with a credential in it; never the credential.
fn faults_in(file: &str, content: &[u8]) -> Vec<String> {
    let lines = content.split(|byte| *byte == b'\n').enumerate();
    let found = lines.filter_map(|(index, line)| {
        let (start, end, _) = SHAPES.iter().find(|shape| has_shape(line, shape))?;
        let number = index + 1;
        Some(format!(
            "{file}:{number}: looks like a live credential ({start}{end}…); put it together at run time"
        ))
    });
    found.collect()
}

fn has_shape(line: &[u8], (start, end, letters): &(&str, &str, usize)) -> bool {
    let prefix = format!("{start}{end}");
    let mut windows = line.windows(prefix.len()).enumerate();
    windows.any(|(at, window)| {
        let body = line.iter().skip(at + prefix.len());
        let body = body.take_while(|byte| byte.is_ascii_alphanumeric());
        window == prefix.as_bytes() && body.count() >= *letters
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_is_found_by_file_and_line_and_not_repeated() {
        for (start, end, letters) in SHAPES {
            let body = "a1".repeat(*letters).split_off(*letters);
            let planted = format!("first\nlet key = \"{start}{end}{body}\";\n");
            let faults = faults_in("x.rs", planted.as_bytes());
            assert_eq!(faults.len(), 1, "{start}{end}");
            assert!(faults[0].starts_with("x.rs:2: "), "{}", faults[0]);
            assert!(!faults[0].contains(&body), "{}", faults[0]);
        }
    }

    #[test]
    fn shorter_words_test_keys_and_split_ones_are_left_alone() {
        let body = "a1".repeat(20);
        for text in [
            format!("{}{}abc", "sk_", "live_"),
            format!("{}{}…abcd", "sk_", "live_"),
            format!("concat!(\"sk_\", \"live_\", \"{body}\")"),
            format!("rk_test_{body}"),
            "whsec_".to_owned(),
            body,
        ] {
            assert_eq!(faults_in("x", text.as_bytes()), [""; 0], "{text}");
        }
    }
}
