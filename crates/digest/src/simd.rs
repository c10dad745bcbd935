//! MD5 of several streams in lockstep, one stream in each lane of a vector.
//!
//! MD5 is a chain of 64 dependent steps for each block, so one stream cannot use more than a
//! fraction of a core; vectors of 4, 8 or 16 words take as many streams for the time of one. The
//! path is chosen at run time: AVX-512 (with its rotation and three-way logic) where the processor
//! has it, else AVX2, else words. All paths give the same digests; the tests force each that the
//! machine has. Miri cannot run these intrinsics: it sees the path of words only.

#![allow(unsafe_code)]

use crate::rounds::{BLOCK, compress};

/// The most streams that any path takes in lockstep.
pub(crate) const LANES_MAX: usize = 16;

/// A way to hash several streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// One stream after another, on every processor.
    Portable,
    /// Eight lanes.
    Avx2,
    /// Four, eight or sixteen lanes, whatever fits the streams that wait.
    Avx512,
}

impl Path {
    /// Those that this processor has.
    pub fn available() -> Vec<Self> {
        [Self::Portable, Self::Avx2, Self::Avx512]
            .into_iter()
            .filter(|p| p.is_available())
            .collect()
    }
    /// The fastest that this processor has.
    pub fn best() -> Self {
        if Self::Avx512.is_available() {
            Self::Avx512
        } else if Self::Avx2.is_available() {
            Self::Avx2
        } else {
            Self::Portable
        }
    }
    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Self::Portable
    }
    /// How many streams one run takes.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Portable => 1,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }
}

/// One stream's part in a run.
pub(crate) struct Lane<'a> {
    pub(crate) state: [u32; 4],
    pub(crate) bytes: &'a [u8],
}

/// Takes the first `blocks` blocks of every lane in. At most `path.lanes()` lanes, each with at
/// least `blocks` blocks.
pub(crate) fn run(path: Path, lanes: &mut [Lane<'_>], blocks: usize) {
    assert!(lanes.len() <= LANES_MAX, "more lanes than a vector has");
    assert!(
        lanes.iter().all(|l| l.bytes.len() >= blocks * BLOCK),
        "a lane is too short"
    );
    #[cfg(target_arch = "x86_64")]
    if lanes.len() > 1 && blocks > 0 {
        debug_assert!(path.is_available());
        // SAFETY: `path` comes from `available` or `best`, which asked the processor for these
        // features; every lane has `blocks` whole blocks, as asserted above, and the number of
        // lanes fits the vector by the match.
        unsafe {
            match (path, lanes.len()) {
                (Path::Avx512, ..=4) => return x4::run(lanes, blocks),
                (Path::Avx512, ..=8) => return x8::run(lanes, blocks),
                (Path::Avx512, _) => return x16::run(lanes, blocks),
                (Path::Avx2, ..=8) => return x8_avx2::run(lanes, blocks),
                _ => {}
            }
        }
    }
    let _ = path;
    for lane in lanes {
        compress(&mut lane.state, &lane.bytes[..blocks * BLOCK]);
    }
}

/// Words `4 * quarter ..` of the same block of four lanes, turned so that each vector holds one
/// word of all four.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn turn(lanes: [*const u8; 4], offset: usize) -> [core::arch::x86_64::__m128i; 4] {
    use core::arch::x86_64::*;
    let [a, b, c, d] = lanes;
    // SAFETY: the caller vouches for 16 readable bytes at `offset` in every lane; the loads need
    // no alignment.
    let (a, b, c, d) = unsafe {
        (
            _mm_loadu_si128(a.add(offset).cast()),
            _mm_loadu_si128(b.add(offset).cast()),
            _mm_loadu_si128(c.add(offset).cast()),
            _mm_loadu_si128(d.add(offset).cast()),
        )
    };
    let ab = [_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)];
    let cd = [_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d)];
    [
        _mm_unpacklo_epi64(ab[0], cd[0]),
        _mm_unpackhi_epi64(ab[0], cd[0]),
        _mm_unpacklo_epi64(ab[1], cd[1]),
        _mm_unpackhi_epi64(ab[1], cd[1]),
    ]
}

/// The loop over blocks, the same for every vector. Neither it nor what it calls for each block
/// uses iterators or closures: those lack the vector's features and were not always inlined; then
/// calls to them took nearly half the time. Around it a module says what a vector is: `V`,
/// `LANES`, `add`, `set`, `f`, `g`, `h`, `i`, `rotate`, and `join`, which puts turned words of each
/// four lanes side by side.
#[cfg(target_arch = "x86_64")]
macro_rules! run_blocks {
    ($features:literal) => {
        macro_rules! step {
            ($f:ident, $a:ident, $b:ident, $c:ident, $d:ident, $w:expr, $k:literal, $s:literal) => {
                let x = add(add($a, add($w, set(u32::cast_signed($k)))), $f($b, $c, $d));
                $a = add(rotate::<$s, { 32 - $s }>(x), $b);
            };
        }

        /// # Safety
        /// The processor has the features, and every lane has `blocks` whole blocks.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn run(lanes: &mut [Lane<'_>], blocks: usize) {
            // Lanes without a stream repeat the first one, and their results are dropped.
            let mut from = [lanes[0].bytes.as_ptr(); LANES];
            let mut words = [[0u32; LANES]; 4];
            for (n, lane) in lanes.iter().enumerate() {
                from[n] = lane.bytes.as_ptr();
                for (word, value) in words.iter_mut().zip(lane.state) {
                    word[n] = value;
                }
            }
            // SAFETY: `V` is exactly `LANES` words, without padding, and any bits are valid.
            let [mut a, mut b, mut c, mut d]: [V; 4] = unsafe { core::mem::transmute(words) };
            for block in 0..blocks {
                let at = block * BLOCK;
                // SAFETY: within block `block` of every lane, which the caller vouches for.
                let (p, q, r, s) = unsafe {
                    (
                        join(&from, at),
                        join(&from, at + 16),
                        join(&from, at + 32),
                        join(&from, at + 48),
                    )
                };
                let w = [
                    p[0], p[1], p[2], p[3], q[0], q[1], q[2], q[3], r[0], r[1], r[2], r[3], s[0],
                    s[1], s[2], s[3],
                ];
                let before = [a, b, c, d];
                md5_rounds!(step, a, b, c, d, w);
                a = add(a, before[0]);
                b = add(b, before[1]);
                c = add(c, before[2]);
                d = add(d, before[3]);
            }
            // SAFETY: as above.
            let words: [[u32; LANES]; 4] = unsafe { core::mem::transmute([a, b, c, d]) };
            for (n, lane) in lanes.iter_mut().enumerate() {
                lane.state = [words[0][n], words[1][n], words[2][n], words[3][n]];
            }
        }
    };
}

/// Makes the module of one width of AVX-512: type, lanes, and the intrinsics of that width. The
/// numbers are the truth tables of the four functions.
#[cfg(target_arch = "x86_64")]
macro_rules! avx512 {
    ($name:ident, $v:ident, $lanes:literal, $add:ident, $set:ident, $logic:ident, $rol:ident,
     $join:ident) => {
        mod $name {
            use core::arch::x86_64::*;

            use super::{Lane, turn};
            use crate::rounds::{BLOCK, md5_rounds};

            type V = $v;
            const LANES: usize = $lanes;

            #[inline]
            #[target_feature(enable = "avx512f,avx512vl,avx2")]
            fn add(x: V, y: V) -> V {
                $add(x, y)
            }
            #[inline]
            #[target_feature(enable = "avx512f,avx512vl,avx2")]
            fn set(x: i32) -> V {
                $set(x)
            }
            #[inline]
            #[target_feature(enable = "avx512f,avx512vl,avx2")]
            fn f(b: V, c: V, d: V) -> V {
                $logic::<0xCA>(b, c, d)
            }
            #[inline]
            #[target_feature(enable = "avx512f,avx512vl,avx2")]
            fn g(b: V, c: V, d: V) -> V {
                $logic::<0xE4>(b, c, d)
            }
            #[inline]
            #[target_feature(enable = "avx512f,avx512vl,avx2")]
            fn h(b: V, c: V, d: V) -> V {
                $logic::<0x96>(b, c, d)
            }
            #[inline]
            #[target_feature(enable = "avx512f,avx512vl,avx2")]
            fn i(b: V, c: V, d: V) -> V {
                $logic::<0x39>(b, c, d)
            }
            #[inline]
            #[target_feature(enable = "avx512f,avx512vl,avx2")]
            fn rotate<const L: i32, const R: i32>(x: V) -> V {
                $rol::<L>(x)
            }
            /// # Safety
            /// 16 bytes are readable at `offset` in every lane.
            #[inline]
            #[target_feature(enable = "avx512f,avx512vl,avx2")]
            unsafe fn join(from: &[*const u8; LANES], offset: usize) -> [V; 4] {
                let mut turned = [[_mm_setzero_si128(); 4]; LANES / 4];
                let mut n = 0;
                while n < LANES / 4 {
                    let four = [
                        from[4 * n],
                        from[4 * n + 1],
                        from[4 * n + 2],
                        from[4 * n + 3],
                    ];
                    // SAFETY: the caller makes the same promise.
                    turned[n] = unsafe { turn(four, offset) };
                    n += 1;
                }
                [
                    $join!(turned, 0),
                    $join!(turned, 1),
                    $join!(turned, 2),
                    $join!(turned, 3),
                ]
            }
            run_blocks!("avx512f,avx512vl,avx2");
        }
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! join4 {
    ($turned:ident, $n:literal) => {
        $turned[0][$n]
    };
}
#[cfg(target_arch = "x86_64")]
macro_rules! join8 {
    ($turned:ident, $n:literal) => {
        _mm256_set_m128i($turned[1][$n], $turned[0][$n])
    };
}
#[cfg(target_arch = "x86_64")]
macro_rules! join16 {
    ($turned:ident, $n:literal) => {{
        let low = _mm256_set_m128i($turned[1][$n], $turned[0][$n]);
        let high = _mm256_set_m128i($turned[3][$n], $turned[2][$n]);
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }};
}

#[cfg(target_arch = "x86_64")]
avx512!(
    x4,
    __m128i,
    4,
    _mm_add_epi32,
    _mm_set1_epi32,
    _mm_ternarylogic_epi32,
    _mm_rol_epi32,
    join4
);
#[cfg(target_arch = "x86_64")]
avx512!(
    x8,
    __m256i,
    8,
    _mm256_add_epi32,
    _mm256_set1_epi32,
    _mm256_ternarylogic_epi32,
    _mm256_rol_epi32,
    join8
);
#[cfg(target_arch = "x86_64")]
avx512!(
    x16,
    __m512i,
    16,
    _mm512_add_epi32,
    _mm512_set1_epi32,
    _mm512_ternarylogic_epi32,
    _mm512_rol_epi32,
    join16
);

#[cfg(target_arch = "x86_64")]
mod x8_avx2 {
    use core::arch::x86_64::*;

    use super::{Lane, turn};
    use crate::rounds::{BLOCK, md5_rounds};

    type V = __m256i;
    const LANES: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(x: V, y: V) -> V {
        _mm256_add_epi32(x, y)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    fn set(x: i32) -> V {
        _mm256_set1_epi32(x)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    fn f(b: V, c: V, d: V) -> V {
        _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d)))
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    fn g(b: V, c: V, d: V) -> V {
        _mm256_or_si256(_mm256_andnot_si256(d, c), _mm256_and_si256(d, b))
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    fn h(b: V, c: V, d: V) -> V {
        _mm256_xor_si256(b, _mm256_xor_si256(c, d))
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    fn i(b: V, c: V, d: V) -> V {
        let not_d = _mm256_xor_si256(d, _mm256_set1_epi32(-1));
        _mm256_xor_si256(c, _mm256_or_si256(b, not_d))
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotate<const L: i32, const R: i32>(x: V) -> V {
        _mm256_or_si256(_mm256_slli_epi32::<L>(x), _mm256_srli_epi32::<R>(x))
    }
    /// # Safety
    /// 16 bytes are readable at `offset` in every lane.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn join(from: &[*const u8; LANES], offset: usize) -> [V; 4] {
        let [a, b, c, d, e, f, g, h] = *from;
        // SAFETY: the caller makes the same promise.
        let (low, high) = unsafe { (turn([a, b, c, d], offset), turn([e, f, g, h], offset)) };
        [
            _mm256_set_m128i(high[0], low[0]),
            _mm256_set_m128i(high[1], low[1]),
            _mm256_set_m128i(high[2], low[2]),
            _mm256_set_m128i(high[3], low[3]),
        ]
    }
    run_blocks!("avx2");
}
