//! Records that `layer.c` writes.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const MAGIC: u32 = 0x504c_4f47;
/// Size of a record's header in bytes: two numbers of 4 bytes, four of 8.
const HEADER_SIZE: usize = 40;
/// Size in bytes of a path in the file of the operation in progress.
const PATH_SIZE: usize = 4_096;

/// Operation on a file or folder; paths are relative to the recorded folder.
#[derive(Debug)]
pub(super) enum Record {
    Open {
        inode: u64,
        is_new: bool,
        path: String,
    },
    Write {
        inode: u64,
        offset: u64,
        data: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: u64,
    },
    Sync {
        inode: u64,
    },
    Map {
        inode: u64,
    },
    MakeFolder(String),
    Remove(String),
    Rename(String, String),
    Link(String, String),
    /// File that was moved into the recorded folder from outside.
    Arrive(String),
}

/// Reads all records; ignores an incomplete last one.
pub(super) fn read(file: &Path) -> Result<Vec<Record>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context("records of the layer"),
    };
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while let Some((record, after)) = next(rest)? {
        records.push(record);
        rest = after;
    }
    Ok(records)
}

fn next(bytes: &[u8]) -> Result<Option<(Record, &[u8])>> {
    if bytes.len() < HEADER_SIZE {
        return Ok(None);
    }
    let (head, body) = bytes.split_at(HEADER_SIZE);
    let u32_at = |at: usize| head[at..at + 4].try_into().map(u32::from_le_bytes);
    let u64_at = |at: usize| head[at..at + 8].try_into().map(u64::from_le_bytes);
    ensure!(u32_at(0)? == MAGIC, "records of the layer are damaged");
    let (inode, number) = (u64_at(8)?, u64_at(16)?);
    let first = usize::try_from(u64_at(24)?)?;
    let second = usize::try_from(u64_at(32)?)?;
    if body.len() < first + second {
        return Ok(None);
    }
    let (data, after) = body.split_at(first);
    let (other, after) = after.split_at(second);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = char::from_u32(u32_at(4)?).unwrap_or_default();
    let record = match kind {
        'O' => Record::Open {
            inode,
            is_new: number == 1,
            path: text(data),
        },
        'W' => Record::Write {
            inode,
            offset: number,
            data: data.to_vec(),
        },
        'T' => Record::Truncate {
            inode,
            length: number,
        },
        'S' => Record::Sync { inode },
        'M' => Record::Map { inode },
        'D' => Record::MakeFolder(text(data)),
        'U' => Record::Remove(text(data)),
        'N' => Record::Rename(text(data), text(other)),
        'L' => Record::Link(text(data), text(other)),
        'X' => Record::Arrive(text(data)),
        _ => bail!("records of the layer: unknown kind {kind:?}"),
    };
    Ok(Some((record, after)))
}

/// Returns the paths of the operation that was in progress when the process was killed.
pub(super) fn busy(file: &Path) -> Result<BTreeSet<String>> {
    let Ok(bytes) = std::fs::read(file) else {
        return Ok(BTreeSet::new());
    };
    ensure!(
        bytes.len() >= 8 + 2 * PATH_SIZE,
        "{} is truncated",
        file.display()
    );
    if bytes[..8] == [0; 8] {
        return Ok(BTreeSet::new());
    }
    let path = |at: usize| {
        let bytes = &bytes[at..at + PATH_SIZE];
        let end = bytes.iter().position(|byte| *byte == 0);
        String::from_utf8_lossy(&bytes[..end.unwrap_or(PATH_SIZE)]).into_owned()
    };
    Ok([path(8), path(8 + PATH_SIZE)].into())
}
