//! Every form is read, and no bytes whatsoever stop the reader.

use std::{process::Command, sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::pki::{Authority, Credential, Identity, Validity};

fn credential() -> Credential {
    let authority = Authority::new("mesh").expect("an authority");
    let lasting = Validity::lasting(Duration::from_hours(1));
    authority.issue(&Identity::service("archive"), lasting).expect("a credential")
}

fn kubeconfig(credential: &Credential) -> String {
    let [ca, chain, key] = [credential.bundle_pem(), credential.chain_pem(), credential.key_pem()]
        .map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: here\n  cluster:\n    server: https://127.0.0.1:6443\n    \
         certificate-authority-data: {ca}\nusers:\n- name: admin\n  user:\n    client-certificate-data: {chain}\n    \
         client-key-data: {key}\n"
    )
}

/// As the openssl command line writes it.
fn pkcs12(credential: &Credential, password: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    credential.write(folder.path()).expect("a mount");
    let store = Command::new("openssl")
        .args(["pkcs12", "-export", "-inkey", "tls.key", "-in", "tls.crt", "-certfile", "ca.crt"])
        .args(["-passout", &format!("pass:{password}"), "-out", "store.p12"])
        .current_dir(folder.path())
        .output()
        .expect("openssl");
    assert!(store.status.success(), "{}", String::from_utf8_lossy(&store.stderr));
    std::fs::read(folder.path().join("store.p12")).expect("a store")
}

fn read(bytes: &[u8]) -> Decoded {
    Decoder::new(&[]).decode(bytes, true)
}

fn subjects(decoded: &Decoded) -> Vec<&str> {
    decoded.certificates.iter().map(|certificate| certificate.called()).collect()
}

#[test]
fn every_form_gives_the_same_certificates_and_keys() {
    let credential = credential();
    let chain = credential.chain_der();
    let all = [credential.key_pem(), credential.chain_pem(), credential.bundle_pem()].concat();
    let expected = read(all.as_bytes());
    assert_eq!((expected.certificates.len(), expected.form), (3, Form::Pem));
    assert_eq!(expected.keys, [Some(expected.certificates[0].key)], "the key is the leaf's");
    for (bytes, form) in [
        (kubeconfig(&credential).into_bytes(), Form::Kubeconfig),
        (pkcs12(&credential, "changeit"), Form::Pkcs12),
    ] {
        let decoded = read(&bytes);
        assert_eq!(decoded.problems, Vec::<String>::new());
        assert_eq!((&decoded.certificates, &decoded.keys), (&expected.certificates, &expected.keys));
        assert_eq!(decoded.form, form);
    }
    let der = read(&chain[0]);
    assert_eq!((&der.certificates[..], der.form), (&expected.certificates[..1], Form::Der));
    let key = read(credential.key_der().secret_der());
    assert_eq!((key.keys, key.form), (expected.keys, Form::Der));
}

#[test]
fn a_key_store_opens_with_the_password_that_was_given_and_says_so_otherwise() {
    let store = pkcs12(&credential(), "s3cret");
    let opened = Decoder::new(&["wrong".into(), "s3cret".into()]).decode(&store, true);
    assert_eq!(opened.certificates.len(), 3);
    let closed = read(&store);
    assert!(closed.problems[0].starts_with("a PKCS#12 key store that does not open"), "{closed:?}");
}

#[test]
fn a_bad_section_hides_no_good_one() {
    let credential = credential();
    let chain = credential.chain_pem();
    let cut = &chain[..chain.len() / 4];
    let garbled = chain.replacen("MII", "M!!", 1);
    let text = format!("Bag Attributes\n{cut}\n{garbled}\n{}", credential.bundle_pem());
    let decoded = read(text.as_bytes());
    assert_eq!(subjects(&decoded).len(), 2, "the issuing CA and the root: {decoded:?}");
    insta::assert_snapshot!(decoded.problems.join("\n"));
}

#[test]
fn a_key_under_a_password_is_a_key_all_the_same() {
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(read(text.as_bytes()).keys, [None]);
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n\
               -----END RSA PRIVATE KEY-----\n";
    assert_eq!(read(old.as_bytes()).keys, [None]);
}

/// What explains certificates has their labels in it, and is none.
#[test]
fn an_explanation_of_pem_is_no_problem_but_half_a_certificate_is() {
    let explained = "# Paste it here:\n-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n\
                     begin = \"-----BEGIN RSA PRIVATE KEY-----\"\n\
                     -----BEGIN ENCRYPTED PRIVATE KEY-----\nsecret\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let unpromised = |text: &str| Decoder::new(&[]).decode(text.as_bytes(), false);
    let decoded = unpromised(explained);
    assert_eq!((decoded.problems, decoded.keys), (vec![], vec![]));
    let credential = credential();
    let chain = credential.chain_pem();
    let cut = unpromised(&format!("notes\n{}", &chain[..chain.len() / 4]));
    assert_eq!(cut.problems, ["section 1 (CERTIFICATE) has no end"]);
    assert_eq!(read(explained.as_bytes()).problems.len(), 2, "a name that promises is held to it");
}

/// As keytool writes it: entries with an alias and a date, certificates in DER, a digest at the end.
fn java(credential: &Credential) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("few").to_be_bytes();
    let short =
        |text: &str| [&u16::try_from(text.len()).expect("short").to_be_bytes(), text.as_bytes()].concat();
    let long = |bytes: &[u8]| [&number(bytes.len())[..], bytes].concat();
    let certificate = |der: &[u8]| [short("X.509"), long(der)].concat();
    let chain = credential.chain_der();
    let root = &credential.bundle_der().expect("a bundle")[0];
    let mut store = [&[0xfe, 0xed, 0xfe, 0xed][..], &number(2), &number(2)].concat();
    store.extend([&number(2)[..], &short("root"), &[0; 8], &certificate(root)].concat());
    store.extend([&number(1)[..], &short("archive"), &[0; 8], &long(b"encrypted"), &number(2)].concat());
    store.extend(chain.iter().flat_map(|der| certificate(der)));
    store.extend([7; 20]);
    store
}

#[test]
fn a_java_keystore_gives_its_certificates_without_a_password() {
    let credential = credential();
    let store = java(&credential);
    let decoded = read(&store);
    assert_eq!((decoded.problems, decoded.form), (vec![], Form::Java));
    let all = read([credential.chain_pem(), credential.bundle_pem()].concat().as_bytes()).certificates;
    assert_eq!((decoded.certificates.len(), &decoded.certificates[0]), (3, &all[0]));
    assert_eq!(decoded.keys, [Some(all[0].key)], "the key is the leaf's");
    let cut = read(&store[..store.len() - 40]);
    assert_eq!(cut.certificates.len(), 2, "{cut:?}");
    assert_eq!(cut.problems, ["a Java key store that ends within an entry; it is damaged or cut short"]);
    // As `keytool -genseckey` makes one.
    let secret = [&[0xce, 0xce, 0xce, 0xce][..], &[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 1, b's'], &[0; 8]];
    assert_eq!(
        read(&secret.concat()).problems,
        ["a Java key store that has a secret key as entry 1 of 1; what lies behind it is not read; \
          `keytool -list` shows it"]
    );
    // A count that no file could keep asks for no memory.
    let boast = [&[0xfe, 0xed, 0xfe, 0xed][..], &[0, 0, 0, 2], &[0xff; 4]].concat();
    assert_eq!(read(&boast).problems.len(), 1);
}

/// What `kubectl get -o json` gives, with one of everything that holds certificates.
fn list(credential: &Credential) -> String {
    let base64 = |text: &str| STANDARD.encode(text);
    let meta = |name: &str| json!({"namespace": "shop", "name": name});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta("web"), "data": {
            "tls.crt": base64(credential.chain_pem()), "tls.key": base64(credential.key_pem()), "ca.crt": ""}},
        {"kind": "Secret", "metadata": meta("bad"), "data": {"tls.crt": "%%%", "password": "aHVudGVyMg=="}},
        {"kind": "ConfigMap", "metadata": meta("kube-root-ca.crt"), "data": {
            "ca.crt": credential.bundle_pem(), "notes": "nothing of ours"}},
        {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "policy"}, "webhooks": [
            {"name": "pods.example.org", "clientConfig": {"caBundle": base64(credential.bundle_pem())}}]},
        {"kind": "APIService", "metadata": {"name": "v1.metrics"}, "spec": {
            "caBundle": base64(credential.bundle_pem())}},
        {"kind": "CertificateSigningRequest", "metadata": {"name": "node-1"}, "status": {
            "certificate": base64(credential.chain_pem())}},
        {"kind": "Pod", "metadata": meta("web"), "spec": {"containers": []}, "data": [1, 2]},
    ]})
    .to_string()
}

fn told(decoded: &Decoded) -> Vec<String> {
    let tell = |(object, found): &(Arc<Object>, Decoded)| {
        let (certificates, keys) = (found.certificates.len(), found.keys.len());
        format!("{object}: {certificates} certificates, {keys} keys, problems: {:?}", found.problems)
    };
    decoded.inside.iter().map(tell).collect()
}

#[test]
fn objects_of_kubernetes_are_read_one_by_one() {
    let decoded = read(list(&credential()).as_bytes());
    assert_eq!(decoded.problems, Vec::<String>::new());
    insta::assert_snapshot!(told(&decoded).join("\n"));
}

#[test]
fn the_items_of_a_list_of_one_kind_need_not_say_it() {
    let item = json!({"metadata": {"namespace": "shop", "name": "web"}, "data": {
        "tls.crt": STANDARD.encode(credential().chain_pem())}});
    let raw = json!({"kind": "SecretList", "apiVersion": "v1", "items": [item]}).to_string();
    assert_eq!(
        told(&read(raw.as_bytes())),
        ["secret/shop/web#tls.crt: 2 certificates, 0 keys, problems: []"]
    );
}

#[test]
fn manifests_are_read_as_json_is() {
    let credential = credential();
    let bundle = credential.bundle_pem().replace('\n', "\n    ");
    let manifests = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: trust\ndata:\n  ca.crt: |\n    {bundle}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata:\n  name: web\nstringData:\n  tls.crt: {:?}\n",
        credential.chain_pem()
    );
    let decoded = read(manifests.as_bytes());
    assert_eq!(
        told(&decoded),
        [
            "configmap/trust#ca.crt: 1 certificates, 0 keys, problems: []",
            "secret/web#tls.crt: 2 certificates, 0 keys, problems: []"
        ]
    );
    let template = manifests.replace("name: web", "name: {{ .Values.name }}");
    assert!(
        read(template.as_bytes()).problems[0].starts_with("expected objects of Kubernetes, found no YAML")
    );
    let empty = "apiVersion: v1\nkind: Secret\nmetadata: {{ .Values.metadata }}\n";
    assert_eq!(read(empty.as_bytes()), Decoded::default(), "a template without certificates is none of ours");
}

/// One of every form, to be broken.
static SEEDS: LazyLock<[Vec<u8>; 7]> = LazyLock::new(|| {
    let credential = credential();
    [
        [credential.chain_pem(), credential.key_pem(), credential.bundle_pem()].concat().into_bytes(),
        credential.chain_der()[0].to_vec(),
        credential.key_der().secret_der().to_vec(),
        pkcs12(&credential, ""),
        kubeconfig(&credential).into_bytes(),
        java(&credential),
        list(&credential).into_bytes(),
    ]
});

/// Which of them are text that is of ours only because of what it says.
const TEXTS: [usize; 2] = [4, 6];

/// What a crash would have said.
fn gave_up(decoded: &Decoded) -> bool {
    decoded.problems.iter().any(|words| words.starts_with("a parser gave up"))
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_a_problem_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let decoded = read(&bytes);
        prop_assert!(!gave_up(&decoded), "{decoded:?}");
        prop_assert!(decoded.certificates.is_empty());
        prop_assert_eq!(decoded.problems.len(), 1);
    }

    /// Cut short, with octets changed, dropped and doubled.
    #[test]
    fn broken_files_of_every_form_are_read_as_far_as_they_go(
        seed in 0_usize..7,
        keep in 0.0_f64..1.2,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 0..6),
    ) {
        let whole = &SEEDS[seed];
        let mut bytes = whole.clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a share of a length")]
        bytes.truncate((whole.len() as f64 * keep) as usize);
        for (index, value, how) in changes {
            if bytes.is_empty() { break }
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, value),
            }
        }
        let decoded = read(&bytes);
        prop_assert!(!gave_up(&decoded), "{decoded:?}");
        let found = decoded.certificates.len() + decoded.keys.len() + decoded.problems.len();
        // One that is cut before its first credential is one without any.
        prop_assert!(
            found > 0 || TEXTS.contains(&seed),
            "neither read nor a problem: {} bytes of seed {seed}",
            bytes.len()
        );
    }
}
