//! What such a service says about itself: what a client sees who asks it over TLS, again and again.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    history::Leaf,
    pki::Credential,
    profile::{Client, Protocol},
    service::{Config, HOLD, Status},
};

/// How often the server is asked: two handshakes cost a debug build 5 ms.
const EVERY: Duration = Duration::from_millis(150);
/// After a connection could not be taken, as when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);
/// What is asked at a door: whatever it answers, its certificate was seen.
const AT_A_DOOR: Protocol = Protocol::Http("/version");

/// Serves `/live`, `/ready` and `/status` in plain HTTP, for ever.
pub(crate) async fn serve(listener: TcpListener, status: watch::Receiver<Status>) -> Infallible {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let status = status.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let mut status = status.clone();
                async move { Ok::<_, Infallible>(answer(&request, &mut status).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer<B>(request: &Request<B>, status: &mut watch::Receiver<Status>) -> Response<Full<Bytes>> {
    let known = request.uri().query().and_then(|query| query.strip_prefix("unlike=")?.parse().ok());
    if known == Some(status.borrow_and_update().mark()) {
        // Either it has changed by then, or it is as it was.
        let _ = timeout(HOLD, status.changed()).await;
    }
    let status = status.borrow().clone();
    let (code, text) = match request.uri().path() {
        "/live" => (StatusCode::OK, "live\n".into()),
        "/ready" if status.ready => (StatusCode::OK, "ready\n".into()),
        "/ready" => (StatusCode::SERVICE_UNAVAILABLE, status.waits_for.join("\n") + "\n"),
        "/status" => (StatusCode::OK, serde_json::to_string(&status).unwrap_or_default()),
        _ => (StatusCode::NOT_FOUND, "there are /live, /ready and /status\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    response
}

/// Asks the server at each of its ports, as itself, and says what came of it. `complaint` is what the server said when
/// it last got new files.
pub(super) async fn look(
    protocol: Protocol,
    config: Config,
    complaint: watch::Receiver<Option<String>>,
    say: watch::Sender<Status>,
) {
    // Whoever asks shows the last that made sense, as the server does.
    let mut shown: BTreeMap<&String, Credential> = BTreeMap::new();
    loop {
        let mut status = Status::default();
        let ports = config.doors.iter().map(|(mount, port)| (mount, *port, AT_A_DOOR));
        for (mount, port, protocol) in ports.chain([(&config.serves, config.listen.port(), protocol)]) {
            let address = SocketAddr::new(config.listen.ip(), port);
            let lies = config.mounts.get(mount).map(|folder| Credential::read(folder));
            let makes_no_sense = matches!(lies, Some(Err(_)));
            if let Some(Ok(credential)) = lies {
                shown.insert(mount, credential);
            }
            let (leaf, trouble) = ask(shown.get(mount), address, protocol).await;
            if let Some(why) = complaint.borrow().clone().filter(|_| makes_no_sense && leaf.is_some()) {
                status.rejected.insert(mount.clone(), why);
            }
            // At a door it need not be served: a member that is cut off still presents its certificate.
            if let Some(why) = trouble.filter(|_| *mount == config.serves) {
                status.waits_for.push(format!("the server: {why}"));
            }
            if let Some(leaf) = leaf {
                if has_expired(&leaf) {
                    status.waits_for.push(format!("own {mount} credential: certificate expired"));
                }
                status.credentials.insert(mount.clone(), leaf);
            }
        }
        status.ready = status.waits_for.is_empty();
        say.send_if_modified(|said| {
            let is_new = *said != status;
            *said = status;
            is_new
        });
        sleep(EVERY).await;
    }
}

/// The certificate that is presented at a port, and why a client with this credential is not served.
async fn ask(
    shows: Option<&Credential>,
    address: SocketAddr,
    protocol: Protocol,
) -> (Option<Leaf>, Option<String>) {
    match Client::showing(shows) {
        Ok(client) => {
            let seen = client.once(address, protocol).await;
            (seen.leaf, seen.answer.err().map(|denial| denial.to_string()))
        }
        Err(error) => (None, Some(error.to_string())),
    }
}

fn has_expired(leaf: &Leaf) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).is_ok_and(|now| now > leaf.not_after)
}
