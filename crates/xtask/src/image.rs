//! Makes the image that `deploy/kubernetes/` runs: an OCI layout from scratch, with one static program.
//!
//! No engine of containers is needed. What was made is looked into as a registry would get it, and
//! the daemon is started out of it, with nothing else beneath it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::context::{Context, Result, run};
use crate::tools;

/// No user of a host, and the one in the manifests.
const USER: &str = "65532:65532";

const PROGRAM: &str = "clavigerd";

/// The authorities that vaults are believed by: where Debian has them, and where they are looked for.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Makes and tries the image, from the build of a profile: `dist`, or the one that is named.
pub(crate) fn make(cx: &mut Context) -> Result {
    let profile = cx.extra.first().cloned();
    let program = build(cx, profile.as_deref().unwrap_or("dist"))?;
    let made = cx.target().join("image");
    let image = pack(&program, &made)?;
    check(&made, &layers(&made.join(PROGRAM))?)?;
    println!("{image}");
    Ok(())
}

/// Builds the daemon without anything that would have to be loaded at its start.
fn build(cx: &Context, profile: &str) -> Result<PathBuf> {
    // Named, so that the flag is not for what runs during the build.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let scope = ["build", "--profile", profile, "--target", &target];
    run(cx
        .cargo(&scope)
        .args(["-p", PROGRAM])
        .env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(cx.target().join(target).join(directory).join(PROGRAM))
}

/// Makes the layout in that directory, and returns its name for tools of OCI.
fn pack(program: &Path, made: &Path) -> Result<String> {
    if made.exists() {
        fs::remove_dir_all(made)?;
    }
    fs::create_dir_all(made)?;
    let layout = made.join(PROGRAM).display().to_string();
    let image = format!("{layout}:{}", env!("CARGO_PKG_VERSION"));
    let bundle = made.join("bundle");
    let umoci = tools::umoci()?;
    let umoci = |arguments: &[&str]| run(Command::new(&umoci).args(arguments));
    umoci(&["init", "--layout", &layout])?;
    umoci(&["new", "--image", &image])?;
    // Its `insert` is shorter, and leaves the end of the archive out (0.4.7).
    let content = bundle.display().to_string();
    umoci(&["unpack", "--rootless", "--image", &image, &content])?;
    fill(&bundle.join("rootfs"), program)?;
    umoci(&["repack", "--image", &image, &content])?;
    let entrypoint = format!("/{PROGRAM}");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = [
        ["--image", &image],
        ["--config.user", USER],
        ["--config.entrypoint", &entrypoint],
        ["--os", "linux"],
        ["--architecture", architecture],
    ];
    umoci(&[&["config"], config.as_flattened()].concat())?;
    Ok(image)
}

/// Puts the files of the image in their places.
fn fill(root: &Path, program: &Path) -> Result {
    let authorities = root.join(AUTHORITIES);
    fs::create_dir_all(authorities.parent().unwrap_or(root))?;
    fs::copy(Path::new("/").join(AUTHORITIES), authorities)?;
    fs::copy(program, root.join(PROGRAM))?;
    // Whatever the umask: the user in the image owns nothing of it.
    run(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(root))
}

/// The archives of an image, once its configuration is as it should be.
fn layers(layout: &Path) -> Result<Vec<PathBuf>> {
    let read = |file: PathBuf| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(file)?)?) };
    let blob = |described: Option<&Value>| {
        let digest = described.and_then(|described| described.get("digest")?.as_str());
        let digest = digest.unwrap_or_default().replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let index = read(layout.join("index.json"))?;
    let manifest = read(blob(index.pointer("/manifests/0")))?;
    let config = read(blob(manifest.get("config")))?;
    let user = config.pointer("/config/User");
    if user.and_then(Value::as_str) != Some(USER) {
        return Err(format!("the image runs as {user:?}").into());
    }
    let layers = manifest.get("layers").and_then(Value::as_array);
    Ok(layers
        .into_iter()
        .flatten()
        .map(|layer| blob(Some(layer)))
        .collect())
}

/// Refuses an image that has more than it should, or out of which the daemon does not start.
fn check(made: &Path, layers: &[PathBuf]) -> Result {
    let [layer] = layers else {
        return Err(format!("the image has {} layers", layers.len()).into());
    };
    let root = made.join("root");
    fs::create_dir_all(root.join("data"))?;
    fs::create_dir_all(root.join("dev"))?;
    let unpacked = Command::new("tar")
        .args(["-x", "-z", "-v", "--no-same-owner", "-f"])
        .arg(layer)
        .arg("-C")
        .arg(&root)
        .stderr(Stdio::inherit())
        .output()?;
    if !unpacked.status.success() {
        return Err("the image's archive is not whole".into());
    }
    let names = String::from_utf8(unpacked.stdout)?;
    let files = names.lines().filter(|name| root.join(name).is_file());
    let files: Vec<&str> = files.collect();
    if files != [PROGRAM, AUTHORITIES] {
        return Err(format!("the image holds {files:?}").into());
    }
    start(&root)
}

/// Starts the daemon with a root of its own, to which a runtime of containers adds the devices, and
/// waits until it serves.
fn start(root: &Path) -> Result {
    let script = "mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" \"$@\"";
    let mut daemon = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(root)
        .arg(format!("/{PROGRAM}"))
        .args(["--dev", "--data-dir", "/data/store"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/data")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("unshare cannot be started: {error}"))?;
    let mut ready = String::new();
    if let Some(stdout) = daemon.stdout.take() {
        BufReader::new(stdout).read_line(&mut ready)?;
    }
    daemon.kill().ok();
    daemon.wait()?;
    match ready.starts_with("clavigerd ready ") {
        true => Ok(()),
        false => Err("the daemon does not start out of the image".into()),
    }
}
