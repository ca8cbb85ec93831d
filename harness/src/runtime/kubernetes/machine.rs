//! Whether this machine lets a node of Kubernetes be a container: what an engine may hand on, control groups,
//! memory.

use std::os::unix::net::UnixStream;

use testcontainers::bollard::{Docker, models::SystemInfoCgroupVersionEnum as Version};

use crate::{
    error::{Context, Error, Result},
    procfs,
    runtime::containers::engine,
};

/// A control plane, a worker, and what an operator makes in them, with some room.
const MEMORY_MIB: usize = 1_200;
/// `CAP_SYS_ADMIN` (capabilities(7)): a node mounts, and so do the pods in it.
const SYS_ADMIN: u64 = 1 << 21;

/// What is known of the machine; none where nobody could say.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    /// What the engine may do, and hand on at most: a bit for each capability.
    capabilities: Option<u64>,
    cgroups: Option<Version>,
    available_mib: Option<usize>,
}

/// Whether nodes can be containers here.
///
/// # Errors
/// What is missing, and how to get it.
pub(super) async fn check(docker: &Docker) -> Result<()> {
    let info = docker.info().await.context(|| "cannot ask Docker about itself".into())?;
    let machine = Machine {
        capabilities: engine::socket().ok().and_then(of_listener),
        cgroups: info.cgroup_version,
        available_mib: procfs::available_kib().map(|kib| kib / 1024),
    };
    machine.lacks().map_or(Ok(()), Err)
}

/// What whoever listens there may do. A process of another namespace has no number here.
fn of_listener(socket: UnixStream) -> Option<u64> {
    socket.set_nonblocking(true).ok()?;
    let engine = tokio::net::UnixStream::from_std(socket).ok()?.peer_cred().ok()?.pid()?;
    let status = std::fs::read_to_string(format!("/proc/{engine}/status")).ok()?;
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(bounding.trim(), 16).ok()
}

impl Machine {
    fn lacks(self) -> Option<Error> {
        if self.capabilities.is_some_and(|all| all & SYS_ADMIN == 0) {
            return Some(
                Error::missing(
                    "Docker runs without CAP_SYS_ADMIN, and nodes need it to mount what pods mount",
                )
                .hint("start the engine outside of a container, or in one that has the capability"),
            );
        }
        if self.cgroups == Some(Version::_2) {
            return Some(
                Error::missing("this machine has control groups of version 2 alone; nodes need version 1")
                    .hint("boot with `systemd.unified_cgroup_hierarchy=0`, or use --on containers"),
            );
        }
        match self.available_mib {
            Some(mib) if mib < MEMORY_MIB => Some(
                Error::missing(format!("{mib} MiB of memory are available; a cluster needs {MEMORY_MIB}"))
                    .hint("end something else, or use a machine with more"),
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(machine: Machine) -> String {
        machine.lacks().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_machine_that_will_do_lacks_nothing_and_what_is_unknown_is_tried() {
        let capabilities = Some(0x1_ffff_feff_ffff);
        let good = Machine { capabilities, cgroups: Some(Version::_1), available_mib: Some(1_200) };
        assert_eq!([words(good), words(Machine::default())], ["", ""]);
    }

    #[test]
    fn each_lack_is_named_with_a_way_out() {
        let lacks = [
            Machine { capabilities: Some(0xa804_25fb & !SYS_ADMIN), ..Machine::default() },
            Machine { cgroups: Some(Version::_2), ..Machine::default() },
            Machine { available_mib: Some(512), ..Machine::default() },
        ];
        insta::assert_snapshot!(lacks.map(words).join("\n\n"));
    }

    #[tokio::test]
    async fn whoever_listens_at_a_socket_can_be_asked_what_it_may_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let _listens = std::os::unix::net::UnixListener::bind(&path).expect("a listener");
        let caller = UnixStream::connect(&path).expect("a connection");
        let own = std::fs::read_to_string("/proc/self/status").expect("a status");
        let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("a bounding set");
        assert_eq!(of_listener(caller), u64::from_str_radix(own.trim(), 16).ok());
    }
}
