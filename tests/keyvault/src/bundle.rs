//! The bodies of answers about secrets.

use std::collections::BTreeMap;

use serde::Serialize;

/// Every body about one secret. The order of the fields is the recorded one; a field that a body
/// does not have is absent, never null.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bundle<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<&'a str>,
    #[serde(flatten)]
    pub(crate) deletion: Option<Deletion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<&'a str>,
    pub(crate) id: String,
    /// No answer with this one or `kid` was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) managed: Option<bool>,
    pub(crate) attributes: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deletion {
    pub(crate) recovery_id: String,
    pub(crate) deleted_date: i64,
    pub(crate) scheduled_purge_date: i64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attributes {
    pub(crate) enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exp: Option<i64>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) recovery_level: &'static str,
    pub(crate) recoverable_days: i64,
}

/// One page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<'a> {
    pub(crate) value: Vec<Bundle<'a>>,
    /// Null at the end, not absent.
    pub(crate) next_link: Option<String>,
}

pub(crate) fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers")
}
