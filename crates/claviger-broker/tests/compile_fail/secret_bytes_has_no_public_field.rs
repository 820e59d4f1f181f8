fn read(value: &claviger_core::SecretBytes) -> &[u8] {
    &value.0 //~ E0616
}
