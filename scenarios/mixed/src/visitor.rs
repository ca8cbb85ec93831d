//! Somebody outside who calls nginx: it stands for the users, whose certificate nobody here manages.

use std::sync::Arc;

use axum::Router;
use stack::service::{NoSettings, Role, Service};

/// Asks whether nginx lives, and no more.
#[derive(Debug)]
pub struct Visitor;

impl Role for Visitor {
    type Settings = NoSettings;

    fn open(_: Arc<Service>, _: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
    }
}
