//! The profiles of a project, page by page.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_core::{ProjectName, Reason, Result};

use super::ProfileView;
use crate::broker::Broker;
use crate::definitions::list::LabelFilter;
use crate::engine::found::{Asked, OnProject};
use crate::model::page::{Page, PageRequest};
use crate::model::profile::{Adapter, Profile};

/// Which profiles a listing shows.
#[derive(Clone, Debug, Default)]
pub struct ProfileFilter {
    /// Only for this external system.
    pub adapter: Option<Adapter>,
    /// Only with an install in this state, as it is named on the wire.
    pub state: Option<&'static str>,
    /// Only with this label.
    pub label: Option<LabelFilter>,
    /// Soft-deleted ones too.
    pub is_showing_deleted: bool,
}

impl ProfileFilter {
    fn matches(&self, profile: &Profile) -> bool {
        let content = &profile.content;
        (self.is_showing_deleted || profile.delete_time.is_none())
            && self
                .adapter
                .is_none_or(|adapter| content.adapter == adapter)
            && self
                .label
                .as_ref()
                .is_none_or(|label| label.matches(&content.labels))
    }

    fn matches_state(&self, view: &ProfileView) -> bool {
        let state = view.install.as_ref().map(|install| install.state.as_str());
        self.state.is_none() || state == self.state
    }
}

impl Broker {
    /// Lists a project's profiles.
    ///
    /// # Errors
    /// See the RPC `ListConnectionProfiles`.
    pub async fn list_profiles(
        &self,
        call: &Arc<Call>,
        parent: &ProjectName,
        filter: &ProfileFilter,
        request: &PageRequest,
    ) -> Result<Page<ProfileView>> {
        let permission = Permission::ProfilesGet;
        let asked = self.catalog.ask_project(call, permission, parent).await?;
        let result = self.list_profiles_asked(&asked, filter, request).await;
        self.decided(asked, result).await
    }

    async fn list_profiles_asked(
        &self,
        asked: &Asked<OnProject>,
        filter: &ProfileFilter,
        request: &PageRequest,
    ) -> Result<Page<ProfileView>> {
        let project = &asked.found.project()?.record;
        let prefix = format!("{}/", project.name.id());
        let of = [project.uid.to_string()];
        let listing = self.catalog.listing(&asked.proof, of);
        let after = listing.after(request)?;
        let scanned = self
            .catalog
            .scan::<Profile>(&asked.proof, &prefix, after.as_deref(), request.size)
            .await?;
        let page = listing.page(scanned, request);
        let mut items = Vec::new();
        for (token, stored) in page.items {
            if !filter.matches(&stored.record) {
                continue;
            }
            match self.viewed(&asked.proof, (*stored.record).clone()).await {
                Ok(view) if filter.matches_state(&view) => items.push((token, view)),
                Ok(_) => {}
                Err(error) if error.reason() == Reason::ProfileNotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Page {
            items,
            next: page.next,
        })
    }
}
