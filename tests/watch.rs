//! `notafter watch` and `notafter alerts` as a user and a Prometheus see them.

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use common::{Said, User, wait};
use notafter::pki::{Authority, Identity, Validity};
use rustix::process::{Pid, Signal, kill_process};

/// A look at three files takes less.
const PATIENCE: Duration = Duration::from_secs(30);

/// A watcher that runs, and is killed with the test.
struct Watcher {
    child: Child,
    out: BufReader<ChildStdout>,
    url: String,
}

impl Watcher {
    fn start(user: &User, args: &[&str]) -> Self {
        let args = [&["watch", "--listen", "127.0.0.1:0"], args].concat();
        let mut command = user.command(&args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut url = String::new();
        out.read_line(&mut url).expect("a line");
        Self { child, out, url: url.trim().to_owned() }
    }

    fn metrics(&self) -> String {
        let rest = self.url.strip_prefix("http://").unwrap_or_else(|| panic!("{:?} is no address", self.url));
        let (address, path) = rest.split_at(rest.find('/').expect("a path"));
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
    }

    /// The metrics, once so many looks have finished.
    fn after_looks(&self, count: u32) -> String {
        wait(PATIENCE, "looks", || {
            let text = self.metrics();
            looks(&text).filter(|looks| *looks >= count).map(|_| text)
        })
    }

    fn end(mut self, user: &User, signal: Signal) -> Said {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it runs");
        let status = wait(PATIENCE, "its end", || self.child.try_wait().expect("a child"));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.out.read_to_end(&mut stdout).expect("its output");
        self.child.stderr.take().expect("a pipe").read_to_end(&mut stderr).expect("its output");
        Said::of(std::process::Output { status, stdout, stderr }, user.state())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn looks(text: &str) -> Option<u32> {
    text.lines()
        .find_map(|line| line.strip_prefix("notafter_watch_looks_total{outcome=\"finished\"} ")?.parse().ok())
}

fn mount(user: &User, service: &str) -> String {
    let folder = user.state().join(service);
    let authority = Authority::new("mesh").expect("an authority");
    let lasting = Validity::lasting(Duration::from_hours(1));
    let credential = authority.issue(&Identity::service(service), lasting).expect("a credential");
    credential.write(&folder).expect("a mount");
    folder.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_watcher_tells_what_lies_in_files_and_whose_it_is_and_a_question_starts_no_look() {
    let user = User::new();
    let (folder, owners) = (mount(&user, "archive"), user.file("owners.toml", "\"archive\" = \"anna\"\n"));
    // On port 1 nobody listens.
    let watcher = Watcher::start(&user, &[&folder, "127.0.0.1:1", "--every", "1h", "--owners", &owners]);
    let text = watcher.after_looks(1);
    for part in [
        &format!("x509_cert_not_after{{filepath=\"{folder}/tls.crt\",subject_CN=\"archive\""),
        "owner=\"anna\"",
        "x509_cert_error{endpoint=\"127.0.0.1:1\"} 1",
        "notafter_findings{rank=\"warning\",kind=\"nothing-presented\"} 1",
        "notafter_watch_every_seconds 3600\n",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    for _ in 0..20 {
        assert_eq!(watcher.metrics(), text, "a question changed something");
    }
    let said = watcher.end(&user, Signal::INT);
    assert_eq!((said.code, said.err.as_str()), (Some(0), "interrupted: nobody watches any more\n"));
}

#[test]
fn what_changes_is_told_by_the_next_look_and_what_vanishes_stops_nothing() {
    let user = User::new();
    let folders = [mount(&user, "archive"), mount(&user, "search")];
    let watcher = Watcher::start(&user, &[&folders[0], &folders[1], "--every", "1s"]);
    let before = watcher.after_looks(1);
    std::fs::remove_dir_all(&folders[0]).expect("removed");
    mount(&user, "search");
    // One may have begun before.
    let after = watcher.after_looks(looks(&before).expect("a count") + 2);
    let serial = |text: &str, folder: &str| {
        let place = format!("x509_cert_not_after{{filepath=\"{folder}/tls.crt\"");
        let line = text.lines().find(|line| line.starts_with(&place) && !line.contains("issuing\""));
        line.map(str::to_owned)
    };
    assert_eq!(serial(&after, &folders[0]), None);
    assert!(after.contains(&format!("x509_cert_error{{filepath=\"{}\"}} 1", folders[0])), "{after}");
    let (old, new) = (serial(&before, &folders[1]), serial(&after, &folders[1]));
    assert!(old.is_some() && new.is_some() && old != new, "{old:?} {new:?}");
    let said = watcher.end(&user, Signal::TERM);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn a_watcher_that_cannot_begin_says_why() {
    let user = User::new();
    let folder = mount(&user, "archive");
    let said = [
        &["watch"][..],
        &["watch", "archive"],
        &["watch", &folder, "--every", "10ms"],
        &["watch", &folder, "--every", "often"],
        &["watch", &folder, "--listen", "9793"],
        &["watch", &folder, "--owners", "/nowhere/owners.toml"],
        &["alerts", "--as", "nagios"],
        &["alerts", "--lead", "soon"],
    ]
    .map(|args| format!("$ notafter {}\n{}", args.join(" "), user.run(args).all()));
    let said = said.join("\n\n");
    insta::assert_snapshot!(said.replace(user.state().to_str().expect("UTF-8"), "[state]"));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let user = User::new();
    let folder = mount(&user, "archive");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address").to_string();
    let said = user.run(&["watch", &folder, "--listen", &taken]);
    assert_eq!(said.code, Some(64), "{}", said.err);
    for part in
        [&format!("cannot listen on {taken}: "), "in use", "hint: choose another address with --listen"]
    {
        assert!(said.err.contains(part), "no {part} in {}", said.err);
    }
}

#[test]
fn the_help_of_both_says_what_they_promise() {
    let user = User::new();
    let said = ["watch", "alerts"].map(|command| user.run(&[command, "--help"]).all());
    insta::assert_snapshot!(said.join("\n\n"));
}
