//! Asks servers what they present: a handshake whose verifier records and does not judge.
//!
//! Nothing is sent after the handshake, no certificate is shown, and what is presented is kept even if
//! the server refuses us then, as one with mutual TLS does.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{Certificate, Decoded, Form, Source, starttls::Protocol};
use crate::error::{Error, Result};

/// A server that takes longer, from the name to the end of the handshake, presents nothing.
const LIMIT: Duration = Duration::from_secs(5);
/// So many are asked at once; a descriptor each.
const AT_ONCE: usize = 256;

/// A server to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was asked for: `archive.example:8443`, `postgres://127.0.0.1:5432`.
    pub at: String,
    /// Where it listens.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// What must be said before TLS begins.
    pub protocol: Protocol,
    /// The name that it is asked for (SNI): its host, unless that is known better.
    pub name: String,
    /// The service that it is, where that is known.
    pub service: Option<Arc<str>>,
    /// The file that holds what it should present, where that is known.
    pub presents: Option<Arc<str>>,
}

impl Target {
    /// A server that speaks TLS at once.
    pub fn tls(address: SocketAddr) -> Self {
        Self {
            at: address.to_string(),
            host: address.ip().to_string(),
            port: address.port(),
            protocol: Protocol::Tls,
            name: address.ip().to_string(),
            service: None,
            presents: None,
        }
    }

    /// Reads `HOST:PORT` or `PROTOCOL://HOST[:PORT]`; none if it is neither.
    ///
    /// # Errors
    /// If it begins like one but names no protocol or port that is known.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let (protocol, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Protocol::of_scheme(scheme)?, rest.trim_end_matches('/')),
            None => (Protocol::Tls, text),
        };
        let (host, port) = match rest.rsplit_once(':') {
            // The colons of a bare IPv6 address are its own.
            Some((host, port)) if !rest.ends_with(']') => (host, port.parse().ok()),
            _ if text.contains("://") => (rest, Some(protocol.port())),
            _ => return Ok(None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Some(port) = port.filter(|_| !host.is_empty() && !host.contains('/')) else {
            if text.contains("://") {
                return Err(Error::usage(format!("`{text}` names no host and port")).hint(format!(
                    "as in {}://127.0.0.1:{}",
                    protocol.scheme(),
                    protocol.port()
                )));
            }
            return Ok(None);
        };
        Ok(Some(Self {
            at: text.to_owned(),
            host: host.to_owned(),
            port,
            protocol,
            name: host.to_owned(),
            service: None,
            presents: None,
        }))
    }
}

/// Asks all of them, many at once; the answers are in the order of the questions.
pub async fn ask_all(targets: Vec<Target>) -> Vec<Source> {
    let provider = Arc::new(ring::default_provider());
    stream::iter(targets).map(|target| ask(target, provider.clone())).buffered(AT_ONCE).collect().await
}

/// Asks one server. What goes wrong is a problem of the source.
async fn ask(target: Target, provider: Arc<CryptoProvider>) -> Source {
    let seen = Arc::new(Recording { provider, chain: Mutex::default() });
    let shook = match timeout(LIMIT, shake(&target, seen.clone())).await {
        Ok(shook) => shook.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no handshake within {} s", LIMIT.as_secs())),
    };
    let mut found = Decoded { form: Form::Wire, ..Decoded::default() };
    let chain = std::mem::take(&mut *seen.chain.lock().unwrap_or_else(PoisonError::into_inner));
    for (index, der) in chain.iter().enumerate() {
        match Certificate::from_der(der) {
            Ok(certificate) => found.certificates.push(certificate),
            Err(words) => found.problems.push(format!("certificate {}: found {words}", index + 1)),
        }
    }
    // Once it has presented its certificate, it may well refuse us, who show none.
    if let (Err(why), true) = (shook, chain.is_empty()) {
        found.problems.push(format!("presents no certificate: {why}"));
    }
    Source {
        at: target.at.into(),
        found,
        service: target.service,
        presents: target.presents,
        ..Source::default()
    }
}

async fn shake(target: &Target, seen: Arc<Recording>) -> io::Result<()> {
    let name = match target.name.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(target.name.clone()).map_err(io::Error::other)?,
    };
    let mut config = ClientConfig::builder_with_provider(seen.provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(seen)
        .with_no_client_auth();
    // A resumed session presents nothing.
    config.resumption = Resumption::disabled();
    let mut tcp = TcpStream::connect((target.host.as_str(), target.port)).await?;
    let _ = tcp.set_nodelay(true);
    target.protocol.begin(&mut tcp).await?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map(drop)
}

/// Keeps what is presented, and finds it all good: it is judged later, from the outside.
#[derive(Debug)]
struct Recording {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<Vec<u8>>>,
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = [end_entity].into_iter().chain(intermediates).map(|der| der.to_vec());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
