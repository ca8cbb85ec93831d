//! Who refuses whom for what, against a real server: every refusal has its type.

mod server;

use std::time::{Duration, SystemTime};

use notafter::{
    history::{Outcome, Question, Refusal, Side, Unreachable},
    pki::{Authority, Credential, Identity, Usage, Validity},
    prober::{Caller, Wire},
};
use server::Server;
use tokio::{io::AsyncReadExt, net::TcpListener};

const HOUR: Duration = Duration::from_hours(1);

impl Server {
    async fn asked_by(&self, client: &Credential) -> Outcome {
        self.answer(&Caller::with(client).expect("caller")).await
    }

    async fn answer(&self, caller: &Caller) -> Outcome {
        caller.round_trip(self.address, "archive", Question::Fresh, &Wire::default()).await
    }
}

fn authority() -> Authority {
    Authority::new("mesh").expect("authority")
}

fn valid(authority: &Authority, name: &str) -> Credential {
    authority.issue(&Identity::service(name), Validity::lasting(HOUR)).expect("issued")
}

fn expired(authority: &Authority, name: &str) -> Credential {
    authority.issue(&Identity::service(name), Validity::ended(HOUR)).expect("issued")
}

fn refused(by: Side, reason: Refusal) -> Outcome {
    Outcome::Refused { by, reason }
}

#[tokio::test]
async fn a_valid_pair_is_served_and_the_leaf_on_the_wire_is_named() {
    let mesh = authority();
    let credential = valid(&mesh, "archive");
    let server = Server::start(&credential).await;
    let wire = Wire::default();
    let caller = Caller::with(&valid(&mesh, "search")).expect("caller");
    let outcome = caller.round_trip(server.address, "archive", Question::Fresh, &wire).await;
    assert_eq!(outcome, Outcome::Served(200));
    assert_eq!(wire.presented().as_ref(), Some(credential.leaf()));
}

#[tokio::test]
async fn an_expired_server_is_refused_by_the_client_and_its_leaf_is_named_all_the_same() {
    let mesh = authority();
    let credential = expired(&mesh, "archive");
    let server = Server::start(&credential).await;
    let wire = Wire::default();
    let caller = Caller::with(&valid(&mesh, "search")).expect("caller");
    let outcome = caller.round_trip(server.address, "archive", Question::Fresh, &wire).await;
    assert_eq!(outcome, refused(Side::Client, Refusal::Expired));
    assert_eq!(wire.presented().as_ref(), Some(credential.leaf()));
}

#[tokio::test]
async fn an_expired_client_is_refused_by_the_server_though_its_handshake_ended_well() {
    let mesh = authority();
    let server = Server::start(&valid(&mesh, "archive")).await;
    let outcome = server.asked_by(&expired(&mesh, "search")).await;
    assert_eq!(outcome, refused(Side::Server, Refusal::Expired));
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told_that_one_is_required() {
    let mesh = authority();
    let server = Server::start(&valid(&mesh, "archive")).await;
    let caller = Caller::without_certificate(&mesh.bundle()).expect("caller");
    assert_eq!(server.answer(&caller).await, refused(Side::Server, Refusal::NoCertificate));
}

#[tokio::test]
async fn a_client_of_a_foreign_authority_is_refused_by_the_server() {
    let mesh = authority();
    let server = Server::start(&valid(&mesh, "archive")).await;
    let stranger = valid(&authority(), "search").with_bundle(mesh.bundle());
    assert_eq!(server.asked_by(&stranger).await, refused(Side::Server, Refusal::UnknownIssuer));
}

#[tokio::test]
async fn a_server_of_a_foreign_authority_is_refused_by_the_client() {
    let mesh = authority();
    let server = Server::start(&valid(&authority(), "archive").with_bundle(mesh.bundle())).await;
    let outcome = server.asked_by(&valid(&mesh, "search")).await;
    assert_eq!(outcome, refused(Side::Client, Refusal::UnknownIssuer));
}

#[tokio::test]
async fn a_server_of_another_name_is_refused_by_the_client() {
    let mesh = authority();
    let server = Server::start(&valid(&mesh, "processor")).await;
    let outcome = server.asked_by(&valid(&mesh, "search")).await;
    assert_eq!(outcome, refused(Side::Client, Refusal::WrongName));
}

#[tokio::test]
async fn a_server_with_a_client_certificate_only_is_refused_by_the_client() {
    let mesh = authority();
    let client_only = Identity { usages: vec![Usage::ClientAuth], ..Identity::service("archive") };
    let credential = mesh.issue(&client_only, Validity::lasting(HOUR)).expect("issued");
    let server = Server::start(&credential).await;
    let outcome = server.asked_by(&valid(&mesh, "search")).await;
    assert_eq!(outcome, refused(Side::Client, Refusal::WrongPurpose));
}

#[tokio::test]
async fn a_server_that_is_not_valid_yet_is_told_apart_from_an_expired_one() {
    let mesh = authority();
    let later = SystemTime::now() + HOUR;
    let credential =
        mesh.issue(&Identity::service("archive"), Validity::between(later, later + HOUR)).expect("issued");
    let server = Server::start(&credential).await;
    let outcome = server.asked_by(&valid(&mesh, "search")).await;
    assert_eq!(outcome, refused(Side::Client, Refusal::NotYetValid));
}

#[tokio::test]
async fn where_nobody_listens_the_connection_is_refused() {
    let mesh = authority();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let server = Server { address };
    let outcome = server.asked_by(&valid(&mesh, "search")).await;
    assert_eq!(outcome, Outcome::Unreachable(Unreachable::ConnectionRefused));
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_closed_and_no_refusal() {
    let mesh = authority();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let server = Server { address: listener.local_addr().expect("address") };
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            // The whole greeting is read, so that no reset overtakes the end.
            let _ = tcp.read(&mut [0; 4096]).await;
        }
    });
    let outcome = server.asked_by(&valid(&mesh, "search")).await;
    assert_eq!(outcome, Outcome::Unreachable(Unreachable::Closed));
}

#[tokio::test]
async fn a_session_is_resumed_only_when_that_is_asked() {
    let mesh = authority();
    let server = Server::start(&valid(&mesh, "archive")).await;
    let caller = Caller::with(&valid(&mesh, "search")).expect("caller");
    let ask = |question| {
        let (caller, address) = (caller.clone(), server.address);
        async move { caller.round_trip(address, "archive", question, &Wire::default()).await }
    };
    // A fresh handshake leaves no session behind; the first attempt to resume does.
    assert_eq!(ask(Question::Fresh).await, Outcome::Served(200));
    assert!(matches!(ask(Question::Resumed).await, Outcome::Unreachable(Unreachable::Other(_))));
    assert_eq!(ask(Question::Resumed).await, Outcome::Served(200));
}

#[tokio::test]
async fn an_open_connection_answers_again_and_again() {
    let mesh = authority();
    let server = Server::start(&valid(&mesh, "archive")).await;
    let caller = Caller::with(&valid(&mesh, "search")).expect("caller");
    let mut connection =
        caller.connect(server.address, "archive", Question::Open).await.unwrap_or_else(|o| panic!("{o:?}"));
    for _ in 0..3 {
        assert_eq!(connection.ask("archive").await, Outcome::Served(200));
    }
}
