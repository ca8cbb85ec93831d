//! A runbook as Markdown, for the person who is woken: each step with what it is for, what to type, what
//! to see, and how long it took in the last run. From the same value that the harness executes.

mod kubeadm;

use std::fmt::Write as _;

use crate::{
    cli::quote,
    clock::micros,
    measure::{self, Measurements},
    pki::Manner,
    runbook::Step,
    runtime::{Runtime, by_hand},
    scenario::{Begins, Scenario},
    service::{BUNDLE_FILE, CHAIN_FILE, CLOCK_FILE, KEY_FILE, TLS_PORT},
    system::{Filled, Mount, Reload, Service, System},
    words,
};

/// A runbook to be read.
#[derive(Clone, Copy)]
pub struct Guide<'a> {
    /// Whose repair and recovery runs.
    pub scenario: &'a Scenario,
    /// Where the commands are typed.
    pub runtime: Runtime,
    /// The last run of this scenario in this runtime; none if there was none.
    pub last: Option<&'a Measurements<'a>>,
}

/// A step for people.
struct Told {
    /// What it is for.
    purpose: String,
    /// What to type; empty if there is nothing to type.
    commands: String,
    /// What to see then.
    expect: String,
}

impl Guide<'_> {
    /// The runbook. Ends with a newline.
    pub fn markdown(&self) -> String {
        let Self { scenario, runtime, .. } = self;
        let mut text = format!("# Runbook: {} on {}\n", scenario.name, runtime.name());
        if !scenario.about.is_empty() {
            let _ = write!(text, "\n{}\n", scenario.about);
        }
        let repair = scenario.repair.runbook.steps();
        let recovery = scenario.recovery_runs.steps();
        if repair.is_empty() && recovery.is_empty() {
            text += "\nThere is nothing to do by hand: the system must heal itself. If it does not, look at what \
                     `notafter run` says of it.\n";
            return text;
        }
        let _ = write!(text, "\n{}\n\n{}", self.begins(), self.last_run());
        text += &self.preparation();
        text += "\n## Repair\n";
        if repair.is_empty() {
            text += "\nNothing is done by hand: the system must heal itself.\n";
        }
        for (index, step) in repair.iter().enumerate() {
            text += &self.step(index, step);
        }
        if !recovery.is_empty() {
            text += "\n## Recovery runs\n\nOnce everything works again, what was missed meanwhile is done again.\n";
        }
        for (index, step) in recovery.iter().enumerate() {
            text += &self.step(repair.len() + index, step);
        }
        text
    }

    fn begins(&self) -> &'static str {
        match self.scenario.repair.begins {
            Begins::AfterObserving => {
                "Begin when certificates have expired, or are refused for another reason."
            }
            Begins::AtLanding => "Begin when a certificate nears its end: everything still works then.",
            Begins::AtExpiryAlert => {
                "Begin at the first alert that a certificate will end: everything still works then."
            }
        }
    }

    fn last_run(&self) -> String {
        let (name, runtime) = (&self.scenario.name, self.runtime.name());
        match self.last.and_then(|last| Some((last, last.reading.info?))) {
            Some((last, info)) => {
                let took = last.recovery.time_to_recover.map_or_else(
                    || "it was not seen to recover".into(),
                    |time| format!("everything worked {time} after the last step"),
                );
                format!("Times are from the last run, `{}`; {took}.\n", info.id)
            }
            None => format!(
                "It was not run on {runtime} yet, so no step has a time. `{}` makes a run.\n",
                quote::command(["notafter", "run", name, "--on", runtime])
            ),
        }
    }

    /// How to get a cluster to try this on, and what the commands below need.
    fn preparation(&self) -> String {
        let hold = quote::command([
            "notafter",
            "reproduce",
            &self.scenario.name,
            "--on",
            self.runtime.name(),
            "--hold",
        ]);
        let tools = match self.runtime {
            Runtime::Processes => "`openssl`, `curl`, `jq` and `lsof`",
            Runtime::Containers => "`openssl`, `curl` and `docker`",
            Runtime::Kubernetes => "`openssl`, `curl`, `jq` and `docker`",
        };
        let logs = match self.runtime {
            Runtime::Processes | Runtime::Containers => "$RUN/logs/SERVICE.log",
            Runtime::Kubernetes => "$RUN/logs/NODE",
        };
        format!(
            "\n## Before you begin\n\nTo try it, break a cluster and keep it up: `{hold}`. It says where its folder \
             is; set `RUN` to that. Then paste this once into another terminal, which needs {tools}:\n\n\
             ```sh\nRUN=...  # the folder after `evidence and logs:`\n{}{}```\n\n\
             `{logs}` has what a service says, and `curl $(health SERVICE)/status` what it waits \
             for.\n",
            self.runtime.by_hand(),
            by_hand::in_common(),
        )
    }

    fn step(&self, index: usize, step: &Step) -> String {
        let number = index + 1;
        let took = self.took(index, step);
        if let Step::Wait { title, span } = step {
            let span = words::span(micros(span.0));
            return format!(
                "\n*Step {number}: {title}. People need their time; here that is {span}.{took}*\n"
            );
        }
        let title = step.to_string();
        let Told { purpose, commands, expect } = told(self.runtime, &self.scenario.system, step);
        let mut text = format!("\n### Step {number}: {title}\n\n{purpose}\n");
        if !commands.is_empty() {
            let _ = write!(text, "\n```sh\n{commands}```\n");
        }
        let _ = write!(text, "\nExpect: {expect}{took}\n");
        text
    }

    /// How long the step took in the last run; empty if there was none. A scenario may have changed since.
    fn took(&self, index: usize, step: &Step) -> String {
        let Some(last) = self.last else { return String::new() };
        let same = |one: &&measure::Step<'_>| one.number as usize == index && one.title == step.to_string();
        match last.course.steps.iter().find(same) {
            None => " The last run did not get to this step.".into(),
            Some(one) => match (one.ended, one.error) {
                (_, Some(error)) => {
                    format!(
                        " In the last run it went wrong: {}.",
                        words::brief(error, 160).trim_end_matches('.')
                    )
                }
                (Some(ended), None) => format!(" It took {}.", words::span(ended.saturating_sub(one.began))),
                (None, None) => " In the last run it never ended.".into(),
            },
        }
    }
}

/// A step in words and commands. What people do otherwise with a control plane comes first.
fn told(runtime: Runtime, system: &System, step: &Step) -> Told {
    let with_kubeadm = match step {
        _ if runtime != Runtime::Kubernetes => None,
        Step::Identify => Some(kubeadm::identify(system)),
        Step::Rotate { service } => system.service(service).and_then(kubeadm::rotate),
        _ => None,
    };
    with_kubeadm.unwrap_or_else(|| told_of_mounts(system, step))
}

/// Every kind of step is here, so that none can be forgotten.
fn told_of_mounts(system: &System, step: &Step) -> Told {
    match step {
        Step::Identify => identify(system),
        Step::Wait { title, .. } => {
            Told { purpose: title.clone(), commands: String::new(), expect: String::new() }
        }
        Step::Rotate { service } => rotate(system, service),
        Step::RenewAuthority { authority } => renew_authority(system, authority),
        Step::Renew { service, manner } => renew(system, service, *manner),
        Step::RenewWithWrongKey { service } => Told {
            purpose: format!(
                "It happens at 3 am. {service} has to go on with what it has, and to say at `/status` that it will \
                 not use what it found."
            ),
            commands: String::new(),
            expect: "the old certificate on the wire, and `rejected` in what it says.".into(),
        },
        Step::SetClock { service } => set_clock(service),
        Step::RestartEach { services } => Told {
            purpose: "One after another, each ready before the next, so that no more than one is away at a time. A \
                      supervisor starts again what ends."
                .into(),
            commands: each(services, "end \"$service\" && ready \"$service\" || break"),
            expect: "a line `... is ready` for each. If one does not come, its log says why; do not go on.".into(),
        },
        Step::RestartAll { services } => Told {
            purpose: "All at once: nothing is up meanwhile. This needs services that start in any order; if they \
                      do not, `notafter orders` finds an order that works."
                .into(),
            commands: each(services, "end \"$service\" &").replace("done\n", "done; wait\n")
                + &each(services, "ready \"$service\""),
            expect: "a line `... is ready` for each.".into(),
        },
        Step::TryOrders { orders, .. } => try_orders(orders),
        Step::Ask { service, path, .. } => Told {
            purpose: format!(
                "{service} does again what was missed. It may take a while, and asking twice does no harm."
            ),
            commands: ask(system, service, path),
            expect: "an answer that says how much was done. An error says why; nothing is lost by it.".into(),
        },
        Step::AskForRestart { service, path, .. } => Told {
            purpose: format!("{service} restarts them, and answers when all are there again."),
            commands: ask(system, service, path),
            expect: "an answer that says what was replaced. An error says what is not there yet.".into(),
        },
    }
}

fn identify(system: &System) -> Told {
    let services: Vec<_> = system.services.iter().map(|service| service.name.clone()).collect();
    let on_wire = each(&services, "printf '%-12s' \"$service\"; on_wire \"$service\" | tr '\\n' ' '; echo");
    Told {
        purpose: "Find out which certificates it is about: of what is shown on the wire, and of what lies on disk. \
                  They differ where a service did not read its file again."
            .into(),
        commands: format!(
            "date -u\n{on_wire}for file in \"$RUN\"/services/*/credentials/*/{CHAIN_FILE}; do\n  \
             openssl x509 -in \"$file\" -noout -enddate | tr '\\n' ' '; echo \"$file\"\ndone\n"
        ),
        expect: "at least one `notAfter` that has passed or is near. If there is none, something else is wrong: \
                 stop here. Of a service that does not answer, the file tells."
            .into(),
    }
}

fn rotate(system: &System, name: &str) -> Told {
    let Some(service) = system.service(name) else {
        return Told {
            purpose: format!("There is no service `{name}` in system `{}`.", system.name),
            commands: String::new(),
            expect: "nothing; this step fails.".into(),
        };
    };
    let by_people = service.mounts.iter().filter(|(_, mount)| mount.filled == Filled::Beforehand);
    let commands: String =
        by_people.map(|(mount, it)| rotate_one(system, service, mount, &it.authority)).collect();
    if commands.is_empty() {
        return Told {
            purpose: format!("{name} fetches its certificates itself: there is none that people install."),
            commands,
            expect: "nothing changes.".into(),
        };
    }
    let (more, expect) = match service.reload {
        Reload::OnChange => (
            "It watches the folder.",
            "a date tomorrow and a new serial number. If they are the old ones, ask again with `on_wire`."
                .into(),
        ),
        Reload::OnSignal => (
            "It reads its credential again on SIGHUP only.",
            format!("the old date, until `kill -HUP \"$(pid {name})\"` or its restart."),
        ),
        Reload::Never => (
            "It reads its credential once, so the new one is used after its restart only.",
            "the old date still, until it is restarted.".into(),
        ),
    };
    let purpose = "A new key, a new certificate of the authority, and all files of the mount replaced in one step, \
                   so that nobody reads half of them.";
    Told { purpose: format!("{purpose} {more}").trim_end().to_owned(), commands, expect }
}

/// Who issues, and the empty mounts of those who get certificates of it by themselves.
fn renew_authority(system: &System, name: &str) -> Told {
    let issues = |one: &&Service| one.issues.iter().any(|issued| issued == name);
    let folder = |one: &Service| quote::command([format!("services/{}/issuers/{name}", one.name)]);
    let issuers: Vec<_> = system.own().filter(issues).map(folder).collect();
    let from = issuers.first().map_or_else(|| "FOLDER".into(), |folder| format!("\"$RUN\"/{folder}"));
    let mut commands = format!("authority {} {from}\n", quote::command([name]));
    for other in issuers.iter().skip(1) {
        let _ = writeln!(commands, "cp -aT {from} \"$RUN\"/{other}");
    }
    for service in system.own() {
        let fetched = |mount: &&Mount| mount.authority == name && mount.filled == Filled::ByItself;
        for (mount, _) in service.mounts.iter().filter(|(_, mount)| fetched(mount)) {
            let _ = writeln!(commands, "{} {from}", quote::command(["trust", &service.name, mount]));
        }
    }
    Told {
        purpose: format!(
            "Whoever issues for {name} gets an issuing CA that is good, and what was issued under the other is \
             taken away: nobody believes it. The root is a new one, so it has to be in every bundle before a leaf \
             under it is, with clients outside of the system, too."
        ),
        commands,
        expect: "a date tomorrow; services fetch or get certificates under it in the steps that follow."
            .into(),
    }
}

/// What a service presents is renewed, whoever filled its mount.
fn renew(system: &System, name: &str, manner: Manner) -> Told {
    let served =
        system.service(name).and_then(|service| Some((service, service.mounts.get(&service.serves)?)));
    let commands = served.map_or_else(String::new, |(service, mount)| {
        rotate_one(system, service, &service.serves, &mount.authority)
    });
    let how = match manner {
        Manner::Swap => "All files change in one step.",
        Manner::Rename => "The harness moves each file over the old one; by hand all change in one step.",
        Manner::InPlace => "The harness writes each file where it is; by hand all change in one step.",
    };
    Told {
        purpose: format!(
            "A new certificate lies on the disk before the old one ends. {how} Nobody is told: it counts when \
             it is on the wire."
        ),
        commands,
        expect:
            "a date tomorrow and a new serial number. If they are the old ones, the service does not look: \
                 restart it before the old one ends."
                .into(),
    }
}

fn rotate_one(system: &System, service: &Service, mount: &str, authority: &str) -> String {
    let issuer = system.services.iter().find(|one| one.issues.iter().any(|issued| issued == authority));
    let rotate = quote::command(["rotate", &service.name, mount]);
    match issuer {
        Some(issuer) => {
            let folder = quote::command([format!("services/{}/issuers/{authority}", issuer.name)]);
            format!("{rotate} \"$RUN\"/{folder}\n")
        }
        None => format!(
            "{rotate} FOLDER  # of authority {authority}, with its {CHAIN_FILE}, {KEY_FILE} and {BUNDLE_FILE}\n"
        ),
    }
}

/// Certificates are good, and so is everybody else's clock.
fn set_clock(name: &str) -> Told {
    let service = quote::command([name]);
    Told {
        purpose: format!(
            "Nothing is wrong with the certificates: {name} believes another time, and takes good ones for ended or \
             not begun. New certificates would not help. On a machine of one's own it is `chronyc makestep` on the \
             node; here the clock of one service is a file."
        ),
        commands: format!(
            "date -u +%s; curl -s \"$(health {service})/status\" | grep -o '\"clock_us\":[0-9]*'\n\
             rm -f \"$RUN\"/services/{service}/{CLOCK_FILE}\n\
             date -u +%s; curl -s \"$(health {service})/status\" | grep -o '\"clock_us\":[0-9]*'\n"
        ),
        expect: "before, seconds and microseconds that do not fit each other; after, the same second.".into(),
    }
}

fn try_orders(orders: &[Vec<String>]) -> Told {
    let Some(order) = orders.last() else {
        return Told {
            purpose: "There is no order to try.".into(),
            commands: String::new(),
            expect: "nothing; this step fails.".into(),
        };
    };
    let before = match orders.len() - 1 {
        0 => String::new(),
        count => format!(
            "The harness tries {} first, as people did, and stops everything before each; this is the last one. ",
            words::counted(count as u64, "other order")
        ),
    };
    Told {
        purpose: format!(
            "Services that exit when a need does not answer start in few orders. {before}Ended in this order, each \
             finds what it needs when its supervisor starts it again."
        ),
        commands: each(order, "end \"$service\"; ready \"$service\" || break"),
        expect:
            "a line `... is ready` for each. If one does not come, its log names what it lacks: that has to \
                 come first."
                .into(),
    }
}

/// `POST` to a service, as somebody who calls it.
fn ask(system: &System, name: &str, path: &str) -> String {
    // Where nobody calls it: with what it shows itself, which is good for a client, too.
    let hop = system.hops().into_iter().find(|hop| hop.server == name);
    let own = system.service(name).map(|service| (name.to_owned(), service.serves.clone()));
    let (client, mount) = hop.map(|hop| (hop.client, hop.mount)).or(own).unwrap_or_default();
    let folder = quote::command([format!("services/{client}/credentials/{mount}")]);
    let url = quote::command([format!("https://{name}:{TLS_PORT}{path}")]);
    let name = quote::command([name]);
    format!(
        "it=$(address {name})\n(cd \"$RUN\"/{folder} && curl -sSf --resolve {name}:{TLS_PORT}:\"${{it%:*}}\" \\\n  \
         --cacert {BUNDLE_FILE} --cert {CHAIN_FILE} --key {KEY_FILE} \\\n  \
         -H 'content-type: application/json' -d '{{}}' {url})\n"
    )
}

/// A loop over services.
fn each(services: &[String], what: &str) -> String {
    format!("for service in {}; do\n  {what}\ndone\n", quote::command(services))
}

#[cfg(test)]
mod tests;
