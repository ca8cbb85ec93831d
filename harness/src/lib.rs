//! notafter breaks certificates on purpose in a cluster that really runs, measures what stops and
//! how long it takes to come back, and proves that the cluster starts in any order.
//!
//! The module list below is a map of the code.

// What a run is made of: values.
pub mod incident;
pub mod scenario;
pub mod suite;
pub mod system;
pub mod workload;

// What breaks and what repairs.
pub mod blast;
pub mod fault;
pub mod order;
pub mod pki;
pub mod runbook;

// Where it runs.
pub mod foreign;
pub mod guardian;
mod leash;
pub mod multicall;
mod procfs;
pub mod run;
pub mod runtime;
pub mod service;
mod supervise;

// How it goes, and what is seen.
pub mod alerting;
mod calm;
pub mod context;
mod http;
mod journal;
mod landing;
pub mod prober;
pub mod runner;
mod sightings;
mod stage;
mod watch;

// What is known afterwards.
pub mod check;
pub mod clock;
pub mod error;
pub mod history;
pub mod measure;
pub mod past;
pub mod regression;
pub mod report;
mod words;

// What certificates there are, on disk and on the wire.
pub mod inventory;
pub mod watcher;

// What servers do with them that others wrote.
pub mod profile;

// How people use it.
pub mod cli;
pub mod testing;
