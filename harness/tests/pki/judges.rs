//! Two judges of certificates that minted none of them: webpki and the openssl command line.

use std::{
    ffi::OsStr,
    io::Write,
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use notafter::pki::{Credential, Usage};
use rustls::pki_types::{ServerName, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

/// What a judge is asked about the chain of a credential, under the credential's own bundle.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Unix seconds.
    pub at: i64,
    /// DNS name or address.
    pub name: &'static str,
    pub usage: Usage,
}

/// What a judge says.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    Accepted,
    Expired,
    NotYetValid,
    UnknownIssuer,
    WrongName,
    WrongPurpose,
    Revoked,
    /// The revocation list has run out.
    StaleList,
    /// In the judge's words.
    Other(String),
}

impl Question {
    /// Whether `archive` would be accepted as a server now.
    pub fn now() -> Self {
        Self { at: unix(SystemTime::now()), name: "archive", usage: Usage::ServerAuth }
    }
}

/// Unix seconds, rounded down.
pub fn unix(instant: SystemTime) -> i64 {
    let since = instant.duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_secs().try_into().expect("a date that fits")
}

/// What both judges say; fails if they do not agree.
pub fn ask_both(credential: &Credential, question: Question) -> Judgement {
    let judgement = webpki(credential, question);
    assert_eq!(openssl(credential, question), judgement, "openssl (left) and webpki (right) disagree");
    judgement
}

/// What `openssl verify` says with the revocation lists that the credential's holder has.
pub fn openssl_with_lists(credential: &Credential, question: Question) -> Judgement {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.crl");
    std::fs::write(&path, credential.files().crl.expect("a list")).expect("a file");
    openssl_given(credential, question, &["-crl_check".as_ref(), "-CRLfile".as_ref(), path.as_os_str()])
}

/// What webpki says.
pub fn webpki(credential: &Credential, question: Question) -> Judgement {
    let roots = credential.bundle_der().expect("a bundle");
    let anchors: Vec<_> = roots.iter().map(|root| anchor_from_trusted_cert(root).expect("a root")).collect();
    let chain = credential.chain_der();
    let leaf = EndEntityCert::try_from(&chain[0]).expect("a leaf");
    let usage = match question.usage {
        Usage::ServerAuth => KeyUsage::server_auth(),
        Usage::ClientAuth => KeyUsage::client_auth(),
    };
    let at = UnixTime::since_unix_epoch(Duration::from_secs(question.at.try_into().expect("after 1970")));
    let algorithms = [webpki::ring::ECDSA_P256_SHA256];
    let verified = leaf.verify_for_usage(&algorithms, &anchors, &chain[1..], at, usage, None, None);
    let name = ServerName::try_from(question.name).expect("a name");
    match verified.and_then(|_| leaf.verify_is_valid_for_subject_name(&name)) {
        Ok(()) => Judgement::Accepted,
        Err(Error::CertExpired { .. }) => Judgement::Expired,
        Err(Error::CertNotValidYet { .. }) => Judgement::NotYetValid,
        Err(Error::UnknownIssuer) => Judgement::UnknownIssuer,
        Err(Error::CertNotValidForName(_)) => Judgement::WrongName,
        Err(Error::RequiredEkuNotFoundContext(_)) => Judgement::WrongPurpose,
        Err(other) => Judgement::Other(other.to_string()),
    }
}

/// What `openssl verify` says.
pub fn openssl(credential: &Credential, question: Question) -> Judgement {
    openssl_given(credential, question, &[])
}

fn openssl_given(credential: &Credential, question: Question, options: &[&OsStr]) -> Judgement {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let (chain, bundle) = (credential.chain_pem(), credential.bundle_pem());
    let mut command = Command::new("openssl");
    command.args(["verify", "-no-CApath", "-no-CAstore", "-x509_strict"]);
    command.args(["-attime", &question.at.to_string()]);
    let is_address = question.name.parse::<std::net::IpAddr>().is_ok();
    command.args([if is_address { "-verify_ip" } else { "-verify_hostname" }, question.name]);
    let purpose = match question.usage {
        Usage::ServerAuth => "sslserver",
        Usage::ClientAuth => "sslclient",
    };
    command.args(["-purpose", purpose]).args(options);
    command.arg("-CAfile").arg(file("bundle.pem", bundle)).arg("-untrusted").arg(file("chain.pem", chain));
    let output = run(command.arg(file("leaf.pem", chain)), "");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    // The numbers are `X509_V_ERR_*` of openssl's x509_vfy.h.
    let code = words.lines().find_map(|line| line.strip_prefix("error ")?.split(' ').next());
    match code {
        None if output.status.success() => Judgement::Accepted,
        Some("10") => Judgement::Expired,
        Some("9") => Judgement::NotYetValid,
        Some("2" | "20") => Judgement::UnknownIssuer,
        Some("62" | "64") => Judgement::WrongName,
        Some("26") => Judgement::WrongPurpose,
        Some("23") => Judgement::Revoked,
        Some("12") => Judgement::StaleList,
        _ => Judgement::Other(words),
    }
}

/// What `openssl x509 -noout` prints about the first certificate of a PEM text.
pub fn openssl_prints(pem: &str, options: &[&str]) -> String {
    let output = run(Command::new("openssl").args(["x509", "-noout"]).args(options), pem);
    assert!(output.status.success(), "openssl x509: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn run(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!(
            "cannot run `openssl`: {error}\n\
             hint: the second judge of what we mint is the openssl command line; install it \
             (Debian: apt-get install openssl), or run `ci/test`, which does"
        ),
    };
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("openssl reads its input");
    child.wait_with_output().expect("openssl ends")
}
