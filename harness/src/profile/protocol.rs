//! What is said to a server after the handshake: enough of its protocol to know that it *serves*.

use std::{fmt, io};

use rustls::AlertDescription;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{amqp, client::LISTEN};
use crate::inventory::starttls;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TLS and no more: whoever is not hung up on is served.
    Tls,
    /// HTTP/1.1: `GET` of this path must give 200.
    Http(&'static str),
    /// RESP: `PING`.
    Redis,
    /// NATS: `INFO` in clear, then TLS, `CONNECT`, `PING`.
    Nats,
    /// MQTT 3.1.1: `CONNECT` (section 3.1), then `PINGREQ` (3.12).
    Mqtt,
    /// AMQP 0-9-1: the negotiation of a connection as `guest`, then a channel.
    Amqp,
    /// `PostgreSQL`: `SSLRequest`, TLS, a startup message, `SELECT 1`.
    Postgres,
}

/// Why a client was not served, as it saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// An alert (RFC 8446, section 6.2).
    Alert(AlertDescription),
    /// An HTTP status.
    Status(u16),
    /// The words of the protocol.
    Message(String),
    /// The connection ended without a reason.
    Closed,
    /// Nobody listens.
    Nobody,
    /// No answer within the limit.
    Silence,
    /// Something else: the words of whoever noticed.
    Other(String),
}

pub(crate) type Stream = TlsStream<TcpStream>;

/// An answer that is longer is none.
pub(super) const LONGEST: usize = 16 * 1024;
/// Protocol 3.0: its version, `user`, `database`, and a zero at the end.
const STARTUP: &[u8] = b"\x00\x03\x00\x00user\0postgres\0database\0postgres\0\0";
const SELECT: &[u8] = b"Q\x00\x00\x00\x0dSELECT 1\0";
/// A clean session for a minute of silence, with an identifier that the server chooses.
const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";

impl Protocol {
    /// Says what must be said in clear, up to where TLS begins.
    pub(crate) async fn before(self, tcp: &mut TcpStream) -> io::Result<()> {
        match self {
            Self::Postgres => starttls::Protocol::Postgres.begin(tcp).await,
            Self::Nats => {
                let mut said = Vec::new();
                while said.last() != Some(&b'\n') && said.len() < LONGEST {
                    said.push(tcp.read_u8().await?);
                }
                if said.starts_with(b"INFO ") { Ok(()) } else { Err(io::Error::other("no INFO of NATS")) }
            }
            Self::Tls | Self::Http(_) | Self::Redis | Self::Mqtt | Self::Amqp => Ok(()),
        }
    }

    /// Says once what a session begins with.
    pub(crate) async fn greet(self, stream: &mut Stream) -> Result<(), Denial> {
        match self {
            Self::Tls | Self::Http(_) | Self::Redis => Ok(()),
            Self::Nats => {
                send(stream, b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true}\r\n")
                    .await
            }
            Self::Mqtt => {
                send(stream, CONNECT).await?;
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).await?;
                match answer {
                    [0x20, 2, _, 0] => Ok(()),
                    [0x20, 2, _, code] => Err(Denial::Message(format!("CONNACK {code}"))),
                    _ => Err(unexpected(&answer)),
                }
            }
            Self::Amqp => amqp::greet(stream).await,
            Self::Postgres => {
                let length = u32::try_from(STARTUP.len() + 4).unwrap_or_default();
                send(stream, &[&length.to_be_bytes(), STARTUP].concat()).await?;
                postgres(stream).await.map(drop)
            }
        }
    }

    /// One round trip. Gives what the server said.
    pub(crate) async fn ask(self, stream: &mut Stream, host: &str) -> Result<String, Denial> {
        match self {
            // Under TLS 1.3 a refusal comes after the handshake. Whoever waits for a word accepts.
            Self::Tls => match timeout(LISTEN, stream.read_u8()).await {
                Err(_) => Ok("nothing, and stays".into()),
                Ok(said) => said.map(|octet| format!("octet {octet}")).map_err(Denial::from),
            },
            Self::Http(path) => http(stream, path, host).await,
            Self::Redis => {
                send(stream, b"PING\r\n").await?;
                line(stream, "+PONG").await
            }
            Self::Nats => {
                send(stream, b"PING\r\n").await?;
                // It may send its INFO again.
                loop {
                    let said = until_newline(stream).await?;
                    match said.split_whitespace().next() {
                        Some("PONG") => return Ok(said),
                        Some("INFO" | "PING" | "+OK") => {}
                        _ => return Err(Denial::Message(said)),
                    }
                }
            }
            Self::Mqtt => {
                send(stream, &[0xc0, 0]).await?;
                let mut answer = [0; 2];
                stream.read_exact(&mut answer).await?;
                if answer == [0xd0, 0] { Ok("PINGRESP".into()) } else { Err(unexpected(&answer)) }
            }
            Self::Amqp => amqp::ask(stream).await,
            Self::Postgres => {
                send(stream, SELECT).await?;
                if postgres(stream).await? { Ok("a row".into()) } else { Err(unexpected(b"no row")) }
            }
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(f, "alert {}", snake(&format!("{alert:?}"))),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Message(words) => write!(f, "message `{words}`"),
            Self::Closed => f.write_str("closed without a reason"),
            Self::Nobody => f.write_str("nobody listens"),
            Self::Silence => f.write_str("no answer"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl From<io::Error> for Denial {
    fn from(error: io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return match tls {
                rustls::Error::AlertReceived(alert) => Self::Alert(*alert),
                other => Self::Other(other.to_string()),
            };
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Nobody,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Self::Closed
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

/// `CertificateExpired` as the standard writes it: `certificate_expired`.
fn snake(camel: &str) -> String {
    let mut words = String::new();
    let mut before = '_';
    for letter in camel.chars() {
        if letter.is_uppercase() && !before.is_uppercase() && before != '_' {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
        before = letter;
    }
    words
}

pub(super) async fn send(stream: &mut Stream, bytes: &[u8]) -> Result<(), Denial> {
    let written = match stream.write_all(bytes).await {
        Ok(()) => stream.flush().await,
        failed => failed,
    };
    let Err(error) = written else { return Ok(()) };
    // Whoever was refused already has the reason waiting to be read.
    match stream.read_u8().await {
        Err(reason) => Err(reason.into()),
        Ok(_) => Err(error.into()),
    }
}

async fn http(stream: &mut Stream, path: &str, host: &str) -> Result<String, Denial> {
    send(stream, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(Denial::Closed);
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&answer) {
            Ok(httparse::Status::Complete(head)) => {
                let status = response.code.unwrap_or(0);
                if status != 200 {
                    return Err(Denial::Status(status));
                }
                let length =
                    response.headers.iter().find(|one| one.name.eq_ignore_ascii_case("content-length"));
                let length = length.and_then(|one| std::str::from_utf8(one.value).ok()?.trim().parse().ok());
                // The rest of the answer, so that the next one on this connection is the next one.
                while answer.len() < (head + length.unwrap_or(0)).min(LONGEST) {
                    if stream.read_buf(&mut answer).await? == 0 {
                        return Err(Denial::Closed);
                    }
                }
                return Ok("status 200".into());
            }
            Ok(httparse::Status::Partial) if answer.len() < LONGEST => {}
            _ => return Err(unexpected(&answer)),
        }
    }
}

async fn line(stream: &mut Stream, expected: &str) -> Result<String, Denial> {
    let said = until_newline(stream).await?;
    if said == expected { Ok(said) } else { Err(Denial::Message(said)) }
}

async fn until_newline(stream: &mut Stream) -> Result<String, Denial> {
    let mut said = Vec::new();
    while said.last() != Some(&b'\n') && said.len() < LONGEST {
        said.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&said).trim_end().to_owned())
}

/// Reads messages until the server is ready for a query. Gives whether there was a row.
async fn postgres(stream: &mut Stream) -> Result<bool, Denial> {
    let mut row = false;
    loop {
        let kind = stream.read_u8().await?;
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        if !(4..LONGEST).contains(&length) {
            return Err(unexpected(&[kind]));
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        match kind {
            b'Z' => return Ok(row),
            b'D' => row = true,
            b'E' => return Err(Denial::Message(message_of(&body))),
            // A password or more is asked for: nothing that a certificate could give.
            b'R' if body != [0; 4] => return Err(Denial::Message("it asks for a password".into())),
            _ => {}
        }
    }
}

/// The field `M` of an `ErrorResponse`.
fn message_of(body: &[u8]) -> String {
    let field = body.split(|octet| *octet == 0).find_map(|field| field.strip_prefix(b"M"));
    String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
}

pub(super) fn unexpected(said: &[u8]) -> Denial {
    let said = String::from_utf8_lossy(&said[..said.len().min(60)]).escape_debug().to_string();
    Denial::Other(format!("an answer that it should not give: `{said}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_called_as_the_standard_calls_it() {
        let said = [AlertDescription::CertificateExpired, AlertDescription::UnknownCA]
            .map(|alert| Denial::Alert(alert).to_string());
        assert_eq!(said, ["alert certificate_expired", "alert unknown_ca"]);
    }

    #[test]
    fn the_message_of_an_error_of_postgres_is_its_field_m() {
        let body = b"SFATAL\0C28000\0Mconnection requires a valid client certificate\0\0";
        assert_eq!(message_of(body), "connection requires a valid client certificate");
        assert_eq!(message_of(b"SFATAL\0\0"), "");
    }
}
