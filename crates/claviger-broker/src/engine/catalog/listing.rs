//! Page tokens. A token says where its page begins, and holds a keyed hash of that and of the
//! listing that gave it out: one of another listing, cut, or made up, is told from those.

use claviger_access::Authorized;
use claviger_core::{Error, Reason, Result, refuse_pasted};
use claviger_seal::{equal, hex};

use super::Catalog;
use crate::model::page::{Page, PageRequest};

/// The hash in a token: its bytes and its digits.
const TAG_BYTES: usize = 8;
const TAG_DIGITS: usize = 2 * TAG_BYTES;

/// One listing, page by page.
pub(crate) struct Listing<'a> {
    catalog: &'a Catalog,
    rpc: &'static str,
    of: Vec<String>,
}

impl Catalog {
    /// The listing that a call asks for. `of` tells it from others of the same RPC.
    pub(crate) fn listing<const N: usize>(
        &self,
        proof: &Authorized,
        of: [String; N],
    ) -> Listing<'_> {
        Listing {
            catalog: self,
            rpc: proof.call().rpc.name,
            of: of.into(),
        }
    }
}

impl Listing<'_> {
    /// The key that the page before ended with; `None` for the first page.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a token that this listing did not give out.
    pub(crate) fn after(&self, request: &PageRequest) -> Result<Option<String>> {
        let token = request.token.as_str();
        if token.is_empty() {
            return Ok(None);
        }
        match token.split_at_checked(TAG_DIGITS) {
            Some((tag, key)) if equal(tag.as_bytes(), self.tag(key).as_bytes()) => {
                Ok(Some(key.to_owned()))
            }
            Some(_) | None => {
                refuse_pasted(Reason::FieldInvalid, "page_token", token)?;
                Err(Error::new(Reason::FieldInvalid).violation(
                    "page_token",
                    "is not a token of this listing; start again without it",
                ))
            }
        }
    }

    /// The page made of a scan of at most as many items as were asked for, each with its key.
    pub(crate) fn page<T>(&self, scanned: Vec<(String, T)>, request: &PageRequest) -> Page<T> {
        let is_full = scanned.len() >= request.size;
        let items: Vec<_> = scanned
            .into_iter()
            .map(|(key, item)| (format!("{}{key}", self.tag(&key)), item))
            .collect();
        let last = items.last().map(|(token, _)| token.clone());
        Page {
            next: last.filter(|_| is_full),
            items,
        }
    }

    fn tag(&self, key: &str) -> String {
        let of = self.of.iter().map(String::as_str);
        let parts = [self.rpc].into_iter().chain(of).chain([key]);
        let parts: Vec<&[u8]> = parts.map(str::as_bytes).collect();
        let mac = self.catalog.mac("page token", &parts);
        let (tag, _) = mac.split_at(TAG_BYTES);
        hex(tag)
    }
}
