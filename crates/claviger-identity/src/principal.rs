//! Who a caller is, by its claims: one function per kind, from claims that do not change hands.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::kind::Kind;
use crate::refusal::Refusal;
use crate::settings::IdentitySettings;
use crate::token::Claims;
use claviger_core::spiffe_trust_domain;
use claviger_settings::is_uuid;

/// Longest claim that becomes part of a principal, before it is escaped.
const PART_BYTES_MAX: usize = 512;

/// Of other characters each byte is escaped, `/`, `#` and `*` among them: no part of a principal
/// looks like two, and only equal parts look the same.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b':')
    .remove(b'@');

/// The principal that genuine claims stand for: `oidc:<identity>#…`, or a SPIFFE id.
pub(crate) fn principal(
    name: &str,
    settings: &IdentitySettings,
    claims: &Claims,
) -> Result<String, Refusal> {
    let parts = match settings.kind {
        Kind::Aws => aws(claims)?,
        Kind::Azure => azure(claims, &settings.tenant)?,
        Kind::Generic => generic(claims)?,
        Kind::Github => github(claims)?,
        Kind::Google => vec![number(claims, "sub")?],
        Kind::Kubernetes => kubernetes(claims)?,
        Kind::Spiffe => return spiffe(claims, &settings.trust_domain),
    };
    let parts = parts
        .iter()
        .map(|part| utf8_percent_encode(part, ESCAPED).to_string());
    let parts: Vec<String> = parts.collect();
    Ok(format!("oidc:{name}#{}", parts.join("/")))
}

/// The role's ARN. The issuer is the account's own.
fn aws(claims: &Claims) -> Result<Vec<String>, Refusal> {
    let arn = part(claims, "sub")?;
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let is_role = match fields.as_slice() {
        ["arn", partition, "iam", "", account, resource] => {
            partition.starts_with("aws")
                && account.len() == 12
                && is_number(account)
                && resource.starts_with("role/")
        }
        _ => false,
    };
    is_role
        .then_some(vec![arn])
        .ok_or(Refusal::ClaimValue("sub"))
}

/// The tenant, which is ours, and the object's id in it: names and application ids are not enough.
fn azure(claims: &Claims, tenant: &str) -> Result<Vec<String>, Refusal> {
    if claims.text("ver")? != "2.0" {
        return Err(Refusal::ClaimValue("ver"));
    }
    let tid = claims.text("tid")?;
    if !tid.eq_ignore_ascii_case(tenant) {
        return Err(Refusal::ClaimValue("tid"));
    }
    let oid = claims.text("oid")?;
    if !is_uuid(oid) {
        return Err(Refusal::ClaimValue("oid"));
    }
    Ok(vec![tid.to_ascii_lowercase(), oid.to_ascii_lowercase()])
}

/// The subject. SECURITY: an issuer of clusters or repositories under another host's name has names in
/// `sub` that others can get; its tokens show that it has a kind of its own.
fn generic(claims: &Claims) -> Result<Vec<String>, Refusal> {
    let marks = ["kubernetes.io", "repository_id", "repository_owner_id"];
    let mark = marks.into_iter().find(|mark| claims.0.contains_key(*mark));
    match mark {
        Some(mark) => Err(Refusal::ClaimValue(mark)),
        None => Ok(vec![part(claims, "sub")?]),
    }
}

/// Owner and repository by id, and the environment or else the ref. SECURITY: never the text of
/// `sub`, in which a repository's name can be made to look like another one's id.
fn github(claims: &Claims) -> Result<Vec<String>, Refusal> {
    let owner = number(claims, "repository_owner_id")?;
    let repository = number(claims, "repository_id")?;
    let by = match claims.0.contains_key("environment") {
        true => "environment",
        false => "ref",
    };
    Ok(vec![owner, repository, by.to_owned(), part(claims, by)?])
}

/// Namespace, name and uid of the service account: one that is made again is another one.
fn kubernetes(claims: &Claims) -> Result<Vec<String>, Refusal> {
    const OWN: &str = "kubernetes.io";
    let own = claims.inner(OWN)?;
    let account = own.inner("serviceaccount")?;
    let (namespace, name) = (part(&own, "namespace")?, part(&account, "name")?);
    if claims.text("sub")? != format!("system:serviceaccount:{namespace}:{name}") {
        return Err(Refusal::ClaimValue("sub"));
    }
    Ok(vec![namespace, name, part(&account, "uid")?])
}

fn spiffe(claims: &Claims, trust_domain: &str) -> Result<String, Refusal> {
    let id = claims.text("sub")?;
    match spiffe_trust_domain(id) == Some(trust_domain) {
        true => Ok(id.to_owned()),
        false => Err(Refusal::ClaimValue("sub")),
    }
}

/// A claim that is not empty, and short.
fn part(claims: &Claims, name: &'static str) -> Result<String, Refusal> {
    let text = claims.text(name)?;
    match (1..=PART_BYTES_MAX).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err(Refusal::ClaimValue(name)),
    }
}

/// An id of digits, given as text.
fn number(claims: &Claims, name: &'static str) -> Result<String, Refusal> {
    let id = part(claims, name)?;
    match is_number(&id) {
        true => Ok(id),
        false => Err(Refusal::ClaimValue(name)),
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
