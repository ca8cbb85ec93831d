//! What some protocols say in clear before TLS begins.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::{Error, Result};

/// How a server comes to speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// At once, as HTTPS does.
    Tls,
    /// After an `SSLRequest` (`PostgreSQL`, Message Flow, SSL Session Encryption).
    Postgres,
    /// After an `SSLRequest` in answer to the greeting (`MySQL`, Connection Phase).
    Mysql,
    /// After `STARTTLS` (RFC 3207).
    Smtp,
    /// After `STARTTLS` (RFC 9051, 6.2.1).
    Imap,
    /// After an extended request (RFC 4511, 4.14).
    Ldap,
}

/// A greeting or an answer that is longer is none.
const LONGEST: usize = 16 * 1024;
/// `SSLRequest`: its length, and 1234 and 5679 in the place of a version.
pub(super) const POSTGRES: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// Capabilities of `MySQL`: the protocol of 4.1, TLS, and authentication by its version of 4.1.
const MYSQL: u32 = 0x0200 | CLIENT_SSL | 0x8000;
const CLIENT_SSL: u32 = 0x0800;
/// An extended request, number 1, of the name 1.3.6.1.4.1.1466.20037.
pub(super) const LDAP: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

impl Protocol {
    const ALL: [Self; 6] = [Self::Tls, Self::Postgres, Self::Mysql, Self::Smtp, Self::Imap, Self::Ldap];

    /// As it stands before `://`.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Ldap => "ldap",
        }
    }

    /// The port that is meant where none is named.
    pub fn port(self) -> u16 {
        match self {
            Self::Tls => 443,
            Self::Postgres => 5432,
            Self::Mysql => 3306,
            Self::Smtp => 25,
            Self::Imap => 143,
            Self::Ldap => 389,
        }
    }

    /// What a scheme means; `https` and `postgresql` are other words for two of them.
    ///
    /// # Errors
    /// If it is none of ours, with those that are.
    pub fn of_scheme(scheme: &str) -> Result<Self> {
        let meant = match scheme {
            "https" => "tls",
            "postgresql" => "postgres",
            other => other,
        };
        Self::ALL.into_iter().find(|known| known.scheme() == meant).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|known| format!("{}://", known.scheme())).collect();
            Error::usage(format!("no protocol is called `{scheme}://`"))
                .hint(format!("there are: {}", known.join(", ")))
        })
    }

    /// Says what must be said, up to where TLS begins.
    ///
    /// # Errors
    /// If the other side does not answer so, with what it said.
    pub async fn begin(self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        match self {
            Self::Tls => Ok(()),
            Self::Postgres => postgres(stream).await,
            Self::Mysql => mysql(stream).await,
            Self::Smtp => smtp(stream).await,
            Self::Imap => imap(stream).await,
            Self::Ldap => ldap(stream).await,
        }
    }
}

async fn postgres(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(&POSTGRES).await?;
    match stream.read_u8().await? {
        b'S' => Ok(()),
        b'N' => Err(io::Error::other("it speaks PostgreSQL, but has no TLS")),
        other => Err(unexpected("PostgreSQL", &[other])),
    }
}

async fn mysql(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    // Three octets of length, the lowest first, and a sequence number.
    let [low, middle, high, _] = stream.read_u32().await?.to_be_bytes();
    let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
    if length == 0 || length > LONGEST {
        return Err(unexpected("MySQL", &[low, middle, high]));
    }
    let mut greeting = vec![0; length];
    stream.read_exact(&mut greeting).await?;
    // Version 10, a text that ends with a zero, connection number, 8 octets, a zero; then capabilities.
    let text = greeting.iter().position(|octet| *octet == 0).filter(|_| greeting[0] == 10);
    let capabilities = text.and_then(|end| greeting.get(end + 14..end + 16));
    let Some(&[low, high]) = capabilities else { return Err(unexpected("MySQL", &greeting)) };
    if u32::from(u16::from_le_bytes([low, high])) & CLIENT_SSL == 0 {
        return Err(io::Error::other("it speaks MySQL, but has no TLS"));
    }
    // Capabilities, the largest packet, UTF-8, 23 zeros; length and number 1 in front.
    let mut request = vec![32, 0, 0, 1];
    request.extend(MYSQL.to_le_bytes());
    request.extend((1_u32 << 24).to_le_bytes());
    request.push(45);
    request.extend([0; 23]);
    stream.write_all(&request).await
}

async fn smtp(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let last = |line: &str| line.as_bytes().get(3) != Some(&b'-');
    answer(stream, "SMTP", "220", last).await?;
    stream.write_all(b"EHLO notafter.invalid\r\n").await?;
    answer(stream, "SMTP", "250", last).await?;
    stream.write_all(b"STARTTLS\r\n").await?;
    answer(stream, "SMTP", "220", last).await
}

async fn imap(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    answer(stream, "IMAP", "* OK", |_| true).await?;
    stream.write_all(b"a STARTTLS\r\n").await?;
    // Anything may be said before the answer to what has the tag.
    loop {
        let line = line(stream).await?;
        match line.split_once(' ') {
            Some(("a", rest)) if rest.starts_with("OK") => return Ok(()),
            Some(("*", _)) => {}
            _ => return Err(unexpected("IMAP", line.as_bytes())),
        }
    }
}

async fn ldap(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(LDAP).await?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let [tag, length] = head;
    let length = if length & 0x80 == 0 {
        usize::from(length)
    } else {
        // The length of the length; four octets are more than enough.
        let mut octets = vec![0; usize::from(length & 0x7f).min(4)];
        stream.read_exact(&mut octets).await?;
        octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))
    };
    if tag != 0x30 || length > LONGEST {
        return Err(unexpected("LDAP", &[tag]));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    // Number 1 (three octets), an extended response with its length; then the result.
    let octets = message.get(4).filter(|length| **length & 0x80 != 0).map_or(0, |length| length & 0x7f);
    match message.get(5 + usize::from(octets)..) {
        Some([0x0a, 0x01, 0, ..]) => Ok(()),
        Some([0x0a, 0x01, code, ..]) => {
            Err(io::Error::other(format!("it speaks LDAP, but refuses TLS with result {code}")))
        }
        _ => Err(unexpected("LDAP", &message)),
    }
}

/// Reads an answer to its last line; each line must begin so.
async fn answer(
    stream: &mut (impl AsyncRead + Unpin),
    protocol: &str,
    begins: &str,
    last: impl Fn(&str) -> bool,
) -> io::Result<()> {
    let mut read = 0;
    loop {
        let line = line(stream).await?;
        read += line.len();
        if !line.starts_with(begins) || read > LONGEST {
            return Err(unexpected(protocol, line.as_bytes()));
        }
        if last(&line) {
            return Ok(());
        }
    }
}

/// Reads one line, octet by octet: what follows it is not ours to read.
async fn line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') && line.len() < LONGEST {
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn unexpected(protocol: &str, said: &[u8]) -> io::Error {
    let said = String::from_utf8_lossy(&said[..said.len().min(60)]).escape_debug().to_string();
    io::Error::other(format!("expected an answer of {protocol}, found `{said}`"))
}
