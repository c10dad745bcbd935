//! Asking the kernel to begin writing to the disk.
#![allow(unsafe_code)]

use std::{ffi::c_int, fs::File, os::fd::AsRawFd};

unsafe extern "C" {
    fn sync_file_range(fd: c_int, offset: i64, nbytes: i64, flags: u32) -> c_int;
}

/// SYNC_FILE_RANGE_WRITE: begin, do not wait.
const BEGIN: u32 = 2;

/// Begins writing `len` bytes from `offset` to the disk. Only a hint: it promises nothing, and
/// whatever goes wrong shows at the sync.
pub(super) fn begin(file: &File, offset: u64, len: u64) {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return;
    };
    // SAFETY: the signature is the C library's on 64-bit Linux; no memory is passed, and the
    // descriptor is open for as long as `file` is borrowed.
    unsafe {
        sync_file_range(file.as_raw_fd(), offset, len, BEGIN);
    }
}
