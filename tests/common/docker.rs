//! A look into Docker past the harness.

use std::process::Command;

use testcontainers::bollard::{
    Docker,
    query_parameters::{ListContainersOptionsBuilder, ListNetworksOptions},
};

/// Lets a command see the Docker Engine of this machine.
pub fn allow(command: &mut Command) {
    match std::env::var_os("DOCKER_HOST") {
        Some(host) => command.env("DOCKER_HOST", host),
        None => command.env_remove("DOCKER_HOST"),
    };
}

/// Why there is no such image here; none if there is.
pub fn lacks_image(name: &str) -> Option<String> {
    let tokio = tokio::runtime::Runtime::new().expect("a runtime");
    let seen = tokio.block_on(async { Docker::connect_with_defaults()?.inspect_image(name).await });
    seen.err().map(|error| format!("no image {name}: {error}"))
}

/// Containers and networks of a run, by their names and labels; none where there is no Docker.
pub fn left_of(run: &str) -> Vec<String> {
    let tokio = tokio::runtime::Runtime::new().expect("a runtime");
    tokio.block_on(async {
        let Ok(docker) = Docker::connect_with_defaults() else { return Vec::new() };
        if docker.ping().await.is_err() {
            return Vec::new();
        }
        let all = ListContainersOptionsBuilder::new().all(true).build();
        let containers = docker.list_containers(Some(all)).await.expect("a list");
        let containers = containers.iter().map(|it| format!("container {:?} {:?}", it.names, it.labels));
        let left: Vec<_> = containers.filter(|thing| thing.contains(run)).collect();
        if !left.is_empty() {
            // An engine that is asked for networks while containers leave one loses count of them.
            return left;
        }
        let networks = docker.list_networks(None::<ListNetworksOptions>).await.expect("a list");
        let networks = networks.iter().map(|it| format!("network {:?} {:?}", it.name, it.labels));
        networks.filter(|thing| thing.contains(run)).collect()
    })
}
