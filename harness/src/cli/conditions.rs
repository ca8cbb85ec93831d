//! Where and how scenarios run: the options that `run`, `ablate` and `reproduce` share.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{find, quote};
use crate::{
    error::{Error, Result},
    run::state_folder,
    runtime::{Ability, Runtime},
    suite::{Settings, Suite},
    system::{Span, System, SystemError},
};

/// Where and how scenarios run.
#[derive(Clone, Debug, clap::Args)]
pub struct Conditions {
    /// Where the system runs
    #[arg(long = "on", value_name = "RUNTIME", default_value = "processes", value_parser = runtimes())]
    pub runtime: Runtime,

    /// Seed of everything that is drawn; the same seed gives the same plan
    #[arg(long, value_name = "N", default_value = "0", value_parser = seed)]
    pub seed: u64,

    #[command(flatten)]
    pub manner: Manner,
}

/// How scenarios run, wherever they do.
#[derive(Clone, Debug, clap::Args)]
pub struct Manner {
    /// What one minute of the incident takes [default: 1m=50ms, and 1m=200ms on kubernetes]
    #[arg(long, value_name = "1m=SPAN")]
    scale: Option<Scale>,

    /// Run on the system in this TOML file (see `show`)
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,

    /// Keep the evidence in a folder below this one
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How many runs there are at once.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Jobs {
    /// Run so many scenarios at once; one that has to wait for a core measures that wait
    #[arg(long = "jobs", value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub count: u8,
}

impl Conditions {
    /// What a scenario is told.
    pub fn settings(&self) -> Settings {
        let usual = Settings::on(self.runtime);
        Settings { minute: self.manner.scale.map_or(usual.minute, |scale| scale.minute), seed: self.seed }
    }

    /// The command that does the same again: `verb`, then these conditions.
    pub fn again(&self, verb: &[&str]) -> String {
        let Manner { system, out, .. } = &self.manner;
        let mut words = vec![quote::me()];
        words.extend(verb.iter().map(|word| (*word).to_owned()));
        words.extend(["--on".into(), self.runtime.name().into(), "--seed".into(), self.seed.to_string()]);
        words.extend(["--scale".into(), format!("1m={}", self.settings().minute)]);
        for (option, path) in [("--system", system), ("--out", out)] {
            if let Some(path) = path {
                words.extend([option.into(), path.to_string_lossy().into_owned()]);
            }
        }
        quote::command(words)
    }
}

impl Manner {
    /// The system that was asked for; none if scenarios run on their own.
    ///
    /// # Errors
    /// If the file cannot be read or is no system that this executable can be.
    pub fn system(&self, suite: &Suite) -> Result<Option<System>> {
        self.system.as_deref().map(|path| system_in(suite, path)).transpose()
    }

    /// The file with that system, however it was called.
    pub fn system_file(&self) -> Option<PathBuf> {
        let path = self.system.as_deref()?;
        Some(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    }

    /// The folder in which every run gets its own.
    pub fn runs(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| state_folder().join("runs"))
    }
}

/// The system in a TOML file.
///
/// # Errors
/// If the file cannot be read or is no system that this executable can be.
pub fn system_in(suite: &Suite, path: &Path) -> Result<System> {
    let text = fs::read_to_string(path).map_err(|error| {
        Error::usage(format!("cannot read the system in {}", path.display()))
            .because(error)
            .hint("`notafter show SYSTEM --as toml > FILE` writes one")
    })?;
    let origin = path.display().to_string();
    let system = System::from_toml(&text, &origin).map_err(|error| match error {
        SystemError::Text { .. } => Error::usage(error.to_string()),
        SystemError::Nonsense { .. } => Error::usage(format!("{origin}: {error}")),
    })?;
    let known = || suite.programs.iter().map(|program| program.name);
    match system.services.iter().find(|service| known().all(|program| program != service.program)) {
        None => Ok(system),
        Some(service) => {
            let place = format!("{origin}: service `{}`: ", service.name);
            Err(find::unknown("program", &service.program, known()).at(&place).hint_all())
        }
    }
}

/// `1m=50ms`.
#[derive(Clone, Copy, Debug)]
struct Scale {
    minute: Span,
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || "write what one minute of the incident takes: `1m=50ms`, or `10m=1s`".to_owned();
        let (incident, here) = text.split_once('=').ok_or_else(shape)?;
        let (incident, here): (Span, Span) = (incident.parse()?, here.parse()?);
        if incident.0.is_zero() || here.0.is_zero() {
            return Err(format!("a span of nothing cannot be scaled; {}", shape()));
        }
        let seconds = 60.0 / incident.0.as_secs_f64() * here.0.as_secs_f64();
        let minute = Duration::try_from_secs_f64(seconds).map_err(|error| format!("{error}; {}", shape()))?;
        // As exact as it can be written down again.
        let minute = Duration::from_micros(u64::try_from(minute.as_micros()).unwrap_or(u64::MAX));
        if minute.is_zero() {
            return Err(format!("one minute of the incident would take less than 1us; {}", shape()));
        }
        Ok(Self { minute: Span(minute) })
    }
}

pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

pub fn runtimes() -> impl TypedValueParser<Value = Runtime> {
    among(Runtime::ALL)
}

/// Those that can do this.
pub fn runtimes_that(ability: Ability) -> impl TypedValueParser<Value = Runtime> {
    among(Runtime::ALL.into_iter().filter(move |runtime| runtime.abilities().contains(&ability)))
}

fn among(runtimes: impl IntoIterator<Item = Runtime>) -> impl TypedValueParser<Value = Runtime> {
    let names: Vec<_> = runtimes.into_iter().map(Runtime::name).collect();
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Runtime>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(text: &str) -> Result<Duration, String> {
        text.parse::<Scale>().map(|scale| scale.minute.0)
    }

    #[test]
    fn a_scale_says_what_a_minute_takes_however_it_is_written() {
        assert_eq!(minute("1m=50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(minute("10m=1s"), Ok(Duration::from_millis(100)));
        assert_eq!(minute("1h=1m"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn a_scale_of_nothing_is_refused() {
        for text in ["50ms", "1m=", "1m=0ms", "0m=1s", "1m=5", "100h=1us", "1m=-5ms", ""] {
            assert!(minute(text).is_err(), "{text:?} was taken for {:?}", minute(text));
        }
    }
}
