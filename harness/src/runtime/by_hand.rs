//! What a person types to find a service of a cluster that is kept up: the one thing that the commands
//! of a runbook have to know of a runtime.

use super::Runtime;
use crate::service::{BUNDLE_FILE, CHAIN_FILE, HEALTH_PORT, KEY_FILE, TLS_PORT};

impl Runtime {
    /// Shell functions (POSIX), with the run's folder in `RUN`. Of a service by its name: `address` is
    /// where it listens with mutual TLS, as `IP:PORT`; `pid` is its process, as seen from this machine.
    pub fn by_hand(self) -> String {
        match self {
            Self::Processes => "\
address() { jq -r .listen \"$RUN/services/$1/config.json\"; }
pid() { lsof -t -i \"tcp@$(address \"$1\")\" -s TCP:LISTEN; }
"
            .into(),
            // The first process of a container supervises, its child is the service. By its parent, not by
            // its number: those begin again at the lowest, so a child may come before its parent in a list.
            Self::Containers => format!(
                "\
address() {{ docker inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}:{TLS_PORT}' \
                 \"${{RUN##*/}}-$1\"; }}
pid() {{ pgrep -P \"$(docker inspect -f '{{{{.State.Pid}}}}' \"${{RUN##*/}}-$1\")\"; }}
"
            ),
            // The components of a control plane are processes of its node.
            Self::Kubernetes => "\
node() { case $1 in kubelet-*) echo \"${RUN##*/}-${1#kubelet-}\";; *) echo \"${RUN##*/}-control-plane\";; esac; }
address() {
  case $1 in api) port=6443;; etcd) port=2379;; controller-manager) port=10257;; scheduler) port=10259;;
    *) port=10250;; esac
  docker inspect -f \"{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:$port\" \"$(node \"$1\")\"
}
pid() {
  case $1 in api) it=kube-apiserver;; kubelet-*) it=kubelet;; etcd) it=etcd;; *) it=kube-$1;; esac
  docker top \"$(node \"$1\")\" -eo pid,args | awk -v it=\"$it\" '$2 ~ \"(^|/)\"it\"$\" { print $1 }'
}
"
            .into(),
        }
    }
}

/// The same for what every runtime has in common: `health` is the base of a service's health endpoint, in
/// plain HTTP; `on_wire` shows the certificate that it presents; `rotate` gives it another one; `authority`
/// and `trust` give another issuing CA to whoever issues, and its root to who is to get certificates of it; `end` ends
/// its process, if there is one, and waits for that; `ready` waits until it can serve, for a minute.
pub fn in_common() -> String {
    format!(
        r#"health() {{ it=$(address "$1"); echo "http://${{it%:*}}:{HEALTH_PORT}"; }}
on_wire() {{
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
