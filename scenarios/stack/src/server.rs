//! Listens: mutual TLS for those who call, plain HTTP for those who watch.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::{Request, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::{
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use notafter::service::{HOLD, Status};
use rustls::HandshakeKind;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::{
    credentials::{LOOK, Mount, has_expired},
    reply::Failure,
    service::Service,
    tls::{self, EXPIRED, Peer, Trouble},
    wait,
};

/// Longest time for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// How long a refused client has to read why.
const LINGER: Duration = Duration::from_millis(200);

/// Serves `router`, and `GET /live`, with mutual TLS, until it is dropped. Handlers find the
/// [`Peer`] among the extensions of the request.
pub async fn serve(listener: TcpListener, service: Arc<Service>, mount: Arc<Mount>, router: Router) {
    let router = router.route("/live", get(live));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, service.clone(), mount.clone(), router.clone()));
                    let most = service.settings.most_connections;
                    if most > 0 && connections.len() > most {
                        service.drowned.notify_one();
                    }
                }
                Err(error) => out_of(&service, &error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves `/live`, `/ready` and `/status` in plain HTTP, until it is dropped.
pub async fn serve_health(listener: TcpListener, service: Arc<Service>) {
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/status", get(status))
        .with_state(service.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let router = router.clone();
                    let answer = service_fn(move |request: Request<_>| router.clone().call(request));
                    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                    connections.spawn(async move { drop(serving.await) });
                }
                Err(error) => out_of(&service, &error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(service): State<Arc<Service>>) -> Response {
    let waits_for = service.says_it_waits_for();
    if waits_for.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, waits_for.join("\n") + "\n").into_response()
}

/// What somebody knows already.
#[derive(Deserialize)]
struct Known {
    unlike: Option<u64>,
}

async fn status(State(service): State<Arc<Service>>, Query(known): Query<Known>) -> Json<Status> {
    let until = Instant::now() + HOLD;
    loop {
        let changed = service.changes.notified();
        let status = service.status();
        if known.unlike != Some(status.mark()) || Instant::now() >= until {
            return Json(status);
        }
        // Nobody tells when a certificate reaches its end: that takes a look.
        let _ = timeout(LOOK, changed).await;
    }
}

/// No more file descriptors, most likely: they come back.
async fn out_of(service: &Service, error: &std::io::Error) {
    service.log.say(&format!("cannot accept: {error}"));
    tokio::time::sleep(LINGER).await;
}

async fn connection(stream: TcpStream, service: Arc<Service>, mount: Arc<Mount>, router: Router) {
    let Some(in_use) = mount.in_use() else {
        return service.log.say("turned a client away: no credential yet");
    };
    // Without it an answer may wait for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let Ok(from) = stream.peer_addr() else { return };
    let accept = TlsAcceptor::from(in_use.server.clone()).accept(stream).into_fallible();
    let (accepted, refused) = tls::noting_refused(timeout(HANDSHAKE, accept)).await;
    if let Some(peer) = refused {
        service.clients.saw(&peer, from.ip());
    }
    let stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => {
            service.log.say(&format!("turned a client away: {}", Trouble::of(&error)));
            return linger(stream).await;
        }
        Err(_) => return service.log.say("turned a client away: no handshake in time"),
    };
    let peer = Peer::of(stream.get_ref().1.peer_certificates());
    service.clients.saw(&peer, from.ip());
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    let bypassed = resumed && service.settings.resumption_bypasses_the_check;
    // A session that is resumed shows no certificate again: what it was made with has to hold still.
    let cuts = service.settings.cuts_at_expiry() && !service.settings.fails_open && !bypassed;
    let own = in_use.leaf.clone();
    let answer = service_fn(move |mut request: Request<_>| {
        let expired = cuts && (peer.leaf.as_ref().is_some_and(has_expired) || has_expired(&own));
        request.extensions_mut().insert(peer.clone());
        let mut router = router.clone();
        async move { if expired { Ok::<_, Infallible>(too_late()) } else { router.call(request).await } }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

/// The answer on an open connection of which a certificate has expired since the handshake.
fn too_late() -> Response<Body> {
    let mut answer = Failure::new(StatusCode::FORBIDDEN, EXPIRED).into_response();
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Lets a refused client read the alert. In TLS 1.3 it has sent its request by now, and closing
/// with unread bytes would reset the connection and take the alert with it.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(wait::jittered(LINGER), drain).await;
}
