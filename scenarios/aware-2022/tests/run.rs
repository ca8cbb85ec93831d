//! Every variant on processes and in containers, and the outage without and with all mitigations as Deployments of
//! a real Kubernetes: `cargo test --test run aware-2022`.

use notafter::{runtime::Runtime, testing};

/// Each takes a cluster and some minutes.
const AS_PODS: [&str; 2] = ["aware-2022/as-it-was", "aware-2022/mitigated"];

fn main() -> std::process::ExitCode {
    let suite = aware_2022::suite();
    let templates = suite.templates.clone().into_iter();
    let as_pods = templates.filter(|template| AS_PODS.contains(&template.name.as_str()));
    let as_pods = as_pods.map(|template| testing::of_template(Runtime::Kubernetes, template)).collect();
    testing::main_with(suite, as_pods)
}
