//! What `--dev` prepares so that the first call works.

use claviger_access::{Role, Scope};
use claviger_core::{Id, ProjectName, Resource, Result, Uid};

use crate::broker::Broker;
use crate::model::grants::{Grants, NewGrant};
use crate::model::project::{Project, ProjectContent};

impl Broker {
    /// Makes `projects/dev`, without environments, and lets the daemon's own uid operate and read
    /// there. Runs before any listener is open; what exists stays.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub async fn prepare_dev(&self) -> Result<()> {
        let name = ProjectName::new(Id::from_static("dev"));
        let now = self.catalog.now();
        let project = Project {
            name: name.clone(),
            uid: Uid::random(),
            content: ProjectContent::default(),
            generation: 1,
            create_time: now,
            update_time: now,
        };
        let with = |mut grants: Grants| {
            for role in [Role::Operator, Role::Runner] {
                let scope = Scope::Project {
                    name: name.clone(),
                    uid: project.uid,
                };
                let new = NewGrant {
                    role,
                    resource: Resource::Project(name.clone()),
                    environment: None,
                    expire_time: None,
                    purpose: None,
                };
                (grants, _) = grants.with(&new, scope, None)?;
            }
            Ok(grants)
        };
        self.catalog.seed(&project, with).await
    }
}
