//! What a kernel loads of an executable: everything but symbols and debug information, which make up
//! nine tenths of a debug build.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStringExt, fs::PermissionsExt},
    path::PathBuf,
};

use crate::{
    error::{Context, Result},
    run::RunFolder,
};

// Offsets and values of the ELF-64 Object File Format, version 1.5 draft 2, figures 2 to 7.
const HEADER: usize = 64;
const LITTLE_ENDIAN_64: [u8; 6] = *b"\x7fELF\x02\x01";
const PROGRAM_HEADERS_AT: usize = 32;
const SECTION_HEADERS_AT: usize = 40;
const PROGRAM_HEADER_SIZE: usize = 54;
const PROGRAM_HEADER_COUNT: usize = 56;
const SECTION_HEADER_SIZES: usize = 58;
const LOAD: u64 = 1;
const INTERPRETER: u64 = 3;

/// Puts what is loaded of this executable into the folder of a run, for containers of images that do not have
/// it. Gives where.
pub(in crate::runtime) fn put(folder: &RunFolder) -> Result<PathBuf> {
    let path = place(folder);
    File::open("/proc/self/exe")
        .and_then(loaded)
        .and_then(|(bytes, _)| fs::write(&path, bytes))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .context(|| format!("cannot write the executable of containers to {}", path.display()))?;
    Ok(path)
}

/// Where [`put`] puts this executable.
pub(in crate::runtime) fn place(folder: &RunFolder) -> PathBuf {
    folder.service("notafter")
}

/// The part of an executable that is loaded, still a valid executable, and the path of its loader
/// if it has one.
///
/// # Errors
/// If it cannot be read, or is not of a 64-bit little-endian machine.
pub(in crate::runtime) fn loaded(mut file: File) -> io::Result<(Vec<u8>, Option<PathBuf>)> {
    let mut bytes = Vec::new();
    // Only so much: reading all of a debug build takes ten times as long.
    read_up_to(&mut file, &mut bytes, HEADER)?;
    if !bytes.starts_with(&LITTLE_ENDIAN_64) {
        return Err(io::Error::other("not a 64-bit little-endian ELF file"));
    }
    let at = number(&bytes, PROGRAM_HEADERS_AT, 8)?;
    let size = number(&bytes, PROGRAM_HEADER_SIZE, 2)?;
    let count = number(&bytes, PROGRAM_HEADER_COUNT, 2)?;
    read_up_to(&mut file, &mut bytes, at + size * count)?;

    let mut end = bytes.len();
    let mut interpreter = None;
    for header in (0..count).map(|index| at + index * size) {
        let (offset, length) = (number(&bytes, header + 8, 8)?, number(&bytes, header + 32, 8)?);
        match number(&bytes, header, 4)? as u64 {
            LOAD => end = end.max(offset + length),
            INTERPRETER => interpreter = Some((offset, length)),
            _ => {}
        }
    }
    read_up_to(&mut file, &mut bytes, end)?;
    let interpreter = interpreter.and_then(|(offset, length)| {
        let path = bytes.get(offset..offset + length)?.split(|byte| *byte == 0).next()?;
        Some(PathBuf::from(OsString::from_vec(path.to_vec())))
    });
    // What these point at was left out.
    bytes[SECTION_HEADERS_AT..SECTION_HEADERS_AT + 8].fill(0);
    bytes[SECTION_HEADER_SIZES..HEADER].fill(0);
    Ok((bytes, interpreter))
}

fn read_up_to(file: &mut File, bytes: &mut Vec<u8>, end: usize) -> io::Result<()> {
    let missing = end.saturating_sub(bytes.len());
    bytes.reserve_exact(missing);
    if file.take(missing as u64).read_to_end(bytes)? < missing {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize, size: usize) -> io::Result<usize> {
    let field = bytes.get(at..at + size).ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(field.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_loaded_part_of_an_executable_still_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let (written, path) = (folder.path().join("written"), folder.path().join("slim"));
        let whole = File::open("/proc/self/exe").expect("this executable");
        let length = whole.metadata().expect("its size").len();
        let (bytes, interpreter) = loaded(whole).expect("an executable");
        assert!((bytes.len() as u64) < length, "{} of {length} bytes are left", bytes.len());
        assert!(interpreter.is_some_and(|loader| loader.exists()));
        std::fs::write(&written, bytes).expect("room");
        // Written by another process: a file that we held open for writing might not start yet.
        let installed = Command::new("install").args(["-m", "755"]).args([&written, &path]).status();
        assert!(installed.expect("it starts").success());
        let said = Command::new(&path).args(["--list", "the_loaded_part"]).output().expect("it starts");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("the_loaded_part_of_an_executable_still_runs: test"), "{said}");
    }

    #[test]
    fn what_is_no_executable_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("text");
        std::fs::write(&path, [b'#'; 100]).expect("room");
        let error = loaded(File::open(&path).expect("a file")).expect_err("no executable");
        assert_eq!(error.to_string(), "not a 64-bit little-endian ELF file");
    }
}
