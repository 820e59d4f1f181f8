use claviger_access::Authorized;

fn forge(text: &str) -> Option<Authorized> {
    serde_json::from_str(text).ok() //~ E0277
}
