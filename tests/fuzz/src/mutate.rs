//! Changed copies of kept inputs.

/// Numbers and signs at which decoders change their mind.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\n",
    b"\r\n",
    b" ",
    b"/",
    b"//",
    b"..",
    b"~0",
    b"~1",
    b"*",
    b":",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"=",
    b"#",
    b"-1",
    b"0",
    b"18446744073709551615",
    b"1e999",
    b"null",
    b"projects/",
    b"/secrets/",
    b"/versions/",
    b"rk_live_",
    b"\xe2\x80\xae",
];

pub(crate) struct Mutator {
    corpus: Vec<Vec<u8>>,
    state: u64,
}

impl Mutator {
    pub(crate) fn new(corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        Self {
            corpus,
            state: seed | 1,
        }
    }

    /// An input of at most this length, or that of the one it was made of.
    pub(crate) fn next(&mut self, len_max: usize) -> Vec<u8> {
        let mut input = self.any_input().to_vec();
        let kept = input.len();
        // Few, mostly: after many nothing is left that a decoder would look at twice.
        let most = 1 + self.below(6);
        for _ in 0..=self.below(most) {
            self.change(&mut input);
            input.truncate(len_max.max(kept));
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(32) + 1);
        match self.below(7) {
            0 => {
                let bit = 1 << self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= bit;
                }
            }
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..end, self.token().iter().copied())),
            3 => drop(input.splice(at..at, self.token().iter().copied())),
            4 => {
                let range = input.get(at..end).unwrap_or_default();
                let many = range.repeat(1 << self.below(8));
                input.splice(at..at, many);
            }
            5 => {
                let other = self.any_input().to_vec();
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(other.get(from..).unwrap_or_default());
            }
            _ => input.truncate(end),
        }
    }

    fn any_input(&mut self) -> &[u8] {
        let index = self.below(self.corpus.len());
        self.corpus.get(index).map_or(&[], Vec::as_slice)
    }

    fn token(&mut self) -> &'static [u8] {
        let index = self.below(TOKENS.len());
        TOKENS.get(index).copied().unwrap_or_default()
    }

    /// A number below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let wide = u128::from(self.state) * (end as u128);
        usize::try_from(wide >> 64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn changed_copies_are_many_bounded_and_the_same_for_the_same_seed() {
        let corpus = vec![b"projects/acme".to_vec(), vec![b'x'; 300], Vec::new()];
        let inputs = |seed| {
            let mut mutator = Mutator::new(corpus.clone(), seed);
            (0..2000)
                .map(move |_| mutator.next(200))
                .collect::<Vec<_>>()
        };
        let once = inputs(7);
        assert!(once.iter().all(|input| input.len() <= 300));
        assert!(once.iter().collect::<HashSet<_>>().len() > 1000);
        assert!(once == inputs(7) && once != inputs(9));
        let is_close = |input: &&Vec<u8>| input.starts_with(b"projects/") && input.len() < 20;
        assert!(once.iter().filter(is_close).count() > 100);
    }
}
