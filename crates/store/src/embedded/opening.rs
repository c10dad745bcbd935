//! The steps of an opening, in their order.

use std::{path::PathBuf, sync::Arc, thread::JoinHandle};

use types::{Random, SystemRandom};

use super::{
    EmbeddedConfig,
    ballast::Ballast,
    committer::{Committer, Group},
    disk::Disk,
    maintenance,
    memtable::View,
    openings::Openings,
    recovery,
    rows::{Identity, Marker, Rows},
    segment::{Sealed, Segment},
    segments::{Kinds, Segments},
    shared::{Progress, Shared},
};
use crate::{StoreError, StoreResult};

/// Why the engine was fenced, as far as it could still be written.
pub(super) const FENCED: &str = "fenced";

/// The threads of an engine: the committer and the maintenance.
pub(super) type Threads = (JoinHandle<()>, JoinHandle<()>);

/// What is in the folder before its journal is read.
struct Files {
    journal: PathBuf,
    ballast: Arc<Ballast>,
    rows: Rows,
}

/// Opens the folder of `config` and begins the threads.
pub(super) fn open(disk: Disk, config: EmbeddedConfig) -> StoreResult<(Arc<Shared>, Threads)> {
    let Files {
        journal,
        ballast,
        rows,
    } = find(&disk, &config)?;
    report_fence(&disk, &config);
    let Identity {
        kinds,
        mut openings,
        noted,
    } = rows.identity()?;
    let (marker, live) = rows.marker()?;
    let marker = marker.unwrap_or_default();
    let random: &dyn Random = &SystemRandom;
    // Until now no frame had a secret.
    let is_older = kinds.is_none();
    let mut kinds = kinds.unwrap_or_else(|| Kinds::new(random));
    let mut segments = Segments::open(
        journal,
        config.segment_bytes,
        disk,
        kinds.clone(),
        config.reserve_bytes,
        ballast.clone(),
    )?;
    let found = read_journal(&segments, marker, &openings, config.salvage)?;
    let mut end = found.end;
    if is_older {
        kinds.keyed_from = end.place.segment + 1;
        segments.set_kinds(kinds.clone());
    }
    let base = openings.begin(end.sequence, found.lost.is_some(), random);
    with_room(&ballast, || {
        let begun = rows.begin(&kinds, &openings);
        if begun.is_err() {
            // After a failed call redb makes no more of them.
            rows.reopen()?;
        }
        begun
    })?;
    recovery::learn(&segments, &noted, end)?;
    let view = View {
        active: found.mem,
        frozen: None,
        rows: rows.snapshot()?,
    };
    let segment = last_segment(&segments, &kinds, end)?;
    if segment.id != end.place.segment {
        end.place.segment = segment.id;
        end.place.offset = 0;
    }
    let progress = Progress {
        applied: end,
        frozen: marker,
        checkpoint: marker,
        durable: end.place,
        live,
    };
    let shared = Arc::new(Shared::new(
        config, segments, rows, view, progress, openings, base,
    ));
    if let Some(lost) = found.lost {
        shared.raise_floor(lost);
    }
    shared.looks_for_room();
    end.sequence = base;
    let threads = start(&shared, segment, end)?;
    Ok((shared, threads))
}

/// Makes what is missing of the folder, and opens the index.
fn find(disk: &Disk, config: &EmbeddedConfig) -> StoreResult<Files> {
    let dir = &config.dir;
    let failed = |what: &str, e| StoreError::io(format!("{what} {}", dir.display()), e);
    let journal = dir.join("journal");
    let folder = &*disk.folder;
    let made = folder
        .make_dir(dir)
        .and_then(|()| folder.make_dir(&journal));
    made.map_err(|e| failed("create", e))?;
    // An earlier process may have ended between giving a name and making it durable.
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    for named in [parent, Some(dir.as_path()), Some(journal.as_path())] {
        let synced = named.map_or(Ok(()), |named| disk.sync_dir(named));
        synced.map_err(|e| failed("sync the names in", e))?;
    }
    let ballast = Ballast::find(disk, dir, config.reserve_bytes);
    let names = folder.list(&journal).map_err(|e| failed("list", e))?;
    let is_new = !names.iter().any(|name| name.ends_with(".seg"));
    if is_new && config.must_exist {
        let journal = journal.display();
        return Err(StoreError::Corrupt(format!(
            "{journal}: its segments are gone"
        )));
    }
    let index = dir.join("index.redb");
    let rows = with_room(&ballast, || {
        Rows::open(disk, &index, config.cache_bytes, is_new)
    })?;
    Ok(Files {
        journal,
        ballast,
        rows,
    })
}

/// Reads the journal from the disk, and cuts off what no write finished.
fn read_journal(
    segments: &Segments,
    marker: Marker,
    openings: &Openings,
    salvage: bool,
) -> StoreResult<recovery::Replayed> {
    recovery::read_from_disk(segments, marker)?;
    let found = recovery::replay(segments, marker, openings, salvage)?;
    if found.torn {
        tracing::info!(
            segment = found.end.place.segment,
            offset = found.end.place.offset,
            "cut off an unfinished write"
        );
        recovery::cut(segments, found.end.place)?;
    }
    Ok(found)
}

/// Tries again with room that was kept back, while there is some, where the disk is full.
fn with_room<T>(ballast: &Ballast, mut attempt: impl FnMut() -> StoreResult<T>) -> StoreResult<T> {
    loop {
        match attempt() {
            Err(StoreError::Full(_)) if ballast.release() => {}
            done => return done,
        }
    }
}

/// The segment that is written to next: the last one, unless it has frames of an earlier version or
/// lost its room and there is none on the disk.
fn last_segment(segments: &Segments, kinds: &Kinds, end: Marker) -> StoreResult<Arc<Segment>> {
    let Some(last) = segments.get(end.place.segment) else {
        return segments.activate(kinds.keyed_from.max(1), end.sequence, true);
    };
    let next = || {
        let next = segments.activate(last.id + 1, end.sequence, true)?;
        // Only now: readers look for nothing behind the end of a segment that was left.
        let _ = last.sealed.set(Sealed {
            end: end.place.offset,
            last: end.sequence,
        });
        Ok(next)
    };
    if last.id < kinds.keyed_from {
        return next();
    }
    if segments.allocate(&last)? {
        return Ok(last);
    }
    match next() {
        // There is no other either: writes answer that the disk is full.
        Err(StoreError::Full(_)) => Ok(last),
        found => found,
    }
}

/// Says that the engine was fenced when it was last open.
fn report_fence(disk: &Disk, config: &EmbeddedConfig) {
    let path = config.dir.join(FENCED);
    if disk.is_there(&path).unwrap_or(false) {
        tracing::warn!(
            "the engine had been fenced after a failed write or sync; it opens with what the disk \
             has"
        );
        let _ = disk.folder.remove(&path);
    }
}

fn start(shared: &Arc<Shared>, segment: Arc<Segment>, end: Marker) -> StoreResult<Threads> {
    let committer = Committer {
        shared: shared.clone(),
        segment,
        place: end.place,
        synced: end.place,
        before: end.before,
        sequence: end.sequence,
        group: Group::default(),
        room: (None, true),
    };
    let behind = shared.clone();
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let shared = shared.clone();
        let guarded = move || {
            // Without this thread nobody would answer those who wait.
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            if ended.is_err() {
                shared.give_up();
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(guarded)
            .map_err(|e| StoreError::io("start a thread", e))
    };
    Ok((
        spawn("journal", Box::new(move || committer.run()))?,
        spawn("checkpoint", Box::new(move || maintenance::run(&behind)))?,
    ))
}
