//! Reading everything that is kept, to find damage before a reader does.

use std::ops::ControlFlow;

use super::{Embedded, memtable::Known, read, rows};
use crate::{StoreError, StoreResult};

/// Something that does not have its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The row's partition.
    pub partition: u64,
    /// The row's key.
    pub key: bytes::Bytes,
    /// What is wrong.
    pub what: String,
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
    /// Reads every row and every live payload. `progress` is told after each about 1000 rows and
    /// may stop it. Blocks; runs beside other work.
    pub fn verify(
        &self,
        mut progress: impl FnMut(&VerifyReport) -> ControlFlow<()>,
    ) -> StoreResult<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut start = Vec::new();
        let end = vec![0xFF; 8 + crate::KEY_BYTES_MAX + 1];
        // Rows that are in memory only have been read back when they came from the journal.
        let snapshot = self.shared.view.read().rows.clone();
        loop {
            let mut page = Vec::new();
            rows::scan(&snapshot, &start, &end, |key, held| {
                page.push((key.to_vec(), held));
                page.len() < 1000
            })?;
            let Some((last, _)) = page.last() else { break };
            start = last.clone();
            start.push(0);
            for (key, held) in &page {
                report.rows += 1;
                let Some(loc) = held.payload.filter(|l| l.len > 0) else {
                    continue;
                };
                report.payloads += 1;
                report.bytes += u64::from(loc.len);
                let found = match self.shared.segments.get(loc.segment) {
                    Some(segment) => read::read_now(&segment, loc).map(drop),
                    None => Err(StoreError::Corrupt("its segment is gone".to_owned())),
                };
                if let Err(error) = found {
                    self.judge(key, loc, &error, &mut report);
                }
            }
            if progress(&report).is_break() {
                break;
            }
        }
        Ok(report)
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
        if now.is_some_and(|row| row.payload == Some(loc)) && report.damage.len() < 1000 {
            report.damage.push(Damage {
                partition: u64::from_be_bytes(*key.first_chunk().unwrap_or(&[0; 8])),
                key: bytes::Bytes::copy_from_slice(&key[8..]),
                what: error.to_string(),
            });
        }
    }
}
