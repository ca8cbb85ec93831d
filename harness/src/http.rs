//! HTTP/1.1 over mutual TLS to the services of a cluster, and plain HTTP to their health endpoints.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::{
    client::legacy::{
        Client as Pool, Error as PoolError,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    error::{Context, Error, Result},
    pki::Credential,
    runtime::Cluster,
};

/// Why there is no answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In the words of whoever refused: the operating system, TLS, or the service.
    pub words: String,
    /// Whether nobody listens at the address: then it cost nobody anything.
    pub nobody: bool,
}

impl Failure {
    fn new(why: impl fmt::Display) -> Self {
        Self { words: why.to_string(), nobody: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// Calls services as one identity, over connections that are kept.
#[derive(Clone)]
pub struct Client {
    pool: Pool<Connector, Full<Bytes>>,
    limit: Duration,
}

impl Client {
    /// One who shows this credential and gives up on a request after `limit`.
    ///
    /// # Errors
    /// If the credential cannot be used for TLS.
    pub fn new(cluster: Arc<Cluster>, credential: &Credential, limit: Duration) -> Result<Self> {
        let connector = Connector { cluster, tls: Arc::new(config(credential)?) };
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Self { pool, limit })
    }

    /// The same, more patient: for requests that are work.
    #[must_use]
    pub fn patient(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// One request to a service by name.
    ///
    /// # Errors
    /// If there is no answer. One that says no is an answer.
    pub async fn request(
        &self,
        method: &Method,
        service: &str,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let uri: Uri = format!("https://{service}{path}")
            .parse()
            .map_err(|error| Failure::new(format!("{path}: {error}")))?;
        let mut request = Request::builder().method(method).uri(uri);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.body(Full::new(body)).map_err(Failure::new)?;
        let asked = async {
            let response = self.pool.request(request).await.map_err(|error| root_cause(&error))?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(Failure::new)?;
            Ok((status, body.to_bytes()))
        };
        let limit = self.limit;
        timeout(limit, asked).await.unwrap_or_else(|_| Err(Failure::new(format!("no answer in {limit:?}"))))
    }

    /// Asks for JSON and expects status 200.
    ///
    /// # Errors
    /// If it does not come, naming the service and the path.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, service: &str, path: &str) -> Result<T> {
        let failed = |why: String| Error::new(format!("GET {service}{path}: {why}"));
        let asked = self.request(&Method::GET, service, path, None).await;
        let (status, body) = asked.map_err(|failure| failed(failure.words))?;
        if status != StatusCode::OK {
            return Err(failed(format!("expected 200, found {status}: {}", String::from_utf8_lossy(&body))));
        }
        serde_json::from_slice(&body)
            .map_err(|error| failed(format!("not the JSON that was expected: {error}")))
    }
}

/// Asks one address for JSON in plain HTTP, over a connection that is kept for the next question.
pub struct Plain {
    address: SocketAddr,
    kept: Option<SendRequest<Full<Bytes>>>,
}

impl Plain {
    /// Nothing is asked yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, kept: None }
    }

    /// Asks for JSON. A kept connection that has ended meanwhile is replaced: that is no answer of anybody.
    ///
    /// # Errors
    /// If nobody answers in `limit`, or not in JSON.
    pub async fn get<T: serde::de::DeserializeOwned>(&mut self, path: &str, limit: Duration) -> Result<T> {
        let address = self.address;
        let asked = async {
            if let Some(kept) = self.kept.take()
                && let Ok(body) = self.ask(kept, path).await
            {
                return Ok(body);
            }
            let fresh = self.connect().await?;
            self.ask(fresh, path).await
        };
        let body = timeout(limit, asked)
            .await
            .unwrap_or_else(|_| Err(Error::new(format!("{address}{path}: no answer in {limit:?}"))))?;
        serde_json::from_slice(&body).context(|| format!("{address}{path}: not the JSON that was expected"))
    }

    /// Asks over this connection, and keeps it if there is an answer.
    async fn ask(&mut self, mut sender: SendRequest<Full<Bytes>>, path: &str) -> Result<Bytes> {
        let address = self.address;
        let request = Request::get(path).header("host", address.to_string()).body(Full::default());
        let request = request.context(|| path.to_owned())?;
        let response = sender.send_request(request).await.context(|| format!("{address}{path}"))?;
        let body = response.into_body().collect().await.context(|| format!("{address}{path}"))?.to_bytes();
        self.kept = Some(sender);
        Ok(body)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let address = self.address;
        let stream = TcpStream::connect(address).await.context(|| format!("{address}"))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.context(|| format!("{address}"))?;
        // It ends when the sender is dropped, or the other side goes.
        drop(tokio::spawn(connection));
        Ok(sender)
    }
}

fn config(credential: &Credential) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(credential.bundle_pem().as_bytes()) {
        roots.add(root.context(|| "the bundle is no PEM".into())?).context(|| "not a root".into())?;
    }
    let chain = CertificateDer::pem_slice_iter(credential.chain_pem().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context(|| "the chain is no PEM".into())?;
    let key = PrivateKeyDer::from_pem_slice(credential.key_pem().as_bytes())
        .context(|| "the key is no PEM".into())?;
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
        .context(|| "the credential cannot be used for TLS".into())
}

/// The innermost cause says what happened; the outer ones only where.
fn root_cause(error: &PoolError) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let refused =
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused);
    Failure { words: cause.to_string(), nobody: refused }
}

#[derive(Clone)]
struct Connector {
    cluster: Arc<Cluster>,
    tls: Arc<ClientConfig>,
}

/// A TLS stream in the shape that the pool wants.
struct Stream(TokioIo<TlsStream<TcpStream>>);

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { cluster, tls } = self.clone();
        Box::pin(async move {
            let service = uri.host().unwrap_or_default().to_owned();
            let address = cluster.address(&service).map_err(std::io::Error::other)?;
            let name = ServerName::try_from(service).map_err(std::io::Error::other)?;
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            Ok(Stream(TokioIo::new(TlsConnector::from(tls).connect(name, tcp).await?)))
        })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers two questions on each connection with the number of the connection, then closes it.
    async fn closes_after_two(listener: TcpListener) {
        for number in 1..=9 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            for _ in 0..2 {
                let mut asked = [0; 1024];
                let read = stream.read(&mut asked).await.expect("a question");
                assert!(asked[..read].ends_with(b"\r\n\r\n"), "half a question");
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
                stream.write_all(answer.as_bytes()).await.expect("an answer");
            }
        }
    }

    #[tokio::test]
    async fn questions_share_a_connection_and_one_that_has_ended_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut plain = Plain::new(listener.local_addr().expect("an address"));
        let server = tokio::spawn(closes_after_two(listener));
        let mut connections = Vec::new();
        for _ in 0..5 {
            connections.push(plain.get::<u32>("/status", Duration::from_secs(5)).await.expect("an answer"));
        }
        assert_eq!(connections, [1, 1, 2, 2, 3]);
        server.abort();
        let _ = server.await;
        assert!(plain.get::<u32>("/status", Duration::from_secs(5)).await.is_err(), "nobody is there");
    }
}
