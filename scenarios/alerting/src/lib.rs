//! Alerts on certificates as people run them: a real Prometheus, Alertmanager and blackbox exporter around
//! `notafter watch`, and monitors that lie.
//!
//! It needs Debian's packages `prometheus`, `prometheus-alertmanager` and `prometheus-blackbox-exporter`;
//! their executables, not their services: each test starts its own on loopback, with data of its own.

pub mod process;
pub mod server;
pub mod tools;
pub mod wait;
pub mod webhook;
