//! Pages of listings.

use claviger_core::{Error, Reason, Result, refuse_pasted};

/// Items on a page when the caller does not say.
const SIZE_DEFAULT: usize = 100;
/// Most items on a page.
const SIZE_MAX: usize = 1000;

/// Which page is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PageRequest {
    /// Most items to return.
    pub size: usize,
    /// The key that the page before ended with. Grants nothing: every page is authorised anew.
    pub after: Option<String>,
}

impl PageRequest {
    /// Reads `page_size` and `page_token` as they are on the wire.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a negative size or a token that no listing gave out.
    pub fn parse(size: i32, token: &str) -> Result<Self> {
        let is_token_byte = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'(' | b')' | b'-' | b'/')
        };
        refuse_pasted(Reason::FieldInvalid, "page_token", token)?;
        Self::of(
            size,
            token,
            token.len() <= 300 && token.bytes().all(is_token_byte),
        )
    }

    /// As [`Self::parse`], of a listing whose keys are the names that a vault has.
    ///
    /// # Errors
    /// As there.
    pub fn parse_of_vault(size: i32, token: &str) -> Result<Self> {
        Self::of(
            size,
            token,
            token.len() <= 2048 && !token.contains(char::is_control),
        )
    }

    fn of(size: i32, token: &str, is_token: bool) -> Result<Self> {
        let size = match usize::try_from(size) {
            Ok(0) => SIZE_DEFAULT,
            Ok(size) => size.min(SIZE_MAX),
            Err(_) => {
                return Err(Error::new(Reason::FieldInvalid)
                    .violation("page_size", "is negative; use 1 to 1000, or 0 for 100"));
            }
        };
        if !is_token {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "page_token",
                "is not a token of this listing; start again without it",
            ));
        }
        Ok(Self {
            size,
            after: (!token.is_empty()).then(|| token.to_owned()),
        })
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The page made of a scan of at most `request.size` items, each with its key.
    pub(crate) fn of(scanned: Vec<(String, T)>, request: &PageRequest) -> Self {
        let next = (scanned.len() == request.size)
            .then(|| scanned.last().map(|(key, _)| key.clone()))
            .flatten();
        Self {
            items: scanned.into_iter().map(|(_, item)| item).collect(),
            next,
        }
    }

    /// Keeps what `f` returns; the next page stays where it is.
    pub(crate) fn filter_map<U>(self, f: impl FnMut(T) -> Option<U>) -> Page<U> {
        Page {
            items: self.items.into_iter().filter_map(f).collect(),
            next: self.next,
        }
    }
}
