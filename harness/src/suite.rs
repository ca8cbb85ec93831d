//! What an executable offers: programs to be, systems to show, scenarios to run.

use std::time::Duration;

use crate::{
    history::RunInfo,
    multicall::Program,
    profile::Server,
    runtime::Runtime,
    scenario::Scenario,
    system::{Span, System},
    workload::Workload,
};

/// What an executable offers. Each scenario crate gives one; the executable links them together.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// Programs that this executable can be.
    pub programs: Vec<Program>,
    /// Systems that can be shown and edited.
    pub systems: Vec<fn() -> System>,
    /// Scenarios that can be run.
    pub templates: Vec<Template>,
    /// Servers that others wrote, whose behaviour can be found out.
    pub servers: Vec<Server>,
    /// Families whose mitigations can be taken away one by one.
    pub ablations: Vec<Ablation>,
    /// Defects that checks must catch.
    pub zoo: Vec<Specimen>,
    /// Ways in which certificates fail, and the scenarios that show them.
    pub modes: Vec<Mode>,
    /// What the users of a system keep doing, by its name.
    pub users: Vec<(String, Users)>,
}

/// Makes what the users of a system keep doing.
pub type Users = fn() -> Workload;

/// A defect, and the scenario that shows it.
#[derive(Clone, Debug)]
pub struct Specimen {
    /// Whose it is and what it does, in a few words.
    pub defect: String,
    /// The scenario on a system with the defect: it must fail.
    pub control: String,
    /// The same scenario on a system without: it must pass.
    pub sound: String,
    /// Where software that others wrote was seen to do that: `owner/repository#number`. Often nowhere.
    pub seen: Vec<&'static str>,
}

/// A way in which certificates fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// What it is, in a few words.
    pub name: &'static str,
    /// Where it was seen: `owner/repository#number`, or whose outage it was.
    pub seen: &'static [&'static str],
    /// The scenarios that show it; each must pass, and has a control.
    pub scenarios: &'static [&'static str],
}

/// A scenario that is a function of a system, so that it runs on somebody else's, too.
#[derive(Clone, Debug)]
pub struct Template {
    /// `family/variant`.
    pub name: String,
    /// One line for a list.
    pub about: &'static str,
    /// The system that it runs on unless somebody brings another.
    pub system: fn() -> System,
    /// Makes the scenario.
    pub build: fn(System, &Settings) -> Scenario,
}

/// What a person can choose about a scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What one minute of the incident takes.
    pub minute: Span,
    /// The seed of everything that is drawn.
    pub seed: u64,
}

/// A family of scenarios that differ in which mitigations are on.
#[derive(Clone, Debug)]
pub struct Ablation {
    /// The family.
    pub family: &'static str,
    /// What each mitigation is called, in the order of the switches.
    pub mitigations: &'static [&'static str],
    /// The system that it runs on.
    pub system: fn() -> System,
    /// Makes the scenario with these mitigations on.
    pub build: fn(System, &Settings, &[bool]) -> Scenario,
}

impl Default for Settings {
    /// One minute takes 50 ms; seed 0.
    fn default() -> Self {
        Self { minute: Span(Duration::from_millis(50)), seed: 0 }
    }
}

impl Settings {
    /// What is usual in a runtime. A pod of Kubernetes takes seconds to come: there a minute takes 200 ms.
    pub fn on(runtime: Runtime) -> Self {
        match runtime {
            Runtime::Processes | Runtime::Containers => Self::default(),
            Runtime::Kubernetes => Self { minute: Span(Duration::from_millis(200)), ..Self::default() },
        }
    }

    /// What a run was told, as its history says.
    pub fn of(info: &RunInfo) -> Self {
        let minute = match info.minute_us {
            0 => Self::default().minute,
            minute => Span(Duration::from_micros(minute)),
        };
        Self { minute, seed: info.seed }
    }
}

impl Suite {
    /// Both together. A program or a system that both have is there once.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for program in other.programs {
            if !self.programs.iter().any(|known| known.name == program.name) {
                self.programs.push(program);
            }
        }
        for system in other.systems {
            if !self.systems.iter().any(|known| known().name == system().name) {
                self.systems.push(system);
            }
        }
        self.templates.extend(other.templates);
        self.servers.extend(other.servers);
        self.ablations.extend(other.ablations);
        self.zoo.extend(other.zoo);
        self.modes.extend(other.modes);
        self.users.extend(other.users);
        self
    }
}

impl Template {
    /// The scenario on its own system.
    pub fn scenario(&self, settings: &Settings) -> Scenario {
        self.scenario_on((self.system)(), settings)
    }

    /// The scenario on this system.
    pub fn scenario_on(&self, system: System, settings: &Settings) -> Scenario {
        Scenario { name: self.name.clone(), ..(self.build)(system, settings) }
    }

    /// The part of the name before the slash.
    pub fn family(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }
}
