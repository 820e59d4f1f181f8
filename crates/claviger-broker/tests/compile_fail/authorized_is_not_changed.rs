use claviger_access::{Authorized, Permission};

fn raise(authorized: &mut Authorized) {
    authorized.permission = Permission::SecretsGet; //~ E0616
}
