//! Hashes, random bytes, hexadecimal digits, and joining without ambiguity.

use aws_lc_rs::{constant_time, digest, rand};

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(hex_digits(bytes).map(char::from));
    text
}

/// Bytes from the cryptographic random number generator.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::expect_used,
        reason = "SECURITY: without random numbers every key is a guess: stopping is the only safe answer"
    )]
    rand::fill(&mut bytes).expect("the random number generator works");
    bytes
}

/// Whether both are the same; the time taken depends on the lengths only.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

pub(crate) fn hex_digits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let digit = |nibble: u8| match nibble {
        0..=9 => b'0' + nibble,
        10.. => b'a' + (nibble - 10),
    };
    bytes
        .iter()
        .flat_map(move |byte| [digit(byte >> 4), digit(byte & 0xf)])
}

/// The bytes that lower-case hexadecimal digits stand for, or `None` if they are anything else.
pub(crate) fn unhex(digits: &[u8], out: &mut [u8]) -> Option<()> {
    let value = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        0..=47 | 58..=96 | 103.. => None,
    };
    if digits.len() != 2 * out.len() {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        let [high, low] = pair else { return None };
        *byte = value(high)? << 4 | value(low)?;
    }
    Some(())
}

/// Appends `parts` so that no two lists of parts give the same bytes.
pub(crate) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answers_hold() {
        assert_eq!(
            hex(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(equal(b"a", b"a") && !equal(b"a", b"b") && !equal(b"a", b"ab"));
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
    }

    proptest! {
        #[test]
        fn hex_reads_back(bytes in any::<[u8; 8]>()) {
            let mut back = [0; 8];
            prop_assert_eq!(unhex(hex(&bytes).as_bytes(), &mut back), Some(()));
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn different_lists_of_parts_give_different_bytes(
            a in proptest::collection::vec("[ab]{0,3}", 0..4),
            b in proptest::collection::vec("[ab]{0,3}", 0..4),
        ) {
            let bytes = |parts: &[String]| {
                length_prefixed(&parts.iter().map(String::as_bytes).collect::<Vec<_>>())
            };
            prop_assert_eq!(a == b, bytes(&a) == bytes(&b));
        }
    }
}
