//! Where the API is called where several nodes have one, as `--control-plane-endpoint` of kubeadm has it: an address of
//! no machine, from which each node leads new connections to the API servers in turn. Whoever is led to one that is down
//! is refused, tries again, and is led to the next.

use std::net::{IpAddr, Ipv4Addr};

use super::{API_PORT, Member, component::Slot, control_planes};

/// Beside the range of Services, which is kube-proxy's.
const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 1);

/// The address that leads to all API servers of these nodes; none if there is only one.
pub(super) fn shared(members: &[Member]) -> Option<IpAddr> {
    (control_planes(members).count() > 1).then_some(ENDPOINT.into())
}

/// Where a kubeconfig that lies in this slot on a node leads. On a node with a control plane everybody calls the API
/// server beside him (kubeadm 1.34: `ControlPlaneKubeletLocalMode`), but kube-proxy, which has the same everywhere.
pub(super) fn of(members: &[Member], node: &Member, slot: &Slot) -> IpAddr {
    let beside = node.has_control_plane().then_some(node.address);
    let everywhere = shared(members).unwrap_or(members[0].address);
    beside.filter(|_| slot.mount != "proxy").unwrap_or(everywhere)
}

/// What leads the connections of a node, each as the arguments of `iptables`: every rule takes its share of those that
/// the ones before it have left, and the last one the rest.
pub(super) fn rules(members: &[Member]) -> Vec<Vec<String>> {
    let Some(endpoint) = shared(members) else { return Vec::new() };
    let servers: Vec<_> = control_planes(members).collect();
    let rule = |(index, server): (usize, &&Member)| {
        let left = servers.len() - index;
        let share = match left {
            1 => String::new(),
            left => format!(" -m statistic --mode nth --every {left} --packet 0"),
        };
        let to = format!("--to-destination {}:{API_PORT}", server.address);
        format!("-t nat -A OUTPUT -d {endpoint} -p tcp --dport {API_PORT}{share} -j DNAT {to}")
    };
    let words = |rule: String| rule.split(' ').map(str::to_owned).collect();
    servers.iter().enumerate().map(rule).map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::kubernetes::component::{self, slot_of};

    fn members(control_planes: usize) -> Vec<Member> {
        let mut system = component::system(control_planes, 1, component::admin("admin", "admin"));
        system.services.retain(|service| service.name.starts_with("kubelet-"));
        let member = |(number, service): (usize, &crate::system::Service)| {
            let address = IpAddr::from([172, 18, 0, u8::try_from(2 + number).expect("few")]);
            Member { name: component::node_of(service), number, address, container: String::new() }
        };
        system.services.iter().enumerate().map(member).collect()
    }

    /// Where the kubeconfigs of the kubelet and of kube-proxy lead on each node.
    fn leads(members: &[Member]) -> Vec<String> {
        let kubelet = component::system(1, 0, component::admin("admin", "admin"));
        let kubelet = kubelet.service("kubelet-control-plane").expect("it is there");
        let slots = ["client", "proxy"].map(|mount| slot_of(kubelet, mount).expect("it has one"));
        members.iter().map(|node| slots.map(|slot| of(members, node, slot).to_string()).join(" ")).collect()
    }

    #[test]
    fn with_one_control_plane_everybody_calls_its_address() {
        let one = members(1);
        assert_eq!(leads(&one), ["172.18.0.2 172.18.0.2"; 2]);
        assert_eq!((shared(&one), rules(&one)), (None, Vec::<Vec<String>>::new()));
    }

    #[test]
    fn with_three_those_on_their_nodes_call_their_own_and_all_others_the_endpoint() {
        let three = members(3);
        let expected =
            ["172.18.0.2", "172.18.0.3", "172.18.0.4", "10.97.0.1"].map(|it| format!("{it} 10.97.0.1"));
        assert_eq!(leads(&three), expected);
    }

    #[test]
    fn every_rule_takes_an_equal_share_of_all_connections() {
        let rules: Vec<_> = rules(&members(3)).into_iter().map(|words| words.join(" ")).collect();
        insta::assert_snapshot!(rules.join("\n"));
    }
}
