//! Reading everything that is kept, to find damage before a reader does.

use std::ops::ControlFlow;

use super::{Embedded, held::Held, memtable::Known, read, rows, segment::Step};
use crate::{StoreError, StoreResult};

/// Pieces of damage that are listed.
const DAMAGE_MAX: usize = 1000;
/// How often a page is read again because the index was just opened anew.
const BUSY_MAX: usize = 16;

/// Something that does not have its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The row's partition.
    pub partition: u64,
    /// The row's key.
    pub key: bytes::Bytes,
    /// What is wrong.
    pub what: String,
    /// What is damaged.
    pub kind: DamageKind,
}

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// The row's payload.
    Payload,
    /// Rows cannot be read: those from the key on or those before it.
    Index,
    /// The log's entries in a part of the journal. Rows and payloads are reported on their own.
    Log,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Rows read.
    pub rows: u64,
    /// Payloads read.
    pub payloads: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Damage found, at most 1000 pieces of it.
    pub damage: Vec<Damage>,
}

impl Embedded {
    /// Reads every row and every live payload; goes on behind damage. `progress` is called after
    /// about every 1000 rows and may stop it. Blocks; runs beside other work.
    pub fn verify(
        &self,
        mut progress: impl FnMut(&VerifyReport) -> ControlFlow<()>,
    ) -> StoreResult<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut start = Vec::new();
        loop {
            let (page, failed) = self.page(&start, false);
            for (key, held) in &page {
                self.look_at(key, held, &mut report);
            }
            if let Some((last, _)) = page.last() {
                start = last.clone();
                start.push(0);
            }
            let over = page.is_empty();
            if progress(&report).is_break() {
                return Ok(report);
            }
            if let Some(error) = failed {
                self.read_backwards(&start, &error, &mut report, &mut progress)?;
                break;
            }
            if over {
                break;
            }
        }
        self.look_at_frames(&mut report, &mut progress)?;
        Ok(report)
    }

    /// Reads the head of every frame: followers read their log there. Rows that are in memory only
    /// have been read back when they came from the journal.
    fn look_at_frames(
        &self,
        report: &mut VerifyReport,
        progress: &mut impl FnMut(&VerifyReport) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        let written = self.shared.progress.lock().applied.place;
        let segments = self.shared.segments.map.read().clone();
        for segment in segments.values() {
            let failed = |e| StoreError::io(format!("read {}", segment.path.display()), e);
            let upto = (written.segment == segment.id).then_some(written.offset);
            let mut offset = 0;
            loop {
                match segment.step(offset, upto).map_err(failed)? {
                    Step::End | Step::Gone => break,
                    Step::Frame(header, _) => offset = header.end(),
                    Step::Gap(gap) => {
                        report.add(
                            &[],
                            format!(
                                "{}: frames from {} to {}",
                                segment.path.display(),
                                gap.from,
                                gap.to
                            ),
                            DamageKind::Log,
                        );
                        offset = gap.to;
                    }
                }
            }
            if progress(report).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// About 1000 rows from `bound` on, or back from it, and what ended them before their time.
    fn page(&self, bound: &[u8], back: bool) -> (Vec<(Vec<u8>, Held)>, Option<StoreError>) {
        let mut page = Vec::new();
        // A read that failed elsewhere fails this one too, until the index is opened anew.
        for _ in 0..BUSY_MAX {
            if let Err(error) = self.shared.reopen_index() {
                return (page, Some(error));
            }
            page.clear();
            let snapshot = self.shared.view.read().rows.clone();
            let each = |key: &[u8], held| {
                page.push((key.to_vec(), held));
                page.len() < 1000
            };
            let scanned = if back {
                rows::scan_back(&snapshot, bound, each)
            } else {
                let end = vec![0xFF; 8 + crate::KEY_BYTES_MAX + 1];
                rows::scan(&snapshot, bound, &end, each)
            };
            match scanned {
                Ok(()) => return (page, None),
                Err(StoreError::Busy) => {}
                Err(error) => return (page, Some(error)),
            }
        }
        (page, Some(StoreError::Busy))
    }

    /// What is behind damage in the index is reached from the other end. Between the first place
    /// that cannot be read and the last, rows cannot be listed.
    fn read_backwards(
        &self,
        start: &[u8],
        error: &StoreError,
        report: &mut VerifyReport,
        progress: &mut impl FnMut(&VerifyReport) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        report.add(
            start,
            format!("from this key on: {error}"),
            DamageKind::Index,
        );
        let mut end = vec![0xFF; 8 + crate::KEY_BYTES_MAX + 1];
        loop {
            let (page, failed) = self.page(&end, true);
            for (key, held) in &page {
                if key[..] < *start {
                    return Ok(());
                }
                self.look_at(key, held, report);
            }
            if let Some((last, _)) = page.last() {
                end = last.clone();
            }
            if let Some(error) = &failed {
                // Nothing was read back from the end: then no key can be named.
                let known = end.len() < 8 + crate::KEY_BYTES_MAX + 1;
                let before = if known { &end[..] } else { &[] };
                report.add(
                    before,
                    format!("before this key, back from the end: {error}"),
                    DamageKind::Index,
                );
            }
            if failed.is_some() || page.is_empty() || progress(report).is_break() {
                return Ok(());
            }
        }
    }

    fn look_at(&self, key: &[u8], held: &Held, report: &mut VerifyReport) {
        report.rows += 1;
        let Some(loc) = held.payload.filter(|l| l.len > 0) else {
            return;
        };
        report.payloads += 1;
        report.bytes += u64::from(loc.len);
        let found = match self.shared.segments.get(loc.segment) {
            Some(segment) => read::read_now(&segment, loc).map(drop),
            None => Err(StoreError::Corrupt("its segment is gone".to_owned())),
        };
        if let Err(error) = found {
            self.judge(key, loc, &error, report);
        }
    }

    /// Damage counts if the row still has that payload.
    fn judge(
        &self,
        key: &[u8],
        loc: super::frame::Loc,
        error: &StoreError,
        report: &mut VerifyReport,
    ) {
        let known = self.shared.view.read().lookup(key);
        let now = match known {
            Known::Here(slot) => slot,
            Known::Ask(snapshot) => rows::get(&snapshot, key).ok().flatten(),
        };
        if now.is_some_and(|row| row.payload == Some(loc)) {
            report.add(key, error.to_string(), DamageKind::Payload);
        }
    }
}

impl VerifyReport {
    fn add(&mut self, key: &[u8], what: String, kind: DamageKind) {
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(Damage {
                partition: u64::from_be_bytes(*key.first_chunk().unwrap_or(&[0xFF; 8])),
                key: bytes::Bytes::copy_from_slice(key.get(8..).unwrap_or_default()),
                what,
                kind,
            });
        }
    }
}
