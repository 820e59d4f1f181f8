//! The stored form of a token.

use std::time::SystemTime;

use claviger_access::Scope;
use claviger_core::{Error, Id};
use claviger_store::Record;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::engine::forms::grants::{ScopeForm, principal};
use crate::model::token::{SpeaksAs, Token};

impl Record for Token {
    const KIND: &'static str = "tokens/";
    const FORM: u32 = 1;
}

#[derive(Deserialize, Serialize)]
struct TokenForm {
    hash: [u8; 32],
    description: String,
    create_time: SystemTime,
    expire_time: SystemTime,
    is_revoked: bool,
    scopes: Vec<ScopeForm>,
    /// A principal.
    #[serde(default)]
    made_by: Option<String>,
    #[serde(default)]
    speaks_as: Option<SpeaksAsForm>,
}

#[derive(Deserialize, Serialize)]
struct SpeaksAsForm {
    principal: String,
    identity: Id,
    /// A token without it is good for nothing.
    #[serde(default)]
    digest: [u8; 32],
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TokenForm {
            hash: self.hash,
            description: self.description.clone(),
            create_time: self.create_time,
            expire_time: self.expire_time,
            is_revoked: self.is_revoked,
            scopes: self.scopes.iter().map(ScopeForm::from).collect(),
            made_by: self.made_by.as_ref().map(ToString::to_string),
            speaks_as: self.speaks_as.as_ref().map(|other| SpeaksAsForm {
                principal: other.principal.to_string(),
                identity: other.identity.clone(),
                digest: other.digest,
            }),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = TokenForm::deserialize(deserializer)?;
        let made_by = form.made_by.as_deref().map(principal).transpose();
        let speaks_as = form.speaks_as.map(|form| {
            Ok::<_, Error>(SpeaksAs {
                principal: principal(&form.principal)?,
                identity: form.identity,
                digest: form.digest,
            })
        });
        Ok(Self {
            hash: form.hash,
            description: form.description,
            create_time: form.create_time,
            expire_time: form.expire_time,
            is_revoked: form.is_revoked,
            scopes: form.scopes.into_iter().map(Scope::from).collect(),
            made_by: made_by.map_err(de::Error::custom)?,
            speaks_as: speaks_as.transpose().map_err(de::Error::custom)?,
        })
    }
}
