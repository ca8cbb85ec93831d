//! What it costs to issue a key and a certificate, beside the floor: the minting library alone.
//!
//! The floor generates a P-256 key and signs one leaf with parameters and an issuer that were made
//! beforehand: no new names, no serial number. Ours is [`Authority::issue`], whole. PEM is in neither:
//! a credential writes it when it is first asked for.

use std::{
    hint::black_box,
    io::{self, Write},
    time::{Duration, Instant},
};

use criterion::Criterion;
use notafter::pki::{Authority, Identity, Validity};
use rcgen::{
    CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

const YEAR: Duration = Duration::from_hours(365 * 24);

fn main() -> io::Result<()> {
    let mut floor = floor();
    let mut ours = ours();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("issuing");
    group.bench_function("rcgen alone", |bencher| bencher.iter(&mut floor));
    group.bench_function("notafter", |bencher| bencher.iter(&mut ours));
    group.finish();
    criterion.final_summary();
    compare(&mut floor, &mut ours)
}

/// Turn by turn, so that whatever else the machine does meets both; the medians of a turn.
fn compare(floor: &mut impl FnMut(), ours: &mut impl FnMut()) -> io::Result<()> {
    const TURNS: usize = 61;
    let (floors, all_ours): (Vec<_>, Vec<_>) = (0..TURNS).map(|_| (turn(floor), turn(ours))).unzip();
    let (floor, ours) = (median(floors), median(all_ours));
    writeln!(
        io::stdout(),
        "issuing a key and a leaf: rcgen alone {:.0}/s, notafter {:.0}/s, ratio {:.3} (at least 0.90 wanted)",
        1.0 / floor,
        1.0 / ours,
        floor / ours,
    )
}

/// Seconds that one of a hundred takes.
fn turn(issue: &mut impl FnMut()) -> f64 {
    const COUNT: u32 = 100;
    let began = Instant::now();
    (0..COUNT).for_each(|_| issue());
    began.elapsed().as_secs_f64() / f64::from(COUNT)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn floor() -> impl FnMut() {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().expect("a key");
    let issuer = CertifiedIssuer::self_signed(ca, key).expect("an issuing CA");
    let mut leaf = CertificateParams::new(["archive".to_owned()]).expect("a name");
    leaf.distinguished_name.push(DnType::CommonName, "archive");
    // The same extensions as ours.
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    move || {
        let key = KeyPair::generate().expect("a key");
        let certificate = leaf.signed_by(&key, &issuer).expect("a leaf");
        black_box((key, certificate));
    }
}

fn ours() -> impl FnMut() {
    let authority = Authority::new("mesh").expect("an authority");
    let identity = Identity::service("archive");
    move || {
        black_box(authority.issue(&identity, Validity::lasting(YEAR)).expect("a credential"));
    }
}
