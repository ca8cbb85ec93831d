//! Writes to the terminal, or to whatever is in its place: reports to stdout, all else to stderr.

use std::{
    fmt::Display,
    io::{self, BufWriter, ErrorKind, IsTerminal, Write},
};

use rustix::termios::tcgetwinsize;

use crate::{
    error::{Context, Result},
    report::Style,
};

/// Writes to stdout. That nobody reads any further (`notafter list | head -1`) is no error.
///
/// # Errors
/// If it cannot be written, as on a full disk.
pub fn print(text: &str) -> Result<()> {
    print_with(|out| out.write_all(text.as_bytes()))
}

/// The same of what is too long to be held at once.
///
/// # Errors
/// As [`print`].
pub fn print_with(tell: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match tell(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context(|| "cannot write".into()),
        _ => Ok(()),
    }
}

/// Writes a line to stderr. If nobody listens there, there is nobody to tell.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The same, where a progress bar may stand: the bar comes back below.
pub fn interject(line: impl Display) {
    // To the first column, and nothing in this line any more (ECMA-48, EL).
    say(format_args!("{}{line}", if redraws() { "\r\u{1b}[2K" } else { "" }));
}

/// Writes an error to stderr.
pub fn complain(error: impl Display) {
    say(format_args!("{} {error}", paint("error:", "1;31", colour(&io::stderr()))));
}

/// How reports on stdout look.
pub fn style() -> Style {
    let width = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    let default = Style::default();
    Style { colour: colour(&io::stdout()), width: if width == 0 { default.width } else { width } }
}

/// Whether stderr is a terminal that can redraw a line.
pub fn redraws() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Colour only on a terminal, never with `NO_COLOR` (no-color.org), always with `CLICOLOR_FORCE`
/// (bixense.com/clicolors).
pub fn colour(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let dumb = set("TERM").is_some_and(|term| term == "dumb");
    set("NO_COLOR").is_none() && (forced || (stream.is_terminal() && !dumb))
}

/// A text in a colour, by its SGR parameters.
pub fn paint(text: &str, sgr: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[{sgr}m{text}\u{1b}[0m") } else { text.to_owned() }
}
