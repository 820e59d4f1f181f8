//! One page of a vault's secrets.

use std::collections::BTreeMap;

use crate::contract::ListedSecret;

/// The page that [`Backend::list`](crate::Backend::list) answers, picked from all secrets in
/// whatever order the vault has them; no more than the page is kept.
pub struct Listing<'a> {
    is_wanted: &'a (dyn for<'n> Fn(&'n str) -> bool + Sync),
    after: Option<&'a str>,
    limit: usize,
    first: BTreeMap<String, ListedSecret>,
}

impl<'a> Listing<'a> {
    /// The first `limit` names after `after` that are wanted.
    pub fn new(
        is_wanted: &'a (dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&'a str>,
        limit: usize,
    ) -> Self {
        Self {
            is_wanted,
            after,
            limit,
            first: BTreeMap::new(),
        }
    }

    /// Takes a secret if it may be of the page.
    pub fn add(&mut self, secret: ListedSecret) {
        let is_later = self.after.is_none_or(|after| secret.name.as_str() > after);
        if !is_later || !(self.is_wanted)(&secret.name) {
            return;
        }
        self.first.insert(secret.name.clone(), secret);
        if self.first.len() > self.limit {
            self.first.pop_last();
        }
    }

    /// The page, sorted by name.
    pub fn into_page(self) -> Vec<ListedSecret> {
        self.first.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_sorted_begins_after_and_ends_at_the_limit() {
        for (after, limit, expected) in [
            (None, 9, vec!["a", "b", "c", "d"]),
            (None, 2, vec!["a", "b"]),
            (Some("b"), 9, vec!["c", "d"]),
            (Some("b"), 1, vec!["c"]),
            (Some("bb"), 1, vec!["c"]),
            (Some("d"), 9, vec![]),
            (None, 0, vec![]),
        ] {
            let mut listing = Listing::new(&|name| name != "x", after, limit);
            for name in ["d", "b", "x", "a", "c", "b"] {
                listing.add(ListedSecret {
                    name: name.to_owned(),
                    is_ours: false,
                    change_time: None,
                });
            }
            let page = listing.into_page();
            let names: Vec<&str> = page.iter().map(|secret| secret.name.as_str()).collect();
            assert_eq!(names, expected, "{after:?} {limit}");
        }
    }
}
