//! What `--dev` prepares so that the first call works.

use claviger_access::{Principal, Role, Scope};
use claviger_core::{Detail, Error, Id, ProjectName, Reason, Resource, Result, Uid};
use claviger_store::{Batch, Committed, Expect};

use crate::access::PrincipalGrants;
use crate::{Broker, NewGrant, Project, ProjectContent};

impl Broker {
    /// Makes `projects/dev`, without environments, and lets the daemon's own uid operate and read
    /// there. Runs before any listener is open, so no caller can be authorised; what exists stays.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub async fn prepare_dev(&self) -> Result<()> {
        let name = ProjectName::new(Id::from_static("dev"));
        if self.find_project(&name).await?.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        let project = Project {
            name: name.clone(),
            uid: Uid::random(),
            content: ProjectContent::default(),
            generation: 1,
            create_time: now,
            update_time: now,
        };
        let principal = Principal::Unix(self.first_admin);
        let record_id = PrincipalGrants::record_id(&principal);
        let stored = self.records.get::<PrincipalGrants>(&record_id).await?;
        let mut grants = stored
            .as_ref()
            .map(|s| (*s.record).clone())
            .unwrap_or_default();
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
            (grants, _) = grants.with(&principal, &new, scope)?;
        }
        let expect = stored.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision));
        let batch = Batch::new()
            .put(name.id().as_str(), &project, Expect::Absent)
            .put(&record_id, &grants, expect);
        match self.records.commit(batch).await? {
            Committed::At(_) => Ok(()),
            Committed::Conflict { .. } => {
                Err(Error::new(Reason::Conflict).with(Detail::Resource, &name))
            }
        }
    }
}
