//! The Secret of the archive in the reference system, behind which nearly everything is that users do.

use notafter::{
    check,
    scenario::Scenario,
    suite::{Specimen, Template},
    system::System,
    workload::Workload,
};

use crate::shape::{
    DELIVERED, LEFT, STARTED, Subject, has_expired, is_absent, is_rotated, is_torn, never_recovering,
};

/// Each scenario before its control.
pub fn templates() -> Vec<Template> {
    let template =
        |name: &str, about, build| Template { name: name.into(), about, system: stack::with_secrets, build };
    vec![
        template(
            "secret/stack-expired",
            "the Secret of archive has expired: nothing works until there is a new one, and its kubelet delivers it",
            |system, _| expired(archive(system)),
        ),
        template(
            "control-of/secret-stack-expired",
            "the same where archive sees one Secret and none after it",
            |system, _| {
                let stale = expired(unaccounted(system.with("archive", "reloads_once", true)));
                never_recovering(stale, DELIVERED).failing(&["recovers-within"])
            },
        ),
        template(
            "secret/stack-rotated",
            "the Secret of archive is replaced in time: nobody notices",
            |system, _| rotated(archive(system)),
        ),
        template(
            "control-of/secret-stack-rotated",
            "the same where archive sees one Secret and none after it",
            |system, _| {
                let stale = rotated(unaccounted(system.with("archive", "reloads_once", true)));
                never_recovering(stale, LEFT).failing(&["replaced-before-expiry", "keeps-serving"])
            },
        ),
        template(
            "secret/stack-torn",
            "the key in the Secret of archive is another certificate's: archive goes on with what it has",
            |system, _| torn(archive(system)),
        ),
        template(
            "control-of/secret-stack-torn",
            "the same where archive drops what was good",
            |system, _| {
                torn(archive(system.with("archive", "drops_what_was_good", true))).failing(&["keeps-serving"])
            },
        ),
        template(
            "secret/stack-absent",
            "the Secret of archive is not there when its pod is replaced: the pod waits, and comes with it",
            |system, _| absent(archive(system), "archive"),
        ),
        template(
            "control-of/secret-stack-absent",
            "the same where the Secret of search is put there by mistake",
            |system, _| {
                never_recovering(absent(unaccounted(system), "search"), STARTED).failing(&["recovers-within"])
            },
        ),
    ]
}

/// What is wrong in each control, for `notafter zoo`.
pub fn zoo() -> Vec<Specimen> {
    let sound = stack::with_secrets();
    let specimen = |name: &str, defect: &str, setting: Option<&str>| {
        let control =
            setting.map_or_else(|| sound.clone(), |setting| sound.clone().with("archive", setting, true));
        Specimen {
            defect: defect.into(),
            control: format!("control-of/secret-{name}"),
            sound: format!("secret/{name}"),
            seen: stack::defects::seen(&control, &sound),
        }
    };
    vec![
        specimen("stack-expired", "archive sees one Secret and none after it", Some("reloads_once")),
        specimen("stack-rotated", "archive sees one Secret, and none in time", Some("reloads_once")),
        specimen("stack-torn", "archive gives up a good Secret for a torn one", Some("drops_what_was_good")),
        specimen("stack-absent", "another Secret than the one that is missing is put there", None),
    ]
}

/// `root -> issuing -> [archive]`: the leaf in its Secret, and only the leaf, has expired while it runs.
fn expired(archive: Subject) -> Scenario {
    Scenario {
        about: "The leaf in the Secret of archive has expired: root -> issuing -> [archive]. Its kubelet delivers it, \
                and whoever calls archive refuses it until there is a new Secret, and that has been delivered, too. \
                Records wait in the spool of ingest meanwhile, and none is lost."
            .into(),
        ..has_expired(archive)
    }
}

/// `root -> issuing -> [archive]`: the leaf in its Secret nears its end, and is replaced before that.
fn rotated(archive: Subject) -> Scenario {
    Scenario {
        about: "The leaf in the Secret of archive nears its end: root -> issuing -> [archive]. A new one is written \
                in time, as cert-manager does, its kubelet delivers it, and archive presents it before the old one \
                ends. No handshake fails."
            .into(),
        ..is_rotated(archive, check::keeps_serving())
    }
}

/// `root -> issuing -> leaf [ ] key`: the two in its Secret do not belong together.
fn torn(archive: Subject) -> Scenario {
    Scenario {
        about: "The key in the Secret of archive is not that of the leaf beside it: root -> issuing -> leaf [ ] key. \
                The API server takes it, and its kubelet delivers both at once; archive says that it will not use \
                it, and goes on with what it has."
            .into(),
        ..is_torn(archive)
    }
}

/// `[ ]`: there is no Secret, and the pod is replaced.
fn absent(archive: Subject, whom: &str) -> Scenario {
    Scenario {
        about: "The Secret of archive is not there when its pod is replaced: [ ]. The new one waits in \
                ContainerCreating, and its kubelet says for what; when the Secret is there it comes up by itself. \
                Nobody restarts it, and no record is lost."
            .into(),
        ..is_absent(archive, whom)
    }
}

/// No connection is kept, so that nothing is hidden by what was open before.
fn archive(system: System) -> Subject {
    Subject { users: stack::workload(), ..unaccounted(system) }
}

/// The same where nobody asks for what was stored last, and no account is closed: for controls that end while archive
/// cannot be asked.
fn unaccounted(mut system: System) -> Subject {
    for service in &mut system.services {
        service.settings.insert("pool".into(), false.into());
    }
    let mut users = Workload { ledger: None, ..stack::workload() };
    users.operations.retain(|operation| operation.name != "ingestion");
    Subject { system, users, service: "archive", servers: Vec::new() }
}
