//! TLS on the TCP listener, and who a client is by its certificate.
//!
//! SECURITY: the library copies the chain of a resumed connection from its ticket and verifies
//! nothing of it. So each chain is judged after the handshake, and again at the first call after the
//! authorities or revocation lists were replaced.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use claviger_access::{Caller, Principal, Proof};
use claviger_core::{Clock, Error, Reason, Result};
use claviger_identity::{Bundles, CertificateRefusal, Certified, certificate_ends};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    self, CertificateError, ConfigBuilder, DigitallySignedStruct, DistinguishedName, ServerConfig,
    SignatureScheme, WantsVerifier,
};
use tokio_rustls::server::TlsStream;

/// The one protocol inside of TLS.
const H2: &[u8] = b"h2";

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientAuth {
    /// They are not asked for any.
    #[default]
    None,
    /// Those that have one do.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// What does not change while the daemon runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TlsOptions {
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// Whether clients that have nothing newer than TLS 1.2 are let in.
    pub is_tls12_allowed: bool,
}

/// Whom the listener says it is.
#[derive(Debug)]
pub struct Pair {
    /// Its certificate and those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the certificate.
    pub key: PrivateKeyDer<'static>,
}

/// How the certificate of the listener is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsState {
    /// When it ends.
    pub ends: SystemTime,
    /// Why newer files are not used.
    pub fault: Option<String>,
}

/// TLS of a listener. New connections get what it has then; those that are open go on.
#[derive(Debug)]
pub struct Tls {
    base: Base,
    config: RwLock<Arc<ServerConfig>>,
    bundles: watch::Sender<Arc<Bundles>>,
    state: Mutex<TlsState>,
}

impl Tls {
    /// TLS with this pair, for clients that the bundles vouch for.
    ///
    /// # Errors
    /// As [`replace_pair`](Self::replace_pair).
    pub fn new(
        options: TlsOptions,
        pair: Pair,
        bundles: Bundles,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Self, String> {
        let base = Base::new(options, clock)?;
        let (resolver, ends) = base.resolver(pair)?;
        let bundles = Arc::new(bundles);
        Ok(Self {
            config: RwLock::new(base.config(&bundles, resolver)),
            base,
            bundles: watch::Sender::new(bundles),
            state: Mutex::new(TlsState { ends, fault: None }),
        })
    }

    /// Takes this pair for the one it has.
    ///
    /// # Errors
    /// Why it is not used; it goes on with the one it had.
    pub fn replace_pair(&self, pair: Pair) -> std::result::Result<(), String> {
        let (resolver, ends) = self.base.resolver(pair)?;
        {
            let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut config).cert_resolver = resolver;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ends = ends;
        Ok(())
    }

    /// Takes these bundles for those it has, by which each open connection is judged again.
    pub fn replace_bundles(&self, bundles: Bundles) {
        let bundles = Arc::new(bundles);
        {
            let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
            *config = self
                .base
                .config(&bundles, Arc::clone(&config.cert_resolver));
        }
        self.bundles.send_replace(bundles);
    }

    /// Says why newer files are not used, if it is so.
    pub fn tell(&self, fault: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fault = fault;
    }

    /// How its certificate is.
    pub fn state(&self) -> TlsState {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    /// Whether its certificate is good, and nothing is wrong with newer files.
    pub fn is_well(&self) -> bool {
        let state = self.state();
        state.fault.is_none() && self.base.clock.now() < state.ends
    }

    /// Lets a client in.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<Certificate>)> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let (_, connection) = stream.get_ref();
        // SECURITY: what was meant for another protocol is not taken for ours.
        if connection.alpn_protocol() != Some(H2) {
            return Err(io::Error::other(
                "the client does not ask for HTTP/2 (ALPN h2)",
            ));
        }
        let chain = connection.peer_certificates();
        let certificate = chain.map(|chain| {
            let (bundles, clock) = (self.bundles.subscribe(), Arc::clone(&self.base.clock));
            Certificate::new(
                chain.iter().cloned().map(CertificateDer::into_owned),
                bundles,
                clock,
            )
        });
        let certificate = certificate.transpose().map_err(io::Error::other)?;
        Ok((stream, certificate))
    }
}

/// What stays when all else is replaced.
#[derive(Debug)]
struct Base {
    client_auth: ClientAuth,
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    clock: Arc<dyn Clock>,
    /// So that clients can resume.
    tickets: Arc<dyn ProducesTickets>,
}

impl Base {
    fn new(options: TlsOptions, clock: Arc<dyn Clock>) -> std::result::Result<Self, String> {
        let tickets = aws_lc_rs::Ticketer::new();
        let tickets = tickets.map_err(|error| format!("tickets cannot be made: {error}"))?;
        let versions: &[_] = match options.is_tls12_allowed {
            true => &[&TLS13, &TLS12],
            false => &[&TLS13],
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(versions);
        Ok(Self {
            client_auth: options.client_auth,
            builder: builder.map_err(|error| error.to_string())?,
            clock,
            tickets,
        })
    }

    /// What shows a pair to clients, and when it ends.
    fn resolver(
        &self,
        Pair { chain, key }: Pair,
    ) -> std::result::Result<(Arc<dyn ResolvesServerCert>, SystemTime), String> {
        let ends = chain.first().and_then(certificate_ends);
        let ends = ends.ok_or("the certificate cannot be read; put one there as PEM")?;
        if ends <= self.clock.now() {
            return Err("the certificate has ended; put a new one there".to_owned());
        }
        let pair = CertifiedKey::from_der(chain, key, self.builder.crypto_provider());
        let pair = pair.map_err(|error| {
            format!("the certificate and the private key do not go together: {error}")
        })?;
        Ok((Arc::new(SingleCertAndKey::from(pair)), ends))
    }

    fn config(
        &self,
        bundles: &Arc<Bundles>,
        resolver: Arc<dyn ResolvesServerCert>,
    ) -> Arc<ServerConfig> {
        let provider = self.builder.crypto_provider();
        let verifier = Verifier {
            subjects: bundles.subjects(),
            bundles: Arc::clone(bundles),
            clock: Arc::clone(&self.clock),
            algorithms: provider.signature_verification_algorithms,
            is_required: self.client_auth == ClientAuth::Required,
        };
        let builder = self.builder.clone();
        let builder = match self.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Optional | ClientAuth::Required => {
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = vec![H2.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::clone(&self.tickets);
        // SECURITY: else TLS 1.2 resumes for whoever stood between two connections.
        config.require_ems = true;
        Arc::new(config)
    }
}

/// The certificate of a connection, and what was last thought of it.
#[derive(Debug)]
pub(crate) struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    clock: Arc<dyn Clock>,
    judged: Mutex<Judged>,
}

#[derive(Debug)]
struct Judged {
    bundles: watch::Receiver<Arc<Bundles>>,
    /// Who the client is, if it is believed.
    caller: Option<Caller>,
}

impl Certificate {
    fn new(
        chain: impl Iterator<Item = CertificateDer<'static>>,
        mut bundles: watch::Receiver<Arc<Bundles>>,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Self, CertificateRefusal> {
        let chain: Vec<_> = chain.collect();
        let certified = bundles.borrow_and_update().judge(&chain, clock.now())?;
        let caller = caller(certified);
        Ok(Self {
            chain,
            clock,
            judged: Mutex::new(Judged { bundles, caller }),
        })
    }

    /// Who the client is.
    ///
    /// # Errors
    /// `CREDENTIALS_REQUIRED` once it is no longer believed.
    pub(crate) fn caller(&self) -> Result<Caller> {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if judged.bundles.has_changed().unwrap_or(false) {
            let bundles = Arc::clone(&judged.bundles.borrow_and_update());
            judged.caller = bundles.judge(&self.chain, now).ok().and_then(caller);
        }
        let caller = judged.caller.as_ref();
        let caller = caller.filter(|caller| caller.expire_time.is_some_and(|ends| now < ends));
        caller
            .cloned()
            .ok_or_else(|| Error::new(Reason::CredentialsRequired))
    }

    /// How long it is good for.
    pub(crate) fn left(&self) -> Duration {
        let judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = judged.caller.as_ref().and_then(|caller| caller.expire_time);
        let left = ends.and_then(|ends| ends.duration_since(self.clock.now()).ok());
        left.unwrap_or_default()
    }
}

/// The caller that a certificate stands for.
fn caller(certified: Certified) -> Option<Caller> {
    Some(Caller {
        principal: Principal::parse("certificate", &certified.principal).ok()?,
        proof: Proof::Certificate(certified.bundle),
        expire_time: Some(certified.ends),
    })
}

/// Tells a client at once that its certificate is not taken.
#[derive(Debug)]
struct Verifier {
    subjects: Vec<DistinguishedName>,
    bundles: Arc<Bundles>,
    clock: Arc<dyn Clock>,
    algorithms: WebPkiSupportedAlgorithms,
    is_required: bool,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain: Vec<_> = chain.cloned().collect();
        match self.bundles.judge(&chain, self.clock.now()) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => {
                tracing::debug!(%refusal, "certificate of a client not taken");
                Err(told(refusal).into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What a client hears of a refusal.
fn told(refusal: CertificateRefusal) -> CertificateError {
    match refusal {
        CertificateRefusal::Authority | CertificateRefusal::TrustDomain => {
            CertificateError::UnknownIssuer
        }
        CertificateRefusal::Expired => CertificateError::Expired,
        CertificateRefusal::Malformed => CertificateError::BadEncoding,
        CertificateRefusal::NotYetValid => CertificateError::NotValidYet,
        CertificateRefusal::RevocationUnknown => CertificateError::UnknownRevocationStatus,
        CertificateRefusal::Revoked => CertificateError::Revoked,
        CertificateRefusal::Ca | CertificateRefusal::Names | CertificateRefusal::Usage => {
            CertificateError::InvalidPurpose
        }
    }
}
