//! The files that TLS is spoken with: read at the start and looked at every few seconds.
//!
//! SECURITY: the pair of the listener and each bundle are taken over by themselves, so that what is
//! wrong with one keeps no revocation of another from holding.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use claviger_api::serve::{Pair, Tls};
use claviger_core::Clock;
use claviger_identity::{Bundle, BundleFile, Bundles, CertificateDer, PrivateKeyDer, pem};
use claviger_seal::sha256;

use crate::config::{BundleFiles, TlsConfig};
use crate::owner;

/// More than any chain, key or bundle that a connection should wait for.
const LEN_MAX: u64 = 4 * 1024 * 1024;
/// The same of revocation lists.
const LISTS_LEN_MAX: u64 = 1024 * 1024;

/// The bits of a mode by which anybody may read.
const WORLD_READ: u32 = 0o004;

/// TLS with its files.
#[derive(Debug)]
pub struct TlsFiles {
    tls: Arc<Tls>,
    pair: PairFiles,
    bundles: Vec<BundleFiles>,
    pieces: Mutex<Pieces>,
}

#[derive(Debug)]
struct PairFiles {
    certificate: PathBuf,
    private_key: PathBuf,
}

/// What was found when the files were last looked at.
#[derive(Debug)]
struct Pieces {
    pair: Piece,
    /// Each with what it was when it was last right.
    bundles: Vec<(Piece, Bundle)>,
}

/// Two files that are taken over together or not at all.
#[derive(Debug)]
struct Piece {
    found: Result<Mark, Fault>,
    /// Why what was found is not used.
    fault: Option<Fault>,
}

/// Certificate and key, or authorities and, if they have any, revocation lists.
type Contents = [Vec<u8>; 2];

/// Stands for contents.
type Mark = [[u8; 32]; 2];

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
        let files = PairFiles {
            certificate: config.certificate_file.clone(),
            private_key: config.private_key_file.clone(),
        };
        let (pair_piece, pair) = Piece::open(files.read(), |contents| files.parse(contents))?;
        let pieces = bundles
            .iter()
            .map(|files| Piece::open(read_bundle(files), |contents| parse_bundle(files, contents)));
        let pieces = Pieces {
            pair: pair_piece,
            bundles: pieces.collect::<Result<_, Fault>>()?,
        };
        let tls = Tls::new(config.options, pair, pieces.bundles(), clock);
        Ok(Self {
            tls: Arc::new(tls.map_err(|remedy| files.fault(remedy))?),
            pair: files,
            bundles: bundles.to_vec(),
            pieces: Mutex::new(pieces),
        })
    }

    /// What the listener speaks.
    pub(crate) fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// Looks at the files, and takes over those that have changed and are right.
    pub fn look(&self) {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_new_bundles = false;
        for (files, (piece, bundle)) in self.bundles.iter().zip(&mut pieces.bundles) {
            let new = piece.look(read_bundle(files), |contents| parse_bundle(files, contents));
            if let Some(new) = new {
                *bundle = new;
                has_new_bundles = true;
            }
        }
        // Else every open connection would be judged again for nothing.
        if has_new_bundles {
            self.tls.replace_bundles(pieces.bundles());
        }
        pieces.pair.look(self.pair.read(), |contents| {
            let replaced = self.tls.replace_pair(self.pair.parse(contents)?);
            replaced.map_err(|remedy| self.pair.fault(remedy))
        });
        self.tls.tell(pieces.fault());
    }
}

impl Pieces {
    fn bundles(&self) -> Bundles {
        let bundles = self.bundles.iter();
        Bundles::new(bundles.map(|(_, bundle)| bundle.clone()).collect())
    }

    /// All that is wrong.
    fn fault(&self) -> Option<String> {
        let bundles = self.bundles.iter().map(|(piece, _)| piece);
        let pieces = [&self.pair].into_iter().chain(bundles);
        let faults = pieces.filter_map(|piece| piece.fault.as_ref());
        let faults: Vec<_> = faults.map(ToString::to_string).collect();
        (!faults.is_empty()).then(|| faults.join("; also "))
    }
}

impl Piece {
    fn open<T>(
        read: Result<Contents, Fault>,
        parse: impl FnOnce(&Contents) -> Result<T, Fault>,
    ) -> Result<(Self, T), Fault> {
        let contents = read?;
        let piece = Self {
            found: Ok(mark(&contents)),
            fault: None,
        };
        Ok((piece, parse(&contents)?))
    }

    /// What is to be used from now on, if anything has changed and is right.
    fn look<T>(
        &mut self,
        read: Result<Contents, Fault>,
        take: impl FnOnce(&Contents) -> Result<T, Fault>,
    ) -> Option<T> {
        let found = read.as_ref().map(mark).map_err(Fault::clone);
        if self.found == found {
            return None;
        }
        self.found = found;
        let taken = read.and_then(|contents| take(&contents));
        match &taken {
            Ok(_) => tracing::info!("new files of TLS are used from now on"),
            Err(fault) => tracing::warn!("{fault}; until then TLS goes on with what it had"),
        }
        self.fault = taken.as_ref().err().cloned();
        taken.ok()
    }
}

fn mark(contents: &Contents) -> Mark {
    contents.each_ref().map(|content| sha256(content))
}

impl PairFiles {
    fn read(&self) -> Result<Contents, Fault> {
        Ok([
            read("tls.certificate_file", &self.certificate, |_| None)?,
            read("tls.private_key_file", &self.private_key, exposed)?,
        ])
    }

    fn parse(&self, [certificate, private_key]: &Contents) -> Result<Pair, Fault> {
        let chain = pem::all::<CertificateDer<'static>>(certificate);
        let chain = chain.filter(|chain| !chain.is_empty()).ok_or_else(|| {
            let remedy = "holds no certificate; put it there, then those that vouch for it, each as \
                PEM (BEGIN CERTIFICATE)";
            Fault::new("tls.certificate_file", &self.certificate, remedy)
        })?;
        let key = pem::first::<PrivateKeyDer<'static>>(private_key);
        let key = key.ok_or_else(|| {
            let remedy = "holds no key; put that of the certificate there, as PEM without a \
                passphrase (BEGIN PRIVATE KEY)";
            Fault::new("tls.private_key_file", &self.private_key, remedy)
        })?;
        Ok(Pair { chain, key })
    }

    fn fault(&self, remedy: String) -> Fault {
        Fault::new("tls.certificate_file", &self.certificate, remedy)
    }
}

fn read_bundle(files: &BundleFiles) -> Result<Contents, Fault> {
    let (key, path) = &files.authorities;
    let authorities = read(key, path, |_| None)?;
    let revoked = files.revoked.as_ref();
    let revoked = revoked.map(|(key, path)| read(key, path, too_long));
    Ok([authorities, revoked.transpose()?.unwrap_or_default()])
}

fn parse_bundle(files: &BundleFiles, [authorities, revoked]: &Contents) -> Result<Bundle, Fault> {
    let (name, vouches) = (files.name.clone(), files.vouches.clone());
    let revoked = files.revoked.as_ref().map(|_| revoked.as_slice());
    let parsed = Bundle::parse(name, vouches, authorities, revoked);
    parsed.map_err(|(file, remedy)| {
        let named = match file {
            BundleFile::Authorities => None,
            BundleFile::Revoked => files.revoked.as_ref(),
        };
        let (key, path) = named.unwrap_or(&files.authorities);
        Fault::new(key, path, remedy)
    })
}

/// What is wrong with a file of a key. Its group may read it: so do clusters hand over theirs.
fn exposed(metadata: &Metadata) -> Option<&'static str> {
    (metadata.mode() & WORLD_READ != 0).then_some(
        "may be read by everybody; close it (chmod o-r), and replace the key if anybody read it",
    )
}

/// What is wrong with a file of revocation lists.
fn too_long(metadata: &Metadata) -> Option<&'static str> {
    (metadata.len() > LISTS_LEN_MAX).then_some(
        "is longer than 1 MiB; correct the path, or have the lists hold no certificates that have \
         ended",
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
