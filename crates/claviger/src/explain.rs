//! `claviger explain`.

use std::process::ExitCode;

use claviger_proto::v1::explain_access_response::Attribute;
use claviger_proto::v1::{ExplainAccessRequest, ExplainAccessResponse};

use crate::ask::Asking;
use crate::cli::Explain;
use crate::grants::listed;
use crate::output::{fields, show};
use crate::stop::{Stop, judged};

pub(crate) async fn explain(asking: &Asking, question: &Explain) -> Result<ExitCode, Stop> {
    let request = ExplainAccessRequest {
        principal: question.principal.clone().unwrap_or_default(),
        permission: question.permission.clone(),
        name: asking.resource(&question.resource)?,
        environment: asking.environment.clone(),
        purpose: question.purpose.clone().unwrap_or_default(),
    };
    let asked = [request.permission.clone(), request.name.clone()];
    let mut access = asking.client().await?.access();
    let answer = access.explain_access(request).await?.into_inner();
    show(asking.is_json, &answer, || explained(&asked, &answer))?;
    Ok(judged(answer.allowed))
}

fn explained([permission, resource]: &[String; 2], answer: &ExplainAccessResponse) -> String {
    let nearest = answer.nearest_grant.as_ref();
    let allowed = match (answer.allowed, nearest) {
        (true, _) => "yes".to_owned(),
        (false, None) => "no: no grant comes near".to_owned(),
        (false, Some(_)) => format!(
            "no: the nearest grant {}",
            failing(answer.failed_attribute())
        ),
    };
    let mut text = fields([
        ["principal", &answer.principal],
        ["permission", permission],
        ["resource", resource],
        ["allowed", &allowed],
    ]);
    if let Some(grant) = answer.grant.as_ref().or(nearest) {
        text.push('\n');
        text.push_str(&listed([grant]));
    }
    text
}

fn failing(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Unspecified => "does not allow it",
        Attribute::Environment => "is for another environment",
        Attribute::ExpireTime => "has ended",
        Attribute::Purpose => "is for another purpose",
        Attribute::Resource => "is for something else, or for what had that name before",
        Attribute::Role => "has a role that does not allow it",
    }
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::{Grant, Role};

    use super::*;

    #[test]
    fn an_answer_names_the_grant_or_what_fails() {
        let grant = Grant {
            principal: "unix:7".to_owned(),
            role: Role::Runner.into(),
            resource: "projects/acme".to_owned(),
            ..Default::default()
        };
        let mut answer = ExplainAccessResponse {
            principal: "unix:7".to_owned(),
            allowed: true,
            grant: Some(grant.clone()),
            ..Default::default()
        };
        let asked = ["secrets.get".to_owned(), "*".to_owned()];
        let told = explained(&asked, &answer);
        assert!(told.contains("allowed     yes\n"), "{told}");
        assert!(told.contains("RUNNER  projects/acme"), "{told}");

        answer.allowed = false;
        answer.grant = None;
        let told = explained(&asked, &answer);
        assert!(told.ends_with("no: no grant comes near\n"), "{told}");
        answer.nearest_grant = Some(grant);
        answer.failed_attribute = Attribute::ExpireTime.into();
        let told = explained(&asked, &answer);
        assert!(told.contains("no: the nearest grant has ended\n"), "{told}");
        assert!(told.contains("RUNNER  projects/acme"), "{told}");
    }
}
