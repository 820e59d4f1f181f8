//! A compact JWT taken apart: what it says, none of it believed yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::json::{self, JsonFault};
use crate::refusal::Refusal;

/// Longest token: those of Entra with many groups stay below it.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Longest `kid`.
pub(crate) const KID_BYTES_MAX: usize = 256;

/// Longest text of a claim that is looked at. A SPIFFE id may have 2,048 bytes.
const CLAIM_BYTES_MAX: usize = 2048;

/// Members of a header that would have us take a key from the token, or obey rules that are not
/// ours.
const REFUSED: [&str; 5] = ["crit", "jku", "jwk", "x5c", "x5u"];

/// A token taken apart.
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    pub(crate) claims: Claims,
    /// The bytes that are signed.
    pub(crate) message: &'a [u8],
    /// In base64url.
    pub(crate) signature: &'a str,
}

impl<'a> Token<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let (message, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
        URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| Refusal::Malformed)?;
        let header = Claims(part(header)?);
        if let Some(name) = REFUSED
            .into_iter()
            .find(|name| header.0.contains_key(*name))
        {
            return Err(Refusal::Header(name));
        }
        let kid = header
            .text_if_there("kid")
            .map_err(|_| Refusal::Header("kid"))?;
        if kid.is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(Refusal::Header("kid"));
        }
        let typ = header
            .text_if_there("typ")
            .map_err(|_| Refusal::Header("typ"))?;
        // SECURITY: `none` is no algorithm that the library knows either.
        let algorithm = header.text("alg").map_err(|_| Refusal::Algorithm)?;
        Ok(Self {
            algorithm: algorithm.parse().map_err(|_| Refusal::Algorithm)?,
            kid: kid.map(str::to_owned),
            typ: typ.map(str::to_owned),
            claims: Claims(part(claims)?),
            message: message.as_bytes(),
            signature,
        })
    }
}

/// The object that a part of a token is.
fn part(text: &str) -> Result<Map<String, Value>, Refusal> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Refusal::Malformed)?;
    json::object(&bytes).map_err(|fault| match fault {
        JsonFault::Duplicate => Refusal::Duplicate,
        JsonFault::Malformed => Refusal::Malformed,
    })
}

/// Claims, each asked for with the type that it must have.
pub(crate) struct Claims(pub(crate) Map<String, Value>);

impl Claims {
    /// A text.
    pub(crate) fn text(&self, name: &'static str) -> Result<&str, Refusal> {
        self.text_if_there(name)?.ok_or(Refusal::ClaimMissing(name))
    }

    /// A text, if the claim is there: with any other type it is refused, never overlooked.
    pub(crate) fn text_if_there(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let text = value.as_str().filter(|text| text.len() <= CLAIM_BYTES_MAX);
        text.map(Some).ok_or(Refusal::ClaimType(name))
    }

    /// Whole seconds since 1970, if the claim is there.
    pub(crate) fn seconds_if_there(&self, name: &'static str) -> Result<Option<u64>, Refusal> {
        let value = self.0.get(name);
        let seconds = value.map(|value| value.as_u64().ok_or(Refusal::ClaimType(name)));
        seconds.transpose()
    }

    /// The claims in an object.
    pub(crate) fn inner(&self, name: &'static str) -> Result<Self, Refusal> {
        let value = self.0.get(name).ok_or(Refusal::ClaimMissing(name))?;
        let members = value.as_object().ok_or(Refusal::ClaimType(name))?;
        Ok(Self(members.clone()))
    }

    /// Whether `aud` is this text, or a list of texts with it.
    pub(crate) fn is_for(&self, audience: &str) -> Result<bool, Refusal> {
        const NAME: &str = "aud";
        match self.0.get(NAME).ok_or(Refusal::ClaimMissing(NAME))? {
            Value::String(text) => Ok(text == audience),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                Ok(items.iter().any(|item| item == audience))
            }
            Value::Array(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_) => Err(Refusal::ClaimType(NAME)),
        }
    }
}
