//! Pages of listings.

use claviger_core::{Error, Reason, Result};

/// Items on a page when the caller does not say.
const SIZE_DEFAULT: usize = 100;
/// Most items on a page.
const SIZE_MAX: usize = 1000;

/// Which page is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PageRequest {
    /// Most items to return.
    pub size: usize,
    /// As the caller sent it; empty for the first page. Grants nothing: every page is authorised
    /// anew.
    pub(crate) token: String,
}

impl PageRequest {
    /// Reads `page_size` and `page_token` as they are on the wire. Whether the token is one of the
    /// listing is found out there.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a negative size.
    pub fn parse(size: i32, token: &str) -> Result<Self> {
        let size = match usize::try_from(size) {
            Ok(0) => SIZE_DEFAULT,
            Ok(size) => size.min(SIZE_MAX),
            Err(_) => {
                return Err(Error::new(Reason::FieldInvalid)
                    .violation("page_size", "is negative; use 1 to 1000, or 0 for 100"));
            }
        };
        let token = token.to_owned();
        Ok(Self { size, token })
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page<T> {
    /// The items, each with the token of the page that begins behind it: an answer may have room
    /// for fewer.
    pub items: Vec<(String, T)>,
    /// The token of the next page; `None` on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Keeps what `f` returns; the next page stays where it is.
    pub(crate) fn filter_map<U>(self, mut f: impl FnMut(T) -> Option<U>) -> Page<U> {
        let items = self.items.into_iter();
        Page {
            items: items
                .filter_map(|(token, item)| Some((token, f(item)?)))
                .collect(),
            next: self.next,
        }
    }
}
