//! Buffers that reads use again and again. A fresh buffer of this size comes from the kernel
//! page by page, which costs as much as the read itself.

use std::sync::Arc;

use parking_lot::Mutex;

use super::BLOCK_BYTES;

/// Sizes are one block times 1, 2, 4 and 8.
const CLASSES: usize = 4;

/// The most bytes that are idle in all classes together.
const IDLE_BYTES_MAX: usize = 8 << 20;

#[derive(Default)]
struct Idle {
    classes: [Vec<Vec<u8>>; CLASSES],
    bytes: usize,
}

/// The idle buffers.
#[derive(Default)]
pub(super) struct Pool(Mutex<Idle>);

/// A buffer on loan; goes back when it is dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    class: usize,
    pool: Arc<Pool>,
}

impl Pool {
    /// The largest buffer there is.
    pub(super) const BYTES_MAX: usize = BLOCK_BYTES << (CLASSES - 1);

    /// A buffer of at least `blocks` blocks, at most [`Self::BYTES_MAX`]. What it holds is left
    /// over from earlier use.
    pub(super) fn take(self: &Arc<Self>, blocks: usize) -> Buffer {
        let class = (blocks.max(1).next_power_of_two().trailing_zeros() as usize).min(CLASSES - 1);
        let len = BLOCK_BYTES << class;
        let idle = {
            let mut idle = self.0.lock();
            let bytes = idle.classes[class].pop();
            if bytes.is_some() {
                idle.bytes -= len;
            }
            bytes
        };
        Buffer {
            bytes: idle.unwrap_or_else(|| vec![0; len]),
            class,
            pool: self.clone(),
        }
    }
}

impl Buffer {
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut idle = self.pool.0.lock();
        if idle.bytes + bytes.len() <= IDLE_BYTES_MAX {
            idle.bytes += bytes.len();
            idle.classes[self.class].push(bytes);
        }
    }
}
