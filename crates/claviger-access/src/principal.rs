//! Callers by identity, and the short texts they may add about themselves.

use std::{fmt, iter};

use claviger_core::{Error, Id, Public, Reason, refuse_pasted};

use crate::foreign::Foreign;

/// Longest label, in bytes.
const LABEL_LEN_MAX: usize = 128;

/// The identity of a caller. Written `unix:<uid>`, `token:<id>`, `spiffe://<trust domain>/<path>`,
/// `x509:<identity>:<SAN>` or `oidc:<identity>#<claims>`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Principal {
    /// A workload that another system vouches for; as the holder of a grant also a pattern of such.
    Foreign(Foreign),
    /// The holder of a token.
    Token(Id),
    /// A process of this uid on the Unix socket.
    Unix(u32),
}

impl Principal {
    /// Parses a principal, or a pattern of principals (`spiffe://acme.example/ns/etl/*`).
    ///
    /// # Errors
    /// `FIELD_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        let principal = Self::kept(field, text)?;
        if let Self::Foreign(name) = &principal {
            refuse_pasted(Reason::FieldInvalid, field, name.as_str())?;
        }
        Ok(principal)
    }

    /// As [`Self::parse`], of one that is kept already: it stays readable, whatever is refused by
    /// now.
    ///
    /// # Errors
    /// As there.
    pub fn kept(field: &'static str, text: &str) -> Result<Self, Error> {
        let invalid = || {
            Error::new(Reason::FieldInvalid).violation(
                field,
                "is not a principal; write unix:<uid>, token:<id>, spiffe://<trust domain>/<path>, \
                 x509:<identity>:<SAN> or oidc:<identity>#<claims>, as WhoAmI shows it",
            )
        };
        let text = text.trim_ascii();
        if let Some(foreign) = Foreign::parse(text) {
            return Ok(Self::Foreign(foreign));
        }
        let is_pattern = ["oidc:", "spiffe:", "x509:"]
            .iter()
            .any(|scheme| text.starts_with(scheme) && text.contains('*'));
        if is_pattern {
            return Err(Error::new(Reason::FieldInvalid).violation(
                field,
                "is not a pattern; the only one is a last /* behind at most 16 whole parts: write \
                 spiffe://<trust domain>/<path>/* or oidc:<identity>#<claim>/<claim>/*; names that \
                 begin with x509: have none",
            ));
        }
        match text.split_once(':') {
            Some(("token", id)) => Id::parse(field, id).map(Self::Token),
            // Digits only: `+1` and ` 1` would be second spellings of one principal.
            Some(("unix", uid)) if uid.bytes().all(|byte| byte.is_ascii_digit()) => {
                uid.parse().map(Self::Unix).map_err(|_| invalid())
            }
            _ => Err(invalid()),
        }
    }

    /// The holders whose grants count for it: itself, and the patterns that it fits.
    pub fn holders(&self) -> impl Iterator<Item = Self> + use<'_> {
        let patterns = match self {
            Self::Foreign(name) => Some(name.patterns()),
            Self::Token(_) | Self::Unix(_) => None,
        };
        let patterns = patterns.into_iter().flatten().map(Self::Foreign);
        iter::once(self.clone()).chain(patterns)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(name) => name.fmt(f),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Unix(uid) => write!(f, "unix:{uid}"),
        }
    }
}

impl Public for Principal {}

/// Short free text that a caller adds to the audit log: `^[0-9A-Za-z._:/@+-]{1,128}$`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Label(String);

impl Label {
    /// Parses a label, in which no credential was pasted; the empty text is none.
    ///
    /// # Errors
    /// `FIELD_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Option<Self>, Error> {
        refuse_pasted(Reason::FieldInvalid, field, text)?;
        Self::kept(field, text)
    }

    /// As [`Self::parse`], of one that is kept already: it stays readable, whatever is refused by
    /// now.
    ///
    /// # Errors
    /// As there.
    pub fn kept(field: &'static str, text: &str) -> Result<Option<Self>, Error> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let is_allowed = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'.' | b'_' | b':' | b'/' | b'@' | b'+' | b'-')
        };
        if text.len() > LABEL_LEN_MAX || !text.bytes().all(is_allowed) {
            return Err(Error::new(Reason::FieldInvalid).violation(
                field,
                "is not allowed; use 1 to 128 of the characters 0-9 A-Z a-z . _ : / @ + -",
            ));
        }
        Ok(Some(Self(text.to_owned())))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
