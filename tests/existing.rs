//! `notafter break` and `heal` on a real API server: what is changed, what is not, and that all of it is put
//! back, however the run ends.

mod common;
#[allow(dead_code, reason = "not every test needs all of it")]
mod control_plane;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStderr, ExitCode, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use common::{User, processes, wait};
use control_plane::{ControlPlane, block_on, company::company, trial};
use libtest_mimic::Arguments;
use notafter::inventory::Certificate;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// With everything else that runs.
const PATIENCE: Duration = Duration::from_mins(2);
/// Everything that a defect of `shop` could change, and what it must not.
const OF_SHOP: [&str; 3] = [
    "/api/v1/namespaces/shop/secrets/web-tls",
    "/api/v1/namespaces/shop/configmaps/trust",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/shop-policy",
];
const OF_OTHERS: [&str; 2] = [
    "/api/v1/namespaces/bank/secrets/web-tls",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/policy",
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("without_consent_nothing_is_changed_and_a_dry_run_says_what_would_be", || {
            block_on(without_consent_nothing_is_changed());
        }),
        trial("a_defect_is_in_its_namespace_alone_and_ctrl_c_puts_everything_back", || {
            block_on(ctrl_c_puts_everything_back());
        }),
        trial("a_guardian_puts_everything_back_after_kill_9", || block_on(a_guardian_puts_everything_back())),
        trial("heal_puts_back_what_no_guardian_could", || block_on(heal_puts_back_what_no_guardian_could())),
        trial("what_somebody_else_has_renewed_meanwhile_is_left_alone", || {
            block_on(what_somebody_else_has_renewed_is_left_alone());
        }),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The company, with a webhook whose service is in `shop`.
async fn shop() -> ControlPlane {
    let plane = company().await;
    let bundle = plane.get(OF_SHOP[1]).await["data"]["ca.crt"].as_str().expect("a bundle").to_owned();
    let webhook = json!({
        "metadata": {"name": "shop-policy"},
        "webhooks": [
            {"name": "in.shop.example", "sideEffects": "None", "admissionReviewVersions": ["v1"],
             "clientConfig": {"service": {"namespace": "shop", "name": "web"}, "caBundle": STANDARD.encode(&bundle)},
             "failurePolicy": "Ignore"},
            {"name": "in.bank.example", "sideEffects": "None", "admissionReviewVersions": ["v1"],
             "clientConfig": {"service": {"namespace": "bank", "name": "web"}, "caBundle": STANDARD.encode(&bundle)},
             "failurePolicy": "Ignore"},
        ],
    });
    plane.create("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", &webhook).await;
    plane
}

/// Objects as they are, but for the number of their version.
async fn objects(plane: &ControlPlane, paths: &[&str]) -> Vec<Value> {
    let mut all = Vec::new();
    for path in paths {
        let mut object = plane.get(path).await;
        object["metadata"]["resourceVersion"].take();
        object["metadata"]["generation"].take();
        all.push(object);
    }
    all
}

fn args<'a>(kubeconfig: &'a str, defect: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let place = ["--kubeconfig", kubeconfig, "--context", "here", "--namespace", "shop"];
    [&["break", defect], &place[..], more].concat()
}

/// A run of `break` that holds.
struct Held {
    child: Child,
    _said: BufReader<ChildStderr>,
    folder: PathBuf,
}

impl Held {
    /// Breaks `shop`, and waits until it says that it has.
    fn breaks(user: &User, plane: &ControlPlane, defect: &str) -> Self {
        let kubeconfig = plane.kubeconfig("admin");
        let more = ["--yes-break", "here/shop", "--look", &plane.address];
        let mut command = user.command(&args(&kubeconfig, defect, &more));
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the executable starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        assert!(line.starts_with("changed; "), "{line}");
        let run = fs::read_dir(user.state().join("runs")).expect("runs").flatten().next().expect("a run");
        line.clear();
        said.read_line(&mut line).expect("a line");
        assert!(line.contains(&format!("{} presents kube-apiserver (", plane.address)), "{line}");
        Self { child, _said: said, folder: run.path() }
    }

    fn id(&self) -> &str {
        self.folder.file_name().and_then(|name| name.to_str()).expect("UTF-8")
    }

    fn undo(&self) -> PathBuf {
        self.folder.join("objects.jsonl")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Of a claim that does not hold; else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn without_consent_nothing_is_changed() {
    let (plane, user) = (shop().await, User::new());
    let kubeconfig = plane.kubeconfig("reader");
    let cases: [&[&str]; 6] = [
        &["--dry-run"],
        &[],
        &["--yes-break", "here/bank"],
        &["--yes-break", "here/shop", "--protected", "live,h*"],
        &["--yes-break", "here/shop", "--protected", "h["],
        &["--dry-run", "--yes-break", "here/shop"],
    ];
    let said: Vec<_> = cases.iter().map(|more| user.run(&args(&kubeconfig, "expired", more)).all()).collect();
    insta::assert_snapshot!(said.join("\n\n"));
    let asked = plane.asked("reader");
    assert!(asked.iter().all(|one| one.starts_with("list ") || one == "get namespaces"), "{asked:?}");
    assert!(asked.contains(&"list secrets".to_owned()), "{asked:?}");
    let empty = user.run(&[
        "break",
        "expired",
        "--kubeconfig",
        &kubeconfig,
        "--context",
        "here",
        "--namespace",
        "default",
        "--dry-run",
    ]);
    assert!(empty.err.contains("there is nothing in namespace `default`"), "{}", empty.all());
    let nowhere = user.run(&[
        "break",
        "expired",
        "--kubeconfig",
        &kubeconfig,
        "--context",
        "here",
        "--namespace",
        "shp",
        "--dry-run",
    ]);
    assert!(nowhere.err.contains("has no namespace `shp`"), "{}", nowhere.all());
}

async fn ctrl_c_puts_everything_back() {
    let (plane, user) = (shop().await, User::new());
    let before = objects(&plane, &OF_SHOP).await;
    let others = objects(&plane, &OF_OTHERS).await;
    let mut held = Held::breaks(&user, &plane, "expired");

    let broken = objects(&plane, &OF_SHOP).await;
    let pem = STANDARD.decode(broken[0]["data"]["tls.crt"].as_str().expect("a chain")).expect("base64");
    let der = first_of(&pem);
    let leaf = Certificate::from_der(&der).expect("a certificate");
    assert_eq!(leaf.called(), "web-of-shop");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("now").as_secs();
    assert!(leaf.not_after < i64::try_from(now).expect("now"), "it has not expired");
    let roots = |object: &Value| object["data"]["ca.crt"].as_str().map(|pem| pem.matches("BEGIN").count());
    assert_eq!((roots(&before[1]), roots(&broken[1])), (Some(1), Some(2)), "the bundle trusts them, too");
    assert_ne!(broken[2]["webhooks"][0], before[2]["webhooks"][0]);
    assert_eq!(broken[2]["webhooks"][1], before[2]["webhooks"][1], "the webhook of another namespace");
    assert_eq!(objects(&plane, &OF_OTHERS).await, others);
    let manager = |object: &Value| {
        let managers = object["metadata"]["managedFields"].as_array().expect("managers").iter();
        managers.filter(|one| one["manager"] == "notafter" && one["operation"] == "Apply").count()
    };
    assert_eq!(broken.iter().map(manager).collect::<Vec<_>>(), [1, 1, 1]);
    let again = user.run(&args(&plane.kubeconfig("admin"), "torn-pair", &["--yes-break", "here/shop"]));
    assert!(again.err.contains("has not put back what it changed"), "{}", again.all());

    held.signal(Signal::INT);
    assert_eq!(held.child.wait().expect("it ends").code(), Some(0));
    assert_eq!(objects(&plane, &OF_SHOP).await, before);
    assert_eq!(objects(&plane, &OF_OTHERS).await, others);
    assert!(!held.undo().exists(), "keys are left in {}", held.undo().display());
}

async fn a_guardian_puts_everything_back() {
    let (plane, user) = (shop().await, User::new());
    let before = objects(&plane, &OF_SHOP).await;
    let mut held = Held::breaks(&user, &plane, "wrong-name");
    assert_ne!(objects(&plane, &OF_SHOP).await, before);
    held.signal(Signal::KILL);
    held.child.wait().expect("it ends");
    wait(PATIENCE, "a guardian puts everything back", || (!held.undo().exists()).then_some(()));
    assert_eq!(objects(&plane, &OF_SHOP).await, before);
}

async fn heal_puts_back_what_no_guardian_could() {
    let (plane, user) = (shop().await, User::new());
    let before = objects(&plane, &OF_SHOP).await;
    let mut held = Held::breaks(&user, &plane, "unknown-authority");
    let busy = user.run(&["heal", held.id()]);
    assert!(busy.err.contains("still holds what it broke"), "{}", busy.all());
    // Stopped, the harness replaces no guardian.
    held.signal(Signal::STOP);
    for guardian in processes("NOTAFTER_GUARDIAN", held.id()) {
        let pid = Pid::from_raw(guardian).expect("a process id");
        kill_process(pid, Signal::KILL).expect("it runs");
    }
    held.signal(Signal::KILL);
    held.child.wait().expect("it ends");
    let swept = user.run(&["sweep"]);
    assert!(swept.err.contains(&format!("`notafter heal {}`", held.id())), "{}", swept.all());
    assert_ne!(objects(&plane, &OF_SHOP).await, before);

    let healed = user.run(&["heal", held.id()]);
    assert_eq!((healed.code, healed.err.as_str()), (Some(0), "1 object as before\n"));
    assert_eq!(objects(&plane, &OF_SHOP).await, before);
    let again = user.run(&["heal", held.id()]);
    assert_eq!((again.code, again.err.as_str()), (Some(0), "there is nothing to put back\n"));
    let unknown = user.run(&["heal", "break-0"]);
    assert!(unknown.code == Some(64) && unknown.err.contains("no run has the id"), "{}", unknown.all());
}

async fn what_somebody_else_has_renewed_is_left_alone() {
    let (plane, user) = (shop().await, User::new());
    let before = objects(&plane, &OF_SHOP).await;
    let mut held = Held::breaks(&user, &plane, "expired");
    let renewed =
        json!({"data": {"tls.crt": STANDARD.encode("renewed"), "tls.key": STANDARD.encode("a key")}});
    plane.patch("/api/v1/namespaces/shop/secrets", "web-tls", &renewed).await;
    held.signal(Signal::INT);
    assert_eq!(held.child.wait().expect("it ends").code(), Some(0));
    let after = objects(&plane, &OF_SHOP).await;
    assert_eq!(after[0]["data"], renewed["data"]);
    assert_eq!(after[1..], before[1..]);
    assert!(!held.undo().exists());
}

fn first_of(pem: &[u8]) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem).expect("PEM").to_vec()
}
