//! Experiments with the certificates of clients: which are accepted, for how long, and how a client
//! that is refused learns why.

use std::time::{Duration, Instant, SystemTime};

use super::{
    Client, Finding, Way,
    instance::{Files, refused},
    lab::{LONG, Lab},
    reloading::{TOLD, settles},
};
use crate::{
    error::Result,
    pki::{Credential, Identity, Usage, Validity},
};

/// How long a certificate lasts that expires in use: long enough for a handshake on a busy machine.
const SHORT: Duration = Duration::from_secs(3);
/// A clock that is read in whole seconds may lag behind by one.
const AFTER: Duration = Duration::from_millis(1_200);

/// What may be wrong with the certificate of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Valid,
    Expired,
    NotYetValid,
    WrongUsage,
    SelfSigned,
    OtherAuthority,
    Revoked,
    Without,
}

impl Flaw {
    pub const ALL: [Self; 8] = [
        Self::Valid,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongUsage,
        Self::SelfSigned,
        Self::OtherAuthority,
        Self::Revoked,
        Self::Without,
    ];

    /// As it stands in a question.
    pub fn words(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::WrongUsage => "for servers only (EKU)",
            Self::SelfSigned => "self-signed",
            Self::OtherAuthority => "of another CA",
            Self::Revoked => "revoked",
            Self::Without => "none",
        }
    }

    fn credential(self, lab: &Lab<'_>) -> Result<Option<Credential>> {
        let identity = Identity::client("client");
        let (authority, validity) = (&lab.ours, Validity::lasting(LONG));
        let hour = Duration::from_hours(1);
        Ok(Some(match self {
            Self::Without => return Ok(None),
            Self::Valid | Self::Revoked => authority.issue(&identity, validity)?,
            Self::Expired => authority.issue(&identity, Validity::ended(hour))?,
            Self::NotYetValid => authority.issue(&identity, Validity::starting_in(hour))?,
            Self::WrongUsage => {
                authority.issue(&Identity { usages: vec![Usage::ServerAuth], ..identity }, validity)?
            }
            Self::SelfSigned => Credential::self_signed(&identity, validity)?,
            Self::OtherAuthority => lab.other.issue(&identity, validity)?,
        }))
    }
}

/// A client shows a certificate with this flaw.
pub(super) async fn accepts(lab: &Lab<'_>, flaw: Flaw) -> Result<Finding> {
    let credential = flaw.credential(lab)?;
    let lists = match (flaw, &credential) {
        (Flaw::Revoked, _) if lab.server.revocation.is_none() => {
            return Ok(Finding::new("not asked").seen("it has no setting for a file of revocation lists"));
        }
        (Flaw::Revoked, Some(revoked)) => {
            Some(lab.ours.revocation_lists(&[revoked.leaf()], Validity::lasting(LONG))?)
        }
        _ => None,
    };
    let own = lab.own(Validity::lasting(LONG))?;
    let mut instance = lab.start(Files::of(&own, &lab.ours.bundle()), lists).await?;
    instance.ready(&lab.friend).await?;
    let client = Client::showing(credential.as_ref())?;
    let mark = instance.mark();
    let seen = client.patiently(instance.address, instance.server.protocol).await;
    Ok(match seen.answer {
        Ok(said) => Finding::new("accepted").seen(format!("it says `{said}`")),
        Err(denial) => {
            let log = instance.said_since(mark).await;
            let log = log.map_or_else(|| "nothing in its log".into(), |line| format!("log: {line}"));
            Finding::new(refused(&denial)).seen(log)
        }
    })
}

/// What ends the validity of a session.
#[derive(Clone, Copy)]
pub(super) enum End<'w> {
    /// The certificate of the client expires.
    Expiry,
    /// The authority of the client is trusted no more, once the server was told so.
    Authority(&'w Way),
}

/// A session is resumed after the certificate that opened it is worth nothing any more.
pub(super) async fn resumes(lab: &Lab<'_>, end: End<'_>) -> Result<Finding> {
    let (mut instance, _) = lab.ready().await?;
    let (address, protocol) = (instance.address, instance.server.protocol);
    let (credential, until) = shown(lab, end)?;
    let client = Client::resuming(&credential)?;
    for resumed in [false, true] {
        let seen = client.once(address, protocol).await;
        match seen.answer {
            Err(denial) => return Ok(Finding::unknown(format!("a good client was {}", refused(&denial)))),
            Ok(_) if resumed && !seen.resumed => {
                return Ok(Finding::new("resumes no session").seen("the second handshake was a full one"));
            }
            Ok(_) => {}
        }
    }
    let said = match end {
        End::Expiry => {
            sleep_until(until).await;
            None
        }
        End::Authority(way) => {
            let own = lab.own(Validity::lasting(LONG))?;
            instance.install(Files::of(&own, &lab.other.bundle()))?;
            let began = Instant::now();
            let said = instance.reload(way).await?;
            let newcomer = lab.other.issue(&Identity::client("newcomer"), Validity::lasting(LONG))?;
            let newcomer = Client::showing(Some(&newcomer))?;
            if let Err(denial) = settles(&instance, &newcomer, began, TOLD).await {
                let why = format!("a client of the new one is {}", refused(&denial));
                return Ok(Finding::new("the new CA is not honoured").seen(why));
            }
            (!said.is_empty()).then(|| format!("it answers `{said}`"))
        }
    };
    let resumed = client.patiently(address, protocol).await;
    let control = Client::showing(Some(&credential))?.patiently(address, protocol).await.answer;
    let control = match control {
        Ok(_) => "a full handshake is accepted, too".into(),
        Err(denial) => format!("a full handshake is {}", refused(&denial)),
    };
    let answer = match (resumed.answer, resumed.resumed) {
        (Ok(_), true) => "yes, it is resumed".into(),
        (Ok(_), false) => "no, a full handshake is accepted".into(),
        (Err(denial), _) => format!("no, {}", refused(&denial)),
    };
    Ok(Finding::new(answer).seen_all(said).seen(control))
}

/// A connection stays open while the certificate that opened it expires.
pub(super) async fn outlives_expiry(lab: &Lab<'_>) -> Result<Finding> {
    let (instance, _) = lab.ready().await?;
    let (credential, until) = shown(lab, End::Expiry)?;
    let client = Client::showing(Some(&credential))?;
    let mut open = match client.stay(instance.address, instance.server.protocol).await {
        Ok(open) => open,
        Err(denial) => return Ok(Finding::unknown(format!("a good client was {}", refused(&denial)))),
    };
    sleep_until(until).await;
    Ok(match open.ask().await {
        Ok(_) => Finding::new("yes").seen("asked again a second after it had expired: served"),
        Err(denial) => Finding::new("no").seen(format!("asked again: {denial}")),
    })
}

/// What a client shows, and from when it is worth nothing.
fn shown(lab: &Lab<'_>, end: End<'_>) -> Result<(Credential, SystemTime)> {
    let validity = match end {
        End::Expiry => Validity::ending_in(SHORT),
        End::Authority(_) => Validity::lasting(LONG),
    };
    Ok((lab.ours.issue(&Identity::client("client"), validity)?, validity.refused_from() + AFTER))
}

/// That a certificate expires is not an event that anybody could be told of.
async fn sleep_until(instant: SystemTime) {
    tokio::time::sleep(instant.duration_since(SystemTime::now()).unwrap_or_default()).await;
}
