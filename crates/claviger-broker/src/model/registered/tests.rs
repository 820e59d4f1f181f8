//! The names that values get in a vault that others use too.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use claviger_core::{DefinitionName, Id};

use super::hash_of;

const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_()-";

/// Definitions that are looked at together.
const CROWD: usize = 100_000;

#[expect(
    clippy::disallowed_methods,
    reason = "how a test run is told its size and seed"
)]
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    }

    /// Short as often as long, because short ones meet.
    fn id(&mut self) -> String {
        let longest = [4, 128][self.below(2)];
        let length = 1 + self.below(longest);
        let letter = |_| char::from(ALPHABET[self.below(ALPHABET.len())]);
        (0..length).map(letter).collect()
    }

    /// The same id, with other letters in capitals.
    fn twin(&mut self, id: &str) -> String {
        id.chars()
            .map(|letter| match self.below(2) {
                0 => letter.to_ascii_lowercase(),
                _ => letter.to_ascii_uppercase(),
            })
            .collect()
    }
}

/// Adds a definition, whose derived name must be nobody else's.
fn add(derived: &mut HashMap<String, DefinitionName>, project: &str, id: &str) {
    let text = format!("projects/{project}/secrets/{id}");
    let name = DefinitionName::parse("name", &text).expect("a name");
    let folded = format!("{project}/{id}-{}", hash_of(&name.to_string())).to_ascii_lowercase();
    let other = derived.entry(folded).or_insert_with(|| name.clone());
    assert_eq!(*other, name, "both have the same derived name");
}

#[test]
fn derived_names_of_different_definitions_differ_in_more_than_case() {
    let volume = variable("CLAVIGER_TEST_VOLUME").unwrap_or(1);
    let seed = variable("CLAVIGER_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("seed {seed}, {volume} times {CROWD} different names");
    let mut random = Random(seed);
    for _ in 0..volume {
        let mut derived = HashMap::new();
        while derived.len() < CROWD {
            let id = random.id();
            let twin = random.twin(&id);
            // One in a million looks like a credential that was pasted, and is no name.
            if [&id, &twin].iter().any(|id| Id::parse("id", id).is_err()) {
                continue;
            }
            add(&mut derived, "acme", &id);
            add(&mut derived, ["acme", "ACME"][random.below(2)], &twin);
        }
    }
}
