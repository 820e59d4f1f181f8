fn show(value: &claviger_core::SecretBytes) {
    println!("{value}"); //~ E0277
}
