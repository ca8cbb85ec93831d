//! A client that shows any credential, accepts any certificate, and says what it saw.
//!
//! The prober's caller stands in for a service and refuses what a service would refuse. Here the
//! server is in question: an expired certificate that it presents is an answer, not an error.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Denial, Protocol};
use crate::{
    error::{Error, Result},
    history::Leaf,
    pki::{self, Credential},
};

/// After this, no answer is an answer.
const LIMIT: Duration = Duration::from_secs(3);
/// How long a client listens before it says anything. Under TLS 1.3 a refusal comes after the handshake;
/// whoever writes first may lose the alert in a reset.
pub(super) const LISTEN: Duration = Duration::from_millis(150);

/// A client with a credential to show, or none. Its sessions are its own.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
}

/// What one attempt saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which certificate the server presented.
    pub leaf: Option<Leaf>,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// What the server said, or why it did not serve.
    pub answer: Result<String, Denial>,
}

/// A connection that was served once already, or will be.
pub struct Open {
    stream: TlsStream<TcpStream>,
    protocol: Protocol,
    host: String,
}

impl Client {
    /// One who makes full handshakes only.
    ///
    /// # Errors
    /// If the credential cannot be used for TLS.
    pub fn showing(credential: Option<&Credential>) -> Result<Self> {
        Self::new(credential, Resumption::disabled())
    }

    /// One who resumes sessions where the server lets it.
    ///
    /// # Errors
    /// As [`Self::showing`].
    pub fn resuming(credential: &Credential) -> Result<Self> {
        Self::new(Some(credential), Resumption::in_memory_sessions(8))
    }

    fn new(credential: Option<&Credential>, resumption: Resumption) -> Result<Self> {
        let unusable = |error| Error::new("the credential cannot be used for TLS").because(error);
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Anything { provider: provider.clone() });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match credential {
            Some(one) => builder.with_client_auth_cert(one.chain_der(), one.key_der()).map_err(unusable)?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = resumption;
        Ok(Self { config: Arc::new(config) })
    }

    /// Connects, and is served once or not.
    pub async fn once(&self, address: SocketAddr, protocol: Protocol) -> Seen {
        self.attempt(address, protocol, Duration::ZERO).await
    }

    /// The same, but listens first, so that no reason is lost.
    pub async fn patiently(&self, address: SocketAddr, protocol: Protocol) -> Seen {
        self.attempt(address, protocol, LISTEN).await
    }

    async fn attempt(&self, address: SocketAddr, protocol: Protocol, listen: Duration) -> Seen {
        let mut seen = Seen { leaf: None, resumed: false, answer: Err(Denial::Silence) };
        let asked = async {
            let mut open = self.open(address, protocol).await?;
            let (_, tls) = open.stream.get_ref();
            seen.leaf = tls.peer_certificates().and_then(|chain| pki::leaf_of(chain.first()?).ok());
            seen.resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
            // Who speaks TLS and no more is listened to when it is asked.
            if protocol != Protocol::Tls
                && let Ok(said) = timeout(listen, open.stream.read_u8()).await
            {
                return Err(said.map_or_else(Denial::from, |octet| {
                    Denial::Other(format!("it spoke first, and began with octet {octet}"))
                }));
            }
            protocol.greet(&mut open.stream).await?;
            open.ask().await
        };
        if let Ok(answer) = timeout(LIMIT, asked).await {
            seen.answer = answer;
        }
        seen
    }

    /// Connects and is served once; the connection stays.
    ///
    /// # Errors
    /// Why it was not served.
    pub async fn stay(&self, address: SocketAddr, protocol: Protocol) -> Result<Open, Denial> {
        let asked = async {
            let mut open = self.open(address, protocol).await?;
            protocol.greet(&mut open.stream).await?;
            open.ask().await.map(|_| open)
        };
        timeout(LIMIT, asked).await.unwrap_or(Err(Denial::Silence))
    }

    async fn open(&self, address: SocketAddr, protocol: Protocol) -> Result<Open, Denial> {
        let mut tcp = TcpStream::connect(address).await?;
        let _ = tcp.set_nodelay(true);
        protocol.before(&mut tcp).await?;
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(self.config.clone()).connect(name, tcp).await?;
        Ok(Open { stream, protocol, host: address.to_string() })
    }
}

impl Open {
    /// One more round trip.
    ///
    /// # Errors
    /// Why it was not served.
    pub async fn ask(&mut self) -> Result<String, Denial> {
        let asked = self.protocol.ask(&mut self.stream, &self.host);
        timeout(LIMIT, asked).await.unwrap_or(Err(Denial::Silence))
    }
}

/// Accepts any certificate. Whoever presents it must still prove that it has the key.
#[derive(Debug)]
struct Anything {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
