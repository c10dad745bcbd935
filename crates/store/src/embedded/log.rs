//! The change log, read from the journal itself.

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::{
    Embedded,
    frame::{self, Op},
};
use crate::{Log, LogEntry, LogPage, PartitionId, Position, StoreError, StoreResult};

/// How much journal one page may read: a follower of a quiet partition comes again.
const READ_BYTES_MAX: u64 = 64 << 20;

impl Embedded {
    /// The entries at and before this position may be gone; a follower that has not read them is
    /// seeded anew. Segments are used again in any order, so the log reaches back as far as they
    /// follow one another without a gap.
    pub fn log_floor(&self) -> StoreResult<Position> {
        let map = self.shared.segments.map.read().clone();
        let mut first = None;
        for (id, segment) in map.iter().rev() {
            if first.as_ref().is_some_and(|(after, _)| id + 1 != *after) {
                break;
            }
            first = Some((*id, segment));
        }
        let Some((_, segment)) = first.filter(|(id, _)| *id > 1) else {
            return Ok(Position(0));
        };
        let failed = |e| StoreError::io(format!("read {}", segment.path.display()), e);
        let head = segment.read_head(0).map_err(failed)?;
        Ok(Position(head.map_or(0, |(h, _)| h.first - 1)))
    }

    fn read_log(&self, partition: u64, after: u64, limit: usize) -> StoreResult<LogPage> {
        let shared = &self.shared;
        let published = shared.published.load(Ordering::Acquire);
        let map = shared.segments.map.read().clone();
        let mut page = LogPage {
            entries: Vec::new(),
            next: Position(after),
        };
        let mut budget = READ_BYTES_MAX;
        'all: for (id, segment) in &map {
            let failed = |e| StoreError::io(format!("read {}", segment.path.display()), e);
            if let Some(next) = map.get(&(id + 1))
                && let Some((header, _)) = next.read_head(0).map_err(failed)?
                && header.first <= after + 1
            {
                continue;
            }
            let mut offset = segment.offset_before(after);
            while let Some((header, meta)) = segment.read_head(offset).map_err(failed)? {
                let read = header.head_len() as u64;
                offset = header.end();
                if header.last <= after {
                    continue;
                }
                let commits = frame::parse_meta(meta).ok_or_else(|| {
                    StoreError::Corrupt(format!("{} at {offset}", segment.path.display()))
                })?;
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
        let floor = self.log_floor()?;
        Ok(Position(floor.0.max(trimmed.unwrap_or(0))))
    }

    async fn trim(&self, partition: PartitionId, up_to: Position) -> StoreResult<()> {
        let mut trimmed = self.shared.trimmed.lock();
        let floor = trimmed.entry(partition.0).or_default();
        *floor = up_to.0.max(*floor);
        Ok(())
    }
}
