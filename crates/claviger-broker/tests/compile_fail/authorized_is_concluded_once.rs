use claviger_access::Authorized;
use claviger_audit::{Audit, Facts};

async fn serve_twice(audit: &Audit, authorized: Authorized) {
    let facts = |_: &()| Facts::default();
    audit.conclude(authorized, Ok(()), facts).await.ok();
    audit.conclude(authorized, Ok(()), facts).await.ok(); //~ E0382
}
