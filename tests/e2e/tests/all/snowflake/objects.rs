//! Real `SECRET` objects: programs inside Snowflake can use them, and Claviger reads them back only
//! where it was told how.

use claviger_e2e::{assert_refused, seen};

use crate::caller::assert_told;
use crate::peers::{OBJECTS, Snowflake, objects};
use crate::stage::{Peer, SECRET, Stage, VAULT};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_creates_a_real_secret_with_grants_that_only_snowflake_reads() {
    let peer = Box::new(Snowflake::start(OBJECTS));
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let created = caller
        .created("stripe", peer.place("acme.Stripe"), "rk_1")
        .await;
    assert_eq!(created.warnings, []);
    assert_eq!(peer.value("acme.Stripe").as_deref(), Some("rk_1"));
    let schema = peer.fake.schema();
    let grants = peer.fake.grants(schema, "acme.Stripe");
    let granted = grants.iter().map(|grant| grant.privilege.as_str());
    assert_eq!(granted.collect::<Vec<_>>(), ["READ", "USAGE"]);
    let application = peer.fake.application();
    assert!(grants.iter().all(|grant| grant.grantee == application));

    let name = peer.fake.qualified(schema, "acme.Stripe");
    let refused = assert_told(caller.text("stripe").await, "VALUE_NOT_READABLE", &name);
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(!seen(&refused).contains("rk_1"), "{refused:?}");
    let pinned = caller.get("stripe", &created.version).await;
    let refused = assert_refused(pinned, "VALUE_NOT_READABLE");
    for words in [VAULT, "reader = \"procedure\""] {
        assert!(refused.message().contains(words), "{refused:?}");
    }
    let existence = caller.check("stripe").await.existence.expect("looked at");
    let told = (existence.ok, existence.reason.as_str());
    assert_eq!(told, (false, "VALUE_NOT_READABLE"));
    assert!(existence.message.contains(&name), "{existence:?}");

    let rotated = caller.store("stripe", "rk_2").await.expect("rotated");
    assert_eq!(rotated.warnings, []);
    assert_eq!(peer.value("acme.Stripe").as_deref(), Some("rk_2"));
    assert_eq!(peer.fake.grants(schema, "acme.Stripe"), grants);
    assert_eq!(peer.fake.statements("OR REPLACE SECRET"), 0);
    assert!(caller.check_vault(VAULT).await.ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_of_somebody_else_is_adopted_with_one_procedure_or_left_alone() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(objects())).await;
    peer.set(SECRET, "rk_theirs");
    caller.registered("s", peer.place(SECRET)).await;
    assert_told(
        caller.text("s").await,
        "VALUE_NOT_READABLE",
        "reader procedure",
    );
    assert_refused(caller.store("s", "rk_ours").await, "SECRET_NOT_OWNED");
    assert_eq!(peer.value(SECRET).as_deref(), Some("rk_theirs"));
    caller.adopt("s", "rk_ours").await.expect("adopted");
    assert_eq!(caller.text("s").await.expect("read"), "rk_ours");
    let procedures = peer.fake.procedure_names(peer.fake.readers_schema());
    assert_eq!(
        procedures.len(),
        1,
        "one secret, one procedure: {procedures:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_access_schema_has_the_grant_for_the_administrator_in_the_reply() {
    let peer = Box::new(Snowflake::start(OBJECTS));
    let schema = peer.fake.managed_schema();
    let config = peer.vault_with(VAULT, "", &format!("{OBJECTS}\nschema = {schema:?}"));
    let Stage { caller, peer, .. } = &Stage::start_with(peer, &config).await;
    let created = caller.create("stripe", peer.place("acme"), "rk_1").await;
    let created = created.expect("stored all the same");
    let rotated = caller.store("stripe", "rk_2").await;
    let rotated = rotated.expect("stored all the same");
    assert_eq!(peer.fake.secret(schema, "acme").as_deref(), Some("rk_2"));
    let (secret, application) = (peer.fake.qualified(schema, "acme"), peer.fake.application());
    let grant = format!("GRANT USAGE, READ ON SECRET {secret} TO APPLICATION \"{application}\"");
    for warnings in [created.warnings, rotated.warnings] {
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert_eq!(warning.reason, "GRANT_MISSING");
        assert!(warning.message.contains(&grant), "{warning:?}");
    }
    peer.fake.console(&grant);
    assert_eq!(
        peer.fake.grants(schema, "acme").len(),
        2,
        "it works as it is"
    );
}
