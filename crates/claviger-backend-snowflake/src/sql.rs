//! Names and texts as they stand in a statement.
//!
//! INVARIANT: a name is always quoted, so it is what it is letter for letter, and cannot end before
//! its closing quote: different names are different objects, and no name is a second statement.

use std::fmt;

use claviger_core::{Error, Public, Reason, Result};

/// Longest name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 255;

/// One name, quoted.
pub(crate) struct Ident<'a>(pub(crate) &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A text, quoted. Snowflake reads escapes in it.
pub(crate) struct Literal<'a>(pub(crate) &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = self.0.replace('\\', "\\\\").replace('\'', "''");
        write!(f, "'{escaped}'")
    }
}

/// Text that a client may be told of a vault: names out of its settings and out of the request,
/// within text of the code.
#[derive(Clone, Debug)]
pub(crate) struct Advice(pub(crate) String);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Public for Advice {}

/// The name of a secret, as Snowflake can take it.
///
/// # Errors
/// `LOCATION_INVALID` with the rule.
pub(crate) fn check_name(secret: &str) -> Result<()> {
    match name_fault(secret) {
        None => Ok(()),
        Some(rule) => Err(Error::new(Reason::LocationInvalid).violation("location.secret", rule)),
    }
}

/// The fault of a name.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        Some("has to be 1 to 255 characters long")
    } else if name.contains(char::is_control) {
        Some("has a control character; write the name as SHOW prints it")
    } else {
        None
    }
}

/// A name for a secret that the definition leaves to Claviger. Needs no quotes in Snowflake; `hash`
/// stays whole at its end, because it tells names apart after the replacements.
pub(crate) fn derived(project: &str, id: &str, hash: &str) -> String {
    let room = NAME_CHARS_MAX.saturating_sub(hash.len() + 1);
    let plain = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_uppercase(),
        false => '_',
    };
    let name = format!("{project}_{id}");
    // A name that begins with a digit would need quotes.
    let start = name.starts_with(|first: char| first.is_ascii_digit());
    let prefix = if start { "_" } else { "" };
    let start: String = prefix
        .chars()
        .chain(name.chars().map(plain))
        .take(room)
        .collect();
    format!("{start}_{}", hash.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_end_before_their_quotes() {
        for (name, quoted) in [
            ("stripe", r#""stripe""#),
            (r#"a"b"#, r#""a""b""#),
            (r#"x"; DROP SECRET y; --"#, r#""x""; DROP SECRET y; --""#),
            ("a.b", r#""a.b""#),
            (r"a\", r#""a\""#),
        ] {
            assert_eq!(Ident(name).to_string(), quoted);
        }
        assert_eq!(Literal(r"it's \").to_string(), r"'it''s \\'");
    }

    /// Every string of these letters.
    fn strings(letters: &[char], len: usize) -> impl Iterator<Item = String> {
        let count = letters.len().pow(u32::try_from(len).expect("short"));
        (0..count).map(move |mut number| {
            let letter = |_| {
                let letter = letters[number % letters.len()];
                number /= letters.len();
                letter
            };
            (0..len).map(letter).collect()
        })
    }

    /// As Snowflake reads an identifier in quotes: two are one, and one is the end.
    fn unquoted(text: &str) -> Option<String> {
        let mut letters = text.strip_prefix('"')?.chars().peekable();
        let mut name = String::new();
        while let Some(letter) = letters.next() {
            if letter == '"' && letters.next_if_eq(&'"').is_none() {
                return letters.next().is_none().then_some(name);
            }
            name.push(letter);
        }
        None
    }

    #[test]
    fn each_of_a_hundred_thousand_names_is_read_back_whole() {
        let letters = ['a', 'A', '"', '.', ';', '\'', '\\', ' ', '-', '\u{e9}'];
        for name in strings(&letters, 5) {
            assert_eq!(unquoted(&Ident(&name).to_string()), Some(name));
        }
    }

    /// Ids that are the same but for letters that a plain name cannot have; told apart by the hash
    /// that the broker makes of the whole name.
    #[test]
    fn no_two_of_a_hundred_thousand_ids_derive_one_name() {
        let letters = ['a', 'A', 'b', 'B', '_', '-', '(', ')', '1', '2'];
        let names = strings(&letters, 5).map(|id| {
            let hash = claviger_seal::hex(&claviger_seal::sha256(id.as_bytes()));
            derived("acme", &id, hash.get(..10).expect("long"))
        });
        let names: std::collections::BTreeSet<String> = names.collect();
        assert_eq!(names.len(), 100_000);
    }

    #[test]
    fn names_that_snowflake_cannot_take_are_refused() {
        let long = "é".repeat(256);
        for name in ["", "a\nb", "a\0", long.as_str()] {
            let error = check_name(name).expect_err(name);
            assert_eq!(error.reason(), Reason::LocationInvalid);
        }
        for name in ["a", r#"a"b;c.d 'e'"#, "é", &"é".repeat(255)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn derived_names_need_no_quotes_and_end_in_the_whole_hash() {
        let long = "x".repeat(128);
        for (project, id) in [("acme", "stripe-key"), ("1a", "(b)"), (&long, &long)] {
            let name = derived(project, id, "00aaff1122");
            assert!(name.len() <= NAME_CHARS_MAX, "{name}");
            assert!(name.ends_with("_00AAFF1122"), "{name}");
            assert!(!name.starts_with(|first: char| first.is_ascii_digit()));
            let is_plain = |byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
            assert!(name.bytes().all(is_plain), "{name}");
        }
        assert_eq!(
            derived("acme", "stripe-key", "00aa"),
            "ACME_STRIPE_KEY_00AA"
        );
    }
}
