//! One node: a container with a kubelet. Its folders of certificates lie in the run's folder, so that
//! whoever replaces one writes a file.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt;
use testcontainers::bollard::{
    Docker,
    exec::StartExecResults,
    models::{ContainerCreateBody, DeviceMapping, ExecConfig, HostConfig},
    query_parameters::{CreateContainerOptionsBuilder, InspectContainerOptions},
};
use tokio::time::timeout;

use super::{
    Member, SERVERS,
    component::Component,
    endpoint,
    files::{CURRENT, Files, KUBELET},
    init::{API_ANSWERS, BOOT, Boot, FOLDER, LOGS, NODE},
    manifests, network,
};
use crate::{
    error::{Context, Error, Result},
    run::{RunFolder, write_private},
    runtime::containers::{elf, engine},
};

/// What `ci/setup kubernetes` makes.
const IMAGE: &str = "notafter/node:latest";
/// What it says of the servers that others wrote and that it has.
const LABEL: &str = "notafter.servers";
/// What lies in the run's folder of a node, and where it is in the node.
const MOUNTS: [(&str, &str); 2] = [("kubernetes", "/etc/kubernetes"), ("kubelet", KUBELET)];
/// No command in a node takes longer: `kubeadm certs renew all` takes 11 s without an API.
const EXEC_LIMIT: Duration = Duration::from_mins(2);

/// Whether the image of nodes is there.
pub(super) async fn image(docker: &Docker) -> Result<()> {
    docker.inspect_image(IMAGE).await.map(drop).map_err(|error| {
        Error::missing(format!("no image of nodes: {IMAGE}"))
            .because(error)
            .hint("`ci/setup kubernetes` builds it, once, in some minutes")
    })
}

/// Whether it has the servers that others wrote.
pub(super) async fn servers(docker: &Docker) -> Result<()> {
    let labels = docker.inspect_image(IMAGE).await.ok().and_then(|image| image.config?.labels);
    let listed = labels.and_then(|labels| labels.get(LABEL).cloned()).unwrap_or_default();
    let has = |server: &&str| listed.split(',').any(|one| one == *server);
    let missing: Vec<_> = SERVERS.iter().filter(|server| !has(server)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(Error::missing(format!("the image of nodes has no {missing}: {IMAGE}"))
        .hint("`ci/setup kubernetes` makes one that has"))
}

/// Starts a node, which waits for [`lay_out`] from there.
pub(super) async fn start(
    docker: &Docker,
    folder: &RunFolder,
    shared: &[(PathBuf, &str)],
    number: usize,
    name: String,
) -> Result<Member> {
    let network = network::name_of(folder);
    let home = folder.service(&name);
    let logs = folder.logs().join(&name);
    let pods = logs.join("pods");
    let mounted = MOUNTS.map(|(place, _)| home.join(place));
    for path in mounted.iter().chain([&pods]) {
        fs::create_dir_all(path).context(|| format!("cannot make {}", path.display()))?;
    }
    let bind = |from: &Path, to: &str| format!("{}:{to}", from.display());
    let mut binds = vec![
        bind(&elf::place(folder), "/notafter:ro"),
        bind(&home, FOLDER),
        bind(&logs, LOGS),
        bind(&pods, "/var/log/pods"),
    ];
    binds.extend(MOUNTS.map(|(place, inside)| bind(&home.join(place), inside)));
    binds.extend(shared.iter().map(|(from, to)| bind(from, to)));
    let all = |values: &[&str]| Some(values.iter().map(|value| (*value).to_owned()).collect());
    let host = HostConfig {
        network_mode: Some(network.clone()),
        binds: Some(binds),
        tmpfs: Some(HashMap::from([("/run".into(), "exec".into()), ("/tmp".into(), "exec".into())])),
        devices: Some(vec![DeviceMapping {
            path_on_host: Some("/dev/kmsg".into()),
            path_in_container: Some("/dev/kmsg".into()),
            cgroup_permissions: Some("rwm".into()),
        }]),
        // All but one, as privileged would have it; there are kernels without that one.
        cap_add: all(&["ALL"]),
        cap_drop: all(&["SYS_RESOURCE"]),
        security_opt: all(&["seccomp=unconfined", "apparmor=unconfined", "label=disable"]),
        masked_paths: Some(Vec::new()),
        readonly_paths: Some(Vec::new()),
        ..Default::default()
    };
    let mut labels = engine::labels(folder.id());
    labels.insert(engine::SERVICE.to_owned(), name.clone());
    let body = ContainerCreateBody {
        image: Some(IMAGE.into()),
        hostname: Some(name.clone()),
        entrypoint: all(&["/notafter"]),
        env: Some(vec![format!("{NODE}={name}")]),
        labels: Some(labels),
        // Anonymous, so that they go with the container: overlay cannot lie on overlay.
        volumes: all(&["/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd"]),
        host_config: Some(host),
        ..Default::default()
    };
    let options = CreateContainerOptionsBuilder::new().name(&format!("{}-{name}", folder.id())).build();
    let what = || format!("cannot start a container for node `{name}`");
    let container = docker.create_container(Some(options), body).await.context(what)?.id;
    docker.start_container(&container, None).await.context(what)?;
    let seen = docker.inspect_container(&container, None::<InspectContainerOptions>).await.context(what)?;
    let address = seen
        .network_settings
        .and_then(|settings| settings.networks?.remove(&network)?.ip_address?.parse().ok())
        .ok_or_else(|| Error::new(format!("the container of node `{name}` has no address")))?;
    Ok(Member { name, number, address, container })
}

/// Gives a node its files; the last of them lets it go on.
pub(super) fn lay_out(folder: &RunFolder, member: &Member, all: &[Member], files: Files) -> Result<()> {
    let mut rest = Files::new();
    for (path, text) in files {
        if on_host(folder, &member.name, &path).is_ok() {
            put(folder, &member.name, &path, &text)?;
        } else {
            rest.insert(path, text);
        }
    }
    let kubelet = [
        "kubelet".to_owned(),
        "--config=/var/lib/kubelet/config.yaml".into(),
        "--kubeconfig=/etc/kubernetes/kubelet.conf".into(),
        format!("--hostname-override={}", member.name),
        format!("--node-ip={}", member.address),
    ];
    let proxy = [
        "kube-proxy".to_owned(),
        "--kubeconfig=/etc/kubernetes/kube-proxy.conf".into(),
        format!("--hostname-override={}", member.name),
        "--cluster-cidr=10.244.0.0/16".into(),
        // A node in a container may not set these.
        "--oom-score-adj=0".into(),
        "--conntrack-max-per-core=0".into(),
        "--conntrack-tcp-timeout-established=0".into(),
        "--conntrack-tcp-timeout-close-wait=0".into(),
    ];
    let others = all.iter().filter(|other| other.number != member.number);
    let boot = Boot {
        files: rest,
        endpoint: endpoint::rules(all),
        waits_for_api: !member.has_control_plane(),
        routes: others.map(|other| (manifests::pods_of(other.number), other.address.to_string())).collect(),
        programs: BTreeMap::from([
            ("kubelet".into(), kubelet.to_vec()),
            ("kube-proxy".into(), proxy.to_vec()),
        ]),
        watched: Component::ALL.map(|component| component.program().to_owned()).into(),
    };
    let home = folder.service(&member.name);
    let text = serde_json::to_vec(&boot).context(|| format!("what node `{}` is told", member.name))?;
    write_private(&home.join("boot.new"), &text)?;
    fs::rename(home.join("boot.new"), home.join(BOOT))
        .context(|| format!("cannot write {}", home.join(BOOT).display()))
}

/// Tells a node that the API answers.
pub(super) fn go_on(folder: &RunFolder, member: &Member) -> Result<()> {
    write_private(&folder.service(&member.name).join(API_ANSWERS), b"")
}

/// Replaces a file of a node by renaming, as kubeadm does; who reads it sees the old one or the new. What a kubelet
/// has as its current pair is a link, as it leaves one itself; it replaces nothing else there.
pub(super) fn put(folder: &RunFolder, node: &str, path: &str, text: &str) -> Result<()> {
    let target = on_host(folder, node, path)?;
    let above = target.parent().unwrap_or(&target);
    fs::create_dir_all(above).context(|| format!("cannot make {}", above.display()))?;
    // A kubelet overlooks manifests whose names begin with a dot.
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let fresh = above.join(format!(".{name}.new"));
    let what = || format!("cannot write {path} on {node}");
    if let Some(pair) = name.strip_suffix("-current.pem") {
        let given = format!("{pair}-given.pem");
        let beside = above.join(format!(".{given}.new"));
        write_private(&beside, text.as_bytes())?;
        fs::rename(&beside, above.join(&given)).context(what)?;
        symlink(given, &fresh).context(what)?;
    } else {
        write_private(&fresh, text.as_bytes())?;
    }
    fs::rename(&fresh, &target).context(what)
}

/// The client certificate and key that the kubelet of a node has now, in one file. It links to the newest that it
/// has got itself by a path that means something on its node only.
pub(super) fn current_of_kubelet(folder: &RunFolder, node: &str) -> Result<PathBuf> {
    let current = on_host(folder, node, CURRENT)?;
    let link = fs::read_link(&current).context(|| format!("no link at {CURRENT} on {node}"))?;
    Ok(current.with_file_name(link.file_name().unwrap_or_default()))
}

/// Where a file of a node is on the host.
pub(super) fn on_host(folder: &RunFolder, node: &str, path: &str) -> Result<PathBuf> {
    let found = MOUNTS.iter().find_map(|(place, inside)| {
        let rest = Path::new(path).strip_prefix(inside).ok()?;
        Some(folder.service(node).join(place).join(rest))
    });
    found.ok_or_else(|| {
        let places = MOUNTS.map(|(_, inside)| inside).join(" and ");
        Error::usage(format!("{path} on {node} is not reached from outside; what is below {places} is"))
    })
}

/// Sends a signal, `-TERM`, to a program of a node.
pub(super) async fn signal(docker: &Docker, member: &Member, signal: &str, program: &str) -> Result<()> {
    let pattern = format!("^[^ ]*{program}( |$)");
    exec(docker, member, &["pkill", signal, "-f", &pattern]).await.map(drop)
}

/// Runs a command in a node; gives what it printed.
pub(super) async fn exec(docker: &Docker, member: &Member, command: &[&str]) -> Result<String> {
    let what = || format!("cannot run `{}` on {}", command.join(" "), member.name);
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        ..Default::default()
    };
    let ran = async {
        let id = docker.create_exec(&member.container, config).await?.id;
        let mut said = String::new();
        if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&id, None).await? {
            while let Some(chunk) = output.next().await {
                said += &chunk?.to_string();
            }
        }
        Ok::<_, testcontainers::bollard::errors::Error>((docker.inspect_exec(&id).await?.exit_code, said))
    };
    let late = || Error::new(format!("{}: no end after {} s", what(), EXEC_LIMIT.as_secs()));
    match timeout(EXEC_LIMIT, ran).await.map_err(|_| late())?.context(what)? {
        (Some(0), said) => Ok(said),
        (code, said) => {
            let code = code.map_or("no code".to_owned(), |code| format!("code {code}"));
            Err(Error::new(format!("{}: it ended with {code}: {}", what(), said.trim())))
        }
    }
}
