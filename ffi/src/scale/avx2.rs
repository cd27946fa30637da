//! Means of two samples, sixteen at a time.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_packs_epi16, _mm_set1_epi8, _mm_storeu_si128, _mm_xor_si128, _mm256_add_epi16,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_maddubs_epi16, _mm256_set_m128i, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_shuffle_epi8, _mm256_srai_epi16, _mm256_xor_si256,
};

use super::columns::Sixteen;

/// Makes a target row of a source row with sixteen spare bytes behind it.
#[target_feature(enable = "avx2")]
pub(super) fn write_pairs(sixteens: &[Sixteen], row: &[u8], out: &mut [u8]) {
    let (whole, rest) = out.as_chunks_mut::<16>();
    let (for_whole, for_rest) = sixteens.split_at(whole.len());
    for (sixteen, out) in for_whole.iter().zip(whole) {
        store(means(sixteen, row), out);
    }
    if let Some(sixteen) = for_rest.first() {
        let mut last = [0; 16];
        store(means(sixteen, row), &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn means(sixteen: &Sixteen, row: &[u8]) -> __m128i {
    let [low, high] = sixteen.starts.map(|start| row[start as usize..].first_chunk().expect("spare bytes behind the row"));
    let picked = _mm256_shuffle_epi8(_mm256_set_m128i(load(high), load(low)), load_wide(&sixteen.picks));
    // The instruction takes unsigned shares and signed samples: less 128, so that a sum is at least −128 · 256, which fits.
    let signed = _mm256_xor_si256(picked, _mm256_set1_epi8(-128));
    let sums = _mm256_maddubs_epi16(load_wide(&sixteen.shares), signed);
    let means = _mm256_srai_epi16::<8>(_mm256_add_epi16(sums, _mm256_set1_epi16(128)));
    let packed = _mm_packs_epi16(_mm256_castsi256_si128(means), _mm256_extracti128_si256::<1>(means));
    _mm_xor_si128(packed, _mm_set1_epi8(-128))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(from: &[u8; 16]) -> __m128i {
    // SAFETY: reads the 16 bytes of the array, which need no alignment.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_wide(from: &[u8; 32]) -> __m256i {
    // SAFETY: reads the 32 bytes of the array, which need no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(samples: __m128i, to: &mut [u8; 16]) {
    // SAFETY: writes the 16 bytes of the array, which need no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), samples) }
}
