//! Files that make no sense together, or that nobody may use.

use std::time::Duration;

use super::{AnyFault, Fault, Injected, Shows, Which, signal_reload};
use crate::{
    context::Context,
    error::Result,
    history::Purpose,
    pki::{Credential, Files, Manner, Validity},
};

/// How long everything lasts.
const LASTING: Duration = Duration::from_hours(24);
/// How long half of a pair lies there alone: long enough for any watcher to find it.
const TORN_FOR: Duration = Duration::from_millis(300);

/// What is wrong with the files of a mount. A service that has a good credential in use should keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// The key is another certificate's.
    KeyOfAnother,
    /// The chain is cut off in the middle.
    TruncatedChain,
    /// There is no chain and no key any more (envoyproxy/envoy#29406).
    Removed,
    /// There is no root in the bundle.
    EmptyBundle,
    /// Everybody may read the key, as `PostgreSQL` and `OpenSSH` refuse it.
    KeyForEverybody,
    /// The chain is written where it is, and its key only a while later (rwf2/Rocket#2683).
    TornPair,
}

/// Damaged files take the place of good ones.
struct Damaged {
    which: Which,
    damage: Damage,
}

/// Files with this damage take the place of a good credential.
pub fn damage(which: Which, damage: Damage) -> Box<dyn AnyFault> {
    Box::new(Damaged { which, damage })
}

impl Fault for Damaged {
    fn describe(&self) -> String {
        let Self { which, damage } = self;
        match damage {
            Damage::KeyOfAnother => format!("the key beside {which} is another one's"),
            Damage::TruncatedChain => format!("{which} is cut off"),
            Damage::Removed => format!("{which} is taken away"),
            Damage::EmptyBundle => format!("nobody is trusted with {which}: its bundle is empty"),
            Damage::KeyForEverybody => format!("everybody may read the key of {which}"),
            Damage::TornPair => format!("{which} is replaced, and its key only a while later"),
        }
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let mut injected = Vec::new();
        for (service, mount) in self.which.targets(context.system()) {
            let authority = context.system().authority_of(&service, &mount)?;
            let issue = || context.pki.issue(&authority, &service, &mount, Validity::lasting(LASTING));
            let credential = issue()?;
            let was = context.cluster.installed(&service, &mount)?;
            context.journal.will_replace(&service, &mount, &was, credential.leaf())?;
            context.will_install(&service, &mount, credential.leaf(), Purpose::Fault);
            let write = |files: &Files, manner| context.cluster.write_files(&service, &mount, files, manner);
            if self.damage == Damage::TornPair {
                let whole = credential.files();
                write(&Files { chain: whole.chain, ..Files::default() }, Manner::InPlace)?;
                tokio::time::sleep(TORN_FOR).await;
                write(&Files { chain: None, ..credential.files() }, Manner::InPlace)?;
            } else {
                write(&self.damage.files(&credential, &issue()?), Manner::Swap)?;
            }
            let shows = if self.damage == Damage::TornPair { Shows::OnTheWire } else { Shows::Rejected };
            let leaf = credential.leaf().clone();
            injected.push(Injected { service, mount, leaf, shows, ends: None });
        }
        signal_reload(context, &injected).await?;
        Ok(injected)
    }
}

impl Damage {
    /// The files of a credential with this damage.
    pub(crate) fn files(self, credential: &Credential, other: &Credential) -> Files {
        let whole = credential.files();
        match self {
            Self::KeyOfAnother => Files { key: other.files().key, ..whole },
            Self::TruncatedChain => {
                let half = credential.chain_pem().len() / 3;
                Files { chain: Some(credential.chain_pem().as_bytes()[..half].into()), ..whole }
            }
            Self::Removed => Files { chain: None, key: None, ..whole },
            Self::EmptyBundle => Files { bundle: Some(Vec::new()), ..whole },
            Self::KeyForEverybody => Files { key_mode: Some(0o644), ..whole },
            Self::TornPair => whole,
        }
    }
}
