//! One certificate as people look for it: read by x509-parser, which minted none.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use x509_parser::{
    der_parser::oid,
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
    x509::{SubjectPublicKeyInfo, X509Name},
};

use super::threshold::Lifetime;
use crate::pki;

/// One certificate: what it says of itself, and nothing of where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of the whole certificate in DER.
    pub fingerprint: Fingerprint,
    /// The subject's distinguished name.
    pub subject: String,
    /// The last common name of the subject, if it has one.
    pub common_name: Option<Arc<str>>,
    /// DNS names, addresses, URIs and mail addresses of the extension subjectAltName.
    pub names: Vec<String>,
    /// The issuer's distinguished name.
    pub issuer: Arc<str>,
    /// The last common name of the issuer, if it has one.
    pub issuer_common_name: Option<Arc<str>>,
    /// Serial number, lower-case hexadecimal.
    pub serial: Arc<str>,
    /// Kind and size of the key: `ECDSA P-256`, `RSA 2048`, `Ed25519`.
    pub key_type: Cow<'static, str>,
    /// SHA-256 of the public key with its algorithm (SubjectPublicKeyInfo): who has the same has the
    /// same private key.
    pub key: Fingerprint,
    /// First second in which it is valid, Unix seconds.
    pub not_before: i64,
    /// Last second in which it is valid, Unix seconds.
    pub not_after: i64,
    /// What it may be used for.
    pub role: Role,
    /// How it is tied to others; not part of a document.
    #[serde(skip)]
    pub(super) links: Links,
    /// The certificate itself; not part of a document.
    #[serde(skip)]
    pub(super) der: Arc<[u8]>,
}

/// What a certificate may be used for (RFC 5280, 4.2.1.9 and 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An authority that nobody else vouches for.
    Root,
    /// An authority below another one.
    Issuing,
    /// Servers present it.
    Server,
    /// Clients show it.
    Client,
    /// Both, or anything: it does not say.
    Peer,
    /// Neither: mail, code, time stamps.
    Other,
}

/// SHA-256 of something, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// Names and key identifiers as numbers: to find candidates of an issuer, which are verified then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Links {
    pub subject: u64,
    pub issuer: u64,
    /// The identifiers of the own and of the issuer's key, where the certificate has them.
    pub own_key: Option<u64>,
    pub issuer_key: Option<u64>,
}

/// What was read before: the same few authorities lie beside many certificates, and issued them.
#[derive(Default)]
pub(super) struct Known {
    authorities: HashMap<Fingerprint, Arc<Certificate>>,
    /// By their encoding.
    issuers: HashMap<Box<[u8]>, Issuer>,
}

/// How an issuer is written, and its common name.
type Issuer = (Arc<str>, Option<Arc<str>>);

impl Known {
    /// Reads exactly one certificate in DER.
    ///
    /// # Errors
    /// In words that fit behind "found", if the bytes are anything else.
    pub fn read(&mut self, der: &[u8]) -> Result<Arc<Certificate>, String> {
        let fingerprint = Fingerprint::of(der);
        if let Some(known) = self.authorities.get(&fingerprint) {
            return Ok(known.clone());
        }
        let certificate = match X509Certificate::from_der(der) {
            Ok(([], parsed)) => Arc::new(Certificate::of(&parsed, der, fingerprint, self.issuer(&parsed))),
            Ok((rest, _)) => return Err(format!("{} bytes after a certificate", rest.len())),
            Err(_) if der.is_empty() => return Err("nothing".into()),
            Err(error) => return Err(format!("{} bytes that are no certificate ({error})", der.len())),
        };
        if certificate.role.is_authority() {
            self.authorities.insert(fingerprint, certificate.clone());
        }
        Ok(certificate)
    }

    fn issuer(&mut self, parsed: &X509Certificate<'_>) -> Issuer {
        let issuer = parsed.issuer();
        if let Some(known) = self.issuers.get(issuer.as_raw()) {
            return known.clone();
        }
        let written = (issuer.to_string().into(), common_name(issuer));
        self.issuers.insert(issuer.as_raw().into(), written.clone());
        written
    }
}

impl Certificate {
    /// Reads exactly one certificate in DER.
    ///
    /// # Errors
    /// In words that fit behind "found", if the bytes are anything else.
    pub fn from_der(der: &[u8]) -> Result<Arc<Self>, String> {
        Known::default().read(der)
    }

    fn of(
        parsed: &X509Certificate<'_>,
        der: &[u8],
        fingerprint: Fingerprint,
        (issuer, issuer_common_name): Issuer,
    ) -> Self {
        let leaf = pki::leaf(parsed);
        let mut links = Links {
            subject: number(parsed.subject().as_raw()),
            issuer: number(parsed.issuer().as_raw()),
            ..Links::default()
        };
        let mut names = Vec::new();
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(found) => {
                    names.extend(found.general_names.iter().filter_map(name_of));
                }
                ParsedExtension::SubjectKeyIdentifier(id) => links.own_key = Some(number(id.0)),
                ParsedExtension::AuthorityKeyIdentifier(found) => {
                    links.issuer_key = found.key_identifier.as_ref().map(|id| number(id.0));
                }
                _ => {}
            }
        }
        names.shrink_to_fit();
        Self {
            fingerprint,
            subject: parsed.subject().to_string(),
            common_name: common_name(parsed.subject()),
            names,
            issuer,
            issuer_common_name,
            serial: leaf.serial.into(),
            key_type: key_type(parsed.public_key()),
            key: Fingerprint::of(parsed.public_key().raw),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            role: role(parsed, links),
            links,
            der: der.into(),
        }
    }

    /// How people call it: its common name, else its first other name, else its subject or serial number.
    pub fn called(&self) -> &str {
        let named = self.common_name.as_deref().or(self.names.first().map(String::as_str));
        named.unwrap_or(if self.subject.is_empty() { &self.serial } else { &self.subject })
    }

    /// Makes room, once nothing is verified any more.
    pub(super) fn forget_der(&mut self) {
        self.der = Arc::default();
    }

    /// The organization of its subject (X.520); to Kubernetes, the group that a client is of.
    pub fn organization(&self) -> Option<String> {
        let (_, parsed) = X509Certificate::from_der(&self.der).ok()?;
        let found = parsed.subject().iter_organization().next()?;
        found.as_str().ok().map(ToOwned::to_owned)
    }

    /// All names that it has, but for its subject.
    pub(super) fn called_also(&self) -> impl Iterator<Item = &str> + Clone {
        self.names.iter().map(String::as_str).chain(self.common_name.as_deref())
    }

    /// As [`Self::called`], to be kept.
    pub(super) fn name(&self) -> Arc<str> {
        self.common_name.clone().unwrap_or_else(|| self.called().into())
    }

    /// From when to when it is valid.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime { not_before: self.not_before, not_after: self.not_after }
    }

    /// How people call who issued it.
    pub fn issued_by(&self) -> &Arc<str> {
        self.issuer_common_name.as_ref().unwrap_or(&self.issuer)
    }
}

impl Role {
    /// Whether it is an authority's.
    pub fn is_authority(self) -> bool {
        matches!(self, Self::Root | Self::Issuing)
    }

    /// In one or two words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
            Self::Server => "server",
            Self::Client => "client",
            Self::Peer => "peer",
            Self::Other => "other",
        }
    }
}

impl Fingerprint {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut octets = [0; 32];
        octets.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(octets)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&pki::hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let octet = |index: usize| {
            text.get(2 * index..2 * index + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok())
        };
        let octets: Option<Vec<u8>> = (0..32).map(octet).collect();
        octets.filter(|_| text.len() == 64).and_then(|octets| octets.try_into().ok()).map(Self).ok_or_else(
            || serde::de::Error::custom(format!("expected 64 hexadecimal digits, found `{text}`")),
        )
    }
}

fn number(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn common_name(name: &X509Name<'_>) -> Option<Arc<str>> {
    let last = name.iter_common_name().last()?.as_str().ok()?;
    Some(last.into()).filter(|name: &Arc<str>| !name.is_empty())
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn role(parsed: &X509Certificate<'_>, links: Links) -> Role {
    if parsed.is_ca() {
        return if links.subject == links.issuer { Role::Root } else { Role::Issuing };
    }
    match parsed.extended_key_usage() {
        Ok(Some(usage)) => match (usage.value.server_auth, usage.value.client_auth, usage.value.any) {
            (true, true, _) | (_, _, true) => Role::Peer,
            (true, false, _) => Role::Server,
            (false, true, _) => Role::Client,
            _ => Role::Other,
        },
        _ => Role::Peer,
    }
}

fn key_type(key: &SubjectPublicKeyInfo<'_>) -> Cow<'static, str> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == oid!(1.3.101.112) {
        return "Ed25519".into();
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()).into(),
        Ok(PublicKey::EC(point)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            match curve {
                Some(curve) if curve == oid!(1.2.840.10045.3.1.7) => "ECDSA P-256".into(),
                Some(curve) if curve == oid!(1.3.132.0.34) => "ECDSA P-384".into(),
                Some(curve) if curve == oid!(1.3.132.0.35) => "ECDSA P-521".into(),
                _ => format!("ECDSA {}", point.key_size()).into(),
            }
        }
        _ => algorithm.to_id_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pki::{Authority, Identity, Validity};

    fn certificates() -> Vec<Arc<Certificate>> {
        let authority = Authority::new("mesh").expect("an authority");
        let identity = Identity {
            addresses: vec!["127.3.0.9".parse().expect("an address"), "::1".parse().expect("an address")],
            ..Identity::service("archive")
        };
        let credential = authority.issue(&identity, Validity::lasting(Duration::from_hours(1)));
        let credential = credential.expect("a credential");
        let mut chain = credential.chain_der();
        chain.extend(credential.bundle_der().expect("a bundle"));
        chain.iter().map(|der| Certificate::from_der(der).expect("a certificate")).collect()
    }

    #[test]
    fn a_certificate_says_who_it_is_and_what_for() {
        let [leaf, issuing, root] = &certificates()[..] else { panic!("leaf, issuing CA and root") };
        assert_eq!(leaf.called(), "archive");
        assert_eq!(leaf.names, ["archive", "127.3.0.9", "::1"]);
        assert_eq!(leaf.key_type, "ECDSA P-256");
        assert_eq!([leaf.role, issuing.role, root.role], [Role::Peer, Role::Issuing, Role::Root]);
        assert_eq!((leaf.links.issuer, issuing.links.issuer), (issuing.links.subject, root.links.subject));
        assert_eq!(leaf.links.issuer_key, issuing.links.own_key);
        assert_ne!(leaf.key, issuing.key);
    }

    #[test]
    fn a_fingerprint_is_written_as_openssl_does_without_its_colons() {
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Fingerprint::of(b"").to_string(), of_nothing);
    }

    #[test]
    fn a_fingerprint_reads_back_and_half_of_one_does_not() {
        let fingerprint = Fingerprint::of(b"archive");
        let written = serde_json::to_string(&fingerprint).expect("text");
        assert_eq!(serde_json::from_str::<Fingerprint>(&written).expect("a fingerprint"), fingerprint);
        for bad in ["\"\"", "\"00\"", &written.replace('"', "").replacen(|_| true, "zz", 1)] {
            assert!(serde_json::from_str::<Fingerprint>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_described() {
        let der = certificates()[0].der.to_vec();
        assert_eq!(Certificate::from_der(&[]).expect_err("nothing"), "nothing");
        assert_eq!(
            Certificate::from_der(&[&der[..], &[0]].concat()).expect_err("more"),
            "1 bytes after a certificate"
        );
        let short = Certificate::from_der(&der[..100]).expect_err("less");
        assert!(short.starts_with("100 bytes that are no certificate"), "{short}");
    }
}
