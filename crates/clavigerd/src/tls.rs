//! The files that TLS is spoken with: read at the start, looked at every few seconds, and taken
//! over as a whole or not at all.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use claviger_api::serve::{Credentials, Tls};
use claviger_core::Clock;
use claviger_identity::{Bundle, BundleFile, Bundles, CertificateDer, PrivateKeyDer, pem};
use claviger_seal::sha256;

use crate::config::{BundleFiles, TlsConfig};
use crate::owner;

/// More than any chain, key, bundle or revocation list that a connection should wait for.
const LEN_MAX: u64 = 4 * 1024 * 1024;

/// The bits of a mode by which anybody may read.
const WORLD_READ: u32 = 0o004;

/// TLS with its files.
#[derive(Debug)]
pub struct TlsFiles {
    tls: Arc<Tls>,
    files: Files,
    /// What was found when they were last looked at.
    seen: Mutex<Result<Mark, Fault>>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    private_key: PathBuf,
    bundles: Vec<BundleFiles>,
}

/// Stands for the contents of all files.
type Mark = Vec<[u8; 32]>;

/// The contents, in one order.
struct Contents {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    bundles: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The setting that leads to the fault, its file, and the remedy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault(String);

impl Fault {
    fn new(key: impl fmt::Display, path: &Path, remedy: impl fmt::Display) -> Self {
        Self(format!("{key} {}: {remedy}", path.display()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TlsFiles {
    /// Reads the files for the first time.
    pub(crate) fn open(
        config: &TlsConfig,
        bundles: &[BundleFiles],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Fault> {
        let files = Files {
            certificate: config.certificate_file.clone(),
            private_key: config.private_key_file.clone(),
            bundles: bundles.to_vec(),
        };
        let contents = files.read()?;
        let seen = Mutex::new(Ok(contents.mark()));
        let credentials = files.parse(&contents)?;
        let tls = Tls::new(config.options, credentials, clock)
            .map_err(|remedy| files.pair_fault(remedy))?;
        Ok(Self {
            tls: Arc::new(tls),
            files,
            seen,
        })
    }

    /// What the listener speaks.
    pub(crate) fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// Looks at the files, and takes them over if they have changed and are right.
    pub fn look(&self) {
        let contents = self.files.read();
        let found = match &contents {
            Ok(contents) => Ok(contents.mark()),
            Err(fault) => Err(fault.clone()),
        };
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == found {
                return;
            }
            *seen = found;
        }
        let taken = contents.and_then(|contents| {
            let credentials = self.files.parse(&contents)?;
            let replaced = self.tls.replace(credentials);
            replaced.map_err(|remedy| self.files.pair_fault(remedy))
        });
        match taken {
            Ok(()) => tracing::info!("new files of TLS are used from now on"),
            Err(fault) => {
                tracing::warn!("{fault}; until then TLS goes on with what it had");
                self.tls.keep(fault.0);
            }
        }
    }
}

impl Files {
    fn read(&self) -> Result<Contents, Fault> {
        let bundles = self.bundles.iter().map(|bundle| {
            let of = |(key, path): &(String, PathBuf)| read(key, path, |_| None);
            let authorities = of(&bundle.authorities)?;
            let revoked = bundle.revoked.as_ref().map(of);
            Ok((authorities, revoked.transpose()?))
        });
        Ok(Contents {
            certificate: read("tls.certificate_file", &self.certificate, |_| None)?,
            private_key: read("tls.private_key_file", &self.private_key, exposed)?,
            bundles: bundles.collect::<Result<_, Fault>>()?,
        })
    }

    fn parse(&self, contents: &Contents) -> Result<Credentials, Fault> {
        let chain = pem::all::<CertificateDer<'static>>(&contents.certificate);
        let chain = chain.filter(|chain| !chain.is_empty()).ok_or_else(|| {
            let remedy = "holds no certificate; put it there, then those that vouch for it, each as \
                PEM (BEGIN CERTIFICATE)";
            Fault::new("tls.certificate_file", &self.certificate, remedy)
        })?;
        let key = pem::first::<PrivateKeyDer<'static>>(&contents.private_key);
        let key = key.ok_or_else(|| {
            let remedy = "holds no key; put that of the certificate there, as PEM without a \
                passphrase (BEGIN PRIVATE KEY)";
            Fault::new("tls.private_key_file", &self.private_key, remedy)
        })?;
        let bundles = self.bundles.iter().zip(&contents.bundles);
        let bundles = bundles.map(|(files, (authorities, revoked))| {
            let (name, vouches) = (files.name.clone(), files.vouches.clone());
            let parsed = Bundle::parse(name, vouches, authorities, revoked.as_deref());
            parsed.map_err(|(file, remedy)| {
                let named = match file {
                    BundleFile::Authorities => None,
                    BundleFile::Revoked => files.revoked.as_ref(),
                };
                let (key, path) = named.unwrap_or(&files.authorities);
                Fault::new(key, path, remedy)
            })
        });
        Ok(Credentials {
            chain,
            key,
            bundles: Bundles::new(bundles.collect::<Result<_, _>>()?),
        })
    }

    fn pair_fault(&self, remedy: String) -> Fault {
        Fault::new("tls.certificate_file", &self.certificate, remedy)
    }
}

impl Contents {
    fn mark(&self) -> Mark {
        let bundles = self.bundles.iter();
        let bundles = bundles.flat_map(|(authorities, revoked)| {
            [authorities.as_slice()]
                .into_iter()
                .chain(revoked.as_deref())
        });
        let pair = [self.certificate.as_slice(), self.private_key.as_slice()];
        pair.into_iter().chain(bundles).map(sha256).collect()
    }
}

/// What is wrong with a file of a key. Its group may read it: so do clusters hand over theirs.
fn exposed(metadata: &Metadata) -> Option<&'static str> {
    (metadata.mode() & WORLD_READ != 0).then_some(
        "may be read by everybody; close it (chmod o-r), and replace the key if anybody read it",
    )
}

/// SECURITY: who may write these files decides who is believed, and who we seem to be.
fn read(
    key: &str,
    path: &Path,
    fault: impl Fn(&Metadata) -> Option<&'static str>,
) -> Result<Vec<u8>, Fault> {
    let unreadable = |error: io::Error| Fault::new(key, path, format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Fault::new(key, path, "is not a file; correct the path"));
    }
    if let Some(fault) = owner::fault(&metadata).or_else(|| fault(&metadata)) {
        return Err(Fault::new(key, path, fault));
    }
    let mut content = Vec::new();
    let read = file.take(LEN_MAX + 1).read_to_end(&mut content);
    match read.map_err(unreadable)? as u64 > LEN_MAX {
        true => Err(Fault::new(
            key,
            path,
            "is longer than 4 MiB; correct the path",
        )),
        false => Ok(content),
    }
}
