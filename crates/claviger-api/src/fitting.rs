//! As much of an answer as clients take that set nothing: 4 MiB.

use claviger_broker::Page;
use prost::Message;
use prost::encoding::encoded_len_varint;

/// Most bytes of the items of an answer: what stands beside them, a page token for one, is far
/// shorter than the rest of 4 MiB.
const ITEMS_BYTES_MAX: usize = (4 * 1024 - 64) * 1024;

/// The items of a page as far as they fit, and the token of the page that begins behind them; empty
/// if there is none. An item by itself fits always: it was registered by a request, which is far
/// shorter.
pub(crate) fn page<T, M: Message>(page: Page<T>, mut wire: impl FnMut(T) -> M) -> (Vec<M>, String) {
    let mut room = Room(ITEMS_BYTES_MAX);
    let mut items = Vec::new();
    let mut behind = String::new();
    for (token, item) in page.items {
        let item = wire(item);
        if !room.takes(&item) && !items.is_empty() {
            return (items, behind);
        }
        items.push(item);
        behind = token;
    }
    (items, page.next.unwrap_or_default())
}

/// The items as far as they fit, and how many do not.
pub(crate) fn all<M: Message>(mut items: Vec<M>) -> (Vec<M>, i32) {
    let mut room = Room(ITEMS_BYTES_MAX);
    let fitting = items.iter().take_while(|item| room.takes(*item)).count();
    let rest = items.len() - fitting;
    items.truncate(fitting);
    (items, rest.try_into().unwrap_or(i32::MAX))
}

/// The bytes that are left.
struct Room(usize);

impl Room {
    /// Whether there is room for one more item, in a field with a number below 16; takes it then.
    fn takes(&mut self, item: &impl Message) -> bool {
        let length = item.encoded_len();
        let bytes = 1 + encoded_len_varint(length as u64) + length;
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or_default();
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1;
    use proptest::prelude::*;

    use super::*;

    fn project(name: usize) -> v1::Project {
        v1::Project {
            name: "n".repeat(name),
            ..Default::default()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn pages_are_below_4_mib_and_hold_all_items_once(
            lengths in proptest::collection::vec(
                prop_oneof![0..200_usize, 100_000..300_000_usize],
                0..100,
            ),
        ) {
            let mut shown = 0;
            let mut calls = 0;
            loop {
                let items = lengths.iter().enumerate().skip(shown);
                let items = items.map(|(index, length)| ((index + 1).to_string(), *length));
                let asked = Page { items: items.collect(), next: None };
                let (projects, next_page_token) = page(asked, project);
                let named: Vec<usize> = projects.iter().map(|p| p.name.len()).collect();
                prop_assert!(lengths.get(shown..).unwrap_or_default().starts_with(&named));
                shown += projects.len();
                calls += 1;
                let answer = v1::ListProjectsResponse { projects, next_page_token };
                prop_assert!(answer.encoded_len() < 4 * 1024 * 1024);
                if answer.next_page_token.is_empty() {
                    break;
                }
                prop_assert_eq!(&answer.next_page_token, &shown.to_string());
            }
            prop_assert_eq!(shown, lengths.len());
            let bytes: usize = lengths.iter().sum();
            prop_assert!(calls <= bytes / 3_500_000 + 1, "{} calls", calls);
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let (shown, rest) = all(vec![project(1_000_000); 7]);
        assert_eq!((shown.len(), rest), (4, 3));
        let (shown, rest) = all(vec![project(9); 7]);
        assert_eq!((shown.len(), rest), (7, 0));
    }
}
