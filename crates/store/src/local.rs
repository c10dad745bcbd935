//! The engine on this machine's disk: rows and log in a journal with an index, extents in files.

use std::{ops::ControlFlow, sync::Arc};

use crate::{
    Damage, Damaged, Engine, Figure, Health, PartitionId, Position, Room, StoreResult, Upkeep,
    Verified,
    embedded::{self, Embedded, EmbeddedConfig},
    extents::{self, Extents, ExtentsConfig},
};

/// Both parts, open.
pub struct Local {
    rows: Arc<Embedded>,
    extents: Arc<Extents>,
}

impl Local {
    /// Opens or makes both.
    ///
    /// # Errors
    /// As [`Embedded::open`] and [`Extents::open`].
    pub fn open(rows: EmbeddedConfig, extents: ExtentsConfig) -> StoreResult<Arc<Self>> {
        Ok(Arc::new(Self {
            rows: Embedded::open(rows)?,
            extents: Extents::open(extents)?,
        }))
    }

    /// The traits of the two.
    pub fn engine(&self) -> Engine {
        Engine {
            index: self.rows.clone(),
            log: self.rows.clone(),
            blobs: self.extents.clone(),
        }
    }
}

impl Upkeep for Local {
    fn health(&self) -> Health {
        let (fenced, full) = self.rows.standing();
        Health {
            fenced: fenced.or_else(|| self.extents.fenced().map(str::to_owned)),
            full,
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let stats = self.rows.stats();
        let figure = |name, help, value| Figure { name, help, value };
        vec![
            figure(
                "engine_commits",
                "Batches committed since start.",
                stats.commits,
            ),
            figure(
                "engine_syncs",
                "Syncs of the journal since start.",
                stats.syncs,
            ),
            figure(
                "journal_segments",
                "Segments of the journal.",
                stats.segments,
            ),
            figure(
                "journal_bytes",
                "Bytes of the journal's segments.",
                stats.segment_bytes,
            ),
            figure(
                "journal_live_bytes",
                "Bytes of small objects in them.",
                stats.live_bytes,
            ),
            figure(
                "memtable_bytes",
                "Bytes of rows not yet in the index.",
                stats.memtable_bytes,
            ),
            figure(
                "engine_damaged_parts",
                "Parts of the journal that cannot be read, as far as they were met.",
                stats.damaged,
            ),
        ]
    }

    fn room(&self) -> StoreResult<Option<Room>> {
        let stats = self.extents.stats()?;
        Ok(Some(Room {
            free_bytes: stats.free_bytes,
            total_bytes: stats.total_bytes,
        }))
    }

    fn last_commit(&self) -> Position {
        Position(self.rows.log_end())
    }

    fn gave(&self, position: Position) -> bool {
        self.rows.gave(position.0)
    }

    fn verify(
        &self,
        progress: &mut dyn FnMut(&Verified) -> ControlFlow<()>,
    ) -> StoreResult<Vec<Damage>> {
        // What is read is what the index refers to: also rows that were written a moment ago.
        self.rows.checkpoint();
        let mut verified = Verified {
            part: "journal",
            bytes_total: self.rows.stats().live_bytes + self.extents.bytes()?,
            ..Verified::default()
        };
        let mut ended = progress(&verified).is_break();
        let mut damage = Vec::new();
        if ended {
            return Ok(damage);
        }
        let report = self.rows.verify(|rows| {
            (verified.items, verified.bytes) = (rows.rows, rows.bytes);
            let goes_on = progress(&verified);
            ended = goes_on.is_break();
            goes_on
        })?;
        damage.extend(report.damage.into_iter().map(of_rows));
        if ended {
            return Ok(damage);
        }
        let (items, bytes) = (report.rows, report.bytes);
        verified.part = "extents";
        let report = self.extents.verify(&mut |extents| {
            verified.items = items + extents.extents;
            verified.bytes = bytes + extents.bytes;
            progress(&verified).is_continue()
        })?;
        damage.extend(report.damaged.into_iter().map(of_extent));
        Ok(damage)
    }

    fn close(&self) -> StoreResult<()> {
        self.rows.close()
    }
}

fn of_rows(damage: embedded::Damage) -> Damage {
    let (partition, key) = (PartitionId(damage.partition), damage.key);
    Damage {
        of: match damage.kind {
            embedded::DamageKind::Payload => Damaged::Payload(partition, key),
            embedded::DamageKind::Index => Damaged::Rows(partition, key),
            embedded::DamageKind::Log => Damaged::Log,
        },
        what: damage.what,
    }
}

fn of_extent(damage: extents::Damage) -> Damage {
    Damage {
        of: match damage.kind {
            extents::DamageKind::Unfinished => Damaged::Unfinished(damage.id),
            _ => Damaged::Extent(damage.id),
        },
        what: format!("{:?}", damage.kind),
    }
}
