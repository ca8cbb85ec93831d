//! What the users of the reference system keep doing, and where its ledger is read.

use std::time::Duration;

use notafter::{
    system::Span,
    workload::{Endpoint, Ledger, Operation, Workload},
};
use serde_json::{Value, json};

use crate::store::ANALYST;

/// Users log in, search, read what was just said, analyse, put data on hold, and have a user's data
/// removed: what stopped on 26 January 2022. All of it goes through the gateway.
pub fn workload() -> Workload {
    Workload {
        authority: "mesh".into(),
        operations: vec![
            post("login", "/v1/login", json!({ "user": ANALYST, "password": ANALYST })),
            get("search", "/v1/search?q=the"),
            // From the source through ingest, processor and archive to the user.
            get("ingestion", "/v1/records/{recent}"),
            get("analytics", "/v1/analytics"),
            post("hold", "/v1/holds", json!({ "name": "case-{n}", "user": ANALYST })),
            post("removal", "/v1/removals", json!({ "user": "leaver-{n}" })),
        ],
        ledger: Some(Ledger {
            sent: endpoint("source", "/v1/ledger"),
            latest: endpoint("source", "/v1/latest"),
            stored: endpoint("archive", "/v1/ledger"),
            found: endpoint("gateway", "/v1/records/{number}"),
            // Most take 20 ms; a disk that is written back after a build holds a sync up for 0.9 s.
            late: Span(Duration::from_secs(1)),
        }),
    }
}

/// Nobody does anything: for scenarios that look at connections only.
pub fn nobody() -> Workload {
    Workload { authority: "mesh".into(), ..Workload::default() }
}

fn get(name: &str, path: &str) -> Operation {
    Operation {
        name: name.into(),
        service: "gateway".into(),
        method: "GET".into(),
        path: path.into(),
        body: None,
        user_facing: true,
    }
}

fn post(name: &str, path: &str, body: Value) -> Operation {
    Operation { method: "POST".into(), body: Some(body), ..get(name, path) }
}

fn endpoint(service: &str, path: &str) -> Endpoint {
    Endpoint { service: service.into(), path: path.into() }
}
