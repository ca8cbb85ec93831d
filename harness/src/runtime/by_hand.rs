//! What a person types to find a service of a cluster that is kept up: the one thing that the commands
//! of a runbook have to know of a runtime.

use super::Runtime;
use crate::service::{BUNDLE_FILE, CHAIN_FILE, HEALTH_PORT, KEY_FILE, TLS_PORT};

impl Runtime {
    /// Shell functions (POSIX), with the run's folder in `RUN`. Of a service by its name: `address` is
    /// where it listens with mutual TLS, as `IP:PORT`; `health` is the base of its health endpoint, in plain HTTP;
    /// `pid` is its process, as seen from this machine.
    pub fn by_hand(self) -> String {
        let health = beside();
        match self {
            Self::Processes => format!(
                r#"address() {{ jq -r .listen "$RUN/services/$1/config.json"; }}
{health}pid() {{ lsof -t -i "tcp@$(address "$1")" -s TCP:LISTEN; }}
"#
            ),
            // The first process of a container supervises, its child is the service. By its parent, not by
            // its number: those begin again at the lowest, so a child may come before its parent in a list.
            Self::Containers => format!(
                r#"address() {{ docker inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}:{TLS_PORT}' "${{RUN##*/}}-$1"; }}
{health}pid() {{ pgrep -P "$(docker inspect -f '{{{{.State.Pid}}}}' "${{RUN##*/}}-$1")"; }}
"#
            ),
            Self::Kubernetes => CONTROL_PLANE.into(),
        }
    }
}

/// Where a service answers for its health beside where it listens.
fn beside() -> String {
    format!("health() {{ it=$(address \"$1\"); echo \"http://${{it%:*}}:{HEALTH_PORT}\"; }}\n")
}

/// The components of a control plane are processes of its nodes, and the harness answers for their health. kubeadm
/// does not renew what kubelets have, and neither does a cluster that nobody told to.
const CONTROL_PLANE: &str = r#"node() {
  case $1 in kubelet-*) it=${1#kubelet-};; *-[2-9]) it=control-plane-${1##*-};; *) it=control-plane;; esac
  echo "${RUN##*/}-$it"
}
address() {
  case $1 in kubelet-*) port=10250;; api*) port=6443;; etcd*) port=2379;; controller-manager*) port=10257;;
    *) port=10259;; esac
  docker inspect -f "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:$port" "$(node "$1")"
}
health() { echo "http://$(jq -r .health "$RUN/services/$1/config.json")"; }
pid() {
  case $1 in kubelet-*) it=kubelet;; api*) it=kube-apiserver;; etcd*) it=etcd;; *) it=kube-${1%-[2-9]};; esac
  docker top "$(node "$1")" -eo pid,args | awk -v it="$it" '$2 ~ "(^|/)"it"$" { print $1 }'
}
# signed SUBJECT EXTENSIONS FILE: a new key and a certificate of the cluster's authority.
signed() {
  pki="$RUN/services/control-plane/kubernetes/pki"
  printf "$2" >"$3.ext" &&
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$1" \
      -keyout "$3.key" -out "$3.csr" 2>/dev/null &&
    openssl x509 -req -in "$3.csr" -days 1 -extfile "$3.ext" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" \
      -out "$3.crt" 2>/dev/null
}
# renew_kubelet NODE: what its kubelet presents, and what it shows; each file changes in one step.
renew_kubelet() {
  own="$RUN/services/$1/kubelet"; new=$(mktemp -d -p "$own"); ip=$(address "kubelet-$1"); name="system:node:$1"
  signed "/O=system:nodes/CN=$name" \
    "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:$1,DNS:kubelet-$1,IP:${ip%:*}\n" "$new/kubelet" &&
    signed "/O=system:nodes/CN=$name" "extendedKeyUsage=clientAuth\n" "$new/client" &&
    cat "$new/client.crt" "$new/client.key" >"$new/kubelet-client-current.pem" &&
    mv "$new/kubelet.key" "$new/kubelet.crt" "$new/kubelet-client-current.pem" "$own/" &&
    rm -r "$new" && on_wire "kubelet-$1"
}
"#;

/// The same for what every runtime has in common: `on_wire` shows the certificate that it presents; `rotate` gives it another one; `authority`
/// and `trust` give another issuing CA to whoever issues, and its root to who is to get certificates of it; `end` ends
/// its process, if there is one, and waits for that; `ready` waits until it can serve, for a minute.
pub fn in_common() -> String {
    format!(
        r#"on_wire() {{
  openssl s_client -connect "$(address "$1")" -servername "$1" </dev/null 2>/dev/null |
    openssl x509 -noout -enddate -serial 2>/dev/null || echo "$1 does not answer"
}}
end() {{
  old=$(pid "$1") || {{ echo "$1 has no process to end now; its supervisor starts it again"; return 0; }}
  kill -TERM "$old" && timeout 20 tail --pid="$old" -f /dev/null
}}
ready() {{
  curl -sf --retry 60 --retry-delay 1 --retry-all-errors --retry-max-time 60 \
    "$(health "$1")/ready" >/dev/null && echo "$1 is ready"
}}
# rotate SERVICE MOUNT ISSUER: a new key and certificate; all files of the mount change in one step.
rotate() {{
  mount="$RUN/services/$1/credentials/$2"; new=..$(date +%s%N)
  mkdir -m 700 "$mount/$new" &&
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
      -keyout "$mount/$new/{KEY_FILE}" -out "$mount/$new/csr" 2>/dev/null &&
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$1" >"$mount/$new/ext" &&
    openssl x509 -req -in "$mount/$new/csr" -days 1 -extfile "$mount/$new/ext" \
      -CA "$3/{CHAIN_FILE}" -CAkey "$3/{KEY_FILE}" -out "$mount/$new/{CHAIN_FILE}" 2>/dev/null &&
    cat "$3/{CHAIN_FILE}" >>"$mount/$new/{CHAIN_FILE}" && cp "$3/{BUNDLE_FILE}" "$mount/$new/" &&
    ln -s "$new" "$mount/..link" && mv -T "$mount/..link" "$mount/..data" && on_wire "$1"
}}
# authority NAME ISSUER: a new root, whose key goes, and an issuing CA under it, for whoever issues.
authority() {{
  new=..$(date +%s%N)
  mkdir -m 700 "$2/$new" && (
    cd "$2/$new" &&
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1 root" \
        -keyout root.key -out {BUNDLE_FILE} 2>/dev/null &&
      openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1 issuing" \
        -keyout {KEY_FILE} -out csr 2>/dev/null &&
      printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n' >ext &&
      openssl x509 -req -in csr -days 1 -extfile ext -CA {BUNDLE_FILE} -CAkey root.key \
        -out {CHAIN_FILE} 2>/dev/null && rm root.key csr ext
  ) && ln -s "$new" "$2/..link" && mv -T "$2/..link" "$2/..data" &&
    openssl x509 -in "$2/{CHAIN_FILE}" -noout -subject -enddate
}}
# trust SERVICE MOUNT ISSUER: the root of whoever issues, and no certificate until the service fetches one.
trust() {{
  mount="$RUN/services/$1/credentials/$2"; new=..$(date +%s%N)
  mkdir -m 700 "$mount/$new" && cp "$3/{BUNDLE_FILE}" "$mount/$new/" &&
    ln -s "$new" "$mount/..link" && mv -T "$mount/..link" "$mount/..data"
}}
"#
    )
}
