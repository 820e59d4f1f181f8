use claviger_access::Call;
use claviger_audit::Audit;

async fn write(audit: &Audit, call: &Call) {
    audit.intent(call, claviger_audit::Facts::default()).await.ok(); //~ E0308
}
