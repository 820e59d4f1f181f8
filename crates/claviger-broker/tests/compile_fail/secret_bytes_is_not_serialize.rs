fn store(value: &claviger_core::SecretBytes) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok() //~ E0277
}
