//! BlazeFace: faces of any pose, light, skin, age or cover, with eyes, nose, mouth and ears.
//!
//! Owns both forms of the network, the way from a part of a frame to their input and from their output to faces in frame
//! pixels. The network is MediaPipe's (Bazarevsky et al. 2019, <https://arxiv.org/abs/1907.05047>), its weights come from
//! `weights/blazeface.safetensors`. The long-range form sees 256 pixels and more, a whole frame; the short-range one 128, a
//! part of it, and finds faces there that are small in the frame. Both have only convolutions, so a frame need not be square.
//!
//! Anchors: places on two grids, each with several guesses. Per guess the network gives a score and, in pixels of the input
//! relative to the anchor's centre, box (centre, width, height) and six points.

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use safetensors::SafeTensors;

use super::Picture;
use crate::flow::frame::{Face, FaceBox, FacePoints};
use crate::network::ops::{ConvWeights, HeadRows, RowLayer, RowNet};
use crate::network::tensor_file::tensors_of;

/// Both networks' weights, made by `scripts/convert-blazeface`.
const WEIGHTS: &[u8] = include_bytes!("../../weights/blazeface.safetensors");

/// Sides of an input are multiples of this: the coarse grid of the long-range form.
pub(super) const STEP: u32 = 32;

/// Guesses of one face overlap more than this (intersection over union); MediaPipe's value.
const SAME: f32 = 0.3;

/// Numbers of a guess: box and six points.
const NUMBERS: usize = 16;

/// One of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For a part of a frame: faces of a tenth to nine tenths of 128 pixels.
    Short,
    /// For whole frames: the same shares of 256 pixels, for four times the work.
    Back,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Back => "back",
        }
    }

    /// Blocks, those that halve the picture, and the one whose output the fine grid is read from.
    fn blocks(self) -> (usize, &'static [usize], usize) {
        match self {
            Self::Short => (16, &[2, 5, 11], 10),
            Self::Back => (32, &[7, 15, 23, 31], 30),
        }
    }

    /// Pixels between the places of the fine grid; those of the coarse one are twice as far apart.
    fn cell(self) -> f32 {
        match self {
            Self::Short => 8.0,
            Self::Back => 16.0,
        }
    }
}

/// A part of a frame as the network's input: `width` by `height` pixels of it, each `scale` pixels of the frame wide. It may
/// reach over the frame's edges; there it is grey. It may be turned around its middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    /// Left edge, in frame pixels.
    pub(super) x: f32,
    /// Top edge, in frame pixels.
    pub(super) y: f32,
    /// Frame pixels per pixel of the input.
    pub(super) scale: f32,
    /// Pixels of the input, a multiple of [`STEP`].
    pub(super) width: u32,
    /// Pixels of the input, a multiple of [`STEP`].
    pub(super) height: u32,
    /// Cosine and sine of the angle that it is turned by, clockwise: what is upright in it leans by that in the frame.
    pub(super) turn: [f32; 2],
}

/// Of a part that is not turned.
pub(super) const STRAIGHT: [f32; 2] = [1.0, 0.0];

impl Part {
    /// A place in the input, in frame pixels.
    fn in_frame(&self, x: f32, y: f32) -> [f32; 2] {
        let Self { scale, turn: [cos, sin], .. } = *self;
        let (half_width, half_height) = (self.width as f32 / 2.0, self.height as f32 / 2.0);
        let (right, down) = ((x - half_width) * scale, (y - half_height) * scale);
        [
            self.x + half_width * scale + cos * right - sin * down,
            self.y + half_height * scale + sin * right + cos * down,
        ]
    }
}

/// One network, ready to look.
pub(super) struct BlazeFace {
    form: Form,
    net: RowNet,
    resizer: Resizer,
    /// The part's pixels that lie in the frame, scaled.
    scaled: Vec<u8>,
    /// The input, `(3, height, width)`, -1 to 1.
    input: Vec<f32>,
    /// The input of a straight part that holds a turned one.
    around: Vec<f32>,
}

impl BlazeFace {
    /// # Errors
    /// When the embedded weights don't fit, which the tests rule out.
    pub(super) fn new(form: Form) -> Result<Self> {
        Self::from_bytes(form, WEIGHTS).context("the embedded BlazeFace")
    }

    /// From the bytes of a safetensors file.
    fn from_bytes(form: Form, bytes: &[u8]) -> Result<Self> {
        let tensors = tensors_of(&SafeTensors::deserialize(bytes)?)?;
        let get = |name: &str, part: &str| -> Result<Tensor> {
            let name = format!("{}.{name}.{part}", form.name());
            tensors.get(&name).cloned().with_context(|| format!("tensor {name}: expected, but not there"))
        };
        let conv = |name: &str| -> Result<ConvWeights> {
            Ok(ConvWeights { kernel: get(name, "weight")?, bias: get(name, "bias")? })
        };
        // Score and place of each guess at once.
        let head = |grid: &str| -> Result<ConvWeights> {
            let both = |part| -> Result<Tensor> {
                Ok(Tensor::cat(&[get(&format!("{grid}.score"), part)?, get(&format!("{grid}.place"), part)?], 0)?)
            };
            Ok(ConvWeights { kernel: both("weight")?, bias: both("bias")? })
        };
        let (count, halving, fine) = form.blocks();
        let mut layers = vec![RowLayer { depth: None, point: conv("stem")?, halves: true, skip: false, head: None }];
        for i in 0..count {
            layers.push(RowLayer {
                depth: Some(conv(&format!("blocks.{i:02}.depth"))?),
                point: conv(&format!("blocks.{i:02}.point"))?,
                halves: halving.contains(&i),
                // The long-range form's last block has no way around.
                skip: !(form == Form::Back && i + 1 == count),
                head: if i == fine {
                    Some(head("fine")?)
                } else if i + 1 == count {
                    Some(head("coarse")?)
                } else {
                    None
                },
            });
        }
        let (net, resizer) = (RowNet::new(3, layers)?, Resizer::new());
        Ok(Self { form, net, resizer, scaled: Vec::new(), input: Vec::new(), around: Vec::new() })
    }

    /// The faces in a part of a frame that score at least this much, 0 to 1, surest first.
    ///
    /// # Errors
    /// When the part's sides are no multiples of [`STEP`].
    pub(super) fn look(&mut self, picture: Picture<'_>, part: Part, least: f32) -> Result<Vec<Face>> {
        let Part { width, height, .. } = part;
        ensure!(
            width > 0 && height > 0 && width % STEP == 0 && height % STEP == 0,
            "BlazeFace on {width}x{height} pixels, which are no multiples of {STEP}"
        );
        if part.turn == STRAIGHT {
            self.fill(picture, part)?;
        } else {
            self.fill_turned(picture, part)?;
        }
        let heads = self.net.forward(&self.input, height as usize, width as usize)?;
        let mut guesses = Vec::new();
        for (head, cell) in heads.iter().zip([self.form.cell(), 2.0 * self.form.cell()]) {
            read_guesses(head, cell, least, &mut guesses);
        }
        Ok(merged(guesses).into_iter().map(|guess| guess.in_frame(part)).collect())
    }

    /// Writes the input for a turned part: from a straight one of the same scale, between neighbouring pixels.
    fn fill_turned(&mut self, picture: Picture<'_>, part: Part) -> Result<()> {
        let Part { x, y, scale, width, height, turn: [cos, sin] } = part;
        let diagonal = (width as f32).hypot(height as f32).ceil() as u32 + 2;
        let start = |at: f32, length: u32| at + (length as f32 - diagonal as f32) * scale / 2.0;
        let straight =
            Part { x: start(x, width), y: start(y, height), width: diagonal, height: diagonal, turn: STRAIGHT, ..part };
        self.fill(picture, straight)?;
        std::mem::swap(&mut self.input, &mut self.around);
        let (side, plane) = (diagonal as usize, (diagonal * diagonal) as usize);
        self.input.clear();
        self.input.resize(3 * (width * height) as usize, 0.0);
        for row in 0..height as usize {
            for column in 0..width as usize {
                let (right, down) = (column as f32 + 0.5 - width as f32 / 2.0, row as f32 + 0.5 - height as f32 / 2.0);
                let middle = diagonal as f32 / 2.0 - 0.5;
                let (from_x, from_y) = (middle + cos * right - sin * down, middle + sin * right + cos * down);
                // The diagonal holds every corner, with a pixel to spare.
                let (left, top) = (from_x.max(0.0) as usize, from_y.max(0.0) as usize);
                let (share_x, share_y) = (from_x - left as f32, from_y - top as f32);
                for channel in 0..3 {
                    let at = |dx: usize, dy: usize| self.around[channel * plane + (top + dy) * side + left + dx];
                    let upper = at(0, 0) + share_x * (at(1, 0) - at(0, 0));
                    let lower = at(0, 1) + share_x * (at(1, 1) - at(0, 1));
                    self.input[(channel * height as usize + row) * width as usize + column] =
                        upper + share_y * (lower - upper);
                }
            }
        }
        Ok(())
    }

    /// Writes the input for a straight part of a frame.
    fn fill(&mut self, picture: Picture<'_>, part: Part) -> Result<()> {
        let plane = (part.width * part.height) as usize;
        self.input.clear();
        self.input.resize(3 * plane, 0.0);
        let columns = inside(part.x, part.scale, part.width, picture.gray.width());
        let rows = inside(part.y, part.scale, part.height, picture.gray.height());
        let (Some((left, columns, x, w)), Some((top, rows, y, h))) = (columns, rows) else { return Ok(()) };
        self.scaled.resize(3 * (columns * rows) as usize, 0);
        let source = TypedImageRef::<U8x3>::from_buffer(picture.gray.width(), picture.gray.height(), picture.rgb)?;
        let mut target = TypedImage::<U8x3>::from_buffer(columns, rows, &mut self.scaled)?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(x, y, w, h);
        self.resizer.resize_typed(&source, &mut target, &options)?;
        for (row, pixels) in self.scaled.chunks_exact(3 * columns as usize).enumerate() {
            let start = (top as usize + row) * part.width as usize + left as usize;
            for channel in 0..3 {
                let values = &mut self.input[channel * plane + start..][..columns as usize];
                let pixels = pixels.as_chunks::<3>().0;
                values
                    .iter_mut()
                    .zip(pixels)
                    .for_each(|(value, pixel)| *value = f32::from(pixel[channel]) / 127.5 - 1.0);
            }
        }
        Ok(())
    }
}

/// Of a line of `count` pixels that begins at `start`, each `scale` wide: those that lie whole in `0..length`, as the first
/// one, how many, and where in the line of the frame they begin and how long they are. None where there are none.
fn inside(start: f32, scale: f32, count: u32, length: u32) -> Option<(u32, u32, f64, f64)> {
    let (start, scale, length) = (f64::from(start), f64::from(scale), f64::from(length));
    // A thousandth of a pixel beyond the edge is rounding.
    let first = (-start / scale - 1e-3).ceil().clamp(0.0, f64::from(count));
    let end = ((length - start) / scale + 1e-3).floor().clamp(0.0, f64::from(count));
    let (begin, stop) = ((start + first * scale).max(0.0), (start + end * scale).min(length));
    (end > first && stop > begin).then_some((first as u32, (end - first) as u32, begin, stop - begin))
}

/// A guess of the network, in pixels of its input.
#[derive(Clone, Copy, Debug)]
struct Guess {
    score: f32,
    /// Centre, width and height of the box, then six points.
    numbers: [f32; NUMBERS],
}

/// Reads the guesses of one grid that score enough. Scores come first, one a guess and place, then the numbers of each.
fn read_guesses(head: &HeadRows, cell: f32, least: f32, guesses: &mut Vec<Guess>) {
    let count = head.channels / (1 + NUMBERS);
    // The logistic function rises with its argument.
    let least = (least / (1.0 - least)).ln();
    for (y, rows) in head.values.chunks_exact(head.channels * head.width).enumerate() {
        for guess in 0..count {
            for (x, &logit) in rows[guess * head.width..][..head.width].iter().enumerate() {
                if logit < least {
                    continue;
                }
                let center = [(x as f32 + 0.5) * cell, (y as f32 + 0.5) * cell];
                let number = |i: usize| rows[(count + guess * NUMBERS + i) * head.width + x];
                let is_size = |i: usize| matches!(i, 2 | 3);
                let numbers = std::array::from_fn(|i| number(i) + if is_size(i) { 0.0 } else { center[i % 2] });
                guesses.push(Guess { score: 1.0 / (1.0 + (-logit.clamp(-100.0, 100.0)).exp()), numbers });
            }
        }
    }
}

/// One guess a face, surest first: the mean of those that overlap the surest of them, weighted by their scores.
fn merged(mut guesses: Vec<Guess>) -> Vec<Guess> {
    guesses.retain(|guess| guess.numbers.iter().all(|number| number.is_finite()) && guess.numbers[2] > 0.0);
    guesses.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces = Vec::new();
    while let Some(&best) = guesses.first() {
        let (mut numbers, mut weight) = ([0.0; NUMBERS], 0.0);
        guesses.retain(|guess| {
            let same = overlap(guess, &best) > SAME;
            if same {
                weight += guess.score;
                numbers.iter_mut().zip(guess.numbers).for_each(|(sum, number)| *sum += guess.score * number);
            }
            !same
        });
        if weight <= 0.0 {
            // A box that doesn't even overlap itself.
            guesses.remove(0);
            continue;
        }
        faces.push(Guess { score: best.score, numbers: numbers.map(|sum| sum / weight) });
    }
    faces
}

/// Intersection over union, 0 to 1.
fn overlap(a: &Guess, b: &Guess) -> f32 {
    let [ax, ay, aw, ah, ..] = a.numbers;
    let [bx, by, bw, bh, ..] = b.numbers;
    let shared = |a: f32, b: f32, length_a: f32, length_b: f32| {
        ((a + length_a / 2.0).min(b + length_b / 2.0) - (a - length_a / 2.0).max(b - length_b / 2.0)).max(0.0)
    };
    let intersection = shared(ax, bx, aw, bw) * shared(ay, by, ah, bh);
    intersection / (aw * ah + bw * bh - intersection).max(f32::MIN_POSITIVE)
}

impl Guess {
    /// The box stays upright; its centre and the points lie where they are in the frame.
    fn in_frame(self, part: Part) -> Face {
        let [x, y, width, height, ..] = self.numbers;
        let ([x, y], width, height) = (part.in_frame(x, y), width * part.scale, height * part.scale);
        let bounds = FaceBox { x: x - width / 2.0, y: y - height / 2.0, width, height, score: self.score };
        let points = std::array::from_fn(|i| part.in_frame(self.numbers[4 + 2 * i], self.numbers[5 + 2 * i]));
        Face { bounds, points: Some(FacePoints::from_array(points)) }
    }
}

#[cfg(test)]
mod tests;
