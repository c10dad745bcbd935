//! Whether a data folder is the one that its last process wrote, or was written file by file from
//! another one, such as a backup. The file system gives each file a time of creation and a number
//! that no program chooses; a file in the folder says which of them it had itself. The file is made
//! anew all the time, so that a tool that writes only what differs writes it too.
//!
//! A disk or file system that was put back as a whole has the same files: that is not found out
//! here, but by what other regions remember (`link/starts.rs`).

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    time::UNIX_EPOCH,
};

use admin::{data_dir::DataDir, failure::Failure};
use serde::{Deserialize, Serialize};

const FILE: &str = "place.json";
const FORMAT: u32 = 1;

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    #[serde(rename = "v")]
    format: u32,
    /// When it was made, in nanoseconds since the epoch; unless the file system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_ns: Option<u64>,
    /// Its number in the file system, where the time is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

impl Mark {
    fn of(file: &Metadata) -> Self {
        let made = file.created().ok();
        let made = made.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let made_ns = made.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Self {
            format: FORMAT,
            made_ns,
            number: made_ns.is_none().then(|| file.ino()),
        }
    }
}

/// Whether the folder was copied since the last [`mark`]. A folder without a mark, of an earlier
/// release or just made, was not; one whose mark cannot be read may have been.
pub fn is_copy(dir: &DataDir) -> bool {
    let read = || -> io::Result<(Vec<u8>, Metadata)> {
        let path = dir.join(FILE);
        Ok((fs::read(&path)?, fs::metadata(&path)?))
    };
    match read() {
        Ok((text, file)) => {
            let mark = serde_json::from_slice::<Mark>(&text).ok();
            mark != Some(Mark::of(&file))
        }
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Marks the folder as the one that is written now.
///
/// # Errors
/// It cannot be written.
pub fn mark(dir: &DataDir) -> Result<(), Failure> {
    let (path, beside) = (dir.join(FILE), dir.join("place.json.new"));
    let write = || -> io::Result<()> {
        if let Err(error) = fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file: File = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&beside)?;
        let mark = Mark::of(&file.metadata()?);
        file.write_all(&serde_json::to_vec(&mark)?)?;
        // A mark that a power cut took would make a copy of the folder.
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_copied_is_one_until_it_is_marked_again() {
        let at = std::env::temp_dir().join(format!("dhow-places-{}", std::process::id()));
        let folder = |name: &str| {
            let path = at.join(name);
            fs::create_dir_all(&path).unwrap();
            (DataDir::new(&path), path)
        };
        let ((one, from), (other, to)) = (folder("one"), folder("other"));
        assert!(!is_copy(&one), "it is new");
        mark(&one).unwrap();
        assert!(!is_copy(&one));
        fs::copy(from.join(FILE), to.join(FILE)).unwrap();
        assert!(is_copy(&other) && !is_copy(&one));
        mark(&other).unwrap();
        assert!(!is_copy(&other));
        // Moved as a whole it is the same.
        fs::rename(&to, at.join("moved")).unwrap();
        assert!(!is_copy(&DataDir::new(&at.join("moved"))));
        fs::write(from.join(FILE), "{").unwrap();
        assert!(is_copy(&one));
        fs::remove_dir_all(&at).unwrap();
    }
}
