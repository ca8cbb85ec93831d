//! A bare mutual TLS server, for the tests of the caller and for its benchmark.
#![allow(dead_code, reason = "not everybody needs all of it")]

use std::{net::SocketAddr, sync::Arc};

use notafter::pki::Credential;
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// A server that demands a client certificate and answers 200 to whatever comes.
pub struct Server {
    pub address: SocketAddr,
}

impl Server {
    pub async fn start(credential: &Credential) -> Self {
        Self::with_tickets(credential, 2).await
    }

    /// One that sends so many tickets after a handshake; with none, nobody can resume a session.
    pub async fn with_tickets(credential: &Credential, tickets: usize) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for root in credential.bundle_der().expect("bundle") {
            roots.add(root).expect("root");
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("verifier"))
            .with_single_cert(credential.chain_der(), credential.key_der())
            .expect("credential");
        config.send_tls13_tickets = tickets;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // Else an answer waits for the acknowledgement of the tickets before it: 40 ms on some kernels.
                tcp.set_nodelay(true).expect("a connection");
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    let mut request = [0; 1024];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address }
    }
}
