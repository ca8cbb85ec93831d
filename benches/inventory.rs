//! An inventory of 100,000 certificates in a folder and one of 1,000 servers, against what they may cost.
//!
//! `cargo bench --bench inventory -- [REPEATS]`, 3 by default. It is the command that is measured, from
//! its start to its end, with its JSON written. The floor reads the same files and parses each
//! certificate, one after another on one core.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use notafter::pki::{Authority, Credential, Identity, Validity};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const FILES: usize = 100_000;
const SERVERS: usize = 1_000;
/// What the folder may take, in time and in memory, and the servers in time.
const OF_FILES: Duration = Duration::from_secs(2);
const MEMORY_MIB: f64 = 300.0;
const OF_SERVERS: Duration = Duration::from_secs(10);

fn main() {
    let repeats = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(3);
    let folder = tempfile::tempdir().expect("a folder");
    let day = Duration::from_hours(24);
    let authority = Authority::new("mesh").expect("an authority");
    let issue = |name: &str| {
        authority.issue(&Identity::service(name), Validity::lasting(90 * day)).expect("a credential")
    };
    let certificates = folder.path().join("certificates");
    lay(&certificates, &issue);
    let root = folder.path().join("root.pem");
    fs::write(&root, authority.bundle()).expect("a file");
    let floor = median((0..repeats).map(|_| bare(&certificates)).collect());
    println!(
        "{FILES} files read and parsed on one core: {:.2} s, {:.0}/s",
        floor.as_secs_f64(),
        per_second(FILES, floor)
    );
    let runs: Vec<_> = (0..repeats).map(|_| inventory(folder.path(), &[path(&certificates)])).collect();
    let took = median(runs.iter().map(|(took, _)| *took).collect());
    let memory = runs.iter().map(|(_, memory)| *memory).fold(0.0, f64::max);
    print("the inventory of these files", FILES, took, OF_FILES);
    println!(
        "  {:.2} of the floor; {memory:.0} MiB, {:.2} of the {MEMORY_MIB} allowed",
        took.as_secs_f64() / floor.as_secs_f64(),
        memory / MEMORY_MIB
    );

    // Two signatures of each chain are checked then, of which one is known already.
    let took = median(
        (0..repeats).map(|_| inventory(folder.path(), &[path(&certificates), path(&root)]).0).collect(),
    );
    println!(
        "with their root, so that each chain is verified: {:.2} s, {:.0}/s",
        took.as_secs_f64(),
        per_second(FILES, took)
    );

    let tokio = tokio::runtime::Runtime::new().expect("runtime");
    let servers: Vec<String> =
        tokio.block_on(async { serve(&issue("archive")).await }).iter().map(ToString::to_string).collect();
    let took = median((0..repeats).map(|_| inventory(folder.path(), &servers).0).collect());
    print("the inventory of live servers", SERVERS, took, OF_SERVERS);
}

/// A hundred folders, each certificate in a file of its own with its issuing CA.
fn lay(folder: &Path, issue: &impl Fn(&str) -> Credential) {
    for number in 0..FILES {
        let folder = folder.join(format!("{:02}", number % 100));
        if number < 100 {
            fs::create_dir_all(&folder).expect("a folder");
        }
        let name = format!("service-{number}");
        let chain = issue(&name).chain_pem().to_owned();
        fs::write(folder.join(format!("{name}.crt")), chain).expect("a file");
    }
}

/// Reads every file and parses the first certificate of each.
fn bare(folder: &Path) -> Duration {
    let began = Instant::now();
    let mut latest = 0;
    for folder in fs::read_dir(folder).expect("folders").flatten() {
        for file in fs::read_dir(folder.path()).expect("files").flatten() {
            let bytes = fs::read(file.path()).expect("a file");
            let der = CertificateDer::from_pem_slice(&bytes).expect("PEM");
            let (_, certificate) = x509_parser::parse_x509_certificate(&der).expect("a certificate");
            latest = latest.max(certificate.validity().not_after.timestamp());
        }
    }
    assert!(latest > 0);
    began.elapsed()
}

/// How long the command takes, and the most memory that it had, MiB.
fn inventory(folder: &Path, sources: &[String]) -> (Duration, f64) {
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_notafter"))
        .args(["inventory", "--as", "json", "--out", &path(&folder.join("inventory.json"))])
        .args(sources)
        .stdin(Stdio::null())
        .spawn()
        .expect("notafter");
    let mut most: f64 = 0.0;
    let status = loop {
        if let Some(status) = command.try_wait().expect("a status") {
            break status;
        }
        most = most.max(high_water(command.id()).unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
    (began.elapsed(), most)
}

/// The most memory that a process had so far, MiB (`proc(5)`).
fn high_water(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Servers on addresses of their own, all with the same credential.
async fn serve(credential: &Credential) -> Vec<SocketAddr> {
    let chain = CertificateDer::pem_slice_iter(credential.chain_pem().as_bytes());
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(credential.key_pem().as_bytes());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>().expect("a chain"), key.expect("a key"))
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut addresses = Vec::new();
    for _ in 0..SERVERS {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        addresses.push(listener.local_addr().expect("an address"));
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(acceptor.accept(stream));
            }
        });
    }
    addresses
}

fn print(what: &str, count: usize, took: Duration, limit: Duration) {
    println!(
        "{what}: {:.2} s, {:.0}/s, {:.2} of the {} s allowed",
        took.as_secs_f64(),
        per_second(count, took),
        took.as_secs_f64() / limit.as_secs_f64(),
        limit.as_secs()
    );
}

#[expect(clippy::cast_precision_loss, reason = "few")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
