use std::collections::{BTreeMap, BTreeSet};

use claviger_proto::v1::check_secret_definition_response::Verdict;
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::{InspectVaultSecretResponse, SecretDefinition};

use super::ids::assign;
use super::place::{Place, Taken};
use super::walk::{Found, PROPERTIES_MAX, Walked, properties_of};

/// From this age on it is said that a value was not rotated: the days after which AWS's own control
/// SecretsManager.4 objects.
const DAYS_MAX: i64 = 90;

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Where the definitions are to be put.
pub(crate) struct Target {
    /// `projects/{id}`.
    pub(crate) project: String,
    pub(crate) vault: String,
    /// The one environment that they are for, if not for all.
    pub(crate) environment: String,
    /// The mode of keys that each environment takes that they are read in.
    pub(crate) modes: BTreeMap<String, StripeMode>,
}

/// A definition that would do.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) definition: SecretDefinition,
    pub(crate) inspection: InspectVaultSecretResponse,
    pub(crate) remarks: Vec<String>,
    pub(crate) is_registered: bool,
    /// Why the daemon did not take it.
    pub(crate) refusal: String,
}

/// A value that has no use as it is.
#[derive(Debug)]
pub(crate) struct LeftOut {
    pub(crate) place: Place,
    pub(crate) inspection: Option<InspectVaultSecretResponse>,
    pub(crate) reason: String,
}

/// What is made of a walk.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    pub(crate) proposed: Vec<Proposal>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) pointed_at: usize,
    pub(crate) ours: usize,
}

impl Proposals {
    pub(crate) fn of(walked: Walked, taken: &Taken, target: &Target) -> Self {
        let found = walked.found.iter().map(|found| &found.place);
        let places: BTreeSet<_> = found.chain(&walked.pointed_at).cloned().collect();
        let ids = assign(&places.iter().collect(), taken);
        let mut proposals = Self {
            pointed_at: walked.pointed_at.len(),
            ours: walked.ours,
            ..Self::default()
        };
        for Found { place, inspected } in walked.found {
            let fault = match &inspected {
                Ok(inspection) => target.fault(inspection),
                Err(refusal) => Some(refusal.clone()),
            };
            let id = ids.get(&place).cloned().unwrap_or_default();
            match (inspected, fault) {
                (Ok(inspection), None) => {
                    let remarks = remarks(&inspection);
                    let definition = target.definition(&id, &place, &inspection);
                    proposals.proposed.push(Proposal {
                        id,
                        place,
                        definition,
                        inspection,
                        remarks,
                        is_registered: false,
                        refusal: String::new(),
                    });
                }
                (inspected, fault) => proposals.left_out.push(LeftOut {
                    place,
                    inspection: inspected.ok(),
                    reason: fault.unwrap_or_default(),
                }),
            }
        }
        proposals
    }

    /// Remarks on each value that is elsewhere too: where definitions point at already, or earlier
    /// among what is proposed.
    pub(crate) fn remark_twins(&mut self, registered: &[Found]) {
        let mut first = BTreeMap::new();
        for Found { place, inspected } in registered {
            if let Ok(inspection) = inspected {
                first.entry(inspection.fingerprint.clone()).or_insert(place);
            }
        }
        for proposal in &mut self.proposed {
            let fingerprint = proposal.inspection.fingerprint.clone();
            if fingerprint.is_empty() {
                continue;
            }
            match first.get(&fingerprint) {
                Some(twin) => proposal.remarks.push(format!("same value as {twin}")),
                None => {
                    first.insert(fingerprint, &proposal.place);
                }
            }
        }
    }
}

impl Target {
    /// Why no job could use it as it is.
    fn fault(&self, inspection: &InspectVaultSecretResponse) -> Option<String> {
        let told = |verdict: &Verdict| format!("{} [{}]", verdict.message, verdict.reason);
        let (all, hidden) = (properties_of(inspection), inspection.hidden_properties);
        match (&inspection.format, &inspection.kind) {
            (Some(format), _) if !format.ok && all > PROPERTIES_MAX => Some(format!(
                "has {all} keys; register those that are meant with definition put --property"
            )),
            (Some(format), _) if !format.ok && hidden > 0 => Some(format!(
                "keys that are not written like names: {hidden}, which are not shown; register those that \
                are meant with definition put --property"
            )),
            (Some(format), _) if !format.ok => Some(told(format)),
            (_, Some(kind)) if !kind.ok => Some(told(kind)),
            _ => self.wrong_mode(inspection),
        }
    }

    fn wrong_mode(&self, inspection: &InspectVaultSecretResponse) -> Option<String> {
        let found = &inspection.stripe.as_ref()?.mode;
        let refuses = |mode: StripeMode| {
            mode != StripeMode::Unspecified && !found.is_empty() && mode.as_str_name() != found
        };
        let mut modes = self.modes.iter();
        let (environment, mode) = modes.find(|(_, mode)| refuses(**mode))?;
        let remedy = match self.environment.is_empty() {
            true => "; pass --environment to register it for one that takes it",
            false => "",
        };
        let (found, mode) = (found.to_lowercase(), mode.as_str_name());
        Some(format!(
            "this is a {found} key, and the environment {environment} demands {mode}{remedy} \
            [VALUE_WRONG_MODE]"
        ))
    }

    fn definition(
        &self,
        id: &str,
        place: &Place,
        inspection: &InspectVaultSecretResponse,
    ) -> SecretDefinition {
        let judged_as = inspection.judged_as();
        let kind = match judged_as == Kind::Unspecified {
            true => Kind::Opaque,
            false => judged_as,
        };
        let mut definition = SecretDefinition {
            name: format!("{}/secrets/{id}", self.project),
            kind: kind.into(),
            ..Default::default()
        };
        let location = place.location(&self.vault);
        match self.environment.is_empty() {
            true => definition.location = Some(location),
            false => {
                let environment = self.environment.clone();
                definition.environments.insert(environment, location);
            }
        }
        definition
    }
}

/// What deserves a look and keeps nobody from using it.
fn remarks(inspection: &InspectVaultSecretResponse) -> Vec<String> {
    let warnings = inspection.warnings.iter();
    let mut remarks: Vec<_> = warnings.map(|warning| warning.reason.clone()).collect();
    let days = days(inspection).filter(|days| *days > DAYS_MAX);
    remarks.extend(days.map(|days| format!("not rotated for {days} days")));
    remarks
}

/// The age of a value, where the vault says.
pub(crate) fn days(inspection: &InspectVaultSecretResponse) -> Option<i64> {
    let age = inspection.age.as_ref()?;
    Some(age.seconds / SECONDS_PER_DAY)
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::{StripeVerdict, Warning};
    use prost_types::Duration;

    use super::*;

    fn verdict(reason: &str) -> Option<Verdict> {
        Some(Verdict {
            ok: reason.is_empty(),
            reason: reason.to_owned(),
            message: "wrong".to_owned(),
        })
    }

    fn good() -> InspectVaultSecretResponse {
        InspectVaultSecretResponse {
            format: verdict(""),
            ..Default::default()
        }
    }

    fn key(mode: &str) -> InspectVaultSecretResponse {
        InspectVaultSecretResponse {
            kind: verdict(""),
            judged_as: Kind::StripeApiKey.into(),
            stripe: Some(StripeVerdict {
                mode: mode.to_owned(),
                ..Default::default()
            }),
            ..good()
        }
    }

    fn target(environment: &str, modes: &[(&str, StripeMode)]) -> Target {
        let modes = modes.iter().map(|&(id, mode)| (id.to_owned(), mode));
        Target {
            project: "projects/acme".to_owned(),
            vault: "aws-eu".to_owned(),
            environment: environment.to_owned(),
            modes: modes.collect(),
        }
    }

    fn proposals(found: &[(&str, InspectVaultSecretResponse)], target: &Target) -> Proposals {
        let found = found.iter().map(|(secret, inspection)| Found {
            place: Place::whole(secret),
            inspected: Ok(inspection.clone()),
        });
        let walked = Walked {
            found: found.collect(),
            ..Walked::default()
        };
        Proposals::of(walked, &Taken::default(), target)
    }

    #[test]
    fn what_no_job_could_use_is_left_out_with_the_reason() {
        let not_text = InspectVaultSecretResponse {
            format: verdict("VALUE_NOT_TEXT"),
            ..good()
        };
        let publishable = InspectVaultSecretResponse {
            kind: verdict("VALUE_WRONG_KIND"),
            ..key("TEST")
        };
        let hiding = InspectVaultSecretResponse {
            format: verdict("PROPERTY_REQUIRED"),
            properties: vec!["a".to_owned()],
            hidden_properties: 2,
            ..good()
        };
        let many = InspectVaultSecretResponse {
            properties: vec!["a".to_owned(); 19],
            ..hiding.clone()
        };
        for (inspection, reason) in [
            (not_text, "wrong [VALUE_NOT_TEXT]"),
            (publishable, "wrong [VALUE_WRONG_KIND]"),
            (hiding, "not written like names: 2"),
            (many, "has 21 keys"),
        ] {
            let found = proposals(&[("a", inspection)], &target("", &[]));
            let [left_out] = &found.left_out[..] else {
                panic!("{reason}: {found:?}");
            };
            assert!(left_out.reason.contains(reason), "{}", left_out.reason);
            assert!(found.proposed.is_empty(), "{reason}");
        }
    }

    #[test]
    fn a_key_is_of_the_mode_that_its_environments_demand() {
        use StripeMode::{Live, Test, Unspecified};
        let (dev, prod) = (("dev", Test), ("prod", Live));
        for (environment, modes, mode, is_left_out) in [
            ("", &[][..], "LIVE", false),
            ("dev", &[dev], "TEST", false),
            ("dev", &[dev], "LIVE", true),
            ("dev", &[dev], "", false),
            ("prod", &[prod], "LIVE", false),
            ("", &[dev, prod], "LIVE", true),
            ("", &[("any", Unspecified)], "LIVE", false),
        ] {
            let found = proposals(&[("a", key(mode))], &target(environment, modes));
            let left_out = found.left_out.first();
            assert_eq!(left_out.is_some(), is_left_out, "{environment} {mode}");
            if let Some(LeftOut { reason, .. }) = left_out {
                assert!(reason.contains("environment dev demands TEST"), "{reason}");
                let has_remedy = reason.contains("--environment");
                assert_eq!(has_remedy, environment.is_empty(), "{reason}");
            }
        }
    }

    #[test]
    fn a_definition_leads_to_the_place_in_all_environments_or_in_one() {
        let all = proposals(&[("a/b", key("LIVE"))], &target("", &[]));
        let definition = &all.proposed[0].definition;
        assert_eq!(definition.name, "projects/acme/secrets/a-b");
        assert_eq!(definition.kind(), Kind::StripeApiKey);
        let location = Some(Place::whole("a/b").location("aws-eu"));
        assert_eq!(definition.location, location);

        let one = proposals(&[("a/b", good())], &target("prod", &[]));
        let definition = &one.proposed[0].definition;
        assert_eq!(definition.kind(), Kind::Opaque);
        assert_eq!(definition.location, None);
        assert_eq!(definition.environments.get("prod"), location.as_ref());
    }

    #[test]
    fn what_deserves_a_look_is_remarked() {
        let days = |days: i64| {
            Some(Duration {
                seconds: days * SECONDS_PER_DAY,
                nanos: 0,
            })
        };
        let value = |fingerprint: &str, age: i64| InspectVaultSecretResponse {
            fingerprint: fingerprint.to_owned(),
            age: days(age),
            ..good()
        };
        let warned = InspectVaultSecretResponse {
            warnings: vec![Warning {
                reason: "FULL_SECRET_KEY".to_owned(),
                ..Default::default()
            }],
            ..good()
        };
        let mut found = proposals(
            &[
                ("a", value("1", 90)),
                ("b", value("1", 91)),
                ("c", value("", 0)),
                ("d", value("", 0)),
                ("e", warned),
                ("f", value("2", 0)),
            ],
            &target("", &[]),
        );
        found.remark_twins(&[Found {
            place: Place::whole("registered").property("key"),
            inspected: Ok(value("2", 0)),
        }]);
        let remarks = found.proposed.iter().map(|one| one.remarks.join(", "));
        let expected = [
            "",
            "not rotated for 91 days, same value as a",
            "",
            "",
            "FULL_SECRET_KEY",
            "same value as registered#key",
        ];
        assert_eq!(remarks.collect::<Vec<_>>(), expected);
    }
}
