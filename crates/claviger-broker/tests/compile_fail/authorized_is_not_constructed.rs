use claviger_access::Authorized;

fn forge(changes: u64) -> Authorized {
    Authorized { changes, ..todo!() } //~ E0451
}
