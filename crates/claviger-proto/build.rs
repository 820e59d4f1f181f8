//! Generates the gRPC code in pure Rust: no protoc on the machine.

use std::fs;
use std::path::PathBuf;

use prost::Message;
use prost_build::Config;

/// Messages that carry a value or a token: their `Debug` is written by hand in `src/redact.rs`.
const SECRET_MESSAGES: [&str; 7] = [
    "claviger.v1.ApiKeyAuth",
    "claviger.v1.CreateTokenResponse",
    "claviger.v1.ExchangeTokenResponse",
    "claviger.v1.GetSecretResponse",
    "claviger.v1.OauthAuth",
    "claviger.v1.Payload",
    "claviger.v1.ResolveConnectionResponse",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("claviger/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    println!("cargo:rerun-if-changed={}", root.display());

    let descriptors = protox::compile(&files, [&root])?;
    #[expect(
        clippy::disallowed_methods,
        reason = "how cargo talks to build scripts"
    )]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = Config::new();
    // By its name a message finds its descriptor, and with that its JSON.
    config.enable_type_names();
    tonic_prost_build::configure()
        // Much larger than its alternative.
        .boxed(".claviger.v1.BatchGetSecretsResponse.Result.answer.secret")
        .skip_debug(SECRET_MESSAGES)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
