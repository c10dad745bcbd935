//! The change log, read from the journal itself.

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::{
    Embedded,
    frame::{self, Op},
    segment::{Segment, Step},
};
use crate::{Log, LogEntry, LogPage, PartitionId, Position, Reach, StoreError, StoreResult};

/// How much journal one page may read: a follower of a quiet partition comes again.
const READ_BYTES_MAX: u64 = 64 << 20;

impl Embedded {
    /// The entries at and before this position may be gone; a follower that has not read them is
    /// seeded anew. Segments are used again in any order, so the log reaches back as far as they
    /// follow one another without a gap, and without damage.
    pub fn log_floor(&self) -> Position {
        let shared = &self.shared;
        let map = shared.segments.map.read();
        let mut first = None;
        for (id, segment) in map.iter().rev() {
            if first.as_ref().is_some_and(|(after, _)| id + 1 != *after) {
                break;
            }
            first = Some((*id, segment));
        }
        let base = match first.filter(|(id, _)| *id > 1) {
            Some((_, segment)) => segment.base.get().copied(),
            None => Some(0),
        };
        // Each segment in service has one.
        let base = base.unwrap_or_else(|| shared.published.load(Ordering::Acquire));
        Position(base.max(shared.lost()))
    }

    /// Damage hides the entries after `after`, up to `last`: who still needs them is seeded anew.
    fn lose(&self, segment: &Segment, last: u64) -> StoreError {
        self.shared.raise_floor(last);
        StoreError::Corrupt(format!(
            "{}: entries of the log up to {last} are lost",
            segment.path.display()
        ))
    }

    fn read_log(&self, partition: u64, after: u64, limit: usize) -> StoreResult<LogPage> {
        let shared = &self.shared;
        let published = shared.published.load(Ordering::Acquire);
        // Asked after that: all that is published is written up to here.
        let written = shared.progress.lock().applied.place;
        let map = shared.segments.map.read().clone();
        let mut page = LogPage {
            entries: Vec::new(),
            next: Position(after),
        };
        let mut budget = READ_BYTES_MAX;
        'all: for segment in map.values() {
            let sealed = segment.sealed.get();
            if sealed.is_some_and(|sealed| sealed.last <= after) {
                continue;
            }
            let failed = |e| StoreError::io(format!("read {}", segment.path.display()), e);
            let upto = (written.segment == segment.id).then_some(written.offset);
            let mut offset = segment.offset_before(after);
            loop {
                let (header, meta) = match segment.step(offset, upto).map_err(failed)? {
                    Step::End => break,
                    // The floor is above it now, and whoever asks for the log compares with that.
                    Step::Gone => break 'all,
                    Step::Frame(header, meta) => (header, meta),
                    Step::Gap(gap) => {
                        let behind = gap.next.map(|first| first - 1);
                        let last = behind.or(sealed.map(|s| s.last)).unwrap_or(published);
                        if after < last {
                            // What is before the damage is handed out first.
                            if page.next.0 > after {
                                break 'all;
                            }
                            return Err(self.lose(segment, last));
                        }
                        offset = gap.to;
                        continue;
                    }
                };
                let read = header.head_len() as u64;
                offset = header.end();
                if header.last <= after {
                    continue;
                }
                let commits =
                    frame::parse_meta(meta).ok_or_else(|| self.lose(segment, header.last))?;
                for commit in commits.into_iter().filter(|c| c.sequence > after) {
                    if commit.sequence > published || page.entries.len() >= limit.max(1) {
                        break 'all;
                    }
                    page.next = Position(commit.sequence);
                    if commit.partition == partition {
                        let entries = commit.ops.into_iter().filter_map(|op| match op {
                            Op::Log { entry } => Some(LogEntry {
                                position: Position(commit.sequence),
                                entry: bytes::Bytes::copy_from_slice(&entry),
                            }),
                            _ => None,
                        });
                        page.entries.extend(entries);
                    }
                }
                if budget < read && !page.entries.is_empty() {
                    break 'all;
                }
                budget = budget.saturating_sub(read);
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl Log for Embedded {
    async fn read(
        &self,
        partition: PartitionId,
        after: Position,
        limit: usize,
    ) -> StoreResult<LogPage> {
        let trimmed = self.shared.trimmed.lock().get(&partition.0).copied();
        let after = after.0.max(trimmed.unwrap_or(0));
        self.read_log(partition.0, after, limit)
    }

    async fn floor(&self, partition: PartitionId) -> StoreResult<Position> {
        let trimmed = self.shared.trimmed.lock().get(&partition.0).copied();
        Ok(Position(self.log_floor().0.max(trimmed.unwrap_or(0))))
    }

    /// All partitions share one log, and so its end.
    fn end(&self, partition: PartitionId) -> Position {
        let trimmed = self.shared.trimmed.lock().get(&partition.0).copied();
        Position(self.log_end().max(trimmed.unwrap_or(0)))
    }

    async fn reach(&self, partition: PartitionId, position: Position) -> StoreResult<Reach> {
        if !self.shared.gave(position.0) {
            return Ok(Reach::NeverGiven);
        }
        Ok(match position < self.floor(partition).await? {
            true => Reach::Trimmed,
            false => Reach::Here,
        })
    }

    async fn trim(&self, partition: PartitionId, up_to: Position) -> StoreResult<()> {
        let mut trimmed = self.shared.trimmed.lock();
        let floor = trimmed.entry(partition.0).or_default();
        *floor = up_to.0.max(*floor);
        Ok(())
    }
}
