//! Random changes to training pictures: mirror, turn, scale, shift, light, and a hidden patch.
//!
//! They happen on the grey picture, before `preprocess.rs` turns it into a tensor, so that training and live use share that
//! one path. Every change is drawn from a generator that the caller seeds: the same seed gives the same picture.

use image::GrayImage;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How far pictures are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Chance of a mirrored picture.
    pub flip: f32,
    /// Largest turn to either side, in degrees.
    pub rotation: f32,
    /// Largest change of size, as a share.
    pub scale: f32,
    /// Largest shift in each direction, as a share of the side.
    pub shift: f32,
    /// Largest logarithm of the gamma exponent.
    pub gamma: f32,
    /// Chance of a rectangle filled with one random grey.
    pub erase: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { flip: 0.5, rotation: 15.0, scale: 0.15, shift: 0.08, gamma: 0.4, erase: 0.5 }
    }
}

/// Sides of the erased rectangle, as shares of the picture's side.
const ERASED: std::ops::Range<f32> = 0.125..0.375;

impl Augmentation {
    /// A changed copy of the picture, of the same size.
    pub fn apply(&self, picture: &GrayImage, rng: &mut impl Rng) -> GrayImage {
        let mut within = |limit: f32| rng.random_range(-1.0..=1.0f32) * limit;
        let (angle, scale) = (within(self.rotation).to_radians(), 1.0 + within(self.scale));
        let (shift_x, shift_y) = (within(self.shift), within(self.shift));
        let exponent = within(self.gamma).exp();
        let mirror = if rng.random::<f32>() < self.flip { -1.0 } else { 1.0 };
        let light: Vec<f32> = (0..=255).map(|g| (g as f32 / 255.0).powf(exponent) * 255.0).collect();

        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let (cos, sin) = (angle.cos() * scale, angle.sin() * scale);
        let mut changed = GrayImage::from_fn(picture.width(), picture.height(), |x, y| {
            let (dx, dy) = (x as f32 + 0.5 - width / 2.0, y as f32 + 0.5 - height / 2.0);
            let from_x = mirror * (cos * dx - sin * dy) + width * (0.5 + shift_x) - 0.5;
            let from_y = sin * dx + cos * dy + height * (0.5 + shift_y) - 0.5;
            image::Luma([interpolated(picture, from_x, from_y, &light)])
        });
        if rng.random::<f32>() < self.erase {
            erase(&mut changed, rng);
        }
        changed
    }
}

/// The value between four pixels after `light`, with the edge going on beyond the picture.
fn interpolated(picture: &GrayImage, x: f32, y: f32, light: &[f32]) -> u8 {
    let (x, y) = (x.clamp(0.0, picture.width() as f32 - 1.0), y.clamp(0.0, picture.height() as f32 - 1.0));
    let (left, top) = (x as u32, y as u32);
    let (right, bottom) = ((left + 1).min(picture.width() - 1), (top + 1).min(picture.height() - 1));
    let at = |x, y| light[usize::from(picture.get_pixel(x, y).0[0])];
    let (u, v) = (x - left as f32, y - top as f32);
    let upper = at(left, top) * (1.0 - u) + at(right, top) * u;
    let lower = at(left, bottom) * (1.0 - u) + at(right, bottom) * u;
    (upper * (1.0 - v) + lower * v + 0.5) as u8
}

/// Fills a random rectangle with a random grey (Zhong et al. 2017, <https://arxiv.org/abs/1708.04896>).
fn erase(picture: &mut GrayImage, rng: &mut impl Rng) {
    let mut span = |side: u32| {
        let length = (rng.random_range(ERASED) * side as f32) as u32;
        let start = rng.random_range(0..=side - length);
        (start, start + length)
    };
    let ((left, right), (top, bottom)) = (span(picture.width()), span(picture.height()));
    let gray = image::Luma([rng.random::<u8>()]);
    for y in top..bottom {
        for x in left..right {
            picture.put_pixel(x, y, gray);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const NOTHING: Augmentation =
        Augmentation { flip: 0.0, rotation: 0.0, scale: 0.0, shift: 0.0, gamma: 0.0, erase: 0.0 };

    fn picture() -> GrayImage {
        GrayImage::from_fn(48, 48, |x, y| Luma([(x * 5 + y) as u8]))
    }

    fn apply(augmentation: &Augmentation, seed: u64) -> GrayImage {
        augmentation.apply(&picture(), &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn no_change_leaves_the_picture_and_a_sure_flip_mirrors_it() {
        assert_eq!(apply(&NOTHING, 1), picture());
        let mirrored = apply(&Augmentation { flip: 1.0, ..NOTHING }, 1);
        assert_eq!(mirrored, image::imageops::flip_horizontal(&picture()));
    }

    #[test]
    fn the_seed_decides() {
        let all = Augmentation::default();
        assert_eq!(apply(&all, 5), apply(&all, 5));
        assert_ne!(apply(&all, 5), apply(&all, 6));
    }

    #[test]
    fn each_change_changes_something() {
        for augmentation in [
            Augmentation { rotation: 15.0, ..NOTHING },
            Augmentation { scale: 0.15, ..NOTHING },
            Augmentation { shift: 0.1, ..NOTHING },
            Augmentation { gamma: 0.4, ..NOTHING },
            Augmentation { erase: 1.0, ..NOTHING },
        ] {
            assert_ne!(apply(&augmentation, 3), picture(), "{augmentation:?}");
        }
    }
}
