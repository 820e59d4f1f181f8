fn compare(a: &claviger_core::SecretBytes, b: &claviger_core::SecretBytes) -> bool {
    *a == *b //~ E0369
}
