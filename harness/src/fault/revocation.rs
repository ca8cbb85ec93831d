//! Certificates that their issuer no longer stands for, and lists that nobody renews.

use std::time::Duration;

use super::{AnyFault, Fault, Injected, Which, replace, replace_for, signal_reload};
use crate::{
    context::Context,
    error::Result,
    history::Purpose,
    landing,
    pki::{Identity, Validity},
};

/// How long everything lasts that is not to end.
const LASTING: Duration = Duration::from_hours(24);
/// A list that is not in use by then never is.
const LIST_LIMIT: Duration = Duration::from_secs(10);

/// The certificate that one service shows is on the list of another (RFC 5280, section 5).
struct Revoked {
    client: String,
    server: String,
}

/// The list of a service has run out; nobody is on it.
struct StaleList {
    server: String,
}

/// The certificate that `client` shows is on the revocation list of `server`: `root -> issuing -> [leaf]`.
/// The list is in use, which a fresh certificate of `server` shows, before the client shows anything.
pub fn revoked(client: impl Into<String>, server: impl Into<String>) -> Box<dyn AnyFault> {
    Box::new(Revoked { client: client.into(), server: server.into() })
}

/// The revocation list of `server` says that it should have been replaced an hour ago. Nobody is on it, but
/// whoever cannot know does not let in anybody.
pub fn stale_list(server: impl Into<String>) -> Box<dyn AnyFault> {
    Box::new(StaleList { server: server.into() })
}

impl Fault for Revoked {
    fn describe(&self) -> String {
        let Self { client, server } = self;
        format!("the certificate that {client} shows is on the revocation list of {server}")
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let client = Which::served(context.system(), &self.client);
        let server = Which::served(context.system(), &self.server);
        let authority = context.system().authority_of(&client.0, &client.1)?;
        let authority = context.pki.authority(&authority)?;
        let issue = |service: &str| authority.issue(&Identity::service(service), Validity::lasting(LASTING));
        let (shown, presented) = (issue(&client.0)?, issue(&server.0)?);
        let list = authority.issuer().revoke(&[shown.leaf()], Validity::lasting(LASTING))?;
        let presented = presented.with_revocations(&list);
        let listed = replace_for(context, server, &presented, Purpose::Companion, None)?;
        signal_reload(context, std::slice::from_ref(&listed)).await?;
        let now = context.recorder.clock().now();
        landing::wait(context, std::slice::from_ref(&listed), now, LIST_LIMIT).await?;
        let injected = vec![replace(context, client, &shown, None)?];
        signal_reload(context, &injected).await?;
        Ok(injected)
    }
}

impl Fault for StaleList {
    fn describe(&self) -> String {
        format!("the revocation list of {} has run out", self.server)
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let server = Which::served(context.system(), &self.server);
        let authority = context.system().authority_of(&server.0, &server.1)?;
        let authority = context.pki.authority(&authority)?;
        let presented = authority.issue(&Identity::service(&server.0), Validity::lasting(LASTING))?;
        let list = authority.issuer().revoke(&[], Validity::ended(Duration::from_hours(1)))?;
        let injected = vec![replace(context, server, &presented.with_revocations(&list), None)?];
        signal_reload(context, &injected).await?;
        Ok(injected)
    }
}
