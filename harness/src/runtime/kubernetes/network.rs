//! The network that the nodes of a run have for themselves.

use std::net::{IpAddr, Ipv4Addr};

use testcontainers::bollard::{
    Docker,
    models::{IpamConfig, NetworkCreateRequest},
    query_parameters::InspectNetworkOptions,
};

use crate::{
    error::{Context, Error, Result},
    run::RunFolder,
    runtime::containers::engine,
};

/// Its name.
pub(super) fn name_of(folder: &RunFolder) -> String {
    format!("notafter-{}", folder.id())
}

/// Makes it, labelled as the run's.
pub(super) async fn create(docker: &Docker, folder: &RunFolder) -> Result<()> {
    let name = name_of(folder);
    let what = || format!("cannot create the network {name}");
    let labels = Some(engine::labels(folder.id()));
    let request = NetworkCreateRequest { name: name.clone(), labels, ..Default::default() };
    docker.create_network(request).await.map(drop).context(what)
}

/// The address of this machine in it: where nodes reach what runs beside them.
pub(super) async fn gateway(docker: &Docker, folder: &RunFolder) -> Result<IpAddr> {
    let name = name_of(folder);
    let gateways = pools(docker, &name).await?.into_iter().filter_map(|pool| pool.gateway?.parse().ok());
    let found = gateways.into_iter().find(IpAddr::is_ipv4);
    found.ok_or_else(|| Error::new(format!("the network {name} has no IPv4 gateway")))
}

/// So many addresses from the upper end of a network, where its engine gives out none before all others.
pub(super) async fn addresses(docker: &Docker, folder: &RunFolder, count: usize) -> Result<Vec<Ipv4Addr>> {
    let network = name_of(folder);
    let range = pools(docker, &network).await?.into_iter().find_map(|pool| range(&pool.subnet?));
    let (first, last) =
        range.ok_or_else(|| Error::new(format!("the network {network} has no IPv4 range")))?;
    // The lower half is for nodes.
    let wanted = u32::try_from(count).unwrap_or(u32::MAX);
    if wanted >= (last - first) / 2 {
        return Err(Error::new(format!("the network {network} is too small for {count} services")));
    }
    Ok((1..=wanted).map(|number| Ipv4Addr::from(last - number)).collect())
}

/// The first and the last address of `172.18.0.0/16`; the last is for everybody (RFC 919).
fn range(subnet: &str) -> Option<(u32, u32)> {
    let (base, bits) = subnet.split_once('/')?;
    let (base, bits): (Ipv4Addr, u32) = (base.parse().ok()?, bits.parse().ok()?);
    let hosts = u32::MAX.checked_shr(bits).unwrap_or(0);
    let first = u32::from(base) & !hosts;
    Some((first, first | hosts))
}

async fn pools(docker: &Docker, network: &str) -> Result<Vec<IpamConfig>> {
    let what = || format!("cannot look at the network {network}");
    let seen = docker.inspect_network(network, None::<InspectNetworkOptions>).await.context(what)?;
    Ok(seen.ipam.and_then(|ipam| ipam.config).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_reaches_from_its_base_to_the_address_of_everybody() {
        let range = |subnet| range(subnet).map(|(a, b)| [a, b].map(|one| Ipv4Addr::from(one).to_string()));
        let of = |first: &str, last: &str| Some([first.to_owned(), last.to_owned()]);
        assert_eq!(range("172.18.0.0/16"), of("172.18.0.0", "172.18.255.255"));
        assert_eq!(range("192.168.32.0/20"), of("192.168.32.0", "192.168.47.255"));
        assert_eq!(range("10.0.0.7/32"), of("10.0.0.7", "10.0.0.7"));
        assert_eq!([range("fd00::/8"), range("10.0.0.0"), range("10.0.0.0/x")], [None, None, None]);
    }
}
