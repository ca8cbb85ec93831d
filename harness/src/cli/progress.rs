//! Shows how far a run is: a bar on a terminal, a line a phase elsewhere.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{redraws, say};
use crate::{
    history::{Micros, Phase},
    run::RunFolder,
    runner::Watcher,
    words,
};

/// Phases of a run, to the last.
const PHASES: u64 = 11;

/// Follows one run.
pub struct Progress {
    began: Instant,
    /// What is said first, when the run's folder is known.
    head: String,
    /// Whether every phase is shown, or only where the evidence is.
    phases: bool,
    /// Begun after the head; none where lines are not redrawn.
    bar: Option<OnceLock<ProgressBar>>,
}

impl Progress {
    /// Follows a run that is about to begin: `title`, and the command that runs it again. Without `phases` only
    /// the head is said: others run at the same time.
    pub fn new(title: &str, again: &str, phases: bool) -> Arc<Self> {
        let head = format!("notafter {}: {title}\n  again     {again}", env!("CARGO_PKG_VERSION"));
        let bar = redraws().then(OnceLock::new);
        Arc::new(Self { began: Instant::now(), head, phases, bar })
    }

    /// What the runner tells.
    pub fn watcher(self: &Arc<Self>) -> Watcher {
        let progress = self.clone();
        Arc::new(move |folder, phase| progress.entered(folder, phase))
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = self.bar.as_ref().and_then(OnceLock::get) {
            bar.finish_and_clear();
        }
    }

    fn entered(&self, folder: &RunFolder, phase: Phase) {
        if phase == Phase::Start {
            say(format_args!("{}\n  evidence  {}", self.head, folder.path().display()));
        }
        if !self.phases {
            return;
        }
        let Some(bar) = &self.bar else {
            let after = Micros::try_from(self.began.elapsed().as_micros()).unwrap_or(Micros::MAX);
            return say(format_args!("  {:>9}  {phase}", words::span(after)));
        };
        let bar = bar.get_or_init(bar_of_phases);
        bar.set_message(phase.name());
        bar.set_position(phase as u64);
    }
}

fn bar_of_phases() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(PHASES), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  {spinner} [{bar:11}] {msg:10} {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
