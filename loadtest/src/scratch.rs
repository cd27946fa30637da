//! Folders for a run's files, gone with the run.

use std::fs;
use std::path::Path;
use std::process;

use anyhow::{Context as _, Result};
use tempfile::{Builder, TempDir};

/// Makes a folder in `parent` that goes when it is dropped. Folders of runs that were killed before they could drop theirs go now.
///
/// # Errors
/// When `parent` cannot be written.
pub(crate) fn folder(parent: &Path) -> Result<TempDir> {
    sweep(parent);
    let prefix = format!("{PREFIX}{}-", process::id());
    Builder::new().prefix(&prefix).tempdir_in(parent).with_context(|| format!("making a folder in {}", parent.display()))
}

fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        // A process that has its number by now keeps the folder a little longer, which is safe.
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists()) {
            // Another run may sweep too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

const PREFIX: &str = "loadtest-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_go_and_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        // No process has this number: it is above the kernel's highest, 2^22.
        let dead = parent.path().join("loadtest-4194305-abc");
        let strange = parent.path().join("loadtest-results");
        let living = folder(parent.path()).unwrap();
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&strange).unwrap();
        let other = folder(parent.path()).unwrap();
        assert_eq!((dead.exists(), strange.exists(), living.path().exists()), (false, true, true));
        let path = other.path().to_owned();
        drop(other);
        assert!(!path.exists());
    }
}
