//! One executable is every service, the guardian, and the command line: it re-executes itself and
//! is told by its environment who it is. So every runtime runs the same bytes.

use std::{path::PathBuf, sync::OnceLock};

use crate::service::{CONFIG, Config, PROGRAM};

/// A program that this executable can be: its name in [`crate::system::Service::program`], and its
/// body, which runs until the service ends.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its body; gives the exit code of the process.
    pub main: fn(Config) -> u8,
    /// Whether it starts a server that others wrote, which must be installed where it runs.
    pub foreign: bool,
}

/// The names of programs that are foreign, once [`dispatch`] has run.
static READY: OnceLock<Vec<&'static str>> = OnceLock::new();

/// First line of every `main` that hosts runs. In a service or a guardian it never returns;
/// otherwise it remembers that this executable can be those programs.
pub fn dispatch(programs: &[Program]) {
    // Two linked providers would make clients of other crates panic: say which one is ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let foreign = programs.iter().filter(|program| program.foreign);
    let _ = READY.set(foreign.map(|program| program.name).collect());
    crate::leash::dispatch();
    crate::guardian::dispatch();
    crate::runtime::dispatch();
    if let Ok(name) = std::env::var(PROGRAM) {
        std::process::exit(i32::from(be(programs, &name)));
    }
}

/// Whether [`dispatch`] was the first line of this executable. A test executable that was not made
/// for it would run its own tests again in place of a service, and those would too.
pub(crate) fn ready() -> bool {
    READY.get().is_some()
}

/// Whether a program of this executable starts a server that others wrote.
pub(crate) fn is_foreign(program: &str) -> bool {
    READY.get().is_some_and(|foreign| foreign.contains(&program))
}

fn be(programs: &[Program], name: &str) -> u8 {
    let fail = |message: String| {
        eprintln!("{message}");
        70
    };
    let Some(program) = programs.iter().find(|program| program.name == name) else {
        let known = programs.iter().map(|program| program.name).collect::<Vec<_>>().join(", ");
        return fail(format!("this executable has no program `{name}`; it has: {known}"));
    };
    let Some(path) = std::env::var_os(CONFIG).map(PathBuf::from) else {
        return fail(format!("{CONFIG} is not set; a service is started by a runtime"));
    };
    match Config::read(&path) {
        Ok(config) => (program.main)(config),
        Err(error) => fail(format!("{}: {error}", path.display())),
    }
}
