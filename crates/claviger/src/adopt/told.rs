use claviger_proto::v1::InspectVaultSecretResponse;
use claviger_proto::v1::secret_definition::Kind;
use serde_json::{Value, json};

use super::proposals::{LeftOut, Proposal, Proposals, days};
use crate::output::{json_value, table};
use crate::stop::Stop;

/// For people.
pub(crate) fn text(proposals: &Proposals, is_applied: bool) -> String {
    let mut text = String::new();
    if !proposals.proposed.is_empty() {
        let head = [
            "ID", "SECRET", "PROPERTY", "VERDICT", "MODE", "LAST 4", "AGE", "REMARKS",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(proposals.proposed.iter().map(proposed));
        text += &(table(&rows) + "\n");
    }
    if !proposals.left_out.is_empty() {
        let mut rows = vec![["LEFT OUT", "PROPERTY", "REASON"].map(str::to_owned)];
        rows.extend(proposals.left_out.iter().map(left_out));
        text += &(table(&rows) + "\n");
    }
    text + &summary(proposals, is_applied) + "\n"
}

fn proposed(proposal: &Proposal) -> [String; 8] {
    let inspection = &proposal.inspection;
    let stripe = inspection.stripe.clone().unwrap_or_default();
    let refusal = (!proposal.refusal.is_empty()).then(|| format!("refused: {}", proposal.refusal));
    let remarks: Vec<_> = refusal
        .into_iter()
        .chain(proposal.remarks.clone())
        .collect();
    [
        proposal.id.clone(),
        proposal.place.secret.clone(),
        proposal.place.property.clone(),
        verdict(proposal.definition.kind(), &stripe.class),
        stripe.mode,
        stripe.last_four,
        age(inspection),
        remarks.join(", "),
    ]
}

/// What it is good for: its kind, and of a key which sort.
fn verdict(kind: Kind, class: &str) -> String {
    let kind = kind.as_str_name();
    match class {
        "" => kind.to_owned(),
        class => format!("{kind} {class}"),
    }
}

fn age(inspection: &InspectVaultSecretResponse) -> String {
    days(inspection).map_or_else(String::new, |days| format!("{days}d"))
}

fn left_out(left_out: &LeftOut) -> [String; 3] {
    [
        left_out.place.secret.clone(),
        left_out.place.property.clone(),
        left_out.reason.clone(),
    ]
}

fn summary(proposals: &Proposals, is_applied: bool) -> String {
    let proposed = &proposals.proposed;
    let all = proposed.len();
    let done = proposed.iter().filter(|one| one.is_registered).count();
    let mut parts = vec![match (all, is_applied) {
        (0, _) => "nothing to propose".to_owned(),
        (_, true) => format!("{done} of {all} registered"),
        (_, false) => format!("{all} proposed; --apply registers them"),
    }];
    for (count, rest) in [
        (proposals.left_out.len(), "left out"),
        (proposals.pointed_at, "with a definition already"),
        (proposals.ours, "made by Claviger"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {rest}"));
        }
    }
    parts.join("; ")
}

/// For programs.
pub(crate) fn document(proposals: &Proposals, vault: &str) -> Result<Value, Stop> {
    let proposed = proposals.proposed.iter().map(|proposal| {
        let refusal = Some(&proposal.refusal).filter(|refusal| !refusal.is_empty());
        Ok(object([
            ("definition", Some(json_value(&proposal.definition)?)),
            ("inspection", Some(json_value(&proposal.inspection)?)),
            ("remarks", Some(json!(proposal.remarks))),
            ("registered", Some(json!(proposal.is_registered))),
            ("refusal", refusal.map(|refusal| json!(refusal))),
        ]))
    });
    let left_out = proposals.left_out.iter().map(|left_out| {
        let location = left_out.place.location(vault);
        let inspection = left_out.inspection.as_ref().map(json_value).transpose()?;
        Ok(object([
            ("location", Some(json_value(&location)?)),
            ("inspection", inspection),
            ("reason", Some(json!(left_out.reason))),
        ]))
    });
    Ok(json!({
        "proposals": proposed.collect::<Result<Vec<_>, Stop>>()?,
        "leftOut": left_out.collect::<Result<Vec<_>, Stop>>()?,
        "skipped": { "pointedAt": proposals.pointed_at, "ours": proposals.ours },
    }))
}

/// As in the proto's JSON, what is not set is left out.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let set = members.into_iter();
    set.filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::{SecretDefinition, StripeVerdict};

    use super::*;
    use crate::adopt::place::Place;

    fn proposals() -> Proposals {
        let inspection = InspectVaultSecretResponse {
            judged_as: Kind::StripeApiKey.into(),
            stripe: Some(StripeVerdict {
                class: "RESTRICTED".to_owned(),
                mode: "LIVE".to_owned(),
                last_four: "Yv42".to_owned(),
            }),
            age: Some(prost_types::Duration {
                seconds: 86_400,
                nanos: 0,
            }),
            ..Default::default()
        };
        Proposals {
            proposed: vec![Proposal {
                id: "prod-stripe".to_owned(),
                place: Place::whole("prod/stripe").property("key"),
                definition: SecretDefinition {
                    kind: Kind::StripeApiKey.into(),
                    ..Default::default()
                },
                inspection,
                remarks: vec!["same as \u{1b}鍵".to_owned()],
                is_registered: true,
                refusal: String::new(),
            }],
            left_out: vec![LeftOut {
                place: Place::whole("prod/pk"),
                inspection: None,
                reason: "no".to_owned(),
            }],
            pointed_at: 2,
            ours: 0,
        }
    }

    #[test]
    fn what_is_proposed_and_left_out_is_told_in_tables() {
        let expected = "\
            ID           SECRET       PROPERTY  VERDICT                    MODE  LAST 4  AGE  REMARKS\n\
            prod-stripe  prod/stripe  key       STRIPE_API_KEY RESTRICTED  LIVE  Yv42    1d   same as ?鍵\n\
            \n\
            LEFT OUT  PROPERTY  REASON\n\
            prod/pk             no\n\
            \n\
            1 of 1 registered; 1 left out; 2 with a definition already\n";
        assert_eq!(text(&proposals(), true), expected);
        let nothing = text(&Proposals::default(), true);
        assert_eq!(nothing, "nothing to propose\n");
        let told = text(&proposals(), false);
        assert!(
            told.contains("1 proposed; --apply registers them; "),
            "{told}"
        );
    }

    #[test]
    fn json_has_the_messages_of_the_calls() {
        let document = document(&proposals(), "aws-eu").unwrap();
        assert_eq!(
            document["proposals"][0]["inspection"]["judgedAs"],
            "STRIPE_API_KEY"
        );
        let location = json!({ "vault": "aws-eu", "secret": "prod/pk" });
        assert_eq!(document["leftOut"][0]["location"], location);
        assert_eq!(document["leftOut"][0].get("inspection"), None);
        assert_eq!(document["proposals"][0].get("refusal"), None);
        assert_eq!(document["skipped"], json!({ "pointedAt": 2, "ours": 0 }));
    }
}
