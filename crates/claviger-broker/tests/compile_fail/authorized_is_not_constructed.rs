use claviger_access::{Authorized, Permission};

fn forge(permission: Permission) -> Authorized {
    Authorized { permission, ..todo!() } //~ E0451
}
