//! A TLS server that is as right or as wrong as a test wants it.

use std::{net::SocketAddr, sync::Arc};

use notafter::pki::Credential;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, server::WebPkiClientVerifier, version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What a server does. It says `200 OK` to whatever comes.
#[derive(Clone)]
pub struct Server {
    /// What it presents.
    pub credential: Credential,
    /// Whether it leaves out the certificates between its own and the root.
    pub leaf_only: bool,
    /// Whether it demands a certificate of who calls, of the same authority.
    pub mutual: bool,
    /// The only version that it speaks.
    pub version: &'static SupportedProtocolVersion,
}

/// One that listens until it is dropped.
pub struct Serving {
    /// Where.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// One that does everything right, in TLS 1.3.
    pub fn of(credential: Credential) -> Self {
        Self { credential, leaf_only: false, mutual: false, version: &version::TLS13 }
    }

    /// Listens at an address of loopback; port 0 is any.
    ///
    /// # Errors
    /// If it cannot, or the credential cannot be used.
    pub async fn start(&self, at: &str) -> Result<Serving, String> {
        let acceptor = TlsAcceptor::from(Arc::new(self.config()?));
        let listener = TcpListener::bind(at).await.map_err(|error| format!("{at}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Serving { address, task })
    }

    fn config(&self) -> Result<ServerConfig, String> {
        let words = |error: &dyn std::error::Error| error.to_string();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[self.version])
            .map_err(|error| words(&error))?;
        let builder = if self.mutual {
            let mut roots = RootCertStore::empty();
            for root in self.credential.bundle_der().map_err(|error| words(&error))? {
                roots.add(root).map_err(|error| words(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| words(&error))?)
        } else {
            builder.with_no_client_auth()
        };
        let mut chain = self.credential.chain_der();
        if self.leaf_only {
            chain.truncate(1);
        }
        builder.with_single_cert(chain, self.credential.key_der()).map_err(|error| words(&error))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}
