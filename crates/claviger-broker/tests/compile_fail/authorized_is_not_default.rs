use claviger_access::Authorized;

fn forge() -> Authorized {
    Authorized::default() //~ E0599
}
