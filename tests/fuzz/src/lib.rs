//! Feeds decoders with what breaks decoders.
//!
//! A decoder's corpus is a folder of small inputs. All of them are tried first, then changed copies
//! of them: for as long as `CLAVIGER_TEST_VOLUME` says (10 s for 1), else a thousand. An input that
//! makes a decoder panic is kept in the corpus, so that the next run begins with it.
//!
//! Not bolero: on stable Rust it feeds random bytes, which names and JSON refuse at the first, and it
//! would bring a second version of a dozen crates. Not guided by coverage.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a fuzz test fails as tests do"
)]

mod mutate;

use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use mutate::Mutator;

/// For one decoder at a volume of 1.
const TIME: Duration = Duration::from_secs(10);
/// Without a volume.
const INPUTS: usize = 1000;
/// Longest input that is made of others.
const LEN_MAX: usize = 4096;

/// Tries a decoder. It is to panic where a promise of it is broken.
///
/// # Panics
/// With the file of the input, if the decoder does.
pub fn fuzz(name: &str, mut decode: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let corpus = read(&folder);
    assert!(!corpus.is_empty(), "no corpus for {name}");
    let mut decode = |input: &[u8], file: Option<&Path>| {
        if catch_unwind(AssertUnwindSafe(|| decode(input))).is_err() {
            let kept = file.map_or_else(|| keep(&folder, input), Path::to_path_buf);
            panic!("{name} panics, as its message says, on {}", kept.display());
        }
    };
    for (file, input) in &corpus {
        decode(input, Some(file));
    }
    let inputs = corpus.into_iter().map(|(_, input)| input).collect();
    let mut mutator = Mutator::new(inputs, RandomState::new().hash_one(name));
    let mut tried: usize = 0;
    let is_on = until(volume());
    while is_on(tried) {
        let input = mutator.next(LEN_MAX);
        decode(&input, None);
        tried += 1;
    }
    eprintln!("{name}: {tried} inputs");
}

/// Says whether to go on after so many inputs.
#[expect(
    clippy::disallowed_methods,
    reason = "how long to look for faults; nothing else is decided by it"
)]
fn until(volume: Option<f64>) -> impl Fn(usize) -> bool {
    let end = volume.map(|volume| Instant::now() + TIME.mul_f64(volume));
    move |tried| match end {
        None => tried < INPUTS,
        Some(end) => Instant::now() < end,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one setting of the tests themselves"
)]
fn volume() -> Option<f64> {
    let volume = env::var("CLAVIGER_TEST_VOLUME").ok()?;
    Some(volume.parse().expect("CLAVIGER_TEST_VOLUME is a number"))
}

fn read(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let files = entries.map(|entry| entry.expect("listed").path());
    let read = |file: PathBuf| {
        let input = fs::read(&file).expect("read");
        (file, input)
    };
    files.map(read).collect()
}

fn keep(folder: &Path, input: &[u8]) -> PathBuf {
    let name = format!("panic-{:016x}", RandomState::new().hash_one(input));
    let file = folder.join(name);
    fs::write(&file, input).expect("written");
    file
}
