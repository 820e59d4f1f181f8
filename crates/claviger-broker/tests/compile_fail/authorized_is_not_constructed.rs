use claviger_access::Authorized;

fn forge(true_one: Authorized) -> Authorized {
    Authorized { ..true_one } //~ E0451
}
