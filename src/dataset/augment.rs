//! Random changes to training pictures: mirror, turn, scale, shift, light, hidden parts, and what poor cameras do.
//!
//! They happen on the grey picture, before `preprocess.rs` turns it into a tensor, so that training and live use share that
//! one path. Every change is drawn from a generator that the caller seeds: the same seed gives the same
//! picture.

use std::ops::Range;

use anyhow::Result;
use image::imageops::FilterType;
use image::{GrayImage, Luma, imageops};
use rand::{Rng, RngExt};

use super::degrade::{self, Covered, Noise};
use super::settings::settings;

settings! {
    /// How far pictures are changed.
    ///
    /// Each crop is standardized afterwards, so a change of brightness or contrast shows only in what it drives to black or
    /// white, as in an overexposed photo; a change of gamma shows everywhere.
    Augmentation, "Augmentation of training pictures";
    /// Chance of a mirrored picture
    flip: f64 = 0.5, "CHANCE", 0.0..=1.0;
    /// Largest turn to either side
    rotation: f64 = 15.0, "DEGREES", 0.0..=180.0;
    /// Largest change of size
    scale: f64 = 0.15, "SHARE", 0.0..=0.9;
    /// Largest shift in each direction, in sides of the picture
    shift: f64 = 0.08, "SHARE", 0.0..=1.0;
    /// Largest change of brightness; with contrast it shows in what becomes black or white
    brightness: f64 = 0.1, "SHARE", 0.0..=1.0;
    /// Largest change of contrast
    contrast: f64 = 0.2, "SHARE", 0.0..=1.0;
    /// Largest logarithm of the gamma exponent
    gamma: f64 = 0.4, "LOG", 0.0..=3.0;
    /// Chance of a hidden rectangle
    erase: f64 = 0.5, "CHANCE", 0.0..=1.0;
    /// Chance of a covered mouth or of covered eyes; the picture's label counts for less then
    cover: f64 = 0.05, "CHANCE", 0.0..=1.0;
    /// Chance of light that falls off to one side
    shade: f64 = 0.2, "CHANCE", 0.0..=1.0;
    /// Chance of a face of few pixels
    shrink: f64 = 0.3, "CHANCE", 0.0..=1.0;
    /// Chance of a blur
    blur: f64 = 0.3, "CHANCE", 0.0..=1.0;
    /// Chance of a camera's noise
    noise: f64 = 0.4, "CHANCE", 0.0..=1.0;
    /// Chance of JPEG's traces
    jpeg: f64 = 0.2, "CHANCE", 0.0..=1.0;
}

/// Sides of the erased rectangle, as shares of the picture's side.
const ERASED: Range<f32> = 0.125..0.375;

/// The darkest side in uneven light, as a share of the lightest.
const SHADE: Range<f32> = 0.2..0.8;

/// Faces of few pixels, as shares of the picture's side: of 48 pixels 18 to 40.
const SHRUNK: Range<f32> = 0.375..0.83;

/// Blurs, in 48ths of the picture's side.
const BLUR: Range<f32> = 0.3..1.5;

/// Deviations of noise, in grey levels.
const NOISE: Range<f32> = 1.0..12.0;

/// Qualities of JPEG.
const QUALITY: Range<u8> = 15..80;

/// How much less a label counts where mouth or eyes are covered: what is seen of the face need not show it.
const DOUBT_WHERE_COVERED: f32 = 0.3;

/// A changed picture.
#[derive(Debug)]
pub struct Changed {
    /// The picture, of the same size.
    pub picture: GrayImage,
    /// The share of its label that is to be spread over all emotions.
    pub doubt: f32,
}

impl Augmentation {
    /// A changed copy of the picture, of the same size.
    ///
    /// # Errors
    /// When the picture has no pixels, or more than a JPEG can have.
    pub fn apply(&self, picture: &GrayImage, rng: &mut impl Rng) -> Result<Changed> {
        let change = self.draw(picture.dimensions(), rng);
        let (changed, doubt) = if rng.random::<f64>() < self.cover {
            let (mut covered, part) = (picture.clone(), if rng.random() { Covered::Mouth } else { Covered::Eyes });
            degrade::cover(&mut covered, part, rng.random());
            (change.apply(&covered), DOUBT_WHERE_COVERED)
        } else {
            (change.apply(picture), 0.0)
        };
        Ok(Changed { picture: self.photographed(changed, rng)?, doubt })
    }

    /// As a poor camera would show it: light, lens, sensor, file, in this order.
    fn photographed(&self, mut picture: GrayImage, rng: &mut impl Rng) -> Result<GrayImage> {
        let size = picture.dimensions();
        let side = size.0.max(size.1) as f32;
        if rng.random::<f64>() < self.shade {
            degrade::shade(&mut picture, rng.random_range(0.0..std::f32::consts::TAU), 1.0 - rng.random_range(SHADE));
        }
        let is_small = rng.random::<f64>() < self.shrink;
        if is_small {
            let filter = if rng.random() { FilterType::Triangle } else { FilterType::CatmullRom };
            picture = degrade::shrink(&picture, (rng.random_range(SHRUNK) * side) as u32, filter);
        } else if rng.random::<f64>() < self.blur {
            picture = degrade::blur(&picture, rng.random_range(BLUR) * side / 48.0);
        }
        let noise = (rng.random::<f64>() < self.noise).then(|| rng.random_range(NOISE));
        let kind = [Noise::White, Noise::White, Noise::Shot, Noise::Blotches][rng.random_range(0..4)];
        // The noise of a small face is as coarse as its pixels, or that of a picture that was enlarged by others.
        let is_coarse = rng.random();
        if let Some(sigma) = noise.filter(|_| is_coarse) {
            degrade::add_noise(&mut picture, sigma, kind, rng);
        }
        if is_small {
            let filter = if rng.random() { FilterType::Triangle } else { FilterType::CatmullRom };
            picture = degrade::stretch(&picture, size, filter);
        }
        if let Some(sigma) = noise.filter(|_| !is_coarse) {
            degrade::add_noise(&mut picture, sigma, kind, rng);
        }
        if rng.random::<f64>() < self.jpeg { degrade::jpeg(&picture, rng.random_range(QUALITY)) } else { Ok(picture) }
    }

    /// Draws what happens to a picture of this size.
    fn draw(&self, (columns, rows): (u32, u32), rng: &mut impl Rng) -> Change {
        let mut within = |limit: f64| rng.random_range(-1.0..=1.0f32) * limit as f32;
        let (angle, scale) = (within(self.rotation).to_radians(), 1.0 + within(self.scale));
        let (shift_x, shift_y) = (within(self.shift), within(self.shift));
        let (brightness, contrast) = (within(self.brightness), 1.0 + within(self.contrast));
        let exponent = within(self.gamma).exp();
        let mirror = if rng.random::<f64>() < self.flip { -1.0 } else { 1.0 };
        let light = std::array::from_fn(|gray| {
            let value = (gray as f32 / 255.0).powf(exponent);
            ((value - 0.5) * contrast + 0.5 + brightness).clamp(0.0, 1.0) * 255.0
        });
        let (cos, sin) = (angle.cos() * scale, angle.sin() * scale);
        Change {
            light,
            origin: (columns as f32 * (0.5 + shift_x) - 0.5, rows as f32 * (0.5 + shift_y) - 0.5),
            x_by: (mirror * cos, -(mirror * sin)),
            y_by: (sin, cos),
            erased: (rng.random::<f64>() < self.erase).then(|| patch(columns, rows, rng)),
        }
    }
}

/// The picture turned about its middle, against the clock, with its edge going on beyond it.
pub(crate) fn turned(picture: &GrayImage, degrees: f32) -> GrayImage {
    let ((sin, cos), (columns, rows)) = (degrees.to_radians().sin_cos(), picture.dimensions());
    let change = Change {
        light: std::array::from_fn(|gray| gray as f32),
        origin: (columns as f32 / 2.0 - 0.5, rows as f32 / 2.0 - 0.5),
        x_by: (cos, -sin),
        y_by: (sin, cos),
        erased: None,
    };
    change.apply(picture)
}

/// What hides a part of a picture.
struct Patch {
    picture: GrayImage,
    left: i64,
    top: i64,
}

/// What happens to one picture.
struct Change {
    /// The value of each grey in the new light, 0 to 255.
    light: [f32; 256],
    /// Where the middle of the changed picture comes from.
    origin: (f32, f32),
    /// How far to the right that is a column further to the right, and a row further down.
    x_by: (f32, f32),
    /// How far down.
    y_by: (f32, f32),
    erased: Option<Patch>,
}

impl Change {
    /// The changed picture.
    fn apply(&self, picture: &GrayImage) -> GrayImage {
        let lit = Lit {
            values: picture.as_raw().iter().map(|&gray| self.light[usize::from(gray)]).collect(),
            width: picture.width() as usize,
            height: picture.height() as usize,
        };
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let mut changed = picture.clone();
        // Rows of no length have no chunks.
        for (y, row) in changed.chunks_exact_mut(lit.width.max(1)).enumerate() {
            let dy = y as f32 + 0.5 - height / 2.0;
            let (start_x, start_y) = (self.origin.0 + self.x_by.1 * dy, self.origin.1 + self.y_by.1 * dy);
            for (x, pixel) in row.iter_mut().enumerate() {
                let dx = x as f32 + 0.5 - width / 2.0;
                *pixel = (lit.at(start_x + self.x_by.0 * dx, start_y + self.y_by.0 * dx) + 0.5) as u8;
            }
        }
        if let Some(Patch { picture, left, top }) = &self.erased {
            imageops::replace(&mut changed, picture, *left, *top);
        }
        changed
    }
}

/// A random rectangle in a random grey for a picture of this size (Zhong et al. 2017, <https://arxiv.org/abs/1708.04896>).
fn patch(columns: u32, rows: u32, rng: &mut impl Rng) -> Patch {
    let mut span = |side: u32| {
        let length = (rng.random_range(ERASED) * side as f32) as u32;
        (length, i64::from(rng.random_range(0..=side - length)))
    };
    let ((width, left), (height, top)) = (span(columns), span(rows));
    Patch { picture: GrayImage::from_pixel(width, height, Luma([rng.random()])), left, top }
}

/// A picture in its new light, grey values 0 to 255, row by row.
struct Lit {
    values: Vec<f32>,
    width: usize,
    height: usize,
}

impl Lit {
    /// The value between four pixels, with the edge going on beyond the picture.
    fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x.clamp(0.0, (self.width - 1) as f32), y.clamp(0.0, (self.height - 1) as f32));
        let (left, top) = (x as usize, y as usize);
        let (u, v) = (x - left as f32, y - top as f32);
        let right = (left + 1).min(self.width - 1);
        let (upper, lower) = (top * self.width, (top + 1).min(self.height - 1) * self.width);
        let between = |row: usize| self.values[row + left] * (1.0 - u) + self.values[row + right] * u;
        between(upper) * (1.0 - v) + between(lower) * v
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const NOTHING: Augmentation = Augmentation {
        flip: 0.0,
        rotation: 0.0,
        scale: 0.0,
        shift: 0.0,
        brightness: 0.0,
        contrast: 0.0,
        gamma: 0.0,
        erase: 0.0,
        cover: 0.0,
        shade: 0.0,
        shrink: 0.0,
        blur: 0.0,
        noise: 0.0,
        jpeg: 0.0,
    };

    fn picture() -> GrayImage {
        GrayImage::from_fn(48, 48, |x, y| Luma([(x * 5 + y) as u8]))
    }

    fn apply(augmentation: &Augmentation, seed: u64) -> GrayImage {
        augmentation.apply(&picture(), &mut ChaCha8Rng::seed_from_u64(seed)).expect("a picture").picture
    }

    #[test]
    fn no_change_leaves_the_picture_and_a_sure_flip_mirrors_it() {
        assert_eq!(apply(&NOTHING, 1), picture());
        let mirrored = apply(&Augmentation { flip: 1.0, ..NOTHING }, 1);
        assert_eq!(mirrored, imageops::flip_horizontal(&picture()));
    }

    #[test]
    fn each_change_changes_something() {
        for augmentation in [
            Augmentation { rotation: 15.0, ..NOTHING },
            Augmentation { scale: 0.15, ..NOTHING },
            Augmentation { shift: 0.1, ..NOTHING },
            Augmentation { brightness: 0.2, ..NOTHING },
            Augmentation { contrast: 0.2, ..NOTHING },
            Augmentation { gamma: 0.4, ..NOTHING },
            Augmentation { erase: 1.0, ..NOTHING },
            Augmentation { cover: 1.0, ..NOTHING },
            Augmentation { shade: 1.0, ..NOTHING },
            Augmentation { shrink: 1.0, ..NOTHING },
            Augmentation { blur: 1.0, ..NOTHING },
            Augmentation { noise: 1.0, ..NOTHING },
            Augmentation { jpeg: 1.0, ..NOTHING },
        ] {
            assert_ne!(apply(&augmentation, 3), picture(), "{augmentation:?}");
        }
    }

    #[test]
    fn a_shift_moves_the_picture_and_repeats_its_edge() {
        let augmentation = Augmentation { shift: 0.25, ..NOTHING };
        let row = |changed: &GrayImage| changed.pixels().take(48).map(|p| f32::from(p.0[0])).collect::<Vec<_>>();
        // Grey is 5 times the column: inside, neighbours still differ by 5 wherever the picture went.
        let wide = GrayImage::from_fn(48, 48, |x, _| Luma([(x * 5) as u8]));
        let changed = row(&augmentation.draw((48, 48), &mut ChaCha8Rng::seed_from_u64(3)).apply(&wide));
        let steps: Vec<f32> = changed.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().filter(|step| (4.0..=6.0).contains(*step)).count() >= 34, "{steps:?}");
        assert!(steps.iter().all(|step| (0.0..=6.0).contains(step)), "{steps:?}");
    }

    #[test]
    fn a_turn_is_about_the_middle_and_repeats_the_edge() {
        assert_eq!(turned(&picture(), 0.0), picture());
        assert_eq!(turned(&picture(), 90.0), imageops::rotate270(&picture()));
        let even = GrayImage::from_pixel(48, 48, Luma([200]));
        assert_eq!(turned(&even, 15.0), even);
    }

    #[test]
    fn pictures_of_any_size_keep_their_size() {
        for (width, height) in [(1, 1), (1, 9), (9, 1), (31, 17)] {
            let picture = GrayImage::from_pixel(width, height, Luma([9]));
            for seed in 0..20 {
                let changed = Augmentation::default().apply(&picture, &mut ChaCha8Rng::seed_from_u64(seed));
                assert_eq!(changed.expect("a picture").picture.dimensions(), (width, height));
            }
        }
    }
}
