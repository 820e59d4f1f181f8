//! Two spellings of a name never give two verdicts: a spelling is refused, or it is in every way
//! the one canonical name that it stands for.

use std::hash::{BuildHasher as _, RandomState};

use claviger_core::{DefinitionName, Resource, VersionName};
use claviger_integration::{Client, Options, PROJECT, Server, reason, volume};
use claviger_proto::v1::{self, Role};

/// The names that the variants are spellings of. All exist in the test over the wire; the caller
/// may read the first alone.
const BASES: [&str; 4] = [
    "projects/acme/secrets/stripe",
    "projects/acme/secrets/Stripe",
    "projects/acme/secrets/stripe-2",
    "projects/acme/secrets/K(1)_fi",
];

/// White space that is trimmed.
const ASCII_SPACE: [&str; 5] = [" ", "\t", "\n", "\u{c}", "\r"];

/// Characters that must never disappear or be taken for something else: other white space,
/// invisible ones, changes of direction, combining marks, escapes and steps in paths.
const STRANGE: [&str; 36] = [
    "\u{b}",
    "\u{85}",
    "\u{a0}",
    "\u{1680}",
    "\u{2003}",
    "\u{2009}",
    "\u{2028}",
    "\u{202f}",
    "\u{205f}",
    "\u{3000}",
    "\0",
    "\u{1}",
    "\u{7f}",
    "\u{ad}",
    "\u{200b}",
    "\u{200d}",
    "\u{2060}",
    "\u{feff}",
    "\u{180e}",
    "\u{202e}",
    "\u{200f}",
    "\u{2066}",
    "\u{301}",
    "\u{327}",
    "\u{308}",
    "\u{20dd}",
    "\u{e0041}",
    "..",
    "./",
    "//",
    "/",
    "%2f",
    "%00",
    "\\",
    "*",
    "+",
];

/// Characters that look or normalise like an ASCII one.
const LOOK_ALIKES: [(char, &[&str]); 14] = [
    ('s', &["ѕ", "ｓ", "ſ", "𝐬", "ˢ", "s\u{307}", "ṡ"]),
    ('t', &["т", "ｔ", "𝚝", "ᵗ"]),
    ('r', &["г", "ｒ", "ʳ"]),
    ('i', &["і", "ｉ", "ı", "ⅰ", "İ", "ⁱ"]),
    ('p', &["р", "ｐ", "𝗉"]),
    ('e', &["е", "ｅ", "é", "e\u{301}", "ℯ"]),
    ('a', &["а", "ａ", "ª", "á"]),
    ('c', &["с", "ｃ", "ⅽ", "ç"]),
    ('o', &["о", "ｏ", "ο", "º", "0"]),
    ('K', &["\u{212a}", "К", "Ｋ"]),
    ('f', &["ﬁ", "ｆ", "ƒ"]),
    ('/', &["／", "⁄", "∕", "%2F", "\\"]),
    ('-', &["‐", "－", "–", "\u{ad}", "_"]),
    ('1', &["１", "¹", "①", "١"]),
];

/// SplitMix64: small, and a seed says everything.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    }

    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn variant(&mut self) -> String {
        let mut text: Vec<String> = self.pick(&BASES).chars().map(String::from).collect();
        for _ in 0..self.below(4) {
            self.change(&mut text);
        }
        text.concat()
    }

    /// One change of a text, given as pieces.
    fn change(&mut self, text: &mut Vec<String>) {
        let at = self.below(text.len() + 1);
        match self.below(8) {
            0 => text.insert(at, self.pick(&ASCII_SPACE).to_owned()),
            1 => text.insert(at, self.pick(&STRANGE).to_owned()),
            // Where trimming may happen: at the ends and around slashes.
            2 => {
                let slashes = (0..text.len()).filter(|index| text[*index] == "/");
                let mut places: Vec<usize> = slashes.flat_map(|slash| [slash, slash + 1]).collect();
                places.extend([0, text.len()]);
                let place = self.pick(&places);
                text.insert(place, self.pick(&ASCII_SPACE).to_owned());
            }
            3 => text.insert(
                [0, text.len()][self.below(2)],
                self.pick(&STRANGE).to_owned(),
            ),
            4 | 5 => self.imitate(text),
            6 => {
                if let Some(piece) = text.get_mut(at) {
                    let is_lower = piece.chars().any(char::is_lowercase);
                    *piece = if is_lower {
                        piece.to_uppercase()
                    } else {
                        piece.to_lowercase()
                    };
                }
            }
            _ => {
                if at < text.len() {
                    let piece = text.remove(at);
                    if self.below(2) == 0 {
                        text.insert(at, piece.repeat(2));
                    }
                }
            }
        }
    }

    /// Puts a look-alike in the place of some character that has one.
    fn imitate(&mut self, text: &mut [String]) {
        let (character, look_alikes) = self.pick(&LOOK_ALIKES);
        let places = (0..text.len()).filter(|index| text[*index] == character.to_string());
        let places: Vec<usize> = places.collect();
        if !places.is_empty() {
            let place = self.pick(&places);
            text[place] = self.pick(look_alikes).to_owned();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "one variable of the test run; a failed run must be repeatable"
)]
pub(crate) fn seeded(what: &str, count: usize) -> Random {
    let seed = match std::env::var("CLAVIGER_TEST_SEED") {
        Ok(text) => text.parse().expect("CLAVIGER_TEST_SEED is a number"),
        Err(_) => RandomState::new().hash_one(what),
    };
    println!("{what}: seed {seed}, {count} variants");
    Random(seed)
}

/// The name that a spelling stands for, found in another way than the parser's: ASCII white space
/// is taken off the ends of the text and of each id, and the rest must be the canonical form.
fn canonical(spelling: &str) -> Option<String> {
    let space = |c: char| [' ', '\t', '\n', '\u{c}', '\r'].contains(&c);
    let parts: Vec<&str> = spelling.trim_matches(space).split('/').collect();
    let &["projects", project, "secrets", id] = parts.as_slice() else {
        return None;
    };
    let ids = [project.trim_matches(space), id.trim_matches(space)];
    let allowed = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_()-";
    let is_id =
        |id: &&str| (1..=128).contains(&id.len()) && id.chars().all(|c| allowed.contains(c));
    ids.iter()
        .all(is_id)
        .then(|| format!("projects/{}/secrets/{}", ids[0], ids[1]))
}

#[test]
fn every_spelling_is_refused_or_is_one_canonical_name_at_every_door() {
    let count = 100_000 * volume();
    let mut random = seeded("spellings", count);
    let mut accepted = 0;
    for _ in 0..count {
        let spelling = random.variant();
        let parsed = DefinitionName::parse("name", &spelling).ok();
        assert_eq!(
            parsed.as_ref().map(ToString::to_string),
            canonical(&spelling),
            "{spelling:?}"
        );

        // The doors of grants and of versions let the same spellings in, for the same names.
        let resource = match Resource::parse("resource", &spelling) {
            Ok(Resource::Definition(name)) => Some(name),
            Ok(Resource::Daemon | Resource::Profile(_) | Resource::Project(_)) | Err(_) => None,
        };
        assert_eq!(resource, parsed, "{spelling:?}");
        let version = VersionName::parse("name", &format!("{spelling}/versions/1"));
        assert_eq!(
            version.ok().map(|v| v.definition().clone()),
            parsed,
            "{spelling:?}"
        );

        if let Some(name) = parsed {
            let again = DefinitionName::parse("name", &name.to_string()).expect("canonical");
            assert_eq!(again, name);
            accepted += 1;
        }
    }
    assert!(
        accepted > count / 20 && accepted < count * 19 / 20,
        "{accepted} accepted"
    );
}

/// The outcome of a read: the version, or the reason.
async fn verdict(caller: &Client, name: &str) -> Result<String, String> {
    let reply = caller.get(name).await;
    reply
        .map(|reply| reply.version)
        .map_err(|status| reason(&status))
}

#[tokio::test]
async fn access_store_and_audit_agree_on_every_spelling() {
    let count = 500 * volume();
    let mut random = seeded("spellings over the wire", count);
    let (server, keeper) = Server::prepared(Options::default()).await;
    assert_eq!(PROJECT, "projects/acme");
    for base in BASES {
        keeper.put(base, base).await.expect("registered");
    }
    let token = keeper.token(&[(Role::Runner, BASES[0])]).await.token;
    let caller = server.tcp().await.with_token(&token);

    let mut audited: Vec<String> = Vec::new();
    let before = reads(&server).len();
    for number in 0..count {
        if number % 4 == 0 {
            // More denials would only be counted.
            server.clock.advance(std::time::Duration::from_secs(1));
        }
        let spelling = random.variant();
        let got = verdict(&caller, &spelling).await;
        let Some(name) = canonical(&spelling) else {
            assert_eq!(got, Err("NAME_INVALID".to_owned()), "{spelling:?}");
            continue;
        };
        // Access: the same answer as under the canonical name, yes for the granted one alone.
        assert_eq!(got, verdict(&caller, &name).await, "{spelling:?}");
        assert_eq!(got.is_ok(), name == BASES[0], "{spelling:?}: {got:?}");
        audited.extend([name.clone(), name.clone()]);
        // Store: it leads to the same definition, under its canonical name.
        let [one, other] = [spelling.as_str(), name.as_str()].map(|name| keeper.definition(name));
        let (one, other) = (one.await, other.await);
        assert_eq!(one.as_ref().ok(), other.as_ref().ok(), "{spelling:?}");
        if let Ok(definition) = one {
            assert_eq!(definition.name, name);
            put_again(&keeper, &spelling, &definition).await;
        }
    }
    // Audit: one record per decision, under the canonical name.
    assert_eq!(reads(&server)[before..], audited);
    assert!(
        audited.len() > count / 20,
        "too few are names: {}",
        audited.len()
    );
}

/// Putting an existing definition under another spelling is not a second one.
async fn put_again(keeper: &Client, spelling: &str, there: &v1::SecretDefinition) {
    let request = v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: spelling.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let put = keeper
        .put_definition(request)
        .await
        .expect("nothing to change");
    assert_eq!(put.definition.as_ref(), Some(there), "{spelling:?}");
}

/// The resources of the reads in the audit log.
fn reads(server: &Server) -> Vec<String> {
    let lines = server.audit_lines().into_iter();
    let reads = lines.filter(|line| line["rpc"] == "claviger.v1.SecretService/GetSecret");
    reads
        .map(|line| line["resource"].as_str().expect("a name").to_owned())
        .collect()
}
