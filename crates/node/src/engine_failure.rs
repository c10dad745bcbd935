//! What is said where an engine does not open or close.

use admin::failure::Failure;
use store::StoreError;

/// What is wrong, and what to do next.
pub fn failure(error: StoreError) -> Failure {
    use StoreError::{Corrupt, Fenced, Full, Io};
    let failure = Failure::new(error.to_string());
    match error {
        Full(_) => failure.hint(
            "make room on the disk: more than `engine.reserve_mib` has to be free. If its file \
             system has room, the device below it has none: make room there, unmount the file \
             system and mount it again, then start again",
        ),
        Io { .. } | Fenced(_) => failure.hint(
            "the kernel's log says what is wrong with the disk; once that is repaired, unmount \
             its file system and mount it again, then start again",
        ),
        Corrupt(_) => failure.hint(
            "if other regions have these buckets, promote them there and begin this region \
             anew; else `dhow scrub --salvage` opens it without the writes that were there",
        ),
        _ => failure,
    }
}
