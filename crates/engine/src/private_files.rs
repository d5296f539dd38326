//! Files that only their owner can read (mode 0600, in folders of mode 0700), whatever the
//! process's umask. New names survive a power failure, because their folders are synced. Used by
//! adapters and programs that keep files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode of a file.
const FILE_MODE: u32 = 0o600;
/// Mode of a folder.
const FOLDER_MODE: u32 = 0o700;
/// Mask of the permission bits of a mode.
const MODE_BITS: u32 = 0o7777;

/// Creates a folder and its missing parents. Existing folders are not changed.
///
/// # Errors
/// When a folder cannot be created or synced.
pub fn create_dir_all(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = parent(folder);
    create_dir_all(parent)?;
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        created => {
            created?;
            // The umask may have cleared bits that the owner needs.
            fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))?;
            sync_dir(parent)
        }
    }
}

/// Opens a file for writing and creates it if it is missing. Existing content is kept.
///
/// # Errors
/// When the file cannot be opened, created or synced.
pub fn open(file: &Path) -> io::Result<File> {
    let is_new = !file.exists();
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    let opened = options.mode(FILE_MODE).open(file)?;
    if is_new {
        opened.set_permissions(Permissions::from_mode(FILE_MODE))?;
        opened.sync_all()?;
        sync_dir(parent(file))?;
    }
    Ok(opened)
}

/// Removes all permissions of other users from a file or folder, if it exists. Symbolic links are
/// ignored. Only the owner can do this.
///
/// # Errors
/// When the permissions cannot be changed.
pub fn restrict(file: &Path) -> io::Result<()> {
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_symlink() => Ok(()),
        Ok(metadata) => {
            let mode = if metadata.is_dir() {
                FOLDER_MODE
            } else {
                FILE_MODE
            };
            if metadata.permissions().mode() & MODE_BITS == mode {
                return Ok(());
            }
            fs::set_permissions(file, Permissions::from_mode(mode))
        }
    }
}

/// Removes all permissions of other users from a folder and its content. The folder itself comes
/// last: if it is private already, its content needs no check.
///
/// # Errors
/// When permissions cannot be changed.
pub fn restrict_all(folder: &Path) -> io::Result<()> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.permissions().mode() & MODE_BITS != FOLDER_MODE => {
            tighten_tree(folder)
        }
        _ => Ok(()),
    }
}

fn tighten_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let result = if entry.file_type()?.is_dir() {
            tighten_tree(&entry.path())
        } else {
            restrict(&entry.path())
        };
        match result {
            // The entry was removed in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    restrict(folder)
}

/// Syncs the directory entries of a folder.
///
/// # Errors
/// When the folder cannot be synced.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Returns the folder that contains a path.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        // The path is the root.
        None => path,
    }
}
