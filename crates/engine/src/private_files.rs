//! Files that only their owner can read (0600, in folders of 0700), whatever the process's
//! umask; and names that survive a loss of power, since their folders are synced. For adapters
//! and mains that keep files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Permissions of a file.
const FILE_MODE: u32 = 0o600;
/// Permissions of a folder.
const FOLDER_MODE: u32 = 0o700;
/// Permission bits of a mode.
const MODE_BITS: u32 = 0o7777;

/// Makes a folder, and those above it that are missing. Folders that exist stay as they are.
///
/// # Errors
/// When one of them cannot be made or synced.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = parent(folder);
    make_folder(parent)?;
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => {
            made?;
            // The umask may have taken bits that the owner needs.
            fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))?;
            sync_folder(parent)
        }
    }
}

/// Opens a file for writing, and makes it where there is none. Its content stays.
///
/// # Errors
/// When it cannot be made or synced.
pub fn open(file: &Path) -> io::Result<File> {
    let is_new = !file.exists();
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    let opened = options.mode(FILE_MODE).open(file)?;
    if is_new {
        opened.set_permissions(Permissions::from_mode(FILE_MODE))?;
        opened.sync_all()?;
        sync_folder(parent(file))?;
    }
    Ok(opened)
}

/// Takes what others may do with a file away, where it exists. Its owner alone can do that.
///
/// # Errors
/// When the permissions cannot be changed.
pub fn tighten(file: &Path) -> io::Result<()> {
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_symlink() => Ok(()),
        Ok(found) => {
            let wanted = if found.is_dir() {
                FOLDER_MODE
            } else {
                FILE_MODE
            };
            if found.permissions().mode() & MODE_BITS == wanted {
                return Ok(());
            }
            fs::set_permissions(file, Permissions::from_mode(wanted))
        }
    }
}

/// Takes what others may do with a folder and all that is in it away. The folder itself is
/// last: where it is private already, what is in it needs no look.
///
/// # Errors
/// When permissions cannot be changed.
pub fn tighten_all(folder: &Path) -> io::Result<()> {
    match fs::metadata(folder) {
        Ok(found) if found.permissions().mode() & MODE_BITS != FOLDER_MODE => tighten_tree(folder),
        _ => Ok(()),
    }
}

fn tighten_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let tightened = if entry.file_type()?.is_dir() {
            tighten_tree(&entry.path())
        } else {
            tighten(&entry.path())
        };
        match tightened {
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            tightened => tightened?,
        }
    }
    tighten(folder)
}

/// Syncs the names in a folder.
///
/// # Errors
/// When the folder cannot be synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder that a path is in.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        // The root.
        None => path,
    }
}
