//! One vault: its secrets, their versions and the operations on them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use uuid::Uuid;

use crate::answers::{Outcome, Problem};
use crate::bundle::{Attributes, Bundle, Deletion, json};
use crate::call::{Call, Seen};
use crate::paging::page;

pub(crate) type Tags = BTreeMap<String, String>;

#[derive(Default)]
pub(crate) struct Vault {
    /// By name in lower case: names differ by more than that.
    secrets: BTreeMap<String, Secret>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) purges: usize,
}

pub(crate) struct Secret {
    /// As first written.
    name: String,
    pub(crate) versions: Vec<Version>,
    pub(crate) phase: Phase,
    pub(crate) deleted_at: i64,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Phase {
    Active,
    Deleted,
    /// For this many more requests.
    Deleting(usize),
    /// For this many more requests.
    Recovering(usize),
}

pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) value: String,
    pub(crate) tags: Option<Tags>,
    pub(crate) content_type: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires: Option<i64>,
    created: i64,
    updated: i64,
    pub(crate) is_managed: bool,
}

/// The body of a request to set or update; null means absent.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    value: Option<String>,
    content_type: Option<String>,
    tags: Option<Tags>,
    attributes: Option<AttributesChange>,
}

#[derive(Default, Deserialize)]
struct AttributesChange {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

/// How a body names its subject.
#[derive(Clone, Copy)]
enum Show {
    Properties,
    Value,
    WithoutVersion,
}

const VALUE_BYTES_MAX: usize = 25_600;
const RECOVERABLE_DAYS: i64 = 90;
const API_VERSIONS: &[&str] = &[
    "7.0",
    "7.1",
    "7.2",
    "7.3",
    "7.4",
    "7.5",
    "7.6",
    "2025-07-01",
    "2026-04-01",
];

impl Vault {
    /// Executes the request.
    pub(crate) fn execute(&mut self, call: &Call, transition_requests: usize) -> Outcome {
        let segments = call.segments();
        let segments = segments.iter().map(String::as_str).collect::<Vec<_>>();
        if let ["deletedsecrets", _] = segments.as_slice()
            && call.method == "DELETE"
        {
            self.purges += 1;
        }
        check_api_version(call)?;
        if let ["secrets" | "deletedsecrets", name, ..] = segments.as_slice() {
            check_name(name, call.method.as_str())?;
            if let Some(secret) = self.secrets.get_mut(&name.to_lowercase()) {
                secret.advance();
            }
        }
        match (call.method.as_str(), segments.as_slice()) {
            ("GET", ["secrets"]) => self.list(call, false),
            ("GET", ["deletedsecrets"]) => self.list(call, true),
            ("GET", ["secrets", name, "versions"]) => self.list_versions(call, name),
            ("GET", ["secrets", name]) => self.get(call, name, ""),
            ("GET", ["secrets", name, version]) => self.get(call, name, version),
            ("PUT", ["secrets", name]) => self.put(call, name),
            ("PATCH", ["secrets", name, version]) => self.patch(call, name, version),
            ("DELETE", ["secrets", name] | ["secrets", name, ""]) => {
                self.delete(call, name, transition_requests)
            }
            ("GET", ["deletedsecrets", name]) => self.get_deleted(call, name),
            ("DELETE", ["deletedsecrets", name]) => self.purge(name),
            ("POST", ["deletedsecrets", name, "recover"]) => {
                self.recover(call, name, transition_requests)
            }
            (method, ["secrets" | "deletedsecrets", ..]) => Err(method_not_allowed(method)),
            // Not recorded.
            (_, _) => Err(Problem::new(404, "NotFound", "Not found")),
        }
    }

    fn put(&mut self, call: &Call, name: &str) -> Outcome {
        let change = Change::read(call)?;
        // The text of neither refusal was recorded.
        let Some(value) = change.value.clone() else {
            return Err(Problem::bad_parameter("The parameter value is required."));
        };
        if value.len() > VALUE_BYTES_MAX {
            return Err(Problem::bad_parameter(
                "The secret value exceeds the maximum size of 25600 bytes.",
            ));
        }
        let secret = self.entry(name);
        match secret.phase {
            Phase::Active => {}
            Phase::Deleted => return Err(Problem::deleted_but_recoverable(&secret.name)),
            Phase::Deleting(_) => return Err(Problem::being_deleted()),
            Phase::Recovering(_) => return Err(being_recovered()),
        }
        if secret.versions.last().is_some_and(|last| last.is_managed) {
            return Err(managed());
        }
        let mut version = Version::new(value);
        version.apply(change);
        secret.versions.push(version);
        secret.newest(call, Show::Value)
    }

    fn get(&self, call: &Call, name: &str, version: &str) -> Outcome {
        let secret = self.active(name, version)?;
        let found = secret
            .version(version)
            .ok_or_else(|| unknown(name, version))?;
        if !found.enabled {
            return Err(Problem::disabled());
        }
        Ok(json(&secret.bundle(call, found, Show::Value)))
    }

    fn patch(&mut self, call: &Call, name: &str, version: &str) -> Outcome {
        self.active(name, version)?;
        let change = Change::read(call)?;
        let secret = self.entry(name);
        let position = match version {
            "" => secret.versions.len().checked_sub(1),
            _ => secret.versions.iter().position(|known| known.id == version),
        };
        let found = position
            .and_then(|position| secret.versions.get_mut(position))
            .ok_or_else(|| unknown(name, version))?;
        if found.is_managed {
            return Err(managed());
        }
        found.apply(change);
        found.updated = now();
        let id = found.id.clone();
        let found = secret.version(&id).expect("just found");
        Ok(json(&secret.bundle(call, found, Show::Properties)))
    }

    fn delete(&mut self, call: &Call, name: &str, transition_requests: usize) -> Outcome {
        let secret = self.known(name).ok_or_else(|| Problem::not_found(name))?;
        match secret.phase {
            Phase::Active => {}
            Phase::Deleting(_) => return Err(Problem::being_deleted()),
            Phase::Deleted => return Err(Problem::not_found(name)),
            Phase::Recovering(_) => return Err(being_recovered()),
        }
        secret.phase = Phase::Deleting(transition_requests);
        secret.deleted_at = now();
        secret.newest(call, Show::Properties)
    }

    fn get_deleted(&mut self, call: &Call, name: &str) -> Outcome {
        let secret = self
            .known(name)
            .filter(|secret| secret.phase == Phase::Deleted);
        let secret = secret.ok_or_else(|| Problem::deleted_not_found(name))?;
        if secret.versions.last().is_some_and(|last| !last.enabled) {
            return Err(Problem::disabled());
        }
        secret.newest(call, Show::Properties)
    }

    fn purge(&mut self, name: &str) -> Outcome {
        let phase = self.known(name).map(|secret| secret.phase);
        match phase {
            Some(Phase::Deleted) => {
                self.secrets.remove(&name.to_lowercase());
                Ok(Vec::new())
            }
            Some(Phase::Deleting(_)) => Err(Problem::being_deleted()),
            Some(Phase::Recovering(_)) => Err(being_recovered()),
            Some(Phase::Active) | None => Err(Problem::deleted_not_found(name)),
        }
    }

    fn recover(&mut self, call: &Call, name: &str, transition_requests: usize) -> Outcome {
        let unknown = || {
            let message = format!("Secret not found: {name}");
            Problem::new(404, "SecretNotFound", message)
        };
        let secret = self.known(name).ok_or_else(unknown)?;
        match secret.phase {
            Phase::Active => return Err(unknown()),
            Phase::Deleted => {}
            Phase::Deleting(_) => return Err(Problem::being_deleted()),
            Phase::Recovering(_) => return Err(being_recovered()),
        }
        secret.phase = Phase::Recovering(transition_requests);
        secret.newest(call, Show::Properties)
    }

    fn list(&self, call: &Call, is_deleted: bool) -> Outcome {
        let wanted = if is_deleted {
            Phase::Deleted
        } else {
            Phase::Active
        };
        let items = self
            .secrets
            .iter()
            .filter(|(_, secret)| secret.phase.settled() == wanted)
            .filter_map(|(key, secret)| {
                let last = secret.versions.last()?;
                let bundle = secret.bundle(call, last, Show::WithoutVersion);
                Some((key.clone(), bundle))
            });
        page(call, items)
    }

    fn list_versions(&self, call: &Call, name: &str) -> Outcome {
        let secret = self.active(name, "").ok();
        let versions = secret.into_iter().flat_map(|secret| {
            let versions = secret.versions.iter();
            let by_id = versions.map(|version| (version.id.clone(), version));
            by_id
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .map(|(id, version)| (id, secret.bundle(call, version, Show::Properties)))
        });
        page(call, versions)
    }

    fn active(&self, name: &str, version: &str) -> Result<&Secret, Problem> {
        self.secrets
            .get(&name.to_lowercase())
            .filter(|secret| secret.phase == Phase::Active)
            .ok_or_else(|| unknown(name, version))
    }

    pub(crate) fn known(&mut self, name: &str) -> Option<&mut Secret> {
        self.secrets.get_mut(&name.to_lowercase())
    }

    pub(crate) fn entry(&mut self, name: &str) -> &mut Secret {
        self.secrets
            .entry(name.to_lowercase())
            .or_insert_with(|| Secret {
                name: name.to_owned(),
                versions: Vec::new(),
                phase: Phase::Active,
                deleted_at: 0,
            })
    }
}

impl Phase {
    /// The state that a request which names no secret sees.
    fn settled(self) -> Self {
        match self {
            Self::Deleting(0) => Self::Deleted,
            Self::Recovering(0) => Self::Active,
            Self::Active | Self::Deleted | Self::Deleting(_) | Self::Recovering(_) => self,
        }
    }
}

impl Secret {
    /// Lets one more request pass by.
    fn advance(&mut self) {
        self.phase = match self.phase.settled() {
            Phase::Deleting(left) => Phase::Deleting(left - 1),
            Phase::Recovering(left) => Phase::Recovering(left - 1),
            settled @ (Phase::Active | Phase::Deleted) => settled,
        };
    }

    /// The newest for an empty id.
    fn version(&self, id: &str) -> Option<&Version> {
        if id.is_empty() {
            return self.versions.last();
        }
        self.versions.iter().find(|version| version.id == id)
    }

    fn newest(&self, call: &Call, show: Show) -> Outcome {
        let newest = self.versions.last().expect("no secret without a version");
        Ok(json(&self.bundle(call, newest, show)))
    }

    fn bundle<'a>(&'a self, call: &Call, version: &'a Version, show: Show) -> Bundle<'a> {
        let url = format!("https://{}", call.host);
        let mut id = format!("{url}/secrets/{}", self.name);
        match show {
            Show::Properties | Show::Value => id.extend(["/", &version.id]),
            Show::WithoutVersion => {}
        }
        let is_deleted = matches!(self.phase, Phase::Deleted | Phase::Deleting(_));
        Bundle {
            value: matches!(show, Show::Value).then_some(&version.value),
            deletion: is_deleted.then(|| Deletion {
                recovery_id: format!("{url}/deletedsecrets/{}", self.name),
                deleted_date: self.deleted_at,
                scheduled_purge_date: self.deleted_at + RECOVERABLE_DAYS * 86_400,
            }),
            content_type: version.content_type.as_deref(),
            id,
            managed: version.is_managed.then_some(true),
            attributes: Attributes {
                enabled: version.enabled,
                nbf: version.not_before,
                exp: version.expires,
                created: version.created,
                updated: version.updated,
                recovery_level: "Recoverable+Purgeable",
                recoverable_days: RECOVERABLE_DAYS,
            },
            tags: version.tags.as_ref(),
            kid: version
                .is_managed
                .then(|| format!("{url}/keys/{}/{}", self.name, version.id)),
        }
    }
}

impl Version {
    pub(crate) fn new(value: String) -> Self {
        let now = now();
        Self {
            id: Uuid::new_v4().simple().to_string(),
            value,
            tags: None,
            content_type: None,
            enabled: true,
            not_before: None,
            expires: None,
            created: now,
            updated: now,
            is_managed: false,
        }
    }

    /// Takes over the fields that are given.
    fn apply(&mut self, change: Change) {
        let attributes = change.attributes.unwrap_or_default();
        self.enabled = attributes.enabled.unwrap_or(self.enabled);
        self.not_before = attributes.nbf.or(self.not_before);
        self.expires = attributes.exp.or(self.expires);
        self.tags = change.tags.or(self.tags.take());
        self.content_type = change.content_type.or(self.content_type.take());
    }
}

impl Change {
    fn read(call: &Call) -> Result<Self, Problem> {
        // The text was not recorded.
        serde_json::from_slice(&call.body)
            .map_err(|_| Problem::bad_parameter("The request body is not valid JSON."))
    }
}

/// The answer to a bad one was not recorded.
fn check_api_version(call: &Call) -> Result<(), Problem> {
    let version = call.parameter("api-version").unwrap_or_default();
    if API_VERSIONS.contains(&version.as_str()) {
        return Ok(());
    }
    let message = format!("The specified version ({version}) is not recognized.");
    Err(Problem::bad_parameter(message))
}

fn check_name(name: &str, method: &str) -> Result<(), Problem> {
    if name.is_empty() {
        return Err(method_not_allowed(method));
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.len() <= 127 && name.bytes().all(is_allowed) {
        return Ok(());
    }
    let message = format!("The request URI contains an invalid name: {name}");
    Err(Problem::bad_parameter(message))
}

fn method_not_allowed(method: &str) -> Problem {
    Problem::new(
        405,
        "MethodNotAllowed",
        format!("HTTP {method} not allowed"),
    )
}

fn unknown(name: &str, version: &str) -> Problem {
    match version {
        "" => Problem::not_found(name),
        _ => Problem::not_found(&format!("{name}/{version}")),
    }
}

/// No recording of this one; the code is that of the vendor's list.
fn being_recovered() -> Problem {
    Problem::conflict(
        "ObjectIsBeingRecovered",
        "Secret is currently being recovered.",
    )
}

/// No recording of this one.
fn managed() -> Problem {
    let message = "Operation is not allowed on a secret that is managed by a certificate.";
    Problem::new(403, "Forbidden", message)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the times in a vault are Azure's, which no test of ours sets"
)]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("before the year 292277026596")
}
