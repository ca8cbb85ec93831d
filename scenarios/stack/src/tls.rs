//! TLS: configurations made of one credential, who a peer is, and short words for what went wrong.

use std::{
    borrow::Cow,
    cell::RefCell,
    error::Error,
    fmt,
    future::Future,
    io,
    sync::{Arc, OnceLock},
};

use notafter::{history::Leaf, pki};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName,
    RootCertStore, ServerConfig, SignatureScheme,
    client::Resumption,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::{clock::Clock, settings::Common};

/// The crypto provider of every configuration.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
}

/// A server that presents `key` and wants a client certificate under one of `trusted`, which were made
/// of the certificates `roots`, and that is on none of the lists `revoked`. What it believes beyond that is
/// a defect in its settings.
///
/// # Errors
/// If the bundle is empty.
pub fn server(
    key: &Arc<CertifiedKey>,
    trusted: &Arc<RootCertStore>,
    roots: &[CertificateDer<'_>],
    revoked: Vec<CertificateRevocationListDer<'static>>,
    settings: &Common,
) -> Result<ServerConfig, String> {
    let mut verifier = WebPkiClientVerifier::builder_with_provider(trusted.clone(), provider().clone());
    if !settings.ignores_revocation {
        // Nobody has a list of the root, and leaves of another issuing CA are on another list.
        verifier = verifier.with_crls(revoked).only_check_end_entity_revocation();
        verifier = verifier.allow_unknown_revocation_status();
    }
    if !settings.believes_old_lists {
        verifier = verifier.enforce_revocation_expiration();
    }
    let verifier = verifier.build().map_err(|error| error.to_string())?;
    let root_ends = roots.iter().filter_map(|root| Some(pki::leaf_of(root).ok()?.not_after)).min();
    let verifier = Arc::new(Judge {
        verifier,
        lets_in: settings.fails_open,
        root_ends: root_ends.filter(|_| settings.refuses_expired_roots),
        builds_no_other_path: settings.builds_no_other_path,
    });
    let builder = ServerConfig::builder_with_details(provider().clone(), Arc::new(Clock))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone()))))
}

/// A client that shows `key` and wants a server certificate under one of `roots`. It never resumes
/// a session: a resumed session would not look at certificates again.
///
/// # Errors
/// If the provider has no protocol version that rustls considers safe.
pub fn client(key: &Arc<CertifiedKey>, roots: &Arc<RootCertStore>) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_details(provider().clone(), Arc::new(Clock))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots.clone())
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone())));
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Who is at the other end, by its certificate.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Common name of the subject; `nobody` where there was no certificate.
    pub name: String,
    /// The authority that issued it: the first word of the issuer's common name.
    pub authority: String,
    /// Its certificate; none where the server fails open and was shown none.
    pub leaf: Option<Leaf>,
}

impl Peer {
    /// The peer that showed this chain.
    pub fn of(chain: Option<&[CertificateDer<'_>]>) -> Self {
        chain.and_then(<[_]>::first).and_then(|der| Self::parse(der)).unwrap_or_else(|| Self {
            name: "nobody".into(),
            authority: "nobody".into(),
            leaf: None,
        })
    }

    fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let common_name = |name: &x509_parser::x509::X509Name<'_>| {
            name.iter_common_name().next().and_then(|name| name.as_str().ok().map(str::to_owned))
        };
        let issuer = common_name(certificate.issuer()).unwrap_or_default();
        Some(Self {
            name: common_name(certificate.subject())?,
            authority: issuer.split_whitespace().next().unwrap_or_default().to_owned(),
            leaf: Some(pki::leaf_of(der).ok()?),
        })
    }
}

/// What went wrong with a hop, in short words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which side would not go on.
    pub blame: Blame,
    /// `certificate expired`, `connection refused`, ...
    pub words: Cow<'static, str>,
}

/// Which side would not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The peer refused the certificate it was shown.
    Peer,
    /// The peer's certificate was refused.
    Own,
    /// There was no peer to speak of.
    Nobody,
}

impl Trouble {
    /// There was no peer to speak of.
    pub fn unreachable(words: impl Into<Cow<'static, str>>) -> Self {
        Self { blame: Blame::Nobody, words: words.into() }
    }

    /// Looks through the causes of an error for the one that says most.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut words = None;
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Self::of_tls(error);
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                // `source` of an I/O error passes over the error it was made of.
                if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    return Self::of_tls(inner);
                }
                words = Some(io_words(error));
            }
            if error
                .downcast_ref::<hyper::Error>()
                .is_some_and(|e| e.is_incomplete_message() || e.is_canceled())
            {
                words = words.or(Some(CLOSED.into()));
            }
            cause = error.source();
        }
        Self::unreachable(words.unwrap_or_else(|| error.to_string().into()))
    }

    /// Whether the connection ended under a request, as one that was kept too long does.
    pub fn is_closed(&self) -> bool {
        self.words == CLOSED
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => Self { blame: Blame::Peer, words: alert_words(*alert) },
            rustls::Error::InvalidCertificate(error) => {
                Self { blame: Blame::Own, words: certificate_words(error) }
            }
            rustls::Error::NoCertificatesPresented => {
                Self { blame: Blame::Own, words: "no certificate".into() }
            }
            other => Self::unreachable(other.to_string()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

const CLOSED: &str = "connection closed";
/// The words for a certificate past its not-after.
pub const EXPIRED: &str = "certificate expired";

fn io_words(error: &io::Error) -> Cow<'static, str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::TimedOut => "timed out".into(),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => CLOSED.into(),
        _ => error.to_string().into(),
    }
}

/// RFC 8446, section 6.2.
fn alert_words(alert: AlertDescription) -> Cow<'static, str> {
    match alert {
        AlertDescription::CertificateExpired => EXPIRED.into(),
        AlertDescription::UnknownCA => "unknown issuer".into(),
        AlertDescription::CertificateRequired => "no certificate".into(),
        AlertDescription::CertificateRevoked => "certificate revoked".into(),
        AlertDescription::BadCertificate => "bad certificate".into(),
        AlertDescription::UnsupportedCertificate => "wrong purpose".into(),
        AlertDescription::DecryptError => "bad signature".into(),
        other => format!("{other:?}").into(),
    }
}

fn certificate_words(error: &CertificateError) -> Cow<'static, str> {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => EXPIRED.into(),
        E::NotValidYet | E::NotValidYetContext { .. } => "certificate not yet valid".into(),
        E::UnknownIssuer => "unknown issuer".into(),
        E::NotValidForName | E::NotValidForNameContext { .. } => "wrong name".into(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "wrong purpose".into(),
        E::BadSignature => "bad signature".into(),
        E::Revoked => "certificate revoked".into(),
        other => other.to_string().into(),
    }
}

tokio::task_local! {
    /// Whom the handshake of this task has refused. rustls shows the certificate of a client that it
    /// refuses to nobody but the verifier, and one verifier serves all handshakes.
    static REFUSED: RefCell<Option<Peer>>;
}

/// Does a handshake; gives what came of it, and who was refused, if somebody was.
pub async fn noting_refused<T>(handshake: impl Future<Output = T>) -> (T, Option<Peer>) {
    let noting = async {
        let accepted = handshake.await;
        (accepted, REFUSED.with(RefCell::take))
    };
    REFUSED.scope(RefCell::default(), noting).await
}

/// Verifies as usual, but for the defects, and notes who was refused.
#[derive(Debug)]
struct Judge {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Whether it asks for a certificate and takes any, or none.
    lets_in: bool,
    /// The end of the root that ends first, where roots are judged, too.
    root_ends: Option<i64>,
    /// Whether everything that a client shows must be valid, needed for a path or not.
    builds_no_other_path: bool,
}

impl Judge {
    /// What the defects add to the judgement, at these Unix seconds.
    fn is_past(&self, intermediates: &[CertificateDer<'_>], now: i64) -> bool {
        let ended = |ends: i64| ends < now;
        let shown = || intermediates.iter().filter_map(|der| Some(pki::leaf_of(der).ok()?.not_after));
        self.root_ends.is_some_and(ended) || (self.builds_no_other_path && shown().any(ended))
    }
}

impl ClientCertVerifier for Judge {
    fn client_auth_mandatory(&self) -> bool {
        !self.lets_in
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.lets_in {
            return Ok(ClientCertVerified::assertion());
        }
        let mut verdict = self.verifier.verify_client_cert(leaf, intermediates, now);
        if self.is_past(intermediates, i64::try_from(now.as_secs()).unwrap_or(i64::MAX)) {
            verdict = Err(CertificateError::Expired.into());
        }
        if verdict.is_err() {
            // Outside of a handshake of ours nobody wants to know.
            let _ = REFUSED.try_with(|refused| refused.replace(Peer::parse(leaf)));
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
