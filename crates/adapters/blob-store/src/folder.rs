//! Blobs as files in a folder.
//!
//! An unfinished file has a suffix that no blob name may contain (`NAME#1`); finishing syncs the
//! file and renames it. [`Blobs::remove_unfinished`] removes the unfinished files that a killed
//! process has left.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use bakehouse_engine::Timestamp;
use bakehouse_engine::ports::{Blob, BlobEntry, BlobWriter, Blobs, StoreError};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::failed;

/// Separator of the suffix of an unfinished file.
const UNFINISHED_MARK: char = '#';
/// Bytes per read or write; the memory that a blob in transfer needs.
const CHUNK_SIZE: usize = 64 * 1024;
/// Maximum number of buffered entries of a list.
const MAX_BUFFERED_ENTRIES: usize = 64;
/// Maximum number of attempts to create a file in a folder that a concurrent call removes because
/// it is empty.
const MAX_ATTEMPTS: usize = 5;

pub(crate) struct FolderBlobs(PathBuf);

impl FolderBlobs {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        make_folder(folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// Returns the path of a blob's file.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a name that leads out of the folder or that an unfinished file
    /// could have.
    fn file(&self, name: &str) -> Result<PathBuf, StoreError> {
        let is_part = |part: &str| {
            let is_plain = |c: char| !c.is_control() && !matches!(c, UNFINISHED_MARK | '\\' | ':');
            !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain)
        };
        if !name.split('/').all(is_part) {
            return Err(StoreError::Corrupt(format!("invalid blob name: {name:?}")));
        }
        Ok(name
            .split('/')
            .fold(self.0.clone(), |path, part| path.join(part)))
    }

    /// Lists the finished files below a folder.
    fn walk(&self, from: PathBuf) -> BoxStream<'static, Result<BlobEntry, StoreError>> {
        let (sender, receiver) = mpsc::channel(MAX_BUFFERED_ENTRIES);
        let root = self.0.clone();
        spawn_blocking(move || {
            let mut folders = vec![from];
            while let Some(folder) = folders.pop() {
                if let Err(error) = list_folder(&root, &folder, &mut folders, &sender) {
                    let _ = sender.blocking_send(Err(failed(&error)));
                    return;
                }
                if sender.is_closed() {
                    return;
                }
            }
        });
        let entries = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
            receiver.recv().await.map(|entry| (entry, receiver))
        });
        entries.boxed()
    }
}

type EntryResult = Result<BlobEntry, StoreError>;

/// Sends the finished files of a folder, and adds its subfolders to `folders`. A missing folder
/// counts as empty.
fn list_folder(
    root: &Path,
    folder: &Path,
    folders: &mut Vec<PathBuf>,
    sender: &mpsc::Sender<EntryResult>,
) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // The file was removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            folders.push(path);
            continue;
        }
        let name = path.strip_prefix(root).ok().and_then(Path::to_str);
        let Some(name) = name.filter(|name| !name.contains(UNFINISHED_MARK)) else {
            continue;
        };
        let entry = BlobEntry {
            name: name.to_owned(),
            since: time_of(metadata.modified()?),
            size: metadata.len(),
        };
        if sender.blocking_send(Ok(entry)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn time_of(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    Timestamp::from_millis(millis).unwrap_or_else(Timestamp::now)
}

#[async_trait]
impl Blobs for FolderBlobs {
    async fn begin(&self, name: &str) -> Result<Box<dyn BlobWriter>, StoreError> {
        let target = self.file(name)?;
        let created = spawn_blocking(move || create_unfinished(&target)).await;
        let (file, path, target) = created
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        let mut file = File::from_std(file);
        file.set_max_buf_size(CHUNK_SIZE);
        Ok(Box::new(Writer {
            file: Some(file),
            path,
            target,
        }))
    }

    async fn read(&self, name: &str) -> Result<Option<Blob>, StoreError> {
        let opened = match File::open(self.file(name)?).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let metadata = opened.metadata().await.map_err(|error| failed(&error))?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let bytes = stream::unfold(Some(opened), async |file| {
            let mut file = file?;
            let mut chunk = Vec::with_capacity(CHUNK_SIZE);
            match (&mut file)
                .take(CHUNK_SIZE as u64)
                .read_to_end(&mut chunk)
                .await
            {
                Ok(0) => None,
                Ok(_) => Some((Ok(Bytes::from(chunk)), Some(file))),
                Err(error) => Some((Err(failed(&error)), None)),
            }
        });
        Ok(Some(Blob {
            size: metadata.len(),
            bytes: bytes.boxed(),
        }))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (from, to, root) = (self.file(from)?, self.file(to)?, self.0.clone());
        let renamed = spawn_blocking(move || {
            put(&from, &to)?;
            remove_empty(&root, from.parent());
            Ok::<_, io::Error>(())
        });
        renamed
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let (file, root) = (self.file(name)?, self.0.clone());
        let removed = spawn_blocking(move || match std::fs::remove_file(&file) {
            Ok(()) => {
                remove_empty(&root, file.parent());
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        });
        removed
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }

    fn list(&self) -> BoxStream<'static, EntryResult> {
        self.walk(self.0.clone())
    }

    fn list_below(&self, folder: &str) -> BoxStream<'static, EntryResult> {
        match self.file(folder) {
            Ok(folder) => self.walk(folder),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<usize, StoreError> {
        let root = self.0.clone();
        let removed = spawn_blocking(move || remove_unfinished(&root, before));
        removed
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }
}

fn remove_unfinished(root: &Path, before: Timestamp) -> io::Result<usize> {
    let mut removed = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let is_unfinished = is_unfinished(&entry.file_name().to_string_lossy());
            if is_unfinished && time_of(metadata.modified()?) < before {
                match std::fs::remove_file(entry.path()) {
                    Ok(()) => removed += 1,
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if folder != root {
            // Fails, as intended, if the folder is not empty.
            let _ = std::fs::remove_dir(&folder);
        }
    }
    Ok(removed)
}

/// Checks whether a file has the name of an unfinished one: `NAME#NUMBER`.
fn is_unfinished(name: &str) -> bool {
    name.rsplit_once(UNFINISHED_MARK)
        .is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Creates the unfinished file of a writer; returns the file, its path and its final path.
fn create_unfinished(target: &Path) -> io::Result<(std::fs::File, PathBuf, PathBuf)> {
    let mut number: u64 = 0;
    let mut attempts = 0;
    loop {
        number += 1;
        let mut path = target.as_os_str().to_owned();
        path.push(format!("{UNFINISHED_MARK}{number}"));
        let path = PathBuf::from(path);
        if let Some(parent) = target.parent() {
            make_folder(parent)?;
        }
        match create(&path) {
            Ok(file) => return Ok((file, path, target.to_owned())),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // A concurrent call has removed the empty folder.
            Err(error) if error.kind() == ErrorKind::NotFound && attempts < MAX_ATTEMPTS => {
                attempts += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn create(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Renames a file, replacing the target if it exists, and syncs the target's folder.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    let parent = to.parent().unwrap_or(to);
    let mut attempts = 0;
    loop {
        make_folder(parent)?;
        match std::fs::rename(from, to) {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::NotFound && attempts < MAX_ATTEMPTS => {
                attempts += 1;
            }
            Err(error) => return Err(error),
        }
    }
    sync_folder(parent)
}

/// Creates a folder and its parents, readable by their owner alone, and syncs their names.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent()
        && !parent.as_os_str().is_empty()
    {
        make_folder(parent)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    match std::fs::File::open(folder) {
        Ok(opened) => opened.sync_all(),
        // The folder was removed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a folder and its parents below `root` as long as they are empty.
fn remove_empty(root: &Path, mut folder: Option<&Path>) {
    while let Some(empty) = folder.filter(|folder| *folder != root && folder.starts_with(root)) {
        if std::fs::remove_dir(empty).is_err() {
            return;
        }
        folder = empty.parent();
    }
}

/// Writer of an unfinished file, which is removed if the writer is dropped.
struct Writer {
    file: Option<File>,
    path: PathBuf,
    target: PathBuf,
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let Some(file) = &mut self.file else {
            return Err(StoreError::unavailable(
                "attachment store: the file is already finished",
            ));
        };
        file.write_all(&bytes).await.map_err(|error| failed(&error))
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let finished = self.finish_file().await;
        finished.map_err(|error| failed(&error))
    }

    async fn abort(self: Box<Self>) {}
}

impl Writer {
    async fn finish_file(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.flush().await?;
            file.sync_all().await?;
        }
        let (from, to) = (self.path.clone(), self.target.clone());
        spawn_blocking(move || put(&from, &to))
            .await
            .map_err(io::Error::other)??;
        self.file = None;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
