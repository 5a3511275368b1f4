//! The folder that is being filled, and the digests of what was put there.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::digest::sha256;

/// A folder that holds what was written through this value, and nothing else.
#[derive(Debug)]
pub struct Dist {
    folder: PathBuf,
    written: BTreeMap<String, String>,
}

impl Dist {
    /// An empty folder, in place of whatever was there: a file of an older release would be published with the new ones.
    ///
    /// # Errors
    /// When the folder cannot be emptied or made, in words.
    pub fn empty(folder: &Path) -> Result<Self, String> {
        match fs::remove_dir_all(folder) {
            Err(fault) if fault.kind() != ErrorKind::NotFound => return Err(format!("{}: {fault}", folder.display())),
            _ => {}
        }
        Ok(Self { folder: folder.to_owned(), written: BTreeMap::new() })
    }

    /// Writes a file, in a folder of its own where its path names one.
    ///
    /// # Errors
    /// When it cannot be written, in words.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), String> {
        let file = self.folder.join(path);
        let folder = file.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&file, bytes))
            .map_err(|fault| format!("{}: {fault}", file.display()))?;
        self.written.insert(path.to_owned(), sha256(bytes));
        Ok(())
    }

    /// Writes `SHA256SUMS` of everything that was written, as `sha256sum --check` reads it.
    ///
    /// # Errors
    /// When it cannot be written, in words.
    pub fn seal(mut self) -> Result<(), String> {
        let sums: String = self.written.iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect();
        self.write("SHA256SUMS", sums.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_older_release_stays_and_everything_new_is_in_the_sums() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("dist");
        let mut older = Dist::empty(&folder).unwrap();
        older.write("old/file", b"old").unwrap();
        let mut dist = Dist::empty(&folder).unwrap();
        dist.write("b/c", b"abc").unwrap();
        dist.write("a", b"").unwrap();
        dist.seal().unwrap();
        assert!(!folder.join("old").exists());
        assert_eq!(
            fs::read_to_string(folder.join("SHA256SUMS")).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b/c\n"
        );
    }
}
