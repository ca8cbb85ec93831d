//! Every server that is installed behaves as its committed profile says, and so do two small ones in containers:
//! `cargo test --test run profile`.

use std::{path::Path, process::ExitCode};

use notafter::{
    profile::{self, Profile, Server},
    report::Style,
    runtime::containers,
    testing::{self, Trial},
};

fn main() -> ExitCode {
    let built_in = servers::SERVERS.into_iter().map(|server| trial(&server, server.name));
    // What is described in a file is what is compiled in, be it in an image.
    let in_image = format!("image = {:?}", containers::SERVERS);
    let in_image = profile::EXAMPLE.replace("# image = \"nginx:1.27\"", &in_image);
    let described = [profile::EXAMPLE, &in_image]
        .map(|text| Server::from_toml(text, "the example").expect("a server"))
        .map(|server| trial(&server, "nginx"));
    let in_containers =
        servers::SERVERS.into_iter().filter(|server| ["nginx", "redis"].contains(&server.name));
    let in_containers = in_containers
        .map(|server| trial(&Server { image: Some(containers::SERVERS), ..server }, server.name));
    let all = built_in.chain(described).chain(in_containers);
    testing::main_with(servers::suite(), all.collect())
}

fn trial(server: &Server, expected: &'static str) -> Trial {
    let server = *server;
    let place = server.image.map_or("", |_| "::containers");
    Trial::ignorable(format!("profile/{}{place}", server.name), async move || {
        match profile::Program::find(&server).await.map_err(|error| error.to_string()) {
            Ok(_) => behaves(&server, expected).await.map(|()| None),
            Err(missing) if testing::requires(testing::SERVERS) => Err(missing),
            // A reason stands in one line of libtest's output.
            Err(missing) => Ok(Some(missing.replace('\n', "; "))),
        }
    })
}

async fn behaves(server: &Server, name: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("profiles/{name}.json"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let expected: Profile = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let found = profile::profile(server).await.map_err(|error| error.to_string())?;
    match expected.differences(&found).as_slice() {
        [] => Ok(()),
        _ => Err(format!(
            "{}\n{}\nif that is right: notafter profile {name} --json > {}",
            profile::comparison(&expected, &found, Style::default()),
            profile::table(&found, Style::default()),
            path.display()
        )),
    }
}
