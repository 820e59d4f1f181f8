//! One page of a vault's secrets.

use std::collections::BTreeMap;

use crate::contract::ListedSecret;

/// The page that [`Backend::list`](crate::Backend::list) answers, picked from all secrets in
/// whatever order the vault has them; no more than the page is kept.
pub struct Listing<'a> {
    is_wanted: &'a (dyn for<'n> Fn(&'n str) -> bool + Sync),
    after: Option<String>,
    limit: usize,
    fold: fn(&str) -> String,
    first: BTreeMap<String, ListedSecret>,
}

impl<'a> Listing<'a> {
    /// The first `limit` names after `after` that are wanted.
    pub fn new(
        is_wanted: &'a (dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Self {
        Self {
            is_wanted,
            after: after.map(str::to_owned),
            limit,
            fold: str::to_owned,
            first: BTreeMap::new(),
        }
    }

    /// In the order of the names that this makes of them, and each of those once: see
    /// [`Backend::fold`](crate::Backend::fold).
    #[must_use]
    pub fn folding(self, fold: fn(&str) -> String) -> Self {
        Self {
            after: self.after.as_deref().map(fold),
            fold,
            ..self
        }
    }

    /// Takes a secret if it may be of the page.
    pub fn add(&mut self, secret: ListedSecret) {
        let name = (self.fold)(&secret.name);
        let is_later = self.after.as_ref().is_none_or(|after| name > *after);
        if !is_later || !(self.is_wanted)(&secret.name) {
            return;
        }
        self.first.insert(name, secret);
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

    #[test]
    fn a_page_of_a_vault_that_ignores_case_is_in_the_order_that_its_next_one_goes_on_in() {
        let mut seen = Vec::new();
        // Between the pages somebody writes one of them in another case.
        for (after, names) in [
            (None, ["b", "Delta", "A", "c"]),
            (Some("b"), ["B", "delta", "a", "C"]),
        ] {
            let mut listing = Listing::new(&|_| true, after, 2).folding(str::to_ascii_lowercase);
            for name in names {
                listing.add(ListedSecret {
                    name: name.to_owned(),
                    is_ours: false,
                    change_time: None,
                });
            }
            seen.extend(listing.into_page().into_iter().map(|secret| secret.name));
        }
        assert_eq!(seen, ["A", "b", "C", "delta"]);
    }
}
