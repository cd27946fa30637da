//! [`Pair::convert`], thirty-two columns at a time.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_storeu_si128, _mm_unpackhi_epi16, _mm_unpacklo_epi16, _mm256_add_epi8, _mm256_add_epi16, _mm256_avg_epu8,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_hadd_epi16, _mm256_loadu_si256,
    _mm256_maddubs_epi16, _mm256_packs_epi16, _mm256_permutevar8x32_epi32, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_setr_epi32, _mm256_shuffle_ps, _mm256_srai_epi16, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::pair::{BLUE, LUMA, Pair, RED};

/// The fewest columns that it can convert.
pub(super) const COLUMNS: usize = 32;

/// Converts a pair of at least [`COLUMNS`] columns. What is left after the whole blocks is converted as one that overlaps the last.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn convert(pair: &mut Pair<'_>) {
    let Pair { from: [upper, lower], luma: [upper_luma, lower_luma], chroma: [blue, red] } = pair;
    let from = upper.as_chunks().0.iter().zip(lower.as_chunks().0);
    let luma = upper_luma.as_chunks_mut().0.iter_mut().zip(lower_luma.as_chunks_mut().0);
    let chroma = blue.as_chunks_mut().0.iter_mut().zip(red.as_chunks_mut().0);
    for ((from, luma), chroma) in from.zip(luma).zip(chroma) {
        convert_block([from.0, from.1], [luma.0, luma.1], [chroma.0, chroma.1]);
    }
    if upper_luma.len().is_multiple_of(COLUMNS) {
        return;
    }
    let from = (upper.last_chunk(), lower.last_chunk());
    let luma = (upper_luma.last_chunk_mut(), lower_luma.last_chunk_mut());
    let chroma = (blue.last_chunk_mut(), red.last_chunk_mut());
    if let ((Some(upper), Some(lower)), (Some(upper_luma), Some(lower_luma)), (Some(blue), Some(red))) = (from, luma, chroma) {
        convert_block([upper, lower], [upper_luma, lower_luma], [blue, red]);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn convert_block(from: [&[u8; COLUMNS * 4]; 2], luma: [&mut [u8; COLUMNS]; 2], chroma: [&mut [u8; COLUMNS / 2]; 2]) {
    let (upper, lower) = (load(from[0]), load(from[1]));
    let [upper_luma, lower_luma] = luma;
    store(luma_of(upper), upper_luma);
    store(luma_of(lower), lower_luma);
    let rows = [0, 1, 2, 3].map(|quarter| _mm256_avg_epu8(upper[quarter], lower[quarter]));
    let means = [mean_columns(rows[0], rows[1]), mean_columns(rows[2], rows[3])];
    let packed = _mm256_packs_epi16(difference(means, BLUE), difference(means, RED));
    let shifted = _mm256_xor_si256(packed, _mm256_set1_epi8(-128));
    // Every other two of the blue differences in either lane, then those of the red ones.
    let (even, odd) = (_mm256_castsi256_si128(shifted), _mm256_extracti128_si256::<1>(shifted));
    let [blue, red] = chroma;
    store_half(_mm_unpacklo_epi16(even, odd), blue);
    store_half(_mm_unpackhi_epi16(even, odd), red);
}

/// The luma of thirty-two pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn luma_of(pixels: [__m256i; 4]) -> __m256i {
    // Green's weight is no signed byte, so weights are the unsigned ones here, and samples, less 128, the signed. No sum leaves 16 bits.
    let [a, b, c, d] = pixels.map(|pixels| _mm256_maddubs_epi16(weights(LUMA), _mm256_xor_si256(pixels, _mm256_set1_epi8(-128))));
    let rounded = |low, high| _mm256_srai_epi16::<8>(_mm256_add_epi16(_mm256_hadd_epi16(low, high), _mm256_set1_epi16(128)));
    // In each lane four of each of a, b, c and d.
    let packed = _mm256_packs_epi16(rounded(a, b), rounded(c, d));
    let ordered = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    // The samples lacked 128 times the weights' sum, 220/256: 110; and luma begins at 16.
    _mm256_add_epi8(ordered, _mm256_set1_epi8(126))
}

/// The means of neighbouring columns: of sixteen pixels those two by two of `low` and of `high` in turn, in each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn mean_columns(low: __m256i, high: __m256i) -> __m256i {
    let (low, high) = (_mm256_castsi256_ps(low), _mm256_castsi256_ps(high));
    let left = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
    let right = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(low, high));
    _mm256_avg_epu8(left, right)
}

/// A colour difference of sixteen pixels, less 128.
#[inline]
#[target_feature(enable = "avx2")]
fn difference(means: [__m256i; 2], by: [i32; 3]) -> __m256i {
    let [low, high] = means.map(|means| _mm256_maddubs_epi16(means, weights(by)));
    _mm256_srai_epi16::<8>(_mm256_add_epi16(_mm256_hadd_epi16(low, high), _mm256_set1_epi16(128)))
}

/// Bytes to weigh blue, green, red and the unused byte with.
#[inline]
#[target_feature(enable = "avx2")]
fn weights([blue, green, red]: [i32; 3]) -> __m256i {
    _mm256_set1_epi32(i32::from_le_bytes([blue as u8, green as u8, red as u8, 0]))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(from: &[u8; 128]) -> [__m256i; 4] {
    let (quarters, _) = from.as_chunks::<32>();
    // SAFETY: reads the 32 bytes of the array, which need no alignment.
    [0, 1, 2, 3].map(|at| unsafe { _mm256_loadu_si256(quarters[at].as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(samples: __m256i, to: &mut [u8; 32]) {
    // SAFETY: writes the 32 bytes of the array, which need no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), samples) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_half(samples: __m128i, to: &mut [u8; 16]) {
    // SAFETY: writes the 16 bytes of the array, which need no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), samples) }
}
