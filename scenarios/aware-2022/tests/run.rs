//! Every variant on processes, in containers, and as Deployments of a real Kubernetes:
//! `cargo test --test run aware-2022`.

use notafter::{runtime::Runtime, testing};

fn main() -> std::process::ExitCode {
    let suite = aware_2022::suite();
    let templates = suite.templates.clone().into_iter().filter(|template| template.family() == "aware-2022");
    let as_pods = templates.map(|template| testing::of_template(Runtime::Kubernetes, template)).collect();
    testing::main_with(suite, as_pods)
}
