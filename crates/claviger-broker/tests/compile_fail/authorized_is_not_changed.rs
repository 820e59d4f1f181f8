use claviger_access::Authorized;

fn raise(authorized: &mut Authorized) {
    authorized.changes = u64::MAX; //~ E0616
}
