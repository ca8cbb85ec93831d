//! Which setting is a defect that somebody's software had, and where that can be read.

use notafter::system::System;

/// A setting that makes a service behave as known software does, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The setting; [`RELOAD`] for a service that never reloads, which is not one of its program's settings.
    pub setting: &'static str,
    /// The issues and pull requests in which it was seen: `owner/repository#number`.
    pub seen: &'static [&'static str],
}

/// Stands for [`Reload`](notafter::system::Reload) in place of a setting.
pub const RELOAD: &str = "reload";

/// Every defect that was seen in known software. What each does is said where it is set: see
/// [`Common`](crate::settings::Common).
pub const DEFECTS: &[Defect] = &[
    Defect { setting: RELOAD, seen: &["redis/redis#8756", "kubernetes/kubernetes#102556"] },
    Defect { setting: "reads_credential_once", seen: &["redis/redis#8756"] },
    Defect {
        setting: "reloads_once",
        seen: &["envoyproxy/envoy#9359", "envoyproxy/envoy#39498", "kubernetes/kubernetes#102556"],
    },
    Defect { setting: "watches_links_only", seen: &["hashicorp/consul#8198", "envoyproxy/envoy#9359"] },
    Defect { setting: "reloads_late", seen: &["rabbitmq/rabbitmq-server#2229"] },
    Defect { setting: "status_runs_ahead", seen: &["valkey-io/valkey#3549"] },
    Defect { setting: "resurrects_an_old_one", seen: &["caddyserver/caddy#7589"] },
    Defect { setting: "drops_while_reloading", seen: &["istio/istio#16222"] },
    Defect { setting: "drops_what_was_good", seen: &["rwf2/Rocket#2683"] },
    Defect {
        setting: "silent_about_refusals",
        seen: &["nats-io/nats-server#1921", "envoyproxy/envoy#29406"],
    },
    Defect { setting: "bundle_read_once", seen: &["etcd-io/etcd#11555", "envoyproxy/gateway#5074"] },
    Defect { setting: "client_bundle_read_once", seen: &["nodejs/node#20434"] },
    Defect { setting: "client_reads_credential_once", seen: &["grpc/grpc#15735", "lance-format/lance#8456"] },
    Defect { setting: "trusts_newest_root_only", seen: &["strimzi/proposals#117", "linkerd/linkerd2#4287"] },
    Defect { setting: "caches_issuer", seen: &["canonical/mongodb-operator#106"] },
    Defect { setting: "expired_blocks_start", seen: &["strimzi/strimzi-kafka-operator#6136"] },
    Defect { setting: "gives_up_without_credential", seen: &["kubernetes-sigs/controller-runtime#1148"] },
    Defect { setting: "backs_off_for_hours", seen: &["cert-manager/cert-manager#6378"] },
    Defect {
        setting: "resumption_bypasses_the_check",
        seen: &["golang/go#77217", "scylladb/python-driver#1017"],
    },
    Defect { setting: "health_lies", seen: &["spiffe/spire#1562", "confidential-dot-ai/c8s#511"] },
    Defect { setting: "pools_past_expiry", seen: &["envoyproxy/envoy#17999"] },
];

/// Where the defects were seen that `control` has and `sound` has not.
pub fn seen(control: &System, sound: &System) -> Vec<&'static str> {
    let differs = |setting: &str| {
        control.services.iter().any(|one| {
            sound.service(&one.name).is_some_and(|other| match setting {
                RELOAD => one.reload != other.reload,
                _ => one.settings.get(setting) != other.settings.get(setting),
            })
        })
    };
    let here = DEFECTS.iter().filter(|defect| differs(defect.setting));
    here.flat_map(|defect| defect.seen).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{manager, settings::Common};

    #[test]
    fn every_defect_is_a_setting() {
        let keys = |settings: toml::Table| settings.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        let common = toml::Table::try_from(Common::default()).map(keys).expect("a table");
        let manager = toml::Table::try_from(manager::Settings::default()).map(keys).expect("a table");
        let known = |name: &str| name == RELOAD || common.iter().chain(&manager).any(|key| key == name);
        let unknown: Vec<_> = DEFECTS.iter().filter(|defect| !known(defect.setting)).collect();
        assert_eq!(unknown, Vec::<&Defect>::new());
    }

    #[test]
    fn what_differs_between_two_systems_says_where_it_was_seen() {
        let sound = crate::system();
        let mut control = sound.clone();
        assert_eq!(seen(&control, &sound), [""; 0]);
        control.services[2].settings.insert("status_runs_ahead".into(), true.into());
        assert_eq!(seen(&control, &sound), ["valkey-io/valkey#3549"]);
    }
}
