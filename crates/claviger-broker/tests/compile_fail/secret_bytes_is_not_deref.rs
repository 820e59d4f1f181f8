fn read(value: &claviger_core::SecretBytes) -> &[u8] {
    &**value //~ E0614
}
