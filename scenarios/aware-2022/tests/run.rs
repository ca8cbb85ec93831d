//! Every variant on processes and in containers, and all but one as Deployments of a real Kubernetes:
//! `cargo test --test run aware-2022`.

use notafter::{runtime::Runtime, testing};

/// People who are told in time restart eight pods one after another before the end, for 20 of the 25 s that they have at
/// the scale of the others: on a machine that is busy they come too late now and then.
const RACES: &str = "aware-2022/with-alerts";

fn main() -> std::process::ExitCode {
    let suite = aware_2022::suite();
    let templates = suite.templates.clone().into_iter();
    let templates = templates.filter(|one| one.family() == "aware-2022" && one.name != RACES);
    let as_pods = templates.map(|template| testing::of_template(Runtime::Kubernetes, template)).collect();
    testing::main_with(suite, as_pods)
}
