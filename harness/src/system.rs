//! What is under test: services, what each needs, the credentials each uses, how each reloads.
//!
//! A [`System`] is data. It can be written in Rust, printed with `notafter show NAME --as toml`,
//! edited, and read back; it knows nothing of the runtime that it will run in.

mod service;
mod span;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use service::{Backoff, Filled, Mount, Reload, Service, Speaks, Start};
pub use span::Span;

use crate::error::Error;

/// What is under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// How people call it; also the prefix of what its runs are called.
    pub name: String,
    /// The certificate authorities, each a root and an issuing CA under it.
    pub authorities: Vec<String>,
    /// The services, in an order that starts.
    pub services: Vec<Service>,
}

/// What is wrong with a system, in the words that a person would be told.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The text does not parse, or a field is unknown or missing; the message points at the line.
    #[error("{origin}: {message}")]
    Text {
        /// File name, or whatever the text came from.
        origin: String,
        /// The parser's words, with line, column and the line itself.
        message: String,
    },
    /// It parses but makes no sense.
    #[error("system `{system}`, service `{service}`: {what}\nhint: {hint}")]
    Nonsense {
        /// The system.
        system: String,
        /// The service.
        service: String,
        /// What is wrong.
        what: String,
        /// A way out.
        hint: String,
    },
}

impl System {
    /// Reads a system from TOML; `origin` names the text in errors.
    ///
    /// # Errors
    /// If it does not parse (the message holds the line), or [`Self::validate`] refuses it.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, SystemError> {
        let system: Self = toml::from_str(text).map_err(|error| SystemError::Text {
            origin: origin.into(),
            message: error.to_string().trim_end().into(),
        })?;
        system.validate()?;
        Ok(system)
    }

    /// Writes the system as TOML; [`Self::from_toml`] reads the same value back.
    ///
    /// # Panics
    /// Never: every field has a TOML form.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("every field has a TOML form")
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The services that faults and repairs may touch.
    pub fn own(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| !service.external)
    }

    /// The authority of a service's mount.
    ///
    /// # Errors
    /// If there is no such service or mount.
    pub fn authority_of(&self, service: &str, mount: &str) -> Result<String, Error> {
        let found = self.service(service).and_then(|service| service.mounts.get(mount));
        found.map(|mount| mount.authority.clone()).ok_or_else(|| {
            Error::usage(format!("system `{}` has no mount `{mount}` of a service `{service}`", self.name))
                .hint(format!("its services are {}", self.names()))
        })
    }

    /// Every declared hop: who calls whom, with which of the caller's mounts.
    pub fn hops(&self) -> Vec<Hop> {
        self.services
            .iter()
            .flat_map(|client| {
                client.needs.iter().map(|(server, mount)| Hop {
                    client: client.name.clone(),
                    server: server.clone(),
                    mount: mount.clone(),
                })
            })
            .collect()
    }

    /// The mount that the server of a hop presents to it, and at which port. None of a server that is not
    /// there.
    pub fn entrance(&self, hop: &Hop) -> Option<(String, u16)> {
        let authority = |name: &str, mount: &str| Some(&self.service(name)?.mounts.get(mount)?.authority);
        let server = self.service(&hop.server)?;
        let shown = authority(&hop.client, &hop.mount);
        // Where all doors are under one authority, as those of etcd where kubeadm sets it up, the mount tells.
        if let Some((mount, port)) = server.doors.get_key_value(&hop.mount)
            && shown.is_some()
            && shown == authority(&hop.server, mount)
        {
            return Some((mount.clone(), *port));
        }
        let usual = (server.serves.clone(), server.port());
        if shown.is_none() || shown == authority(&hop.server, &server.serves) {
            return Some(usual);
        }
        let door = server.doors.iter().find(|(mount, _)| authority(&hop.server, mount) == shown);
        Some(door.map_or(usual, |(mount, port)| (mount.clone(), *port)))
    }

    /// The same system in which every service of one's own starts in this way.
    #[must_use]
    pub fn starting(mut self, start: Start) -> Self {
        for service in self.services.iter_mut().filter(|service| !service.external) {
            service.start = start;
        }
        self
    }

    /// The same system in which a service has this setting, as a defect that is switched on. Without such a
    /// service it is the same.
    #[must_use]
    pub fn with(mut self, service: &str, setting: &str, value: impl Into<toml::Value>) -> Self {
        if let Some(service) = self.services.iter_mut().find(|one| one.name == service) {
            service.settings.insert(setting.into(), value.into());
        }
        self
    }

    /// Checks what the types cannot: names are unique DNS labels, and what is referred to exists.
    ///
    /// # Errors
    /// The first thing that makes no sense, with a way out.
    pub fn validate(&self) -> Result<(), SystemError> {
        let nonsense = |service: &Service, what: String, hint: String| SystemError::Nonsense {
            system: self.name.clone(),
            service: service.name.clone(),
            what,
            hint,
        };
        for (index, service) in self.services.iter().enumerate() {
            if !is_dns_label(&service.name) {
                return Err(nonsense(
                    service,
                    "its name is not a DNS label".into(),
                    "use 1 to 63 of a-z, 0-9 and `-`, beginning with a letter".into(),
                ));
            }
            if let Some(called) = service.called.as_deref().filter(|called| !is_dns_name(called)) {
                return Err(nonsense(
                    service,
                    format!("it is called `{called}`, which is no DNS name"),
                    "use DNS labels with dots between them, or leave `called` away".into(),
                ));
            }
            if self.services[..index].iter().any(|other| other.name == service.name) {
                return Err(nonsense(
                    service,
                    "two services have this name".into(),
                    "rename one of them".into(),
                ));
            }
            for (need, mount) in &service.needs {
                if self.service(need).is_none() {
                    return Err(nonsense(
                        service,
                        format!("it needs `{need}`, which is no service of this system"),
                        format!("one of: {}", self.names()),
                    ));
                }
                if !service.mounts.contains_key(mount) {
                    return Err(nonsense(
                        service,
                        format!("it calls `{need}` with mount `{mount}`, which it does not have"),
                        format!("one of: {}", join(service.mounts.keys())),
                    ));
                }
            }
            if !service.mounts.contains_key(&service.serves) {
                return Err(nonsense(
                    service,
                    format!("it serves mount `{}`, which it does not have", service.serves),
                    format!("one of: {}", join(service.mounts.keys())),
                ));
            }
            if let Some(door) = service.doors.keys().find(|door| !service.mounts.contains_key(*door)) {
                return Err(nonsense(
                    service,
                    format!("it has a door for mount `{door}`, which it does not have"),
                    format!("one of: {}", join(service.mounts.keys())),
                ));
            }
            let written = |mount: &Mount| mount.secret && mount.filled == Filled::ByItself;
            if let Some((mount, _)) = service.mounts.iter().find(|(_, mount)| written(mount)) {
                return Err(nonsense(
                    service,
                    format!("it fills mount `{mount}` by itself, which is a Secret: nobody can write there"),
                    "leave `filled` or `secret` away".into(),
                ));
            }
            let unknown = service
                .mounts
                .values()
                .map(|mount| &mount.authority)
                .chain(&service.issues)
                .find(|authority| !self.authorities.contains(authority));
            if let Some(authority) = unknown {
                return Err(nonsense(
                    service,
                    format!("authority `{authority}` is none of this system's"),
                    format!("one of: {}", join(&self.authorities)),
                ));
            }
        }
        Ok(())
    }

    fn names(&self) -> String {
        join(self.services.iter().map(|service| &service.name))
    }
}

/// One declared hop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    /// Who calls.
    pub client: String,
    /// Who is called.
    pub server: String,
    /// The caller's mount whose credential it shows.
    pub mount: String,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.client, self.server)
    }
}

fn is_dns_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

fn is_dns_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn join<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::TLS_PORT;

    const TEXT: &str = r#"
name = "pair"
authorities = ["mesh"]

[[services]]
name = "archive"
program = "archive"
serves = "workload"
restart = { first = "10ms", cap = "1s", reset_after = "1m" }
mounts.workload.authority = "mesh"

[[services]]
name = "search"
program = "search"
serves = "workload"
needs = { archive = "workload" }
mounts.workload = { authority = "mesh", filled = "by-itself" }
"#;

    fn refused(text: &str) -> String {
        System::from_toml(text, "stack.toml").expect_err("refused").to_string()
    }

    #[test]
    fn what_was_printed_reads_the_same() {
        let system = System::from_toml(TEXT, "stack.toml").expect("a system");
        assert_eq!(System::from_toml(&system.to_toml(), "again").expect("a system"), system);
        assert_eq!(system.hops().iter().map(ToString::to_string).collect::<Vec<_>>(), ["search -> archive"]);
    }

    #[test]
    fn a_hop_leads_to_the_door_of_the_authority_that_it_shows() {
        let text = TEXT
            .replace("[\"mesh\"]", "[\"mesh\", \"peers\"]")
            .replacen("serves = \"workload\"", "serves = \"workload\"\ndoors = { peer = 2380 }", 1)
            .replacen(
                "mounts.workload.authority",
                "mounts.peer.authority = \"peers\"\nmounts.workload.authority",
                1,
            );
        let system = System::from_toml(&text, "stack.toml").expect("a system");
        let hop = |mount: &str| Hop {
            client: if mount == "peer" { "archive" } else { "search" }.into(),
            server: "archive".into(),
            mount: mount.into(),
        };
        assert_eq!(system.entrance(&hop("workload")), Some(("workload".into(), TLS_PORT)));
        assert_eq!(system.entrance(&hop("peer")), Some(("peer".into(), 2380)));
        // Under one authority it is the mount of the same name.
        let one = text.replace("[\"mesh\", \"peers\"]", "[\"mesh\"]").replace("\"peers\"", "\"mesh\"");
        let system = System::from_toml(&one, "stack.toml").expect("a system");
        assert_eq!(system.entrance(&hop("workload")), Some(("workload".into(), TLS_PORT)));
        assert_eq!(system.entrance(&hop("peer")), Some(("peer".into(), 2380)));
        let error = refused(&text.replace("{ peer = 2380", "{ pear = 2380"));
        assert!(error.contains("a door for mount `pear`"), "{error}");
    }

    #[test]
    fn an_unknown_field_is_refused_at_its_line() {
        let error = refused(&TEXT.replace("serves", "servse"));
        assert!(
            error.contains("stack.toml") && error.contains("line 8") && error.contains("servse"),
            "{error}"
        );
    }

    #[test]
    fn a_need_that_is_not_there_is_refused_with_those_that_are() {
        let error = refused(&TEXT.replace("{ archive =", "{ achive ="));
        assert!(error.contains("needs `achive`") && error.contains("`archive`, `search`"), "{error}");
    }

    #[test]
    fn a_mount_of_an_unknown_authority_is_refused() {
        let error = refused(&TEXT.replace("authority = \"mesh\", filled", "authority = \"mash\", filled"));
        assert!(error.contains("authority `mash`") && error.contains("`mesh`"), "{error}");
    }

    #[test]
    fn a_secret_is_said_where_it_is_one_and_is_filled_by_nobody_in_a_pod() {
        let secret = TEXT.replace("filled = \"by-itself\"", "secret = true");
        let system = System::from_toml(&secret, "stack.toml").expect("a system");
        assert_eq!(System::from_toml(&system.to_toml(), "again").expect("a system"), system);
        assert_eq!(system.to_toml().matches("secret").count(), 1);
        let error = refused(&TEXT.replace("filled =", "secret = true, filled ="));
        assert!(error.contains("it fills mount `workload` by itself, which is a Secret"), "{error}");
    }

    #[test]
    fn two_services_of_one_name_are_refused() {
        let error = refused(&TEXT.replace("name = \"search\"", "name = \"archive\""));
        assert!(error.contains("two services have this name"), "{error}");
    }

    #[test]
    fn a_name_that_is_no_dns_label_is_refused() {
        for name in ["", "Archive", "-a", "a-", "a_b", "1a"] {
            let error = refused(&TEXT.replace("name = \"search\"", &format!("name = \"{name}\"")));
            assert!(error.contains("not a DNS label"), "{name}: {error}");
        }
    }

    #[test]
    fn whoever_is_called_by_another_name_is_called_by_a_dns_name() {
        let called = |name: &str| {
            TEXT.replace("name = \"search\"", &format!("name = \"search\"\ncalled = \"{name}\""))
        };
        let system = System::from_toml(&called("worker-1.nodes"), "test").expect("a system");
        assert_eq!(system.service("search").expect("it is there").reference_name(), "worker-1.nodes");
        assert_eq!(System::from_toml(&system.to_toml(), "test").expect("reads"), system);
        for name in ["", "a..b", "Worker", "10.0.0.1"] {
            let error = refused(&called(name));
            assert!(error.contains(&format!("it is called `{name}`, which is no DNS name")), "{error}");
        }
    }
}
