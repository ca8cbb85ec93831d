//! Runtime `processes`: one child process a service, each on a loopback address of its own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
};

use tokio::{sync::mpsc, task::JoinSet};

use super::{Cluster, Pod, Runtime, launch, lay_out, observer};
use crate::{
    error::{Error, Result},
    history::Recorder,
    run::RunFolder,
    service::{HEALTH_PORT, TLS_PORT},
    supervise::supervise,
    system::System,
};

/// Last byte of the address that marks a block of 256 as taken.
const MARK: u8 = 254;
/// How many blocks are tried before giving up.
const TRIES: u32 = 64;

pub(super) fn available() -> Result<()> {
    if !Path::new("/proc/self/exe").exists() {
        return Err(Error::missing("runtime `processes` needs Linux: /proc/self/exe is not there"));
    }
    TcpListener::bind((Ipv4Addr::new(127, 255, 0, 1), 0)).map(drop).map_err(|error| {
        Error::missing("runtime `processes` needs all of 127.0.0.0/8 on the loopback interface")
            .because(error)
    })
}

#[expect(clippy::unused_async, reason = "other runtimes wait here")]
pub(super) async fn create(system: &System, folder: &RunFolder, recorder: &Recorder) -> Result<Cluster> {
    let (block, mark) = reserve(folder.id(), system.services.len())?;
    let address_of = |name: &str| {
        let index = system.services.iter().position(|service| service.name == name).unwrap_or_default();
        nth(block, index)
    };
    let mut supervisors = JoinSet::new();
    // The block is taken as long as there are supervisors.
    supervisors.spawn(async move {
        let _mark = mark;
        std::future::pending::<()>().await;
    });
    let mut pods = std::collections::BTreeMap::new();
    for service in &system.services {
        let address = IpAddr::V4(address_of(&service.name));
        let home = folder.service(&service.name);
        lay_out(system, service, &home, address, &|name| address_of(name).to_string())?;
        let launch = launch(service, folder.id(), home.join("config.json"), folder.log(&service.name));
        let (supervisor, requests) = mpsc::channel(4);
        supervisors.spawn(supervise(launch, requests, observer(recorder, &service.name)));
        let health = SocketAddr::new(address, HEALTH_PORT);
        pods.insert(service.name.clone(), Pod { address, health, supervisor, source: None });
    }
    Ok(Cluster {
        system: system.clone(),
        runtime: Runtime::Processes,
        folder: folder.clone(),
        pods,
        nodes: None,
        place: tokio::sync::Mutex::new(Some(super::Place::Processes(supervisors))),
    })
}

/// Finds a block 127.x.y.0/24 in which nobody listens on our ports, and marks it as taken.
pub(crate) fn reserve(run: &str, services: usize) -> Result<(Ipv4Addr, TcpListener)> {
    if services >= usize::from(MARK) {
        return Err(Error::usage(format!(
            "{services} services do not fit into one block of {MARK} addresses"
        )));
    }
    // Any spread will do; two runs at once should not begin with the same block.
    let start = run.bytes().fold(17_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let mut last = None;
    for try_number in 0..TRIES {
        let [_, _, x, y] = start.wrapping_add(try_number.wrapping_mul(7919)).to_be_bytes();
        // 127.0.0.x and 127.1.x.y are what people use by hand.
        let block = Ipv4Addr::new(127, x.clamp(16, 250), y, 0);
        match free(block, services) {
            Ok(mark) => return Ok((block, mark)),
            Err(error) => last = Some((block, error)),
        }
    }
    let (block, error) = last.expect("at least one block was tried");
    Err(Error::new(format!("no free block of loopback addresses in {TRIES} tries, the last was {block}/24"))
        .because(error)
        .hint(format!(
            "ports {TLS_PORT} and {HEALTH_PORT} are needed; `ss -ltnp` shows who listens on all addresses, \
             and `notafter sweep` removes what older runs left"
        )))
}

fn free(block: Ipv4Addr, services: usize) -> std::io::Result<TcpListener> {
    let mark = TcpListener::bind((nth_byte(block, MARK), TLS_PORT))?;
    for index in 0..services {
        for port in [TLS_PORT, HEALTH_PORT] {
            TcpListener::bind((nth(block, index), port))?;
        }
    }
    Ok(mark)
}

/// The address of a place in a block, from 0 on.
pub(crate) fn nth(block: Ipv4Addr, index: usize) -> Ipv4Addr {
    nth_byte(block, u8::try_from(index + 1).unwrap_or(MARK - 1))
}

fn nth_byte(block: Ipv4Addr, byte: u8) -> Ipv4Addr {
    let [a, b, c, _] = block.octets();
    Ipv4Addr::new(a, b, c, byte)
}
