//! One block of MD5 (RFC 1321, section 3.4), unrolled once for every kind of register: on words
//! here, on vectors in [`crate::simd`].

/// The 64 steps. `$step!(function, a, b, c, d, word, constant, rotation)` does one.
macro_rules! md5_rounds {
    ($step:ident, $a:ident, $b:ident, $c:ident, $d:ident, $w:ident) => {
        $step!(f, $a, $b, $c, $d, $w[0], 0xd76a_a478, 7);
        $step!(f, $d, $a, $b, $c, $w[1], 0xe8c7_b756, 12);
        $step!(f, $c, $d, $a, $b, $w[2], 0x2420_70db, 17);
        $step!(f, $b, $c, $d, $a, $w[3], 0xc1bd_ceee, 22);
        $step!(f, $a, $b, $c, $d, $w[4], 0xf57c_0faf, 7);
        $step!(f, $d, $a, $b, $c, $w[5], 0x4787_c62a, 12);
        $step!(f, $c, $d, $a, $b, $w[6], 0xa830_4613, 17);
        $step!(f, $b, $c, $d, $a, $w[7], 0xfd46_9501, 22);
        $step!(f, $a, $b, $c, $d, $w[8], 0x6980_98d8, 7);
        $step!(f, $d, $a, $b, $c, $w[9], 0x8b44_f7af, 12);
        $step!(f, $c, $d, $a, $b, $w[10], 0xffff_5bb1, 17);
        $step!(f, $b, $c, $d, $a, $w[11], 0x895c_d7be, 22);
        $step!(f, $a, $b, $c, $d, $w[12], 0x6b90_1122, 7);
        $step!(f, $d, $a, $b, $c, $w[13], 0xfd98_7193, 12);
        $step!(f, $c, $d, $a, $b, $w[14], 0xa679_438e, 17);
        $step!(f, $b, $c, $d, $a, $w[15], 0x49b4_0821, 22);
        $step!(g, $a, $b, $c, $d, $w[1], 0xf61e_2562, 5);
        $step!(g, $d, $a, $b, $c, $w[6], 0xc040_b340, 9);
        $step!(g, $c, $d, $a, $b, $w[11], 0x265e_5a51, 14);
        $step!(g, $b, $c, $d, $a, $w[0], 0xe9b6_c7aa, 20);
        $step!(g, $a, $b, $c, $d, $w[5], 0xd62f_105d, 5);
        $step!(g, $d, $a, $b, $c, $w[10], 0x0244_1453, 9);
        $step!(g, $c, $d, $a, $b, $w[15], 0xd8a1_e681, 14);
        $step!(g, $b, $c, $d, $a, $w[4], 0xe7d3_fbc8, 20);
        $step!(g, $a, $b, $c, $d, $w[9], 0x21e1_cde6, 5);
        $step!(g, $d, $a, $b, $c, $w[14], 0xc337_07d6, 9);
        $step!(g, $c, $d, $a, $b, $w[3], 0xf4d5_0d87, 14);
        $step!(g, $b, $c, $d, $a, $w[8], 0x455a_14ed, 20);
        $step!(g, $a, $b, $c, $d, $w[13], 0xa9e3_e905, 5);
        $step!(g, $d, $a, $b, $c, $w[2], 0xfcef_a3f8, 9);
        $step!(g, $c, $d, $a, $b, $w[7], 0x676f_02d9, 14);
        $step!(g, $b, $c, $d, $a, $w[12], 0x8d2a_4c8a, 20);
        $step!(h, $a, $b, $c, $d, $w[5], 0xfffa_3942, 4);
        $step!(h, $d, $a, $b, $c, $w[8], 0x8771_f681, 11);
        $step!(h, $c, $d, $a, $b, $w[11], 0x6d9d_6122, 16);
        $step!(h, $b, $c, $d, $a, $w[14], 0xfde5_380c, 23);
        $step!(h, $a, $b, $c, $d, $w[1], 0xa4be_ea44, 4);
        $step!(h, $d, $a, $b, $c, $w[4], 0x4bde_cfa9, 11);
        $step!(h, $c, $d, $a, $b, $w[7], 0xf6bb_4b60, 16);
        $step!(h, $b, $c, $d, $a, $w[10], 0xbebf_bc70, 23);
        $step!(h, $a, $b, $c, $d, $w[13], 0x289b_7ec6, 4);
        $step!(h, $d, $a, $b, $c, $w[0], 0xeaa1_27fa, 11);
        $step!(h, $c, $d, $a, $b, $w[3], 0xd4ef_3085, 16);
        $step!(h, $b, $c, $d, $a, $w[6], 0x0488_1d05, 23);
        $step!(h, $a, $b, $c, $d, $w[9], 0xd9d4_d039, 4);
        $step!(h, $d, $a, $b, $c, $w[12], 0xe6db_99e5, 11);
        $step!(h, $c, $d, $a, $b, $w[15], 0x1fa2_7cf8, 16);
        $step!(h, $b, $c, $d, $a, $w[2], 0xc4ac_5665, 23);
        $step!(i, $a, $b, $c, $d, $w[0], 0xf429_2244, 6);
        $step!(i, $d, $a, $b, $c, $w[7], 0x432a_ff97, 10);
        $step!(i, $c, $d, $a, $b, $w[14], 0xab94_23a7, 15);
        $step!(i, $b, $c, $d, $a, $w[5], 0xfc93_a039, 21);
        $step!(i, $a, $b, $c, $d, $w[12], 0x655b_59c3, 6);
        $step!(i, $d, $a, $b, $c, $w[3], 0x8f0c_cc92, 10);
        $step!(i, $c, $d, $a, $b, $w[10], 0xffef_f47d, 15);
        $step!(i, $b, $c, $d, $a, $w[1], 0x8584_5dd1, 21);
        $step!(i, $a, $b, $c, $d, $w[8], 0x6fa8_7e4f, 6);
        $step!(i, $d, $a, $b, $c, $w[15], 0xfe2c_e6e0, 10);
        $step!(i, $c, $d, $a, $b, $w[6], 0xa301_4314, 15);
        $step!(i, $b, $c, $d, $a, $w[13], 0x4e08_11a1, 21);
        $step!(i, $a, $b, $c, $d, $w[4], 0xf753_7e82, 6);
        $step!(i, $d, $a, $b, $c, $w[11], 0xbd3a_f235, 10);
        $step!(i, $c, $d, $a, $b, $w[2], 0x2ad7_d2bb, 15);
        $step!(i, $b, $c, $d, $a, $w[9], 0xeb86_d391, 21);
    };
}
pub(crate) use md5_rounds;

/// The state before the first block.
pub(crate) const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

// The four functions of RFC 1321. `g` adds where the RFC has "or": the two sides never have a bit
// in common, and the addition takes `b` one step later, which is what the chain waits for.
macro_rules! f {
    ($b:expr, $c:expr, $d:expr) => {
        (($c ^ $d) & $b) ^ $d
    };
}
macro_rules! g {
    ($b:expr, $c:expr, $d:expr) => {
        (!$d & $c).wrapping_add($d & $b)
    };
}
macro_rules! h {
    ($b:expr, $c:expr, $d:expr) => {
        ($c ^ $d) ^ $b
    };
}
macro_rules! i {
    ($b:expr, $c:expr, $d:expr) => {
        $c ^ ($b | !$d)
    };
}
macro_rules! step {
    ($f:ident, $a:ident, $b:ident, $c:ident, $d:ident, $w:expr, $k:literal, $s:literal) => {
        $a = $a
            .wrapping_add($w)
            .wrapping_add($k)
            .wrapping_add($f!($b, $c, $d))
            .rotate_left($s)
            .wrapping_add($b);
    };
}

/// Takes whole blocks in; what does not fill a block is left out.
pub(crate) fn compress(state: &mut [u32; 4], bytes: &[u8]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for block in bytes.chunks_exact(BLOCK) {
        let mut w = [0u32; 16];
        for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        let before = [a, b, c, d];
        md5_rounds!(step, a, b, c, d, w);
        a = a.wrapping_add(before[0]);
        b = b.wrapping_add(before[1]);
        c = c.wrapping_add(before[2]);
        d = d.wrapping_add(before[3]);
    }
    *state = [a, b, c, d];
}
