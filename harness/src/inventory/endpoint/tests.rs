//! Servers on loopback that speak as the protocols say, and what is recorded of them.

use std::{net::SocketAddr, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::pki::{Authority, Credential, Identity, Validity};

fn credential() -> Credential {
    let authority = Authority::new("mesh").expect("an authority");
    // What it presents is recorded, not judged.
    authority.issue(&Identity::service("archive"), Validity::ended(Duration::ZERO)).expect("a credential")
}

fn acceptor(
    credential: &Credential,
    mutual: bool,
    version: &'static rustls::SupportedProtocolVersion,
) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&[version]).expect("a version");
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        for root in credential.bundle_der().expect("a bundle") {
            roots.add(root).expect("a root");
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let config =
        builder.with_single_cert(credential.chain_der(), credential.key_der()).expect("a credential");
    TlsAcceptor::from(Arc::new(config))
}

/// Says the first of each pair, then expects the second; then TLS, if there is an acceptor.
async fn serve(script: Vec<(Vec<u8>, Vec<u8>)>, acceptor: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        for (say, expect) in script {
            stream.write_all(&say).await.expect("said");
            let mut heard = vec![0; expect.len()];
            stream.read_exact(&mut heard).await.expect("an answer");
            assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&expect));
        }
        if let Some(acceptor) = acceptor {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

async fn asked(target: String) -> Source {
    let target = Target::parse(&target).expect("a known protocol").expect("a server");
    ask_all(vec![target]).await.pop().expect("one answer")
}

fn presents(source: &Source, credential: &Credential) {
    assert_eq!(source.found.problems, Vec::<String>::new());
    let serials: Vec<_> = source.found.certificates.iter().map(|one| &*one.serial).collect();
    assert_eq!((serials[0], serials.len()), (credential.leaf().serial.as_str(), 2), "leaf and issuing CA");
}

#[tokio::test]
async fn an_expired_chain_is_recorded_and_not_judged_even_if_the_server_refuses_us() {
    let credential = credential();
    for (mutual, version) in [(false, &TLS13), (false, &TLS12), (true, &TLS13), (true, &TLS12)] {
        let address = serve(vec![], Some(acceptor(&credential, mutual, version))).await;
        presents(&asked(address.to_string()).await, &credential);
    }
}

fn script(lines: &[(&[u8], &[u8])]) -> Vec<(Vec<u8>, Vec<u8>)> {
    lines.iter().map(|(say, expect)| (say.to_vec(), expect.to_vec())).collect()
}

/// A greeting of `MySQL` 8, with or without TLS.
fn mysql(tls: bool) -> Vec<u8> {
    let mut payload = b"\x0a8.4.2\0\x01\0\0\0abcdefgh\0".to_vec();
    payload.extend(if tls { 0xffff_u16 } else { 0xf7ff }.to_le_bytes());
    payload.extend([45, 2, 0, 0xff, 0xdf, 21]);
    payload.extend([0; 23]);
    [&[u8::try_from(payload.len()).expect("a short greeting"), 0, 0, 0][..], &payload].concat()
}

#[tokio::test]
async fn each_protocol_comes_to_tls_in_its_own_way() {
    let credential = credential();
    let ldap_yes = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
    let ldap_long = b"\x30\x84\0\0\0\x10\x02\x01\x01\x78\x84\0\0\0\x07\x0a\x01\x00\x04\x00\x04\x00";
    for (scheme, mut lines, last) in [
        ("postgres", script(&[(b"", &super::super::starttls::POSTGRES)]), &b"S"[..]),
        ("mysql", vec![(mysql(true), vec![32, 0, 0, 1, 0, 0x8a])], b""),
        (
            "smtp",
            script(&[
                (b"220-mail\r\n220 ESMTP\r\n", b"EHLO notafter.invalid\r\n"),
                (b"250-mail\r\n250-STARTTLS\r\n250 HELP\r\n", b"STARTTLS\r\n"),
            ]),
            b"220 go ahead\r\n",
        ),
        ("imap", script(&[(b"* OK ready\r\n", b"a STARTTLS\r\n")]), b"* CAPABILITY\r\na OK begin\r\n"),
        ("ldap", script(&[(b"", super::super::starttls::LDAP)]), ldap_yes),
        ("ldap", script(&[(b"", super::super::starttls::LDAP)]), ldap_long),
        ("https", vec![], b""),
    ] {
        if scheme == "mysql" {
            // The rest of the request.
            let rest = [&[0, 0, 0, 0, 0, 1, 45][..], &[0; 23]].concat();
            lines[0].1.extend(rest);
        }
        if !last.is_empty() {
            lines.push((last.to_vec(), vec![]));
        }
        let address = serve(lines, Some(acceptor(&credential, false, &TLS13))).await;
        let source = asked(format!("{scheme}://{address}")).await;
        presents(&source, &credential);
        assert_eq!(*source.at, format!("{scheme}://{address}"));
    }
}

#[tokio::test]
async fn a_server_that_presents_nothing_says_why() {
    let ldap_no = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00";
    let postgres = &super::super::starttls::POSTGRES;
    let mut said = Vec::new();
    for (scheme, lines) in [
        ("postgres", script(&[(b"", postgres), (b"N", b"")])),
        ("postgres", script(&[(b"", postgres), (b"E", b"")])),
        ("mysql", vec![(mysql(false), vec![])]),
        ("mysql", script(&[(b"\x45\0\0\0\xffHost is blocked", b"")])),
        ("smtp", script(&[(b"554 go away\r\n", b"")])),
        ("imap", script(&[(b"* OK ready\r\n", b"a STARTTLS\r\n"), (b"a BAD no\r\n", b"")])),
        ("ldap", script(&[(b"", super::super::starttls::LDAP), (ldap_no, b"")])),
        ("tls", script(&[(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"")])),
    ] {
        let address = serve(lines, None).await;
        let source = asked(format!("{scheme}://{address}")).await;
        said.push(format!("{scheme}: {}", source.found.problems.join("; ")));
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr());
    let source = asked(closed.expect("a port that was free").to_string()).await;
    said.push(format!("nobody: {}", source.found.problems.join("; ")));
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn what_is_a_server_and_what_is_not() {
    let read = |text: &str| match Target::parse(text) {
        Ok(Some(target)) => format!("{text}: {:?} {} {}", target.protocol, target.host, target.port),
        Ok(None) => format!("{text}: no server"),
        Err(error) => format!("{text}: {error}"),
    };
    let said = [
        "archive.example:8443",
        "[::1]:443",
        "postgres://db.example",
        "postgresql://db.example:5433/",
        "imap://[::1]",
        "/etc/ssl",
        "file.pem",
        "folder/with:8443",
        "name:port",
        "gopher://archive.example",
        "ldap://",
        "ldap://archive.example:x",
    ]
    .map(read);
    insta::assert_snapshot!(said.join("\n"));
}
