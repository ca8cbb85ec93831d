//! Opens connections for the pooled client: finds the address, speaks TLS, and takes a connection
//! out of use when a certificate of it expires.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower_service::Service;

use crate::{
    clock,
    credentials::{InUse, Mount},
    settings::Common,
    tls,
};

/// The addresses that were found, by service, and whether they answered.
#[derive(Debug, Default)]
pub struct Addresses(Mutex<HashMap<String, (String, bool)>>);

impl Addresses {
    /// It is there.
    pub fn set(&self, service: &str, address: &str) {
        let mut found = self.lock();
        match found.get_mut(service) {
            Some(known) if known.0 == address => known.1 = true,
            _ => {
                found.insert(service.into(), (address.into(), true));
            }
        }
    }

    /// It did not answer there.
    pub fn doubt(&self, service: &str) {
        if let Some((_, trusted)) = self.lock().get_mut(service) {
            *trusted = false;
        }
    }

    /// Whether an address is known.
    pub fn has(&self, service: &str) -> bool {
        self.lock().contains_key(service)
    }

    /// Whether an address is known that has not failed since.
    pub fn is_trusted(&self, service: &str) -> bool {
        self.lock().get(service).is_some_and(|(_, trusted)| *trusted)
    }

    fn of(&self, service: &str) -> Option<String> {
        self.lock().get(service).map(|(address, _)| address.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (String, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens connections to services by their names, showing the credential of one mount.
#[derive(Clone, Debug)]
pub struct Connector {
    mount: Arc<Mount>,
    /// What it shows, whatever is in use, where that is read once.
    kept: Option<Arc<InUse>>,
    found: Arc<Addresses>,
    /// Its own: who is called can tell its calls from those of others who hold the same credential.
    from: IpAddr,
    limit: Duration,
    cuts_at_expiry: bool,
}

impl Connector {
    /// A connector that shows what is in use in `mount`.
    pub fn new(mount: Arc<Mount>, found: Arc<Addresses>, from: IpAddr, settings: &Common) -> Self {
        let limit = settings.connect_timeout.0;
        let kept = mount.in_use().filter(|_| settings.client_reads_credential_once);
        Self { mount, kept, found, from, limit, cuts_at_expiry: settings.cuts_at_expiry() }
    }

    async fn connect(self, service: String) -> io::Result<TokioIo<Kept>> {
        let gone = |what: &str| io::Error::other(what.to_owned());
        let address = self.found.of(&service).ok_or_else(|| gone("no address"))?;
        let in_use = self.kept.or_else(|| self.mount.in_use()).ok_or_else(|| gone("no credential"))?;
        let name = ServerName::try_from(service).map_err(|_| gone("no DNS name"))?;
        let from = self.from;
        let open = async {
            let stream = connect(&address, from).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(in_use.client.clone()).connect(name, stream).await
        };
        let stream =
            timeout(self.limit, open).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let peer = tls::Peer::of(stream.get_ref().1.peer_certificates());
        let ends = [Some(in_use.leaf.not_after), peer.leaf.map(|leaf| leaf.not_after)];
        let ends = ends.into_iter().flatten().min().unwrap_or(i64::MAX);
        // What has ended before the handshake was the server's to judge.
        let watched = self.cuts_at_expiry && clock::unix_seconds() <= ends;
        Ok(TokioIo::new(Kept { stream, ends: if watched { ends } else { i64::MAX } }))
    }
}

/// A connection to the first address of a name that answers, from an address of one's own.
async fn connect(address: &str, from: IpAddr) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in lookup_host(address).await?.filter(|address| address.is_ipv4() == from.is_ipv4()) {
        let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Everybody's address is nobody's, and nobody leaves the machine from one of the loopback: the system
        // chooses.
        if !from.is_unspecified() && (address.ip().is_loopback() || !from.is_loopback()) {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Kept>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Kept>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri.host().unwrap_or_default().to_owned()))
    }
}

/// A connection that is kept until one of its certificates ends.
#[derive(Debug)]
pub struct Kept {
    stream: TlsStream<TcpStream>,
    /// Last second in which both certificates are valid, Unix seconds.
    ends: i64,
}

/// Why a kept connection takes no more requests.
#[derive(Debug)]
struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a certificate of this connection has expired")
    }
}

impl Error for Stale {}

/// Whether a request failed, before any of it was sent, because the connection was past its end.
pub fn is_stale(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.and_then(|inner| inner.downcast_ref::<Stale>()).is_some() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Kept {
    fn is_fit(&self) -> io::Result<()> {
        if clock::unix_seconds() > self.ends { Err(io::Error::other(Stale)) } else { Ok(()) }
    }
}

impl Connection for Kept {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_fit()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_fit()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
