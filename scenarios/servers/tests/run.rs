//! Every server that is installed behaves as its committed profile says, and so do two small ones in containers:
//! `cargo test --test run profile`. And every scenario of this crate, as a named test:
//! `cargo test --test run servers`.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use notafter::{
    error::Kind,
    profile::{self, Profile, Server},
    report::Style,
    runtime::{Runtime, containers},
    suite::{Settings, Suite, Template},
    testing::{self, Trial},
};

fn main() -> ExitCode {
    let suite = servers::suite();
    notafter::multicall::dispatch(&suite.programs);
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
    // A control waits as long as a recovery may take, and how a server is told is the same everywhere:
    // `zoo control-of/servers-* --on containers` runs them there.
    let (controls, templates) = suite.templates.into_iter().partition(is_control);
    let controls: Vec<Template> = controls;
    let controls = controls.into_iter().map(|control| {
        let name = control.name.clone();
        Trial::of(Runtime::Processes, name, move || control.scenario(&Settings::default()))
    });
    let bare = Trial::on_runtime(Runtime::Containers, "profile/image-without-shell", || async {
        what_is_in_an_image_without_a_shell_is_found().await
    });
    let all = built_in.chain(described).chain(in_containers).chain(controls).chain([bare]);
    testing::main_with(Suite { templates, ..suite }, all.collect())
}

fn is_control(template: &Template) -> bool {
    template.family().starts_with("control")
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

/// Some images have nothing but the server. Here that is a program without libraries.
async fn what_is_in_an_image_without_a_shell_is_found() -> Result<(), String> {
    let image = "notafter.test/bare:1";
    let import = format!("tar -C /sbin -c ldconfig | docker import - {image}");
    let made = Command::new("sh").args(["-c", &import]).output().map_err(|error| error.to_string())?;
    let server = Server { image: Some(image), program: "/ldconfig", ..servers::NATS };
    let found = profile::Program::find(&server).await.map_err(|error| error.to_string());
    let other = Server { program: "nats-server", ..server };
    let missing = profile::Program::find(&other).await.map_err(|error| error.kind());
    let _ = Command::new("docker").args(["image", "rm", image]).output();
    let version =
        found.map_err(|error| format!("{error}\n{}", String::from_utf8_lossy(&made.stderr)))?.version;
    match missing {
        Err(Kind::Missing) if version.contains("ldconfig") => Ok(()),
        Err(kind) => Err(format!("its version is `{version}`; what is not there is {kind:?}")),
        Ok(found) => Err(format!("there is no nats-server, and it is found at {}", found.path.display())),
    }
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
