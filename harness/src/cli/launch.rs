//! One run as the command line does it: announced, followed, its reports kept beside its history.

use std::{fs, sync::Arc};

use super::{conditions::Conditions, logs, progress::Progress};
use crate::{
    error::{Context, Result},
    report::{self, Style},
    runner::{self, Finished, Hold, Interrupt, Plan, Show},
    scenario::Scenario,
};

/// How a run is followed.
pub enum Follow {
    /// Phase by phase.
    Closely,
    /// It says where its evidence is, and no more: others run at the same time.
    FromAfar,
    /// Phase by phase, and kept up then.
    AndHold(Hold),
}

impl Follow {
    /// One of so many at once.
    pub fn one_of(jobs: u8) -> Self {
        if jobs > 1 { Self::FromAfar } else { Self::Closely }
    }
}

/// Runs a scenario under these conditions. `again` is the command that does the same again.
///
/// # Errors
/// If nothing could begin, or the evidence could not be kept.
pub async fn launch(
    scenario: &Scenario,
    conditions: &Conditions,
    again: String,
    follow: Follow,
    interrupt: Interrupt,
) -> Result<Finished> {
    let Conditions { runtime, seed, .. } = *conditions;
    let title = format!("{} on {}, seed {seed}", scenario.name, runtime.name());
    let progress = Progress::new(&title, &again, !matches!(follow, Follow::FromAfar));
    let hold = match follow {
        Follow::AndHold(hold) => Some(hold),
        Follow::Closely | Follow::FromAfar => None,
    };
    let plan = Plan {
        runtime,
        seed,
        runs: conditions.manner.runs(),
        rerun: again,
        hold: hold.map(|hold| Hold { after: hold.after, show: after(progress.clone(), hold.show) }),
        watcher: Some(progress.watcher()),
    };
    let finished = runner::run(scenario, &plan, interrupt).await;
    progress.end();
    let finished = finished?;
    keep(&finished, scenario)?;
    Ok(finished)
}

/// The bar would be redrawn over what is shown.
fn after(progress: Arc<Progress>, show: Show) -> Show {
    Arc::new(move |context, folder| {
        progress.end();
        show(context, folder);
    })
}

/// Writes the reports of a run into its folder, and the system, without which nobody could judge it again.
fn keep(finished: &Finished, scenario: &Scenario) -> Result<()> {
    let system = scenario.system.to_toml();
    let json = report::json(&finished.history) + "\n";
    let text = report::render(&finished.history, Style::default());
    let page = report::page(&finished.history, &logs::of(&finished.folder)?);
    let Finished { folder, .. } = finished;
    let files =
        [(folder.system(), system), (folder.result(), json), (folder.report(), text), (folder.page(), page)];
    for (path, text) in files {
        fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
