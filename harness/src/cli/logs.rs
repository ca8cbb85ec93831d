//! The logs of a run's services, as much of each as a page has room for.

use std::fs;

use crate::{
    error::{Context, Result},
    report::Log,
    run::RunFolder,
};

/// Room for all logs together, in bytes.
const ROOM: usize = 200_000;

/// The last lines of each log, by service. A run that died early has none.
///
/// # Errors
/// If a log that is there cannot be read.
pub fn of(folder: &RunFolder) -> Result<Vec<Log>> {
    let entries = fs::read_dir(folder.logs()).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|name| name == "log")).collect();
    paths.sort_unstable();
    let room = ROOM / paths.len().max(1);
    let mut logs = Vec::with_capacity(paths.len());
    for path in &paths {
        let bytes = fs::read(path).context(|| format!("cannot read {}", path.display()))?;
        let service = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        logs.push(last_lines(service, &String::from_utf8_lossy(&bytes), room));
    }
    Ok(logs)
}

fn last_lines(service: String, text: &str, room: usize) -> Log {
    let mut kept = text.len();
    let mut lines = 0;
    for line in text.split_inclusive('\n').rev() {
        if text.len() - kept + line.len() > room {
            break;
        }
        kept -= line.len();
        lines += 1;
    }
    let left_out = text.lines().count() - lines;
    Log { service, text: text[kept..].to_owned(), left_out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_last_lines_are_kept_and_the_others_counted() {
        let log = last_lines("auth".into(), "one\ntwo\nthree\n", 10);
        assert_eq!((log.text.as_str(), log.left_out), ("two\nthree\n", 1));
        let log = last_lines("auth".into(), "one\ntwo", 100);
        assert_eq!((log.text.as_str(), log.left_out), ("one\ntwo", 0));
        assert_eq!(last_lines("auth".into(), "a line that is too long", 10).left_out, 1);
    }
}
