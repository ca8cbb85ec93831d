//! Some scenarios of this crate, and a control, on a real Kubernetes: `cargo test --test run secret`.

use notafter::{runtime::Runtime, suite::Suite, testing};

/// Each takes a cluster of its own. `notafter zoo 'control-of/secret-*' --on kubernetes` runs all of them.
const TESTED: [&str; 5] = [
    "secret/stack-expired",
    "secret/stack-absent",
    "secret/nginx-torn",
    "secret/nginx-rotated",
    "control-of/secret-nginx-torn",
];

fn main() -> std::process::ExitCode {
    let suite = secrets::suite();
    let templates = suite.templates.clone().into_iter();
    let tested = templates.filter(|template| TESTED.contains(&template.name.as_str()));
    let tested = tested.map(|template| testing::of_template(Runtime::Kubernetes, template)).collect();
    // Nobody else delivers Secrets.
    testing::main_with(Suite { templates: Vec::new(), ..suite }, tested)
}
