//! Tells Prometheus over HTTP/1.1: `/metrics`, and `/-/healthy` for whoever watches the watcher.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::Page;

/// What Prometheus asks for since version 2.5, and what everybody else reads.
const OPEN_METRICS: &str = "application/openmetrics-text";
/// A connection is one question and its answer, and takes no longer.
const LIMIT: Duration = Duration::from_secs(30);
/// So many are answered at once; others wait.
const AT_ONCE: usize = 64;
/// After a connection could not be taken, as when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers for ever, on a socket that is bound already.
pub async fn serve(listener: TcpListener, page: Page) -> Infallible {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // Nobody closes it.
        let Ok(place) = room.clone().acquire_owned().await else { continue };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let page = page.clone();
        tokio::spawn(async move {
            let _ = timeout(LIMIT, converse(stream, page)).await;
            drop(place);
        });
    }
}

async fn converse(stream: TcpStream, page: Page) {
    let answer = service_fn(|request| {
        let answer = answer(&request, &page);
        async { Ok::<_, Infallible>(answer) }
    });
    // What a caller that breaks off misses is its own loss.
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer).await;
}

fn answer<B>(request: &Request<B>, page: &Page) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            with(StatusCode::OK, content_type(request.headers()), page.borrow().clone())
        }
        (&Method::GET | &Method::HEAD, "/-/healthy") => text(StatusCode::OK, "healthy\n"),
        (&Method::GET | &Method::HEAD, _) => {
            text(StatusCode::NOT_FOUND, "there are /metrics and /-/healthy\n")
        }
        _ => {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    }
}

/// The text is the same in both formats; what it is called is not.
fn content_type(headers: &HeaderMap) -> &'static str {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|one| one.trim().starts_with(OPEN_METRICS)) {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    with(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

fn with(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::watch,
    };

    use super::*;

    /// A server that answers until the test ends.
    async fn started(page: Page) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, page));
        address
    }

    /// Everything that a server says to a request.
    async fn said(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer, and its end");
        let lines = answer.lines().filter(|line| !line.starts_with("date: "));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn prometheus_gets_the_format_that_it_asks_for_and_others_the_one_that_all_read() {
        let (_teller, page) = watch::channel(Bytes::from_static(b"up 1\n# EOF\n"));
        let address = started(page).await;
        let mut all = Vec::new();
        for request in [
            "GET /metrics HTTP/1.1\r\nhost: a\r\naccept: application/openmetrics-text;version=1.0.0,text/plain;\
             version=0.0.4;q=0.5,*/*;q=0.1\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /-/healthy HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST /metrics HTTP/1.1\r\nhost: a\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            let first = request.lines().next().unwrap_or_default();
            all.push(format!("> {first}\n{}", said(address, request).await));
        }
        insta::assert_snapshot!(all.join("\n\n"));
    }

    #[tokio::test]
    async fn a_scrape_gets_what_was_told_last_while_others_say_nothing() {
        let (teller, page) = watch::channel(Bytes::from_static(b"old"));
        let address = started(page).await;
        let mut silent = Vec::new();
        for _ in 1..AT_ONCE {
            silent.push(TcpStream::connect(address).await.expect("a connection"));
        }
        teller.send_replace(Bytes::from_static(b"new"));
        for _ in 0..3 {
            assert!(said(address, "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.ends_with("new"));
        }
    }
}
