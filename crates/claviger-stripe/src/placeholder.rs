//! What stands where a key belongs until somebody puts one there: an example, a template that
//! nothing has filled in, the beginning of a key alone.

use claviger_core::STRIPE_STARTS;

/// Said to whoever copies an example. No key begins so by chance and has no digit besides.
const WORDS: &[&str] = &[
    "changeme",
    "dummy",
    "example",
    "insert",
    "placeholder",
    "redacted",
    "replace",
    "sample",
    "todo",
    "your",
];

/// All that some examples have after the prefix, or that is left of one that was cut.
const NOUNS: &[&str] = &[
    "apikey",
    "key",
    "live",
    "org",
    "secret",
    "secretkey",
    "test",
    "token",
    "value",
];

/// What templates put around a name.
const BRACKETS: &[(&str, &str)] = &[
    ("<", ">"),
    ("${", "}"),
    ("$(", ")"),
    ("{{", "}}"),
    ("%", "%"),
];

/// As many x in a row are in no key.
const RUN: usize = 6;

/// As many digits and nothing else are none.
const DIGITS: usize = 8;

/// Longest text without a prefix that is looked at: of a longer one, a word is only a part.
const TEXT_LEN_MAX: usize = 64;

/// Whether this, after a prefix of Stripe's, is no key's own part.
pub(crate) fn is_body(body: &[u8]) -> bool {
    // Every read comes by here, and goes on here with a key.
    let has_digit = body.iter().any(u8::is_ascii_digit);
    let is_alphanumeric = body.iter().all(u8::is_ascii_alphanumeric);
    let mut windows = body.windows(RUN);
    let is_filled = windows.any(|window| window.eq_ignore_ascii_case(&[b'x'; RUN]));
    if has_digit && is_alphanumeric && !is_filled {
        let is_number = body.len() >= DIGITS && body.iter().all(u8::is_ascii_digit);
        return is_number || is_one_letter(body);
    }
    let letters = letters(body);
    is_filled
        || letters.is_empty()
        || is_one_letter(&letters)
        || NOUNS.iter().any(|noun| noun.as_bytes() == letters)
        || has_brackets(body)
        || has_word(body)
}

/// Whether this, which does not begin like anything of Stripe's, only stands for a value.
pub(crate) fn is_text(text: &[u8]) -> bool {
    let has_key = || STRIPE_STARTS.iter().any(|mark| find(text, mark).is_some());
    if text.len() > TEXT_LEN_MAX || has_key() {
        return false;
    }
    let is_variable = text.strip_prefix(b"$").is_some_and(|name| {
        let is_name = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
        !name.is_empty() && name.iter().all(is_name)
    });
    let is_bracketed = BRACKETS.iter().any(|(open, close)| {
        let inner = text.strip_prefix(open.as_bytes());
        inner.is_some_and(|inner| inner.ends_with(close.as_bytes()))
    });
    is_variable || is_bracketed || is_one_letter(&letters(text)) || has_word(text)
}

/// Letters and digits, as one word in lower case.
fn letters(text: &[u8]) -> Vec<u8> {
    let letters = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.map(u8::to_ascii_lowercase).collect()
}

fn is_one_letter(letters: &[u8]) -> bool {
    letters.len() > 2 && letters.chunk_by(|a, b| a == b).count() == 1
}

fn has_brackets(text: &[u8]) -> bool {
    BRACKETS.iter().any(|(open, close)| {
        let after = find(text, open).and_then(|at| text.get(at + open.len()..));
        after.is_some_and(|after| find(after, close).is_some())
    })
}

fn find(text: &[u8], part: &str) -> Option<usize> {
    let mut windows = text.windows(part.len());
    windows.position(|window| window == part.as_bytes())
}

/// Whether a part between separators begins with one of the words; one with a digit counts only
/// beside others.
fn has_word(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| !byte.is_ascii_alphanumeric());
    parts.any(|part| {
        let is_lone = part.len() == text.len() && part.iter().any(u8::is_ascii_digit);
        let begins = |word: &str| {
            let start = part.get(..word.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(word.as_bytes())
        };
        !is_lone && WORDS.iter().any(|word| begins(word))
    })
}
