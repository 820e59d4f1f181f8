use claviger_access::Authorized;

fn keep(authorized: Authorized) -> [Authorized; 2] {
    [authorized.clone(), authorized] //~ E0599
}
