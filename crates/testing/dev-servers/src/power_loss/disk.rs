//! Model of a disk: the synced state of each file and folder, and the changes since.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::loss::{Choose, Ignored, Loss};
use super::records::Record;

/// Page size in bytes; a page reaches the disk as a whole or not at all.
const PAGE_SIZE: u64 = 4_096;
/// Maximum size in bytes of files that are compared with the records.
const MAX_COMPARED_SIZE: u64 = 256 << 20;
/// Maximum size of a file in bytes; a record beyond it is damaged.
const MAX_FILE_SIZE: u64 = 1 << 40;

type Id = usize;
type Names = BTreeMap<String, Id>;
/// Names that change together, as in a rename; `None` removes a name.
type Change = Vec<(String, Option<Id>)>;

enum Node {
    /// File whose synced content is in a file of the pool.
    File { unsynced: Vec<Write> },
    Folder {
        now: Names,
        synced: Names,
        unsynced: Vec<Change>,
    },
}

enum Write {
    At(u64, Vec<u8>),
    Truncate(u64),
}

pub(super) struct Disk {
    pool: PathBuf,
    nodes: Vec<Node>,
    inodes: HashMap<u64, Id>,
    loss: Loss,
}

/// Id of the recorded folder itself.
const ROOT: Id = 0;

impl Disk {
    /// Creates a disk with the folder's current content as synced; copies its files into the pool.
    pub(super) fn of(root: &Path, pool: &Path) -> Result<Self> {
        std::fs::create_dir_all(pool)?;
        let mut disk = Self {
            pool: pool.to_owned(),
            nodes: Vec::new(),
            inodes: HashMap::new(),
            loss: Loss::default(),
        };
        disk.scan(root)?;
        Ok(disk)
    }

    fn scan(&mut self, folder: &Path) -> Result<Id> {
        let id = self.folder();
        let mut names = Names::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let inner = if entry.file_type()?.is_dir() {
                self.scan(&entry.path())?
            } else {
                let file = self.file()?;
                std::fs::copy(entry.path(), self.content(file))?;
                file
            };
            names.insert(name, inner);
        }
        self.nodes[id] = Node::Folder {
            now: names.clone(),
            synced: names,
            unsynced: Vec::new(),
        };
        Ok(id)
    }

    fn folder(&mut self) -> Id {
        self.nodes.push(Node::Folder {
            now: Names::new(),
            synced: Names::new(),
            unsynced: Vec::new(),
        });
        self.nodes.len() - 1
    }

    fn file(&mut self) -> Result<Id> {
        self.nodes.push(Node::File {
            unsynced: Vec::new(),
        });
        let id = self.nodes.len() - 1;
        let file = File::create(self.content(id))?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(id)
    }

    fn content(&self, id: Id) -> PathBuf {
        self.pool.join(id.to_string())
    }

    fn find(&self, path: &str) -> Option<Id> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.try_fold(ROOT, |id, part| match &self.nodes[id] {
            Node::Folder { now, .. } => now.get(part).copied(),
            Node::File { .. } => None,
        })
    }

    /// Applies a record to the model.
    pub(super) fn apply(&mut self, record: Record, ignored: Option<Ignored>) -> Result<()> {
        self.loss.records += 1;
        match record {
            Record::Open {
                inode,
                is_new,
                path,
            } => self.open(inode, is_new, &path)?,
            Record::Write {
                inode,
                offset,
                data,
            } => self.write(inode, Write::At(offset, data)),
            Record::Truncate { inode, length } => self.write(inode, Write::Truncate(length)),
            Record::Sync { inode } => self.sync(inode, ignored)?,
            Record::Map { inode } => {
                let path = self.inodes.get(&inode).and_then(|id| self.path(*id));
                self.loss.mapped.insert(path.unwrap_or_default());
            }
            Record::MakeFolder(path) => {
                let id = self.folder();
                self.change_names(&[(path.as_str(), Some(id))]);
            }
            Record::Remove(path) => self.change_names(&[(path.as_str(), None)]),
            Record::Rename(from, to) => {
                let moved = self.expect_node(&from);
                self.change_names(&[(from.as_str(), None), (to.as_str(), moved)]);
            }
            Record::Link(from, to) => {
                let linked = self.expect_node(&from);
                self.change_names(&[(to.as_str(), linked)]);
            }
            // Its content is unknown; the comparison reports it.
            Record::Arrive(path) => {
                let id = self.file()?;
                self.change_names(&[(path.as_str(), Some(id))]);
            }
        }
        Ok(())
    }

    /// Returns the node of a path; reports a missing one, since then an operation was not recorded.
    fn expect_node(&mut self, path: &str) -> Option<Id> {
        let found = self.find(path);
        if found.is_none() {
            self.loss.unrecorded.push(format!("{path}: unknown"));
        }
        found
    }

    fn open(&mut self, inode: u64, is_new: bool, path: &str) -> Result<()> {
        let id = if is_new {
            let id = self.file()?;
            self.change_names(&[(path, Some(id))]);
            Some(id)
        } else {
            self.expect_node(path)
        };
        if let Some(id) = id {
            self.inodes.insert(inode, id);
        }
        Ok(())
    }

    fn write(&mut self, inode: u64, write: Write) {
        let id = self.inodes.get(&inode);
        if let Some(Node::File { unsynced }) = id.and_then(|id| self.nodes.get_mut(*id)) {
            unsynced.push(write);
        }
    }

    /// Changes names; those of one folder change together.
    fn change_names(&mut self, all: &[(&str, Option<Id>)]) {
        let mut changes: BTreeMap<Id, Change> = BTreeMap::new();
        for (path, id) in all {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            if let Some(folder) = self.find(folder) {
                let change = changes.entry(folder).or_default();
                change.push((name.to_owned(), *id));
            }
        }
        for (folder, change) in changes {
            if let Node::Folder { now, unsynced, .. } = &mut self.nodes[folder] {
                apply_change(&change, now);
                unsynced.push(change);
            }
        }
    }

    fn sync(&mut self, inode: u64, ignored: Option<Ignored>) -> Result<()> {
        let Some(id) = self.inodes.get(&inode).copied() else {
            return Ok(());
        };
        if ignored.is_some_and(|ignored| self.is_ignored(id, ignored)) {
            return Ok(());
        }
        self.loss.syncs += 1;
        let content = self.content(id);
        match &mut self.nodes[id] {
            Node::Folder {
                now,
                synced,
                unsynced,
            } => {
                synced.clone_from(now);
                unsynced.clear();
            }
            Node::File { unsynced } => {
                let file = File::options().write(true).open(&content)?;
                for write in unsynced.drain(..) {
                    match write {
                        Write::At(offset, data) => file.write_all_at(&data, offset)?,
                        Write::Truncate(length) => file.set_len(length)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn is_ignored(&self, id: Id, ignored: Ignored) -> bool {
        let is_folder = matches!(self.nodes[id], Node::Folder { .. });
        let path = self.path(id).unwrap_or_default();
        match ignored {
            Ignored::Folders => is_folder,
            Ignored::Files(start) => {
                let name = path.rsplit('/').next().unwrap_or_default();
                !is_folder && name.starts_with(start)
            }
            Ignored::Below(folder) => !is_folder && path.split('/').any(|part| part == folder),
        }
    }

    /// Returns a current path of a node.
    fn path(&self, id: Id) -> Option<String> {
        let mut folders = vec![(String::new(), ROOT)];
        while let Some((prefix, folder)) = folders.pop() {
            let Node::Folder { now, .. } = &self.nodes[folder] else {
                continue;
            };
            for (name, inner) in now {
                let path = format!("{prefix}{name}");
                if *inner == id {
                    return Some(path);
                }
                folders.push((format!("{path}/"), *inner));
            }
        }
        None
    }

    /// Compares the folder after SIGKILL, which loses nothing, with the records. An operation that
    /// was in progress may be done in part.
    pub(super) fn compare(&mut self, root: &Path, busy: &BTreeSet<String>) -> Result<()> {
        let mut folders = vec![(String::new(), ROOT)];
        let mut unrecorded = Vec::new();
        while let Some((prefix, folder)) = folders.pop() {
            let Node::Folder { now, .. } = &self.nodes[folder] else {
                continue;
            };
            let mut found = BTreeSet::new();
            for entry in std::fs::read_dir(root.join(&prefix)).into_iter().flatten() {
                found.insert(entry?.file_name().to_string_lossy().into_owned());
            }
            let known: BTreeSet<String> = now.keys().cloned().collect();
            for name in found.symmetric_difference(&known) {
                let path = format!("{prefix}{name}");
                if !busy.contains(&path) {
                    unrecorded.push(format!("{path}: in the records: {}", known.contains(name)));
                }
            }
            for (name, inner) in now {
                let path = format!("{prefix}{name}");
                let is_exempt = busy.contains(&path) || self.loss.mapped.contains(&path);
                if matches!(self.nodes[*inner], Node::Folder { .. }) {
                    folders.push((format!("{path}/"), *inner));
                } else if found.contains(name)
                    && !is_exempt
                    && !self.is_as_recorded(*inner, &root.join(&path))?
                {
                    unrecorded.push(format!("{path}: content differs from the records"));
                }
            }
        }
        self.loss.unrecorded.extend(unrecorded);
        Ok(())
    }

    fn is_as_recorded(&self, id: Id, file: &Path) -> Result<bool> {
        let Node::File { unsynced } = &self.nodes[id] else {
            return Ok(false);
        };
        if std::fs::metadata(file)?.len() > MAX_COMPARED_SIZE {
            return Ok(true);
        }
        let mut expected = std::fs::read(self.content(id))?;
        for write in unsynced {
            match write {
                Write::At(offset, data) => {
                    let from = usize::try_from(*offset)?;
                    let to = from + data.len();
                    if expected.len() < to {
                        expected.resize(to, 0);
                    }
                    expected[from..to].copy_from_slice(data);
                }
                Write::Truncate(length) => expected.resize(usize::try_from(*length)?, 0),
            }
        }
        Ok(expected == std::fs::read(file)?)
    }

    /// Drops unsynced changes except those that `choose` keeps, and writes the result into a
    /// folder.
    pub(super) fn lose(mut self, choose: Choose<'_>, target: &Path) -> Result<Loss> {
        for id in 0..self.nodes.len() {
            let content = self.content(id);
            match &mut self.nodes[id] {
                Node::Folder {
                    synced, unsynced, ..
                } => {
                    self.loss.names += unsynced.len() as u64;
                    // Journals keep the order of changed names.
                    let kept = choose(unsynced.len());
                    for change in unsynced.drain(..).take(kept) {
                        apply_change(&change, synced);
                    }
                }
                Node::File { unsynced } if !unsynced.is_empty() => {
                    self.loss.writes += unsynced.len() as u64;
                    keep_some(&content, unsynced, choose)?;
                }
                Node::File { .. } => {}
            }
        }
        self.write_to(ROOT, target)?;
        Ok(self.loss)
    }

    fn write_to(&self, id: Id, at: &Path) -> Result<()> {
        match &self.nodes[id] {
            Node::File { .. } => std::fs::hard_link(self.content(id), at)?,
            Node::Folder { synced, .. } => {
                std::fs::create_dir(at).with_context(|| at.display().to_string())?;
                std::fs::set_permissions(at, Permissions::from_mode(0o700))?;
                for (name, inner) in synced {
                    self.write_to(*inner, &at.join(name))?;
                }
            }
        }
        Ok(())
    }
}

fn apply_change(change: &Change, names: &mut Names) {
    for (name, id) in change {
        match id {
            Some(id) => names.insert(name.clone(), *id),
            None => names.remove(name),
        };
    }
}

/// Returns the pages that a write affects.
fn pages(offset: u64, data: &[u8]) -> std::ops::RangeInclusive<u64> {
    let last = (offset + data.len() as u64).saturating_sub(1).max(offset);
    offset / PAGE_SIZE..=last / PAGE_SIZE
}

/// Applies the first few unsynced writes of each page, and the first few truncations: pages reach a
/// disk in any order, but the writes of one page keep theirs.
fn keep_some(content: &Path, unsynced: &[Write], choose: Choose<'_>) -> Result<()> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    let mut lengths = 0;
    for write in unsynced {
        match write {
            Write::At(offset, data) if *offset < MAX_FILE_SIZE => {
                for page in pages(*offset, data) {
                    *counts.entry(page).or_default() += 1;
                }
            }
            Write::At(..) => {}
            Write::Truncate(_) => lengths += 1,
        }
    }
    let mut lengths = choose(lengths);
    let mut kept: BTreeMap<u64, usize> = BTreeMap::new();
    for (page, count) in counts {
        kept.insert(page, choose(count));
    }
    let file = File::options().write(true).open(content)?;
    for write in unsynced {
        match write {
            Write::At(offset, data) => {
                for page in pages(*offset, data) {
                    let Some(count) = kept.get_mut(&page).filter(|count| **count > 0) else {
                        continue;
                    };
                    *count -= 1;
                    let from = offset.max(&(page * PAGE_SIZE)) - offset;
                    let to = ((page + 1) * PAGE_SIZE - offset).min(data.len() as u64);
                    let part = usize::try_from(from)?..usize::try_from(to)?;
                    file.write_all_at(&data[part], offset + from)?;
                }
            }
            Write::Truncate(length) if lengths > 0 => {
                lengths -= 1;
                file.set_len(*length)?;
            }
            Write::Truncate(_) => {}
        }
    }
    Ok(())
}
