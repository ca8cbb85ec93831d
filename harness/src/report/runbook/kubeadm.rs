//! What people type who renew the certificates of a control plane: kubeadm does all but those of kubelets, which it
//! leaves to the cluster to renew.

use std::fmt::Write as _;

use crate::system::{Service, System};

use super::{Told, each};

/// What `kubeadm certs renew` calls the certificates of each component.
const NAMES: [(&str, &[&str]); 4] = [
    ("etcd", &["etcd-server", "etcd-peer", "etcd-healthcheck-client"]),
    (
        "kube-apiserver",
        &["apiserver", "apiserver-etcd-client", "apiserver-kubelet-client", "front-proxy-client"],
    ),
    ("kube-controller-manager", &["controller-manager.conf"]),
    ("kube-scheduler", &["scheduler.conf"]),
];

/// Looks at all that lies on the disk of the control plane, and at what kubelets present.
pub(super) fn identify(system: &System) -> Told {
    let components: Vec<_> = system.own().map(|service| service.name.clone()).collect();
    let on_wire = each(&components, "printf '%-24s' \"$service\"; on_wire \"$service\" | tr '\\n' ' '; echo");
    Told {
        purpose: "Find out which certificates it is about: of what lies on the disk, and of what is shown on the \
                  wire. They differ where a component did not read its file again. kubeadm says nothing of kubelets, \
                  and asks the API for its configuration first: if that is down it waits for a while, and goes on. \
                  What controllers present they sign themselves."
            .into(),
        commands: format!(
            "date -u\ndocker exec \"$(node api)\" kubeadm certs check-expiration\n{on_wire}for file in \
             \"$RUN\"/services/*/kubelet/*.crt \"$RUN\"/services/*/kubelet/*.pem; do\n  \
             openssl x509 -in \"$file\" -noout -enddate | tr '\\n' ' '; echo \"$file\"\ndone\n"
        ),
        expect: "at least one `<invalid>`, or a `notAfter` that has passed or is near. If there is none, something \
                 else is wrong: stop here."
            .into(),
    }
}

/// Renews all that a component has; none for what is none.
pub(super) fn rotate(service: &Service) -> Option<Told> {
    if let Some(node) = service.name.strip_prefix("kubelet-").filter(|_| service.program == "kubelet") {
        return Some(Told {
            purpose: "What the kubelet presents, and what it shows to the API server: new keys, and certificates of \
                      the authority of the cluster. It reads both files again by itself, but for those who call it \
                      by an address and not by a name, as the API server does: to them it presents what it had at \
                      its start, so logs and exec need its restart."
                .into(),
            commands: format!("renew_kubelet {node}\n"),
            expect: "a date tomorrow and a new serial number, and the node ready a few seconds later.".into(),
        });
    }
    let (_, names) = NAMES.iter().find(|(program, _)| *program == service.program)?;
    let renew = format!("docker exec \"$(node {})\" kubeadm certs renew", service.name);
    let mut commands = String::new();
    for name in *names {
        let _ = writeln!(commands, "{renew} {name}");
    }
    let is_controller = names.len() == 1;
    let (reads, shows) = if is_controller {
        ("It reads its kubeconfig at its start only.", "it goes on as before, until its restart.".to_owned())
    } else {
        (
            "It reads its files again by itself.",
            format!("with `on_wire {}`, a date in a year and a new serial number.", service.name),
        )
    };
    Some(Told {
        purpose: format!(
            "kubeadm takes the names from the old certificate and signs with the authority that lies beside it. \
             It asks the API for its configuration first, and goes on without. {reads}"
        ),
        commands,
        expect: format!("`certificate ... renewed` for each; then, {shows}"),
    })
}
