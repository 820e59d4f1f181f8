use claviger_access::{Granted, Permission};

fn forge(permission: Permission) -> Granted {
    Granted { permission, ..todo!() } //~ E0451
}
