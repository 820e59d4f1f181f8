use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use claviger_core::SecretBytes;
use tonic::metadata::{Ascii, MetadataValue};

/// A token as `CreateToken` answered it.
///
/// SECURITY: `Debug` does not show it, and HTTP/2 keeps it out of the tables of its compression.
#[derive(Clone, Debug)]
pub struct Token(MetadataValue<Ascii>);

impl Token {
    /// Takes a token with white space around it or without.
    ///
    /// # Errors
    /// If nothing is left, or characters that no token has.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::NotOne);
        }
        let header = format!("Bearer {text}");
        let mut header: MetadataValue<Ascii> = header.parse().map_err(|_| TokenError::NotOne)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// Reads a file that holds a token and nothing else.
    ///
    /// # Errors
    /// If it cannot be read, or does not hold one.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let path = || path.to_path_buf();
        let text = fs::read(path()).map_err(|cause| TokenError::Unreadable(path(), cause))?;
        let text = SecretBytes::new(text);
        let token = str::from_utf8(text.expose()).ok().map(Self::new);
        token
            .and_then(Result::ok)
            .ok_or_else(|| TokenError::NotIn(path()))
    }

    /// As it goes out.
    pub(crate) fn header(&self) -> &MetadataValue<Ascii> {
        &self.0
    }
}

/// Why there is no token. Nothing of the text that was given instead is in it.
#[derive(Debug)]
pub enum TokenError {
    /// The text that was given is not a token.
    NotOne,
    /// The file does not hold a token.
    NotIn(PathBuf),
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REMEDY: &str = "a token (clv_…) and nothing else";
        match self {
            Self::NotOne => write!(f, "this is not a token; give {REMEDY}"),
            Self::NotIn(path) => write!(f, "{} has to hold {REMEDY}", path.display()),
            Self::Unreadable(path, _) => write!(f, "{} cannot be read", path.display()),
        }
    }
}

impl StdError for TokenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NotOne | Self::NotIn(_) => None,
            Self::Unreadable(_, cause) => Some(cause),
        }
    }
}
