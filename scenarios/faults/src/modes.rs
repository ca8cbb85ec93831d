//! The ways in which certificates fail, each with where it was seen and the scenarios that show it.

use notafter::suite::Mode;

/// Every way.
pub const MODES: &[Mode] = &[
    Mode {
        name: "the leaf of a server has expired",
        seen: &["Google Voice, February 2021"],
        scenarios: &["fault/server-leaf-expired", "secret/stack-expired", "secret/nginx-expired"],
    },
    Mode {
        name: "the leaf of a client has expired",
        seen: &["mutual TLS of etcd"],
        scenarios: &["fault/client-leaf-expired"],
    },
    Mode {
        name: "a leaf is not valid yet",
        seen: &["istio/istio#32176"],
        scenarios: &["fault/server-leaf-not-yet-valid", "fault/client-leaf-not-yet-valid"],
    },
    Mode {
        name: "nodes disagree about the time",
        seen: &["istio/istio#32176"],
        scenarios: &["fault/clock-ahead", "fault/clock-behind"],
    },
    Mode {
        name: "an intermediate has expired",
        seen: &["joe-elliott/cert-exporter#52"],
        scenarios: &["fault/server-issuing-expired", "fault/client-issuing-expired"],
    },
    Mode { name: "a root has expired", seen: &["linkerd/linkerd2#9256"], scenarios: &["fault/root-expired"] },
    Mode {
        name: "a cross-signature has expired beside a good path",
        seen: &["DST Root X3, September 2021"],
        scenarios: &["fault/cross-sign-expired"],
    },
    Mode {
        name: "an authority is rotated before trust, or its old root pulled too early",
        seen: &["linkerd/linkerd2#4287", "cert-manager/cert-manager#9076", "cert-manager/cert-manager#5851"],
        scenarios: &[
            "fault/issuer-rotated-before-trust",
            "fault/old-root-pulled-early",
            "fault/authority-rotated",
            "fault/root-added",
            "fault/restart-after-rotation",
        ],
    },
    Mode {
        name: "renewed on disk, and the process is stale",
        seen: &["kube-rs/kube#1953", "linkerd/linkerd2#15109"],
        scenarios: &[
            "fault/renewed-after-roll-out",
            "fault/client-renewed",
            "secret/stack-rotated",
            "secret/nginx-rotated",
        ],
    },
    Mode {
        name: "a way of replacing files goes unseen",
        seen: &["envoyproxy/envoy#39498", "envoyproxy/envoy#9359"],
        scenarios: &["fault/renewed-by-swap", "fault/renewed-by-rename", "fault/renewed-in-place"],
    },
    Mode {
        name: "a reload is torn, or finds what makes no sense",
        seen: &["rwf2/Rocket#2683"],
        scenarios: &[
            "fault/torn-pair",
            "fault/truncated-chain",
            "fault/key-of-another",
            "fault/empty-bundle",
            "fault/key-for-everybody",
            "fault/certificate-removed",
            "fault/botched-renewal",
            "secret/stack-torn",
            "secret/nginx-torn",
        ],
    },
    Mode {
        name: "pools and resumption mask an expiry",
        seen: &["envoyproxy/envoy#17999", "scylladb/python-driver#1017", "golang/go#77217"],
        scenarios: &["fault/masked-by-resumption", "stack/open-connections"],
    },
    Mode {
        name: "a leaf outlives its issuer",
        seen: &["spiffe/spire#1266", "smallstep/certificates#381"],
        scenarios: &["fault/leaf-outlives-issuer"],
    },
    Mode {
        name: "the renewal needs what has expired",
        seen: &["linkerd/linkerd2#4808", "spiffe/spire#5796"],
        scenarios: &["fault/renewal-needs-expired"],
    },
    Mode {
        name: "a secret is absent at the start",
        seen: &["openchoreo/openchoreo#1055", "kubernetes-sigs/controller-runtime#1148"],
        scenarios: &["fault/absent-at-boot", "secret/stack-absent", "secret/nginx-absent"],
    },
    // Its control is a system in which health lies.
    Mode {
        name: "health lies",
        seen: &["spiffe/spire#1562"],
        scenarios: &["fault/server-leaf-expired", "fault/during-repair"],
    },
    Mode {
        name: "a restart makes it worse",
        seen: &["Azure, February 2012", "Viptela, May 2023"],
        scenarios: &["fault/restart-after-expiry"],
    },
    Mode {
        name: "a recovery storm",
        seen: &["Epic Games, April 2021"],
        scenarios: &["fault/recovery-storm"],
    },
    Mode {
        name: "a wrong name, purpose or key, or a missing chain",
        seen: &["chaos-mesh/chaos-mesh#3535"],
        scenarios: &[
            "fault/wrong-name",
            "fault/wrong-purpose",
            "fault/key-of-another",
            "fault/missing-intermediate",
            "fault/client-missing-intermediate",
        ],
    },
    Mode {
        name: "a leaf is revoked, or the list of those is stale",
        seen: &["`ExpiredRevocationList` of rustls"],
        scenarios: &["fault/client-revoked", "fault/revocation-list-stale"],
    },
    Mode {
        name: "a rotation under load",
        seen: &["istio/istio#16222"],
        scenarios: &["fault/rotation-under-load"],
    },
];
