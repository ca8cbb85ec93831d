//! The Secret of an nginx, which reads it when it is told to, and a visitor from outside.

use notafter::{
    check,
    fault::{Which, expired, rolled_out, run_out},
    scenario::{Aftermath, Scenario},
    suite::{Specimen, Template},
    system::{Reload, System},
};
use servers::NGINX;

use crate::shape::{
    AGE, DELIVERED, HICCUP, LEFT, STARTED, Subject, has_expired, is_absent, is_rotated, is_torn,
    never_recovering,
};

/// [`servers::system`] of nginx with Secrets.
pub fn system() -> System {
    let mut system = servers::system(&NGINX);
    system.name = "nginx-with-secrets".into();
    for mount in system.services.iter_mut().flat_map(|service| service.mounts.values_mut()) {
        mount.secret = true;
    }
    system
}

/// Each scenario before its control.
pub fn templates() -> Vec<Template> {
    let template = |name: &str, about, build| Template { name: name.into(), about, system, build };
    vec![
        template(
            "secret/nginx-expired",
            "the Secret of nginx has expired: nobody is served until there is a new one, and nginx is told",
            |system, _| has_expired_here(nginx(system)),
        ),
        template(
            "control-of/secret-nginx-expired",
            "the same where nobody tells nginx that there is a new one",
            |system, _| {
                let faults = vec![rolled_out(expired(served()), NGINX.name)];
                let stale = Scenario { faults, ..has_expired_here(nginx(untold(system))) };
                never_recovering(stale, DELIVERED).failing(&["recovers-within"])
            },
        ),
        template(
            "secret/nginx-rotated",
            "the Secret of nginx is replaced in time, and nginx is told: nobody notices more than the reload",
            |system, _| is_rotated_here(nginx(system)),
        ),
        template(
            "control-of/secret-nginx-rotated",
            "the same where nobody tells nginx that there is a new one",
            |system, _| {
                let faults = vec![rolled_out(run_out(served(), AGE, LEFT), NGINX.name)];
                let stale = Scenario { faults, ..is_rotated_here(nginx(untold(system))) };
                never_recovering(stale, LEFT).failing(&["replaced-before-expiry", "outage-within"])
            },
        ),
        template(
            "secret/nginx-torn",
            "the key in the Secret of nginx is another certificate's: nginx goes on with what it has",
            |system, _| is_torn_here(nginx(system)),
        ),
        template(
            "control-of/secret-nginx-torn",
            "the same, and its pod is replaced: it does not start until the Secret is whole",
            |system, _| {
                let restarted =
                    Scenario { aftermath: Aftermath::RestartBroken, ..is_torn_here(nginx(system)) };
                restarted.failing(&["keeps-serving"])
            },
        ),
        template(
            "secret/nginx-absent",
            "the Secret of nginx is not there when its pod is replaced: the pod waits, and comes with it",
            |system, _| is_absent_here(nginx(system), NGINX.name),
        ),
        template(
            "control-of/secret-nginx-absent",
            "the same where the Secret of the visitor is put there by mistake",
            |system, _| {
                let mistaken = is_absent_here(nginx(system), servers::VISITOR);
                never_recovering(mistaken, STARTED).failing(&["recovers-within"])
            },
        ),
    ]
}

/// What is wrong in each control, for `notafter zoo`.
pub fn zoo() -> Vec<Specimen> {
    let specimen = |name: &str, defect: &str| Specimen {
        defect: defect.into(),
        control: format!("control-of/secret-{name}"),
        sound: format!("secret/{name}"),
        seen: Vec::new(),
    };
    vec![
        specimen("nginx-expired", "nobody tells nginx that there is a new Secret"),
        specimen("nginx-rotated", "nobody tells nginx in time that there is a new Secret"),
        specimen("nginx-torn", "the pod of nginx is replaced while its Secret is torn"),
        specimen(
            "nginx-absent",
            "the Secret of the visitor is put there in place of the one that is missing",
        ),
    ]
}

/// `root -> issuing -> [nginx]`: the leaf in its Secret, and only the leaf, has expired while it runs.
fn has_expired_here(nginx: Subject) -> Scenario {
    Scenario {
        about: "The leaf in the Secret of nginx has expired: root -> issuing -> [nginx]. Its kubelet delivers it, and \
                whoever connects refuses nginx until there is a new Secret, that has been delivered, too, and nginx \
                has got a SIGHUP."
            .into(),
        ..has_expired(nginx)
    }
}

/// `root -> issuing -> [nginx]`: the leaf in its Secret nears its end, and is replaced before that.
fn is_rotated_here(nginx: Subject) -> Scenario {
    Scenario {
        about: "The leaf in the Secret of nginx nears its end: root -> issuing -> [nginx]. A new one is written in \
                time, as cert-manager does, its kubelet delivers it, and nginx gets a SIGHUP. Nobody notices more \
                than the reload."
            .into(),
        ..is_rotated(nginx, check::outage_within(HICCUP))
    }
}

/// `root -> issuing -> leaf [ ] key`: the two in its Secret do not belong together.
fn is_torn_here(nginx: Subject) -> Scenario {
    Scenario {
        about: "The key in the Secret of nginx is not that of the leaf beside it: root -> issuing -> leaf [ ] key. The \
                API server takes it, and its kubelet delivers both at once; nginx refuses it at the SIGHUP, and goes \
                on with what it has."
            .into(),
        ..is_torn(nginx)
    }
}

/// `[ ]`: there is no Secret, and the pod is replaced.
fn is_absent_here(nginx: Subject, whom: &str) -> Scenario {
    Scenario {
        about: "The Secret of nginx is not there when its pod is replaced: [ ]. The new one waits in \
                ContainerCreating, and its kubelet says for what; when the Secret is there it comes up by itself. \
                Nobody restarts it."
            .into(),
        ..is_absent(nginx, whom)
    }
}

/// nginx reads files at its start, and nobody tells it to read them again.
fn untold(mut system: System) -> System {
    for service in system.services.iter_mut().filter(|service| service.name == NGINX.name) {
        service.reload = Reload::Never;
    }
    system
}

fn nginx(system: System) -> Subject {
    Subject { system, users: servers::users(), service: NGINX.name, servers: vec![NGINX] }
}

fn served() -> Which {
    Which::Served(NGINX.name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_makes_sense_and_survives_toml() {
        system().validate().expect("valid");
        assert_eq!(System::from_toml(&system().to_toml(), "nginx").expect("reads"), system());
    }
}
