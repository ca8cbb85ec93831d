//! The spool: records on disk between the moment they are acknowledged and the moment they are
//! stored.
//!
//! One append-only file of frames. A frame is a length (4 bytes), a checksum (8 bytes), both
//! little-endian, and JSON of that length: a record, or a note that so many of the oldest records
//! have been forwarded. What a crash has cut off at its end was never acknowledged, and is left out.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// Bytes before the JSON of a frame.
const HEADER: usize = 12;
/// An empty spool whose file is longer than this begins its file anew.
const LONG: u64 = 1 << 20;

/// Records on disk that are not forwarded yet.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    file: Arc<File>,
    end: u64,
    /// Whether there may be half a frame after the end, which would hide those after it.
    torn: bool,
    waiting: VecDeque<Record>,
}

/// Records that are written and may still be lost.
#[derive(Debug)]
pub struct Appended {
    file: Arc<File>,
    from: u64,
}

impl Appended {
    /// Waits until they are on the disk. Needs no lock on the spool.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Frame {
    Record(Record),
    Forwarded(usize),
}

impl Spool {
    /// Opens the spool in this file, which is made if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        let length = file.metadata()?.len();
        (&file).take(length).read_to_end(&mut bytes)?;
        let (waiting, end) = replay(&bytes);
        if end < bytes.len() {
            file.set_len(end as u64)?;
        }
        file.seek(SeekFrom::Start(end as u64))?;
        Ok(Self { path: path.into(), file: Arc::new(file), end: end as u64, torn: false, waiting })
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub fn clear(&mut self) -> io::Result<()> {
        self.waiting.clear();
        self.cut(0)
    }

    /// Writes records at the end. They are safe once [`Appended::sync`] has succeeded, and not before;
    /// then they have to be [admitted](Self::admit), else [taken back](Self::take_back).
    ///
    /// # Errors
    /// If the file cannot be written, as on a full disk: then none of them is in it.
    pub fn append(&mut self, records: &[Record]) -> io::Result<Appended> {
        let mut bytes = Vec::new();
        for record in records {
            put(&mut bytes, &Frame::Record(record.clone()));
        }
        let from = self.end;
        self.write(&bytes)?;
        Ok(Appended { file: self.file.clone(), from })
    }

    /// From now on these records, which are synced, wait to be forwarded.
    pub fn admit(&mut self, records: Vec<Record>) {
        self.waiting.extend(records);
    }

    /// Removes from the file what could not be synced.
    ///
    /// # Errors
    /// If the file cannot be cut. What is left there comes back after a restart, which does no harm.
    pub fn take_back(&mut self, appended: &Appended) -> io::Result<()> {
        self.cut(appended.from)
    }

    /// The oldest records, as many as that at most.
    pub fn oldest(&self, most: usize) -> Vec<Record> {
        self.waiting.iter().take(most).cloned().collect()
    }

    /// Removes the oldest records: they are stored elsewhere. A crash may bring them back.
    ///
    /// # Errors
    /// If the file cannot be written; they are removed from memory all the same.
    pub fn forwarded(&mut self, records: usize) -> io::Result<()> {
        self.waiting.drain(..records.min(self.waiting.len()));
        if self.waiting.is_empty() && self.end > LONG {
            return self.cut(0);
        }
        let mut bytes = Vec::new();
        put(&mut bytes, &Frame::Forwarded(records));
        self.write(&bytes)
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            self.cut(self.end)?;
        }
        self.torn = true;
        if let Err(error) = (&*self.file).write_all(bytes) {
            let _ = self.cut(self.end);
            return Err(error);
        }
        self.torn = false;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        (&*self.file).seek(SeekFrom::Start(end))?;
        (self.end, self.torn) = (end, false);
        Ok(())
    }
}

/// The records that wait, and where the last whole frame ends.
fn replay(bytes: &[u8]) -> (VecDeque<Record>, usize) {
    let mut waiting = VecDeque::new();
    let mut end = 0;
    while let Some((frame, length)) = take(&bytes[end..]) {
        match frame {
            Frame::Record(record) => waiting.push_back(record),
            Frame::Forwarded(records) => drop(waiting.drain(..records.min(waiting.len()))),
        }
        end += length;
    }
    (waiting, end)
}

fn put(bytes: &mut Vec<u8>, frame: &Frame) {
    let json = serde_json::to_vec(frame).expect("frames have a JSON form");
    let length = u32::try_from(json.len()).expect("a record is small");
    bytes.extend(length.to_le_bytes());
    bytes.extend(checksum(&json).to_le_bytes());
    bytes.extend(json);
}

/// The first frame and its length; none if it is not whole.
fn take(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let length = u32::from_le_bytes(header[..4].try_into().ok()?) as usize;
    let sum = u64::from_le_bytes(header[4..].try_into().ok()?);
    let json = rest.get(..length)?;
    let frame = serde_json::from_slice(json).ok().filter(|_| checksum(json) == sum)?;
    Some((frame, HEADER + length))
}

/// FNV-1a: it tells a torn frame, not a forged one.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::tempdir;

    use super::*;

    fn records(numbers: impl Iterator<Item = u64>) -> Vec<Record> {
        numbers.map(|number| Record::numbered(number, 0)).collect()
    }

    fn add(spool: &mut Spool, records: Vec<Record>) {
        spool.append(&records).and_then(|appended| appended.sync()).expect("synced");
        spool.admit(records);
    }

    fn numbers(spool: &Spool) -> Vec<u64> {
        spool.oldest(usize::MAX).iter().map(|record| record.number).collect()
    }

    #[test]
    fn what_was_spooled_is_there_after_a_crash() {
        let folder = tempdir().expect("folder");
        let path = folder.path().join("spool");
        let mut spool = Spool::open(&path).expect("opens");
        add(&mut spool, records(1..=5));
        spool.forwarded(2).expect("notes");
        drop(spool);
        assert_eq!(numbers(&Spool::open(&path).expect("opens")), [3, 4, 5]);
    }

    #[test]
    fn an_empty_spool_begins_its_file_anew() {
        let folder = tempdir().expect("folder");
        let path = folder.path().join("spool");
        let mut spool = Spool::open(&path).expect("opens");
        add(&mut spool, records(1..=20_000));
        assert!(path.metadata().expect("file").len() > LONG);
        spool.forwarded(20_000).expect("notes");
        assert_eq!(path.metadata().expect("file").len(), 0);
        add(&mut spool, records(7..=7));
        assert_eq!(numbers(&Spool::open(&path).expect("opens")), [7]);
    }

    #[test]
    fn a_spool_that_cannot_write_holds_nothing_new() {
        let mut spool = Spool::open(Path::new("/dev/full")).expect("opens");
        spool.append(&records(1..=3)).expect_err("no space");
        assert!(spool.is_empty());
        spool.append(&records(1..=3)).expect_err("still no space");
    }

    proptest! {
        /// Whatever a crash leaves of the file, its whole frames are read and the file goes on.
        #[test]
        fn a_torn_tail_loses_only_itself(count in 1_u64..30, forwarded in 0_usize..30, keep in 0.0_f64..=1.0) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for record in records(1..=count) {
                put(&mut bytes, &Frame::Record(record));
                ends.push(bytes.len());
            }
            put(&mut bytes, &Frame::Forwarded(forwarded));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let cut = (bytes.len() as f64 * keep) as usize;
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let gone = if cut == bytes.len() { forwarded.min(whole) } else { 0 };

            let folder = tempdir().expect("folder");
            let path = folder.path().join("spool");
            std::fs::write(&path, &bytes[..cut]).expect("writes");
            let mut spool = Spool::open(&path).expect("opens");
            let mut expected: Vec<u64> = (gone as u64 + 1..=whole as u64).collect();
            prop_assert_eq!(&numbers(&spool), &expected);
            spool.append(&records(99..=99)).expect("appends");
            expected.push(99);
            prop_assert_eq!(numbers(&Spool::open(&path).expect("opens")), expected);
        }

        /// A byte that changed on disk ends the file there; it is never taken for a record.
        #[test]
        fn a_damaged_frame_is_no_record(count in 1_u64..10, at in 0.0_f64..1.0, flip in 1_u8..=255) {
            let mut bytes = Vec::new();
            for record in records(1..=count) {
                put(&mut bytes, &Frame::Record(record));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let at = (bytes.len() as f64 * at) as usize;
            bytes[at] ^= flip;
            let (waiting, end) = replay(&bytes);
            prop_assert!(end <= at);
            let kept = waiting.len() as u64;
            prop_assert_eq!(Vec::from(waiting), records(1..=kept));
        }
    }
}
