//! `claviger definition export` and `apply`, and `claviger schema`: what a daemon keeps, as a file for
//! Git.
//!
//! A file goes the way of `document` (what is written), `items` (everything by full name), `plan`
//! (the difference) and `make` (the calls).

mod apply;
mod convert;
mod document;
mod items;
mod kept;
mod make;
mod parse;
mod place;
mod plan;
#[cfg(test)]
mod tests;
mod words;
mod write;

use std::process::ExitCode;

use claviger_proto::v1::GetProjectRequest;
use schemars::schema_for;

pub(crate) use apply::apply;
use document::Document;
use kept::Kept;
use write::{json, yaml};

use crate::ask::Asking;
use crate::output::{note, print};
use crate::stop::Stop;

pub(crate) async fn export(asking: &Asking) -> Result<ExitCode, Stop> {
    let client = asking.client().await?;
    let project = asking.named_project()?;
    if let Some(name) = &project {
        // One that is not there is said to be so.
        let request = GetProjectRequest { name: name.clone() };
        client.projects().get_project(request).await?;
    }
    let is_wanted = |id: &str| {
        let project = project.as_deref();
        project.is_none_or(|name| name.trim_start_matches("projects/") == id)
    };
    let kept = Kept::read(&client, is_wanted).await?;
    if let Some(message) = &kept.hidden_grants {
        note(&format!("the grants are left out: {message}"));
    }
    let mut document = Document::from(kept.for_file());
    if project.is_some() {
        document.grants.clear();
    }
    print(match asking.is_json {
        true => json(&document)?,
        false => yaml(&document)?,
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn schema() -> Result<ExitCode, Stop> {
    print(json(&schema_for!(Document))?)?;
    Ok(ExitCode::SUCCESS)
}
