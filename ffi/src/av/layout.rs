//! Where a picture goes on a canvas of another shape.

/// A rectangle of a canvas; all even.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// The largest centred window of a canvas (even sides) with the shape of a picture whose pixels are `pixel.0` wide and `pixel.1` high.
pub(super) fn fit(picture: (u32, u32), pixel: (u32, u32), canvas: (usize, usize)) -> Window {
    let wide = u128::from(picture.0.max(1)) * u128::from(pixel.0.max(1));
    let high = u128::from(picture.1.max(1)) * u128::from(pixel.1.max(1));
    let (canvas_width, canvas_height) = (canvas.0 as u128, canvas.1 as u128);
    let (width, height) = if wide * canvas_height >= high * canvas_width {
        (canvas_width, round(high * canvas_width, wide))
    } else {
        (round(wide * canvas_height, high), canvas_height)
    };
    let even = |side: u128, most: usize| ((side as usize).next_multiple_of(2)).clamp(2, most);
    let (width, height) = (even(width, canvas.0), even(height, canvas.1));
    // Half of the border, rounded down to even.
    Window { x: (canvas.0 - width) / 4 * 2, y: (canvas.1 - height) / 4 * 2, width, height }
}

fn round(numerator: u128, denominator: u128) -> u128 {
    // To the nearest even number, so that what is almost the canvas's shape fills it.
    (numerator + denominator) / (2 * denominator) * 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shape_is_kept() {
        let window = |x, y, width, height| Window { x, y, width, height };
        for (picture, pixel, canvas, expected) in [
            ((1280, 720), (1, 1), (1280, 720), window(0, 0, 1280, 720)),
            ((1920, 1088), (1, 1), (1280, 720), window(4, 0, 1270, 720)),
            ((640, 480), (1, 1), (1280, 720), window(160, 0, 960, 720)),
            ((720, 576), (16, 15), (1280, 720), window(160, 0, 960, 720)),
            ((720, 1280), (1, 1), (1280, 720), window(436, 0, 406, 720)),
            ((2560, 1080), (1, 1), (1280, 720), window(0, 90, 1280, 540)),
            ((16_384, 1), (1, 1), (64, 64), window(0, 30, 64, 2)),
            ((353, 287), (1, 1), (352, 288), window(0, 0, 352, 286)),
        ] {
            assert_eq!(fit(picture, pixel, canvas), expected, "{picture:?} {pixel:?}");
        }
    }

    proptest! {
        #[test]
        fn window_is_even_and_inside(
            picture in (1_u32..20_000, 1_u32..20_000), pixel in (1_u32.., 1_u32..), width in 1_usize..2_000, height in 1_usize..2_000,
        ) {
            let canvas = (width * 2, height * 2);
            let window = fit(picture, pixel, canvas);
            prop_assert!([window.x, window.y, window.width, window.height].iter().all(|n| n % 2 == 0));
            prop_assert!(window.width >= 2 && window.x + window.width <= canvas.0);
            prop_assert!(window.height >= 2 && window.y + window.height <= canvas.1);
            prop_assert!(window.width == canvas.0 || window.height == canvas.1);
        }
    }
}
