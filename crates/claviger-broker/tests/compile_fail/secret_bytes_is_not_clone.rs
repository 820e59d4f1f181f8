fn copy(value: claviger_core::SecretBytes) -> [claviger_core::SecretBytes; 2] {
    [value.clone(), value] //~ E0599
}
