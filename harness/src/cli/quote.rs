//! Commands that can be pasted into a shell.

/// A command line of these words, quoted for a POSIX shell where they need it.
pub fn command<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// The command under which this executable was called.
pub fn me() -> String {
    std::env::args_os().next().map_or("notafter".into(), |me| me.to_string_lossy().into_owned())
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    // Within single quotes nothing is special but the quote itself.
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(command(["notafter", "run", "aware-2022/*", ""]), "notafter run 'aware-2022/*' ''");
        assert_eq!(command(["it's", "a b", "1m=50ms"]), r"'it'\''s' 'a b' 1m=50ms");
    }
}
