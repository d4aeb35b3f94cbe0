//! The folder that a subject serves, and the checksums that say it is intact.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A temporary folder with known files; gone when dropped.
#[derive(Debug)]
pub struct Tree {
    folder: TempDir,
}

impl Tree {
    /// An empty folder that any account of this machine may write to (a rival that switches to an
    /// unprivileged account must be able to).
    ///
    /// # Errors
    /// When there is no temporary folder to make it in.
    pub fn new() -> Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    /// The same below `parent`.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn new_in(parent: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portway-e2e-").tempdir_in(parent)?;
        open_up(folder.path())?;
        Ok(Self { folder })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of `name`, which may hold any octet, below the folder.
    #[must_use]
    pub fn at(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.path().join(OsStr::from_bytes(name.as_ref()))
    }

    /// Writes a file, with the folders above it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.at(name);
        let above = path.parent().context("a file needs a folder")?;
        fs::create_dir_all(above)?;
        if above != self.path() {
            open_up(above)?;
        }
        fs::write(&path, contents)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        Ok(path)
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn folder(&self, name: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.at(name);
        fs::create_dir_all(&path)?;
        open_up(&path)?;
        Ok(path)
    }

    /// Makes `count` files of up to 1 KiB in ten folders below `name`, no two alike.
    ///
    /// # Errors
    /// What the file system says.
    pub fn thousand(&self, name: &str, count: usize) -> Result<()> {
        self.folder(name)?;
        for i in 0..count {
            self.write(format!("{name}/d{}/f{i:04}", i % 10), bytes(i as u64 + 1, 1 + (i * 37) % 1024))?;
        }
        Ok(())
    }

    /// Makes a sparse file of `length` octets that holds a few octets of its own every 256 MiB and
    /// at its end, so that lost or moved pieces show.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sparse(&self, name: &str, length: u64) -> Result<PathBuf> {
        let path = self.write(name, b"")?;
        let file = fs::File::options().write(true).open(&path)?;
        file.set_len(length)?;
        for (i, offset) in
            (0..length.saturating_sub(64)).step_by(256 << 20).chain([length.saturating_sub(64)]).enumerate()
        {
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes(i as u64 + 77, 64), offset)?;
        }
        Ok(path)
    }

    /// The contents of a file.
    ///
    /// # Errors
    /// What the file system says, with the name.
    pub fn read(&self, name: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let path = self.at(name);
        fs::read(&path).with_context(|| path.display().to_string())
    }

    /// Whether something of that name is there.
    #[must_use]
    pub fn has(&self, name: impl AsRef<[u8]>) -> bool {
        fs::symlink_metadata(self.at(name)).is_ok()
    }

    /// The names in the folder, sorted, whatever they are.
    ///
    /// # Errors
    /// What the file system says.
    pub fn names(&self) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path())? {
            names.push(entry?.file_name().into_vec());
        }
        names.sort();
        Ok(names)
    }
}

fn open_up(folder: &Path) -> Result<()> {
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?)
}

/// `length` octets that look random, are the same for the same `seed`, and hold CR, LF, NUL and
/// 0xFF sooner or later.
#[must_use]
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Writing to a vector cannot fail.
        let _ = out.write_all(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// The SHA-256 of octets, in hexadecimal.
#[must_use]
pub fn sha256(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

/// The SHA-256 of every file below `folder`, by its path from there.
///
/// # Errors
/// What the file system says.
pub fn sums(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(here) = left.pop() {
        for entry in fs::read_dir(&here).with_context(|| here.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
                continue;
            }
            let mut contents = Vec::new();
            fs::File::open(&path)?.read_to_end(&mut contents)?;
            found.insert(path.strip_prefix(folder)?.to_path_buf(), sha256(&contents));
        }
    }
    Ok(found)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
