//! A log in memory that fails on demand, and calls to write down.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use claviger_access::{
    Authorized, Authorizer, Call, Caller, Directory, Grant, Label, Permission, Principal, Proof,
    Resolved, Role, Rpc, Scope,
};
use claviger_audit::{Audit, Flush, Sink};
use claviger_core::{Clock, DefinitionName, Id, ManualClock, Resource, Result, Uid};

pub(crate) const DEFINITION: &str = "projects/dev/secrets/stripe";

static RPC: Rpc = Rpc {
    name: "claviger.v1.SecretService/GetSecret",
    permissions: &[Permission::SecretsGet],
    is_audited: true,
    has_request_id: false,
};

/// The bytes that a memory sink holds, and the calls it got.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    /// `append` and `sync`, in the order they came.
    pub(crate) steps: Vec<&'static str>,
    pub(crate) is_full: bool,
}

#[derive(Clone, Default)]
pub(crate) struct MemorySink(Arc<Mutex<Disk>>);

impl MemorySink {
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0
            .lock()
            .expect("no test panics while it holds the disk")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.disk().bytes.clone()).expect("text")
    }

    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        lines(&self.text())
    }

    /// Those lines that are about calls.
    pub(crate) fn calls(&self) -> Vec<serde_json::Value> {
        let mut lines = self.lines();
        lines.retain(|line| line.get("call").is_some());
        lines
    }
}

impl Sink for MemorySink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.steps.push("append");
        if disk.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<Flush> {
        let sink = self.clone();
        Ok(Box::new(move || {
            sink.disk().steps.push("sync");
            Ok(())
        }))
    }
}

pub(crate) fn lines(text: &str) -> Vec<serde_json::Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    manual_clock()
}

pub(crate) fn manual_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Duration::from_secs(1_795_320_000)))
}

pub(crate) fn memory_audit() -> (Arc<Audit>, MemorySink) {
    let sink = MemorySink::default();
    let audit = Audit::with_sink(Box::new(sink.clone()), clock()).expect("opens");
    (audit, sink)
}

/// One definition; user 0 may read it, user 2 has a grant that does not help, the others have none,
/// and about one of them it never finds out.
struct OneGrant;

/// The uid of that other one.
pub(crate) const UNHEARD: u32 = 99;

impl Directory for OneGrant {
    type Found = ();

    async fn grants(&self, principal: &Principal) -> Result<Arc<Vec<Grant>>> {
        if *principal == Principal::Unix(UNHEARD) {
            std::future::pending::<()>().await;
        }
        let grant = Grant {
            id: Id::from_static("grant-1"),
            role: if *principal == Principal::Unix(0) {
                Role::Runner
            } else {
                Role::Auditor
            },
            scope: Scope::Daemon,
            environment: None,
            expire_time: None,
            purpose: None,
            made_by: None,
        };
        let is_holder = [0, 2].map(Principal::Unix).contains(principal);
        Ok(Arc::new(if is_holder { vec![grant] } else { Vec::new() }))
    }

    async fn check_token(&self, _: &Caller) -> Result<()> {
        Ok(())
    }

    fn changes(&self) -> u64 {
        0
    }

    async fn resolve(&self, _: &Resource) -> Result<(Resolved, ())> {
        let resolved = Resolved {
            project: Some(Uid::random()),
            definition: Some(Uid::random()),
            profile: None,
        };
        Ok((resolved, ()))
    }
}

/// Asks for `secrets.get` on the definition as a Unix user; user 0 may.
pub(crate) async fn authorize(audit: &Arc<Audit>, uid: u32) -> Result<Authorized> {
    authorize_on(audit, uid, DEFINITION).await
}

/// The same on another definition.
pub(crate) async fn authorize_on(
    audit: &Arc<Audit>,
    uid: u32,
    definition: &str,
) -> Result<Authorized> {
    let call = Arc::new(Call {
        id: Uid::random(),
        caller: Caller {
            principal: Principal::Unix(uid),
            proof: Proof::Uid,
            expire_time: None,
        },
        rpc: &RPC,
        run_id: Label::parse("run_id", "run-7").expect("valid"),
        purpose: Label::parse("purpose", "nightly/sync").expect("valid"),
        options: vec!["adopt"],
    });
    let name = DefinitionName::parse("name", definition).expect("valid");
    Authorizer::new(audit.clone(), clock())
        .authorize(
            &OneGrant,
            &call,
            &[Permission::SecretsGet],
            Resource::Definition(name),
            Some(Id::from_static("prod")),
        )
        .await
        .map(|(authorized, ())| authorized)
}

/// Waits until the records of the start have reached the disk: no other sync is due then.
pub(crate) async fn until_the_start_is_synced(audit: &Audit) {
    let mut synced = audit.watch_synced();
    let start = synced.wait_for(|synced| synced.mark.seq > 0).await;
    drop(start.expect("until dropped"));
}
