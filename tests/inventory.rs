//! `notafter inventory` as a user sees it: every form, every exit code, and whatever lies in folders.

mod common;

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::Write,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use common::{Said, User};
use notafter::pki::{Authority, Credential, Identity, Validity};
use serde_json::{Value, json};

const DAY: u64 = 24 * 3_600;
/// [`NOW`], Unix seconds.
const SECOND: u64 = 1_795_498_200;
const NOW: &str = "--now=2026-11-24T05:30:00Z";
const FORMS: [&str; 7] = ["table", "json", "csv", "markdown", "html", "ics", "openmetrics"];

/// From so many days before now to so many after it.
fn days(before: u64, after: u64) -> Validity {
    let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    Validity::between(at(SECOND - before * DAY), at(SECOND + after * DAY))
}

fn authority() -> Authority {
    Authority::with_validity("mesh", days(1_000, 2_000), days(100, 900)).expect("an authority")
}

fn issue(authority: &Authority, name: &str, validity: Validity) -> Credential {
    authority.issue(&Identity::service(name), validity).expect("a credential")
}

/// A user with a folder `srv`.
struct Company {
    user: User,
}

impl Company {
    /// `root -> issuing -> archive, search`, each in a folder of its own; nothing is wrong.
    fn healthy() -> Self {
        let company = Self { user: User::new() };
        let mesh = authority();
        company.install("archive", &issue(&mesh, "archive", days(1, 89)));
        company.install("search", &issue(&mesh, "search", days(2, 88)));
        company
    }

    /// The same with one of everything that is wrong: `search` ends soon, a file is broken, and the key of
    /// `archive` lies where everybody can read it.
    fn usual() -> Self {
        let company = Self { user: User::new() };
        let mesh = authority();
        let archive = issue(&mesh, "archive", days(1, 89));
        company.install("archive", &archive);
        company.install("search", &issue(&mesh, "search", days(80, 10)));
        company.lay("archive/copy.key", archive.key_pem(), 0o644);
        company.lay("broken.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n", 0o644);
        company
    }

    fn srv(&self) -> PathBuf {
        self.user.state().join("srv")
    }

    fn lay(&self, name: &str, text: &str, mode: u32) {
        let path = self.srv().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
    }

    fn install(&self, name: &str, credential: &Credential) {
        self.lay(&format!("{name}/tls.crt"), credential.chain_pem(), 0o644);
        self.lay(&format!("{name}/tls.key"), credential.key_pem(), 0o600);
        self.lay(&format!("{name}/ca.crt"), credential.bundle_pem(), 0o644);
    }

    /// The inventory of `srv` with these options. Its places are as long wherever temporary folders are.
    fn take(&self, options: &[&str]) -> Said {
        let mut command = self.user.command(&[&["inventory", NOW, "srv"], options].concat());
        let output = command.current_dir(self.user.state()).output().expect("the executable starts");
        Said::of(output, self.user.state())
    }

    /// The same as a document.
    fn document(&self) -> Value {
        serde_json::from_str(&self.take(&["--as", "json"]).out).expect("JSON")
    }
}

/// With everything that is random replaced by the name of its certificate.
fn settled(text: &str, document: &Value) -> String {
    let mut text = text.to_owned();
    for certificate in document["certificates"].as_array().expect("certificates") {
        let field = |name: &str| certificate[name].as_str().unwrap_or_default();
        // An authority has a random generation in its name.
        let (kind, generation) = field("name").rsplit_once(' ').unwrap_or((field("name"), ""));
        let kind = kind.replace(' ', "-");
        text = text.replace(field("fingerprint"), &format!("fingerprint-of-{kind}"));
        text = text.replace(field("key"), &format!("key-of-{kind}"));
        text = text.replace(field("serial"), &format!("serial-of-{kind}"));
        text = text.replace(&field("serial")[..8], &format!("{kind:.<8.8}"));
        if !generation.is_empty() {
            text = text.replace(generation, "1a2b3c4d");
        }
    }
    text
}

#[test]
fn every_form_tells_the_same_of_a_folder() {
    let company = Company::usual();
    let document = company.document();
    for form in FORMS {
        let said = company.take(&["--as", form]);
        assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "{form}");
        // Lines of a calendar are folded wherever they get too long.
        let text = said.out.replace("\r\n ", "").replace('\r', "");
        // What the page says is settled where it is made, and how it looks in a browser.
        if form != "html" {
            insta::assert_snapshot!(form, settled(&text, &document));
        }
        let written = company.take(&["--as", form, "--out", "inventory.out"]);
        assert_eq!(written.all(), "exit code 1", "{form}");
        let kept = fs::read_to_string(company.user.state().join("inventory.out")).expect("a file");
        assert_eq!(kept, said.out, "{form}: the file says the same");
    }
}

#[test]
fn only_what_is_urgent_is_a_failure() {
    assert_eq!(Company::healthy().take(&[]).code, Some(0));
    let company = Company::healthy();
    company.lay("broken.crt", "nothing of ours", 0o644);
    let warned = company.take(&[]);
    assert!(warned.code == Some(0) && warned.out.contains("warning"), "{}", warned.all());
    company.install("search", &issue(&authority(), "search", days(90, 0)));
    assert_eq!(company.take(&[]).code, Some(1));
}

#[test]
fn owners_are_told_and_can_be_told_apart() {
    let company = Company::usual();
    let owners = "\"*/search/*\" = \"team search\"\n\"archive\" = \"anna@example.org\"\n";
    let owners = company.user.file("owners.toml", owners);
    let document = company.document();
    let said = company.take(&["--owners", &owners, "--owner", "team search"]);
    insta::assert_snapshot!(settled(&said.all(), &document));
    let calendar = company.take(&["--owners", &owners, "--owner", "anna@example.org", "--as", "ics"]).out;
    assert_eq!(calendar.matches("BEGIN:VEVENT").count(), 2, "when to renew and when it ends: {calendar}");
}

#[test]
fn what_has_changed_since_is_told_in_words_and_as_data() {
    let company = Company::usual();
    let before = company.take(&["--as", "json"]).out;
    let old = company.user.file("old.json", &before);
    let nothing = company.take(&["--diff", &old]);
    insta::assert_snapshot!("nothing_changed", nothing.all());
    fs::remove_file(company.srv().join("broken.crt")).expect("it was there");
    let mesh = authority();
    company.install("search", &issue(&mesh, "search", days(0, 90)));
    let documents = [serde_json::from_str(&before).expect("JSON"), company.document()];
    let said = company.take(&["--diff", &old]);
    let told = documents.iter().fold(said.all(), |text, document| settled(&text, document));
    insta::assert_snapshot!("rotated", told);
    let said = company.take(&["--diff", &old, "--as", "json"]);
    let data: Value = serde_json::from_str(&said.out).expect("JSON");
    let count = |field: &str| data[field].as_array().map(Vec::len);
    assert_eq!(["replaced", "appeared", "gone", "cleared"].map(count), [3, 0, 0, 2].map(Some), "{data}");
    assert_eq!(said.code, Some(0), "nothing is urgent any more");
}

#[test]
fn what_cannot_be_asked_for_is_refused_with_a_way_out() {
    let company = Company::healthy();
    let user = &company.user;
    let text = user.file("owners.txt", "archive: anna");
    let number = user.file("number.toml", "\"archive\" = 7");
    let other = user.file("other.json", "{\"schema\": 1}");
    let mut document = company.document();
    document["schema"] = json!(99);
    let newer = user.file("newer.json", &document.to_string());
    let said = [
        &["inventory"][..],
        &["inventory", "/nowhere/at-all"],
        &["inventory", "http://127.0.0.1"],
        &["inventory", "postgres://"],
        &["inventory", "run:1234"],
        &["inventory", "/", "--as", "pdf"],
        &["inventory", "/", "--owners", "/nowhere/owners.toml"],
        &["inventory", "/", "--owners", &text],
        &["inventory", "/", "--owners", &number],
        &["inventory", "/", "--owner", "anna"],
        &["inventory", "/", "--now", "tomorrow"],
        &["inventory", "/", "--diff", "/nowhere/old.json"],
        &["inventory", "/", "--diff", &other],
        &["inventory", "/", "--diff", &newer],
        &["inventory", "/", "--diff", &newer, "--as", "csv"],
        &["inventory", &text, "--out", "/nowhere/out"],
    ]
    .map(|args| format!("$ notafter {}\n{}", args.join(" "), user.run(args).all()));
    insta::assert_snapshot!(said.join("\n\n").replace(user.state().to_str().expect("UTF-8"), "[state]"));
}

/// A pipe would wait for its other end, a huge file for memory, a memory of a process for nothing.
#[test]
fn whatever_lies_in_a_folder_stops_nothing() {
    let company = Company::healthy();
    let srv = company.srv();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        srv.join("pipe.pem"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("a pipe");
    File::create(srv.join("huge.pem")).and_then(|file| file.set_len(1 << 30)).expect("a file with a hole");
    symlink("/proc/self/mem", srv.join("unreadable.pem")).expect("a link");
    symlink("loop.pem", srv.join("loop.pem")).expect("a link");
    symlink(&srv, srv.join("itself")).expect("a link");
    let said = company.take(&[]);
    insta::assert_snapshot!(settled(&said.all(), &company.document()));
    let pipe = srv.join("pipe.pem").to_string_lossy().into_owned();
    let named = company.user.run(&["inventory", NOW, &pipe]);
    assert!(named.out.contains("neither a file nor a folder"), "{}", named.all());
}

#[test]
fn a_server_that_nobody_is_is_a_finding() {
    let company = Company::healthy();
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let said = company.take(&[&closed.to_string()]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(said.out.contains("presents no certificate: Connection refused"), "{}", said.all());
    assert!(said.out.contains("4 certificates in 6 files and 1 server"), "{}", said.all());
}

/// Cut short, and with octets changed; the same every time.
fn broken(whole: &[u8], number: usize) -> Vec<u8> {
    let mut state = number as u64 * 2 + 1;
    let mut next = move |below: usize| {
        // A linear congruential generator (Knuth, MMIX).
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below.max(1)
    };
    let mut bytes = whole.to_vec();
    if number.is_multiple_of(3) {
        bytes.truncate(next(whole.len()));
    }
    for _ in 0..next(5) {
        let at = next(bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte = u8::try_from(next(256)).expect("an octet");
        }
    }
    bytes
}

#[test]
fn a_folder_of_broken_files_never_crashes_it_and_hides_no_good_one() {
    const EACH: usize = 150;
    let company = Company::healthy();
    let credential = issue(&authority(), "archive", days(1, 89));
    let seeds: [(&str, Vec<u8>); 4] = [
        ("crt", credential.chain_pem().into()),
        ("key", credential.key_pem().into()),
        ("der", credential.chain_der()[0].to_vec()),
        ("pfx", credential.key_der().secret_der().to_vec()),
    ];
    for (extension, whole) in &seeds {
        for number in 0..EACH {
            let path = company.srv().join(format!("{number}.{extension}"));
            fs::write(path, broken(whole, number)).expect("a file");
        }
    }
    for form in FORMS {
        let said = company.take(&["--as", form]);
        assert!(
            matches!(said.code, Some(0 | 1)) && said.err.is_empty(),
            "{form}: {:?} {}",
            said.code,
            said.err
        );
    }
    let document = company.document();
    assert_eq!(document["files"], json!(6 + seeds.len() * EACH));
    let certificates = document["certificates"].as_array().expect("certificates").iter();
    let at = |name: &str| Path::new("srv").join(name).join("tls.crt");
    let found: BTreeMap<_, _> = certificates
        .flat_map(|one| {
            one["places"].as_array().expect("places").iter().map(move |place| (&place["at"], &one["name"]))
        })
        .map(|(at, name)| (PathBuf::from(at.as_str().expect("a path")), name))
        .collect();
    for name in ["archive", "search"] {
        assert!(found.contains_key(&at(name)), "{name} is hidden");
    }
}

/// Runs it with something on stdin.
fn piped(user: &User, args: &[&str], text: &str) -> Said {
    let mut child = user
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the executable starts");
    // It may refuse before it reads.
    let _ = child.stdin.take().expect("a pipe").write_all(text.as_bytes());
    Said::of(child.wait_with_output().expect("its output"), user.state())
}

fn secret(name: &str, credential: &Credential) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": "shop", "name": name},
        "stringData": {"tls.crt": credential.chain_pem(), "tls.key": credential.key_pem()}})
}

#[test]
fn what_kubectl_gets_is_read_from_stdin_and_from_files_alike() {
    let company = Company::healthy();
    let credential = issue(&authority(), "web", days(80, 10));
    let list = json!({"apiVersion": "v1", "kind": "List",
        "items": [secret("web", &credential), secret("copy", &credential)]});
    let said = piped(&company.user, &["inventory", NOW, "-"], &list.to_string());
    let document = piped(&company.user, &["inventory", NOW, "-", "--as", "json"], &list.to_string());
    let document = serde_json::from_str(&document.out).expect("JSON");
    insta::assert_snapshot!(settled(&said.all(), &document));
    company.lay("dump.json", &list.to_string(), 0o600);
    let place = "srv/dump.json:secret/shop/web#tls.crt";
    let from_file = company.take(&["--as", "csv"]);
    assert!(from_file.out.contains(place), "{}", from_file.all());
}

#[test]
fn nothing_on_stdin_is_a_finding_as_an_empty_file_is() {
    let said = piped(&User::new(), &["inventory", NOW, "-"], "");
    assert!(said.code == Some(0) && said.out.contains("found an empty file [stdin]"), "{}", said.all());
}
