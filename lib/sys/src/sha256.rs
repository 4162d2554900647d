//! SHA-256 of bytes that two digests have in common: what is computed of the bytes alone is computed once, and the
//! processor, which is never done with one round when it could begin the next, works at both.

/// The words of a digest in the making (FIPS 180-4, 5.3.3).
type State = [u32; 8];

/// Takes the same blocks into two digests. False, and nothing is done, where the processor has no instructions for that.
pub fn sha256_both(states: [&mut State; 2], blocks: &[[u8; 64]]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("sha") && std::arch::is_x86_feature_detected!("sse4.1") {
        // SAFETY: The processor has what the function needs.
        unsafe { x86::both(states, blocks) };
        return true;
    }
    let _ = (states, blocks);
    false
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32,
        _mm_set_epi64x, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32,
    };

    use super::State;

    /// FIPS 180-4, 4.2.2, four to a row.
    const CONSTANTS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// A state as the instructions have it.
    #[derive(Clone, Copy)]
    struct Lane {
        abef: __m128i,
        cdgh: __m128i,
    }

    impl Lane {
        #[inline]
        #[target_feature(enable = "sha,sse4.1")]
        fn new(state: &State) -> Self {
            let [a, b, c, d, e, f, g, h] = *state;
            Self {
                abef: words([f, e, b, a]),
                cdgh: words([h, g, d, c]),
            }
        }

        #[inline]
        #[target_feature(enable = "sha,sse4.1")]
        fn state(self) -> State {
            let Self { abef, cdgh } = self;
            [
                _mm_extract_epi32::<3>(abef),
                _mm_extract_epi32::<2>(abef),
                _mm_extract_epi32::<3>(cdgh),
                _mm_extract_epi32::<2>(cdgh),
                _mm_extract_epi32::<1>(abef),
                _mm_extract_epi32::<0>(abef),
                _mm_extract_epi32::<1>(cdgh),
                _mm_extract_epi32::<0>(cdgh),
            ]
            .map(i32::cast_unsigned)
        }

        /// Four rounds; two of them for each half of what is to be added.
        #[inline]
        #[target_feature(enable = "sha,sse4.1")]
        fn rounds(&mut self, added: __m128i) {
            self.cdgh = _mm_sha256rnds2_epu32(self.cdgh, self.abef, added);
            self.abef = _mm_sha256rnds2_epu32(self.abef, self.cdgh, _mm_shuffle_epi32::<0x0e>(added));
        }

        #[inline]
        #[target_feature(enable = "sha,sse4.1")]
        fn add(&mut self, before: Self) {
            self.abef = _mm_add_epi32(self.abef, before.abef);
            self.cdgh = _mm_add_epi32(self.cdgh, before.cdgh);
        }
    }

    /// The first one lowest.
    #[inline]
    #[target_feature(enable = "sse4.1")]
    fn words(words: [u32; 4]) -> __m128i {
        let [a, b, c, d] = words;
        _mm_set_epi32(d.cast_signed(), c.cast_signed(), b.cast_signed(), a.cast_signed())
    }

    /// FIPS 180-4, 6.2.2. The loop has neither closures nor adaptors of iterators: those lack the features of the function
    /// that they are in, and where they are not inlined, that costs more than everything else here.
    #[target_feature(enable = "sha,sse4.1")]
    pub(super) fn both(states: [&mut State; 2], blocks: &[[u8; 64]]) {
        let [first, second] = states;
        let (mut one, mut other) = (Lane::new(first), Lane::new(second));
        for block in blocks {
            let before = (one, other);
            let mut message = load(block);
            for n in 0..16 {
                if n >= 4 {
                    schedule(&mut message, n % 4);
                }
                let added = _mm_add_epi32(message[n % 4], words(CONSTANTS[n]));
                one.rounds(added);
                other.rounds(added);
            }
            one.add(before.0);
            other.add(before.1);
        }
        (*first, *second) = (one.state(), other.state());
    }

    /// The sixteen words of a block, which are big-endian.
    #[inline]
    #[target_feature(enable = "sse4.1")]
    fn load(block: &[u8; 64]) -> [__m128i; 4] {
        let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let (parts, _) = block.as_chunks::<16>();
        let mut message = [order; 4];
        for n in 0..4 {
            // SAFETY: A part is 16 bytes long, and need not be aligned.
            let part = unsafe { _mm_loadu_si128(parts[n].as_ptr().cast()) };
            message[n] = _mm_shuffle_epi8(part, order);
        }
        message
    }

    /// The next four words of the message, in place of the first ones.
    #[inline]
    #[target_feature(enable = "sha,sse4.1")]
    fn schedule(message: &mut [__m128i; 4], first: usize) {
        let last = message[(first + 3) % 4];
        let sum = _mm_add_epi32(
            _mm_sha256msg1_epu32(message[first], message[(first + 1) % 4]),
            _mm_alignr_epi8::<4>(last, message[(first + 2) % 4]),
        );
        message[first] = _mm_sha256msg2_epu32(sum, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: State = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    #[test]
    fn both_are_what_each_would_be() {
        // "abc", padded: FIPS 180-4's own example.
        let mut block = [0; 64];
        block[..4].copy_from_slice(b"abc\x80");
        block[63] = 24;
        let abc = [
            0xba78_16bf,
            0x8f01_cfea,
            0x4141_40de,
            0x5dae_2223,
            0xb003_61a3,
            0x9617_7a9c,
            0xb410_ff61,
            0xf200_15ad,
        ];
        let (mut first, mut second) = (FIRST, abc);
        if !sha256_both([&mut first, &mut second], &[block]) {
            assert_eq!((first, second), (FIRST, abc));
            return;
        }
        assert_eq!(first, abc);
        let (mut again, mut other) = (abc, FIRST);
        sha256_both([&mut again, &mut other], &[block]);
        assert_eq!((again, other), (second, abc));
        // All at once, or one by one.
        let blocks: [[u8; 64]; 5] = std::array::from_fn(|n| [n as u8; 64]);
        let (mut together, mut single) = ([FIRST, abc], [FIRST, abc]);
        let [first, second] = &mut together;
        sha256_both([first, second], &blocks);
        for block in blocks {
            let [first, second] = &mut single;
            sha256_both([first, second], &[block]);
        }
        assert_eq!(together, single);
    }
}
