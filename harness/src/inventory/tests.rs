//! What is found in the files of a small company, and how it is told.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use super::*;
use crate::{
    pki::{Authority, Credential, Identity, Validity},
    report::Style,
};

const DAY: u64 = 24 * 3_600;
/// 2026-11-24T05:30:00Z.
const NOW: u64 = 1_795_498_200;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// From so many days before now to so many after it.
fn days(before: u64, after: u64) -> Validity {
    Validity::between(at(NOW - before * DAY), at(NOW + after * DAY))
}

fn authority(validity: Validity) -> Authority {
    Authority::with_validity("mesh", days(1_000, 2_000), validity).expect("an authority")
}

fn issue(authority: &Authority, name: &str, validity: Validity) -> Credential {
    authority.issue(&Identity::service(name), validity).expect("a credential")
}

fn decode(text: &str) -> Decoded {
    decode::Decoder::new(&[]).decode(text.as_bytes(), true)
}

fn file(at: &str, text: &str) -> Source {
    Source { at: at.into(), found: decode(text), mode: Some(0o600), ..Source::default() }
}

fn server(at: &str, credential: &Credential) -> Source {
    let found = Decoded { form: Form::Wire, ..decode(credential.chain_pem()) };
    Source { at: at.into(), found, ..Source::default() }
}

/// All three files of a mount.
fn mount(folder: &str, credential: &Credential) -> [Source; 3] {
    [
        file(&format!("{folder}/tls.crt"), credential.chain_pem()),
        file(&format!("{folder}/tls.key"), credential.key_pem()),
        file(&format!("{folder}/ca.crt"), credential.bundle_pem()),
    ]
}

fn judge(sources: Vec<Source>) -> Inventory {
    let files = sources.iter().filter(|source| source.found.form != Form::Wire).count() as u64;
    Inventory::of(sources, files, &Owners::default(), NOW.try_into().expect("a second"))
}

fn kinds(inventory: &Inventory) -> Vec<(Rank, finding::Kind)> {
    inventory.findings.iter().map(|finding| (finding.rank, finding.kind)).collect()
}

#[test]
fn a_healthy_mount_has_no_finding() {
    let credential = issue(&authority(days(100, 900)), "archive", days(10, 80));
    let inventory = judge(mount("/archive", &credential).into());
    assert_eq!(kinds(&inventory), []);
    let leaf = inventory.certificates.iter().find(|entry| &*entry.name == "archive").expect("the leaf");
    assert_eq!(leaf.chain.judged, Some(Judged::Verifies));
    assert_eq!((&*leaf.chain.ends_first.called, leaf.externally_managed), ("archive", true));
}

#[test]
fn each_level_of_a_lifetime_is_a_finding_of_its_rank() {
    use finding::Kind;
    let authority = authority(days(100, 900));
    for (used, left, expected) in [
        (90, 0, (Rank::Page, Kind::Expiring)),
        (87, 3, (Rank::Page, Kind::Expiring)),
        (80, 10, (Rank::Critical, Kind::Expiring)),
        (70, 20, (Rank::Warning, Kind::RenewalOverdue)),
    ] {
        let credential = issue(&authority, "archive", days(used, left));
        assert_eq!(kinds(&judge(mount("/archive", &credential).into())), [expected], "{left} days left");
    }
    let expired = issue(&authority, "archive", Validity::between(at(NOW - 9 * DAY), at(NOW - DAY)));
    assert_eq!(kinds(&judge(mount("/archive", &expired).into())), [(Rank::Page, Kind::Expired)]);
    let early = issue(&authority, "archive", Validity::between(at(NOW + DAY), at(NOW + 9 * DAY)));
    assert_eq!(kinds(&judge(mount("/archive", &early).into())), [(Rank::Page, Kind::NotYetValid)]);
}

#[test]
fn an_issuing_ca_that_ends_is_found_with_all_that_goes_with_it() {
    let authority = authority(days(99, 1));
    let sources = ["archive", "search"].map(|name| mount(name, &issue(&authority, name, days(1, 30))));
    let inventory = judge(sources.concat());
    let first = &inventory.findings[0];
    assert_eq!((first.rank, first.kind), (Rank::Page, finding::Kind::Expiring));
    assert!(first.what.ends_with("2 certificates below it go with it"), "{}", first.what);
    let outlive = inventory.findings.iter().filter(|finding| finding.kind == finding::Kind::OutlivesIssuer);
    assert_eq!(outlive.count(), 2);
    let leaf = inventory.certificates.iter().find(|entry| &*entry.name == "archive").expect("the leaf");
    assert_ne!(leaf.chain.ends_first.serial, leaf.certificate.serial);
}

#[test]
fn a_leaf_that_does_not_outlive_its_issuer_is_no_finding() {
    let authority = authority(days(100, 50));
    let inventory = judge(mount("/archive", &issue(&authority, "archive", days(1, 50))).into());
    assert!(inventory.findings.iter().all(|finding| finding.kind != finding::Kind::OutlivesIssuer));
}

#[test]
fn a_leaf_that_outlives_its_issuer_by_an_hour_says_the_time() {
    let authority = authority(days(10, 50));
    let end = NOW + 50 * DAY;
    let leaf = issue(&authority, "archive", Validity::between(at(NOW - DAY), at(end + 3_600)));
    let inventory = judge(mount("/archive", &leaf).into());
    let [finding] = &inventory.findings[..] else { panic!("{:?}", inventory.findings) };
    assert!(finding.what.contains("until 2027-01-13T06:30:00Z"), "{}", finding.what);
    assert!(finding.what.ends_with("only until 2027-01-13T05:30:00Z"), "{}", finding.what);
}

/// As several public roots were issued anew, with the same name and key, to last longer.
#[test]
fn a_root_that_was_issued_anew_does_not_outlive_its_issuer() {
    let bundle = authority(days(100, 900)).bundle();
    let older = decode(&bundle).certificates[0].clone();
    let mut newer = older.clone();
    let changed = std::sync::Arc::make_mut(&mut newer);
    (changed.fingerprint, changed.not_after) = (Fingerprint::of(b"newer"), older.not_after + 1_000_000);
    let mut source = file("/ca.crt", &bundle);
    source.found.certificates.push(newer);
    assert_eq!(kinds(&judge(vec![source])), []);
}

#[test]
fn a_chain_is_refused_for_what_the_server_does_not_present() {
    let authority = authority(days(100, 900));
    let credential = issue(&authority, "archive", days(10, 80));
    let mut presented = server("127.3.0.9:8443", &credential);
    presented.found.certificates.truncate(1);
    let whole: Vec<_> = mount("/archive", &credential).into();
    assert_eq!(kinds(&judge([whole.clone(), vec![server("127.3.0.9:8443", &credential)]].concat())), []);
    let inventory = judge([whole, vec![presented]].concat());
    let [finding] = &inventory.findings[..] else { panic!("{:?}", inventory.findings) };
    assert_eq!(finding.kind, finding::Kind::ChainFails);
    assert!(finding.what.contains("the server does not present `mesh issuing"), "{}", finding.what);
}

/// `another root of that name -> issuing -> archive`: names and nothing else fit.
#[test]
fn a_chain_under_a_root_of_the_same_name_does_not_verify_and_one_without_a_root_is_unknown() {
    let credential = issue(&authority(days(100, 900)), "archive", days(10, 80));
    let chain = file("/chain.pem", credential.chain_pem());
    let judged = |sources| {
        let inventory = judge(sources);
        let leaf = inventory.certificates.iter().find(|entry| &*entry.name == "archive").expect("the leaf");
        leaf.chain.judged.clone().expect("a judgement")
    };
    let Judged::Unknown(why) = judged(vec![chain.clone()]) else { panic!("there is no root") };
    assert!(why.contains("was not read"), "{why}");
    let other = authority(days(100, 900));
    let others = file("/ca.crt", &other.bundle());
    // Key identifiers tell them apart already.
    assert!(matches!(judged(vec![chain, others]), Judged::Unknown(_)));
}

#[test]
fn what_is_served_is_compared_with_what_lies_on_disk() {
    let authority = authority(days(100, 900));
    let (old, new) = (issue(&authority, "archive", days(20, 40)), issue(&authority, "archive", days(1, 89)));
    let sources = [mount("/archive", &new).to_vec(), vec![server("127.3.0.9:8443", &old)]].concat();
    let inventory = judge(sources);
    assert_eq!(kinds(&inventory), [(Rank::Warning, finding::Kind::ServedDiffers)]);
    assert_eq!(inventory.endpoints[0].as_on_disk, Some(false));
    for entry in inventory.certificates.iter().filter(|entry| &*entry.name == "archive") {
        assert_eq!(entry.on_disk.as_deref(), Some(&*new.leaf().serial));
        assert_eq!(entry.on_wire.as_deref(), Some(&*old.leaf().serial));
        assert_eq!(entry.rotated, old.leaf().not_before);
    }
    let same = judge([mount("/archive", &new).to_vec(), vec![server("127.3.0.9:8443", &new)]].concat());
    assert_eq!((kinds(&same), same.endpoints[0].as_on_disk), (vec![], Some(true)));
}

#[test]
fn a_key_in_two_files_and_a_key_that_others_can_read_are_findings() {
    let credential = issue(&authority(days(100, 900)), "archive", days(10, 80));
    let mut copy = file("/backup/archive.key", credential.key_pem());
    copy.mode = Some(0o644);
    let inventory = judge([mount("/archive", &credential).to_vec(), vec![copy]].concat());
    assert_eq!(
        kinds(&inventory),
        [(Rank::Warning, finding::Kind::KeyShared), (Rank::Warning, finding::Kind::KeyFileOpen)]
    );
    assert!(inventory.findings[0].what.contains("/backup/archive.key"), "{}", inventory.findings[0].what);
    for mode in [0o600, 0o640, 0o400] {
        let mut key = file("/archive.key", credential.key_pem());
        key.mode = Some(mode);
        assert_eq!(kinds(&judge(vec![key])), [], "{mode:o}");
    }
}

#[test]
fn a_certificate_that_three_services_share_is_noted() {
    let credential = issue(&authority(days(100, 900)), "archive", days(10, 80));
    let servers = |count| (1..=count).map(|last| server(&format!("127.3.0.{last}:8443"), &credential));
    let of = |count| judge(servers(count).chain(mount("/archive", &credential)).collect());
    assert_eq!(kinds(&of(2)), []);
    assert_eq!(kinds(&of(3)), [(Rank::Note, finding::Kind::SharedByMany)]);
}

#[test]
fn an_authority_that_is_merely_trusted_is_at_most_a_note_and_in_no_calendar() {
    let bundle =
        file("/ca.crt", &Authority::with_validity("mesh", days(99, 1), days(9, 1)).expect("one").bundle());
    let inventory = judge(vec![bundle]);
    assert_eq!(kinds(&inventory), [(Rank::Note, finding::Kind::Expiring)]);
    assert!(!calendar(&inventory, None).contains("BEGIN:VEVENT"));
}

/// A control plane as kubeadm lays it out, with the key of one of its two authorities.
#[test]
fn kubeadm_layouts_go_by_kubeadms_names() {
    let (cluster, etcd) = (authority(days(100, 900)), authority(days(100, 900)));
    let pem = |authority: &Authority, name| issue(authority, name, days(10, 355)).chain_pem().to_owned();
    let inventory = judge(vec![
        file("/etc/kubernetes/pki/apiserver.crt", &pem(&cluster, "kube-apiserver")),
        file("/etc/kubernetes/pki/ca.crt", cluster.issuer().credential().chain_pem()),
        file("/etc/kubernetes/pki/ca.key", cluster.issuer().credential().key_pem()),
        file("/etc/kubernetes/pki/etcd/server.crt", &pem(&etcd, "node")),
        file("/etc/kubernetes/pki/etcd/ca.crt", etcd.issuer().credential().chain_pem()),
        file("/somewhere/pki/ca.crt", &authority(days(100, 900)).bundle()),
    ]);
    let leaf = |name: &str| {
        let entry = inventory.certificates.iter().find(|entry| &*entry.name == name).expect("a leaf");
        (&*entry.authority, entry.externally_managed)
    };
    assert_eq!(leaf("apiserver"), ("ca", false));
    assert_eq!(leaf("etcd-server"), ("etcd-ca", true));
    assert!(
        inventory.certificates.iter().any(|entry| entry.name.starts_with("mesh root")),
        "no control plane's"
    );
}

/// A company with one of everything.
fn company() -> Inventory {
    let mesh = authority(days(100, 900));
    let old = Authority::with_validity("mesh", days(1_000, 1_900), days(95, 5)).expect("an authority");
    let archive = issue(&mesh, "archive", days(1, 89));
    let sources = [
        mount("/srv/archive", &archive).to_vec(),
        mount("/srv/search", &issue(&old, "search", days(70, 20))).to_vec(),
        vec![
            server("127.3.0.9:8443", &issue(&mesh, "archive", days(60, 30))),
            file("/srv/broken.crt", "-----BEGIN CERTIFICATE-----\nMIIB"),
            Source { mode: Some(0o644), ..file("/tmp/copy.key", archive.key_pem()) },
        ],
    ];
    let owners = "\"*/search/*\" = \"team search\"\n\"archive\" = \"anna@example.org\"";
    let owners = Owners::from_toml(owners, "owners.toml").expect("owners");
    Inventory::of(sources.concat(), 8, &owners, NOW.try_into().expect("a second"))
}

/// With everything that is random replaced by its order.
fn settled(text: String, inventory: &Inventory) -> String {
    let mut text = text;
    let called = inventory.certificates.iter().rev().map(|entry| &entry.certificate);
    let generations =
        called.filter(|one| one.role == Role::Root).filter_map(|root| root.subject.split(' ').next_back());
    for (index, generation) in generations.enumerate() {
        text = text.replace(generation, &format!("{:08}", (index + 1) * 11_111_111));
    }
    for (index, entry) in inventory.certificates.iter().enumerate() {
        let certificate = &entry.certificate;
        let number = format!("{:08}", index + 1);
        text = text.replace(&certificate.fingerprint.to_string(), &format!("fingerprint-{number}"));
        text = text.replace(&*certificate.serial, &format!("serial-{number}"));
        text = text.replace(instant::short(&certificate.serial), &number);
        text = text.replace(&certificate.key.to_string(), &format!("key-{number}"));
    }
    text
}

#[test]
fn a_table_says_what_ends_when_and_what_is_wrong() {
    let inventory = company();
    let told = [120, 100].map(|width| table(&inventory, Style { width, ..Style::default() }));
    insta::assert_snapshot!(settled(told.join("\n"), &inventory));
}

#[test]
fn csv_markdown_and_metrics_say_the_same() {
    let inventory = company();
    let mut rows = Vec::new();
    csv(&inventory, &mut rows).expect("CSV");
    let told = [String::from_utf8(rows).expect("UTF-8"), markdown(&inventory), openmetrics(&inventory)];
    insta::assert_snapshot!(settled(told.join("\n"), &inventory));
}

/// As a person reads it: without markup, a line an element.
fn readable(page: &str) -> String {
    let body = page.split_once("<body>").expect("a body").1;
    let mut text = String::new();
    for part in body.split('<').skip(1) {
        let (tag, words) = part.split_once('>').expect("a tag");
        let inline = ["b", "/b", "small", "/small", "strong", "/strong", "span", "/span", "code", "/code"];
        if !inline.contains(&tag.split(' ').next().unwrap_or_default()) {
            text.push('\n');
        }
        text.push_str(words);
    }
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_page_says_what_is_wrong_before_what_ends_when() {
    let inventory = company();
    let page = page(&inventory, None);
    insta::assert_snapshot!(settled(readable(&page), &inventory));
    assert!(!page.contains("<script") && !page.contains("http"), "it loads and runs nothing");
}

/// What a certificate says of itself is no markup.
#[test]
fn a_hostile_name_is_only_text() {
    let hostile = issue(&authority(days(100, 900)), "archive", days(10, 80));
    let mut source = file("/<b>.crt", hostile.chain_pem());
    let leaf = std::sync::Arc::make_mut(&mut source.found.certificates[0]);
    leaf.common_name = Some("<script>alert(1)</script>".into());
    let page = page(&judge(vec![source]), Some("<i>"));
    assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
    assert!(page.contains("/&#60;b&#62;.crt"), "{page}");
}

#[test]
fn a_secret_goes_by_its_own_name_everywhere() {
    let credential = issue(&authority(days(100, 900)), "archive", days(10, 80));
    let list = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "shop", "name": "web"},
        "stringData": {"tls.crt": credential.chain_pem()}});
    let inside = decode(&list.to_string()).inside;
    let [(object, found)] = &inside[..] else { panic!("{inside:?}") };
    let source = Source {
        at: object.to_string().into(),
        found: found.clone(),
        object: Some(object.clone()),
        ..Source::default()
    };
    let inventory = judge(vec![source]);
    assert_eq!(&*inventory.certificates[0].places[0].at, "secret/shop/web#tls.crt");
    let metrics = openmetrics(&inventory);
    let labels =
        "{secret_namespace=\"shop\",secret_name=\"web\",secret_key=\"tls.crt\",subject_CN=\"archive\"";
    assert!(metrics.contains(&format!("x509_cert_not_after{labels}")), "{metrics}");
    assert!(!metrics.contains("filepath"), "{metrics}");
    let text = serde_json::to_string(&inventory).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Inventory>(&text).expect("an inventory").certificates[0].places,
        inventory.certificates[0].places
    );
}

#[test]
fn certificates_without_a_common_name_go_by_another_and_no_series_is_there_twice() {
    let authority = authority(days(100, 900));
    let [archive, search] = ["archive", "search"].map(|name| issue(&authority, name, days(1, 30)));
    let mut bundle = file("/roots.pem", &[archive.chain_pem(), search.chain_pem()].concat());
    for certificate in &mut bundle.found.certificates {
        let certificate = Arc::make_mut(certificate);
        certificate.common_name = None;
        certificate.serial = "00".into();
    }
    let text = openmetrics(&judge(vec![bundle]));
    let series = text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series);
    let mut series: Vec<_> = series.filter(|series| series.starts_with("x509_cert_not_after{")).collect();
    let all = series.len();
    series.dedup();
    assert_eq!((series.len(), all), (3, 3), "{text}");
    for name in ["archive", "search"] {
        assert!(
            text.contains(&format!("x509_cert_not_after{{filepath=\"/roots.pem\",subject_CN=\"{name}\""))
        );
    }
}

#[test]
fn the_calendar_of_an_owner_has_her_certificates_only() {
    let whole = company();
    let inventory = whole.clone().of_owner("anna@example.org");
    // Lines are folded wherever they get too long.
    let told = calendar(&inventory, Some("anna@example.org")).replace("\r\n ", "").replace("\r\n", "\n");
    insta::assert_snapshot!(settled(told, &whole));
}

#[test]
fn a_document_reads_back_and_holds_no_private_key() {
    let inventory = company();
    let text = serde_json::to_string_pretty(&inventory).expect("JSON");
    let read: Inventory = serde_json::from_str(&text).expect("an inventory");
    assert_eq!(read.findings, inventory.findings);
    assert_eq!(
        Diff::between(&read, &inventory),
        Diff { before: read.now, after: read.now, ..Diff::default() }
    );
    assert!(!text.contains("PRIVATE"));
}

#[test]
fn what_has_changed_is_told_by_its_place() {
    let authority = authority(days(100, 900));
    let (old, new) = (issue(&authority, "archive", days(80, 10)), issue(&authority, "archive", days(0, 90)));
    let mut gone = file("/gone.crt", issue(&authority, "gone", days(1, 30)).chain_pem());
    gone.found.certificates.truncate(1);
    std::sync::Arc::make_mut(&mut gone.found.certificates[0]).serial = "0123456789".into();
    let fresh = Source { mode: Some(0o644), ..file("/fresh.key", new.key_pem()) };
    let before = judge([mount("/archive", &old).to_vec(), vec![gone]].concat());
    let after = judge([mount("/archive", &new).to_vec(), vec![fresh]].concat());
    let mut told = Diff::between(&before, &after).table();
    for (credential, word) in [(&old, "the-old"), (&new, "the-new")] {
        told = told.replace(instant::short(&credential.leaf().serial), word);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn the_files_of_a_run_that_is_over_are_missed_with_a_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = crate::run::RunFolder::open(folder.path());
    let error = cluster::members(&run).expect_err("no cluster").to_string();
    assert!(error.contains("hint: `notafter reproduce NAME --hold`"), "{error}");
    fs::create_dir_all(folder.path().join("services")).expect("a folder");
    assert!(cluster::members(&run).is_err(), "nor one without services: {}", Path::new("services").display());
}
