//! One connection: handshake, round trip, and who refused whom for what.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rustls::{
    AlertDescription, CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    error::{Context, Error, Result},
    history::{Leaf, Outcome, Question, Refusal, Side, Unreachable},
    pki::{self, Credential},
    profile::{Denial, Protocol},
    system::Speaks,
};

/// More than this before the end of the headers is no answer of ours.
const ANSWER_LIMIT: usize = 16 * 1024;

/// Somebody who calls: a credential to show and roots to trust.
#[derive(Clone)]
pub struct Caller {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    /// Parsed once: parsing a key costs as much as a signature.
    identity: Option<Arc<SingleCertAndKey>>,
    /// What it says to whom it calls.
    protocol: Protocol,
    /// A session belongs to the configuration that made it, so those who resume share one.
    resuming: Arc<OnceLock<Arc<ClientConfig>>>,
}

/// What was seen on the wire, kept even if the handshake fails.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Mutex<Option<Leaf>>>);

impl Wire {
    /// The leaf that the server presented.
    pub fn presented(&self) -> Option<Leaf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn saw(&self, leaf: Leaf) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf);
    }
}

/// A connection after its handshake.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    wire: Wire,
    protocol: Protocol,
    /// Whether it was said with what a session begins.
    greeted: bool,
}

impl Caller {
    /// One who shows this credential and trusts its bundle.
    ///
    /// # Errors
    /// If the credential cannot be used for TLS.
    pub fn with(credential: &Credential) -> Result<Self> {
        let chain = CertificateDer::pem_slice_iter(credential.chain_pem().as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .context(|| "the chain is no PEM".into())?;
        let key = PrivateKeyDer::from_pem_slice(credential.key_pem().as_bytes())
            .context(|| "the key is no PEM".into())?;
        let mut caller = Self::without_certificate(credential.bundle_pem())?;
        let key = CertifiedKey::from_der(chain, key, &caller.provider)
            .map_err(|error| Error::new("the credential cannot be used for TLS").because(error))?;
        caller.identity = Some(Arc::new(key.into()));
        Ok(caller)
    }

    /// One who shows no certificate and trusts this bundle.
    ///
    /// # Errors
    /// If the bundle holds no root.
    pub fn without_certificate(bundle_pem: &str) -> Result<Self> {
        let provider = Arc::new(provider());
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(bundle_pem.as_bytes()) {
            let root = root.context(|| "the bundle is no PEM".into())?;
            roots.add(root).context(|| "the bundle holds a certificate that is no root".into())?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .map_err(|error| Error::new("the bundle cannot be used").because(error))?;
        Ok(Self {
            provider,
            verifier,
            identity: None,
            protocol: Speaks::default().protocol(),
            resuming: Arc::default(),
        })
    }

    /// The same, who asks a server of this kind.
    #[must_use]
    pub fn asking(self, speaks: Speaks) -> Self {
        Self { protocol: speaks.protocol(), ..self }
    }

    /// Connects and does one round trip.
    pub async fn round_trip(
        &self,
        address: SocketAddr,
        server: &str,
        question: Question,
        wire: &Wire,
    ) -> Outcome {
        match self.connect_on(address, server, question, wire).await {
            Ok(mut connection) => connection.ask(server).await,
            Err(outcome) => outcome,
        }
    }

    /// Connects. Under TLS 1.3 a success does not mean that the server accepts the client.
    ///
    /// # Errors
    /// The outcome of the handshake.
    pub async fn connect(
        &self,
        address: SocketAddr,
        server: &str,
        question: Question,
    ) -> Result<Connection, Outcome> {
        self.connect_on(address, server, question, &Wire::default()).await
    }

    async fn connect_on(
        &self,
        address: SocketAddr,
        server: &str,
        question: Question,
        wire: &Wire,
    ) -> Result<Connection, Outcome> {
        let other = |words: String| Outcome::Unreachable(Unreachable::Other(words));
        let config = self.config(question, wire).map_err(|error| other(error.to_string()))?;
        let name = ServerName::try_from(server.to_owned()).map_err(|error| other(error.to_string()))?;
        let mut tcp = TcpStream::connect(address).await.map_err(|error| outcome_of(&error))?;
        let _ = tcp.set_nodelay(true);
        self.protocol.before(&mut tcp).await.map_err(|error| outcome_of(&error))?;
        let stream =
            TlsConnector::from(config).connect(name, tcp).await.map_err(|error| outcome_of(&error))?;
        // A resumed session shows nothing to the verifier.
        if wire.presented().is_none()
            && let Some(leaf) =
                stream.get_ref().1.peer_certificates().and_then(|chain| pki::leaf_of(chain.first()?).ok())
        {
            wire.saw(leaf);
        }
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let mut connection =
            Connection { stream, wire: wire.clone(), protocol: self.protocol, greeted: false };
        if question == Question::Resumed && !resumed {
            // Take the ticket that comes with the answer, for the next time.
            return Err(match connection.ask(server).await {
                Outcome::Served(_) => other("not resumed: a full handshake was needed".into()),
                outcome => outcome,
            });
        }
        Ok(connection)
    }

    fn config(&self, question: Question, wire: &Wire) -> Result<Arc<ClientConfig>, rustls::Error> {
        if question != Question::Resumed {
            // A resumed session would hide an expired certificate.
            return self.config_with(Resumption::disabled(), wire).map(Arc::new);
        }
        if let Some(config) = self.resuming.get() {
            return Ok(config.clone());
        }
        let config = Arc::new(self.config_with(Resumption::in_memory_sessions(4), &Wire::default())?);
        Ok(self.resuming.get_or_init(|| config).clone())
    }

    fn config_with(&self, resumption: Resumption, wire: &Wire) -> Result<ClientConfig, rustls::Error> {
        let watching = Arc::new(Watching { verifier: self.verifier.clone(), wire: wire.clone() });
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(watching);
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(identity.clone()),
            None => builder.with_no_client_auth(),
        };
        config.resumption = resumption;
        Ok(config)
    }
}

impl Connection {
    /// One round trip.
    pub async fn ask(&mut self, server: &str) -> Outcome {
        if let Protocol::Http(path) = self.protocol {
            return match self.exchange(path, server).await {
                Ok(status) => Outcome::Served(status),
                Err(error) => outcome_of(&error),
            };
        }
        match self.converse(server).await {
            // What an answer would be called over HTTP.
            Ok(()) => Outcome::Served(200),
            Err(denial) => denied(denial),
        }
    }

    /// The leaf that the server presented in the handshake.
    pub fn presented(&self) -> Option<Leaf> {
        self.wire.presented()
    }

    /// One round trip in a protocol that is not HTTP.
    async fn converse(&mut self, server: &str) -> Result<(), Denial> {
        if !self.greeted {
            self.protocol.greet(&mut self.stream).await?;
            self.greeted = true;
        }
        self.protocol.ask(&mut self.stream, server).await.map(drop)
    }

    async fn exchange(&mut self, path: &str, server: &str) -> io::Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\ncontent-length: 0\r\n\r\n");
        // If the server has refused us already, its alert waits to be read; the write may fail first.
        let written = self.stream.write_all(request.as_bytes()).await;
        let written = match written {
            Ok(()) => self.stream.flush().await,
            failed => failed,
        };
        let mut answer = Vec::with_capacity(256);
        loop {
            if self.stream.read_buf(&mut answer).await? == 0 {
                written?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            match response.parse(&answer) {
                Ok(httparse::Status::Complete(head)) => {
                    let length = response
                        .headers
                        .iter()
                        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                        .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok())
                        .unwrap_or(0);
                    let status = response.code.unwrap_or(0);
                    self.skip(head, length, answer).await?;
                    return Ok(status);
                }
                Ok(httparse::Status::Partial) if answer.len() < ANSWER_LIMIT => {}
                Ok(httparse::Status::Partial) => return Err(io::Error::other("an endless answer")),
                Err(error) => return Err(io::Error::other(format!("not HTTP: {error}"))),
            }
        }
    }

    /// Reads the rest of an answer, so that the next one on this connection is the next one.
    async fn skip(&mut self, head: usize, length: usize, mut answer: Vec<u8>) -> io::Result<()> {
        while answer.len() < head + length && answer.len() < ANSWER_LIMIT {
            if self.stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// ring's algorithms, the cheapest hash first: a tenth of a fresh handshake is the key schedule, and SHA-256
/// has instructions of its own where SHA-384 has none. All suites are offered all the same.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

/// Verifies as usual, and keeps what was presented.
#[derive(Debug)]
struct Watching {
    verifier: Arc<WebPkiServerVerifier>,
    wire: Wire,
}

impl ServerCertVerifier for Watching {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(leaf) = pki::leaf_of(end_entity) {
            self.wire.saw(leaf);
        }
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

fn outcome_of(error: &io::Error) -> Outcome {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return refused(tls);
    }
    Outcome::Unreachable(match error.kind() {
        io::ErrorKind::ConnectionRefused => Unreachable::ConnectionRefused,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Unreachable::Closed
        }
        io::ErrorKind::TimedOut => Unreachable::Timeout,
        _ => Unreachable::Other(error.to_string()),
    })
}

/// What a server said that did not serve. One that says in words that it wants a certificate refuses whoever
/// shows none; other words, as those of a server that still starts, are about no certificate.
fn denied(denial: Denial) -> Outcome {
    match denial {
        Denial::Alert(alert) => Outcome::Refused { by: Side::Server, reason: by_alert(alert) },
        Denial::Message(words) if words.contains("valid client certificate") => {
            Outcome::Refused { by: Side::Server, reason: Refusal::NoCertificate }
        }
        Denial::Status(status) => Outcome::Served(status),
        Denial::Closed => Outcome::Unreachable(Unreachable::Closed),
        Denial::Nobody => Outcome::Unreachable(Unreachable::ConnectionRefused),
        Denial::Silence => Outcome::Unreachable(Unreachable::Timeout),
        Denial::Message(words) | Denial::Other(words) => Outcome::Unreachable(Unreachable::Other(words)),
    }
}

/// Who refused whom for what: our own verifier says it exactly, the other side by an alert (RFC
/// 8446, section 6.2). `certificate_expired` also means "not yet valid" with some servers.
fn refused(error: &rustls::Error) -> Outcome {
    let (by, reason) = match error {
        rustls::Error::InvalidCertificate(reason) => (Side::Client, by_verifier(reason)),
        rustls::Error::AlertReceived(alert) => (Side::Server, by_alert(*alert)),
        other => return Outcome::Unreachable(Unreachable::Other(other.to_string())),
    };
    Outcome::Refused { by, reason }
}

fn by_verifier(error: &CertificateError) -> Refusal {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refusal::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Refusal::NotYetValid,
        CertificateError::UnknownIssuer => Refusal::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Refusal::WrongName
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Refusal::WrongPurpose
        }
        CertificateError::BadSignature => Refusal::BadSignature,
        CertificateError::Revoked => Refusal::Revoked,
        other => Refusal::Other(format!("{other:?}")),
    }
}

fn by_alert(alert: AlertDescription) -> Refusal {
    match alert {
        AlertDescription::CertificateExpired => Refusal::Expired,
        AlertDescription::UnknownCA => Refusal::UnknownIssuer,
        AlertDescription::CertificateRequired => Refusal::NoCertificate,
        AlertDescription::CertificateRevoked => Refusal::Revoked,
        AlertDescription::UnsupportedCertificate => Refusal::WrongPurpose,
        AlertDescription::DecryptError => Refusal::BadSignature,
        other => Refusal::Other(format!("alert {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_error_of_a_server_is_known_as_such() {
        assert!(by_alert(AlertDescription::InternalError).is_internal());
        assert!(!by_alert(AlertDescription::HandshakeFailure).is_internal());
    }

    #[test]
    fn sha_256_is_preferred_and_every_suite_is_offered() {
        let names = |provider: CryptoProvider| {
            provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect::<Vec<_>>()
        };
        let (ours, usual) = (names(provider()), names(ring::default_provider()));
        assert_eq!(ours[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(ours.len(), usual.len());
        assert!(usual.iter().all(|suite| ours.contains(suite)), "{ours:?}");
    }
}
