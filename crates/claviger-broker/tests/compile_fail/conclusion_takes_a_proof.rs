use claviger_access::Call;
use claviger_audit::{Audit, Facts};

async fn serve(audit: &Audit, call: Call) {
    audit.conclude(call, Ok(()), |()| Facts::default()).await.ok(); //~ E0308
}
