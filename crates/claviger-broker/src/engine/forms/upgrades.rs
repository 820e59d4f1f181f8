//! How the records of a store of format 1 become those of today.

use std::time::SystemTime;

use claviger_access::Grant;
use claviger_core::{Error, Id, Reason, Result};
use claviger_store::{OldRecord, Record, Upgrade, Upgraded};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::engine::forms::grants::{GrantForm, principal};
use crate::engine::forms::pending::PendingPointer;
use crate::engine::forms::request::WarningForm;
use crate::model::answer::{Answer, Subject};
use crate::model::definition::Definition;
use crate::model::grants::Grants;
use crate::model::project::Project;
use crate::model::request::{Request, RequestState};
use crate::model::token::Token;
use crate::model::warning::Warning;

/// The upgrades of the broker's records.
pub const UPGRADES: [Upgrade; 6] = [
    Upgrade::of::<OldDefinition>(),
    Upgrade::of::<OldGrants>(),
    Upgrade::of::<OldRequest>(),
    Upgrade::unchanged::<PendingPointer>(),
    Upgrade::unchanged::<Project>(),
    Upgrade::unchanged::<Token>(),
];

/// A definition that named what a document was merged into by its version alone.
struct OldDefinition(Definition);

impl<'de> Deserialize<'de> for OldDefinition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut form = Value::deserialize(deserializer)?;
        let places = form.get_mut("places").and_then(Value::as_object_mut);
        for place in places.into_iter().flat_map(|places| places.values_mut()) {
            if let Some(base) = place.pointer_mut("/pending/base").filter(|b| b.is_string()) {
                *base = json!({ "version": base });
            }
        }
        let definition = Definition::deserialize(form);
        definition.map(Self).map_err(serde::de::Error::custom)
    }
}

impl OldRecord for OldDefinition {
    const KIND: &'static str = Definition::KIND;

    fn upgrade(self, id: &str) -> Result<Vec<Upgraded>> {
        Ok(vec![Upgraded::new(id, &self.0)?])
    }
}

/// Grants that were found by their principal's spelling, and named by it.
#[derive(Deserialize)]
struct OldGrants {
    grants: Vec<GrantForm>,
    next: u64,
}

impl OldRecord for OldGrants {
    const KIND: &'static str = Grants::KIND;

    fn upgrade(self, id: &str) -> Result<Vec<Upgraded>> {
        let principal = principal(&id.replacen('-', ":", 1))?;
        let key = Grants::key(&principal);
        let renamed = |form: GrantForm| {
            let number = form.id.as_str().rsplit_once('-');
            let (_, number) = number.ok_or_else(|| Error::new(Reason::IntegrityFailure))?;
            let id = Id::parse("grant", &format!("{key}-{number}"))?;
            Ok(Grant {
                id,
                ..Grant::try_from(form)?
            })
        };
        let grants = self.grants.into_iter().map(renamed);
        let record = Grants {
            principal,
            grants: grants.collect::<Result<Vec<_>>>()?.into(),
            next: self.next,
        };
        Ok(vec![Upgraded::new(&key, &record)?])
    }
}

/// A request whose answer had the fields of the RPC's reply.
#[derive(Deserialize)]
struct OldRequest {
    mac: [u8; 32],
    expire_time: SystemTime,
    answer: OldAnswer,
    is_finished: bool,
    #[serde(default)]
    has_overwritten: bool,
}

#[derive(Deserialize)]
struct OldAnswer {
    definition: Option<OldDefinition>,
    vault: Option<Id>,
    version: Option<Id>,
    warnings: Vec<WarningForm>,
}

impl OldRecord for OldRequest {
    const KIND: &'static str = Request::KIND;

    fn upgrade(self, id: &str) -> Result<Vec<Upgraded>> {
        let OldAnswer {
            definition,
            vault,
            version,
            warnings,
        } = self.answer;
        let subject = match (definition, vault) {
            (Some(OldDefinition(definition)), _) => Subject::Definition(Box::new(definition)),
            (None, Some(vault)) => Subject::Value(vault),
            (None, None) => return Err(Error::new(Reason::IntegrityFailure)),
        };
        let state = match (self.has_overwritten, self.is_finished) {
            (true, _) => RequestState::Overwritten,
            (false, true) => RequestState::Finished,
            (false, false) => RequestState::Begun,
        };
        let request = Request {
            mac: self.mac,
            expire_time: self.expire_time,
            state,
            answer: Answer {
                subject,
                version,
                warnings: warnings.into_iter().map(Warning::from).collect(),
            },
        };
        Ok(vec![Upgraded::new(id, &request)?])
    }
}
