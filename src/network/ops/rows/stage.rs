//! One layer, with the rows that its kernel covers.

use candle_core::{DType, Result, Tensor, bail};
use pulp::Arch;

use super::kernel::{Depthwise, Largest, Pointwise, TILE, Window};
use super::{ConvWeights, HeadRows, RowLayer};

/// Zeros before each channel of a row, which end the one before it, too: a vector's width.
const PAD: usize = 16;

/// A pointwise convolution's weights, in the order in which they are read.
pub(super) struct Packed {
    /// `(out / TILE, in, TILE)`, with zeros for channels that the last tile lacks.
    weights: Vec<[f32; TILE]>,
    /// `(out / TILE, TILE)`.
    bias: Vec<[f32; TILE]>,
    in_channels: usize,
    pub(super) out_channels: usize,
}

impl Packed {
    /// From `(out, in, k, k)`: each place under the kernel counts as a channel, `(in, k, k)` in that order.
    fn new(ConvWeights { kernel, bias }: &ConvWeights) -> Result<Self> {
        let (out_channels, in_channels) = (kernel.dim(0)?, kernel.elem_count() / kernel.dim(0)?.max(1));
        if bias.dims() != [out_channels] || in_channels == 0 {
            bail!("biases {:?} for kernels {:?}", bias.dims(), kernel.dims());
        }
        let (values, biases) = (values(kernel)?, values(bias)?);
        let tiles = out_channels.div_ceil(TILE);
        let mut packed = Self {
            weights: vec![[0.0; TILE]; tiles * in_channels],
            bias: vec![[0.0; TILE]; tiles],
            in_channels,
            out_channels,
        };
        for (channel, (values, bias)) in values.chunks_exact(in_channels).zip(biases).enumerate() {
            let (tile, lane) = (channel / TILE, channel % TILE);
            packed.bias[tile][lane] = bias;
            let weights = packed.weights[tile * in_channels..].iter_mut();
            weights.zip(values).for_each(|(tile, value)| tile[lane] = *value);
        }
        Ok(packed)
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// Where the channels of a row lie in memory.
#[derive(Clone, Copy, Default)]
struct RowShape {
    channels: usize,
    width: usize,
}

impl RowShape {
    /// Values of a channel, whole vectors.
    fn filled(self) -> usize {
        self.width.next_multiple_of(PAD)
    }

    fn stride(self) -> usize {
        PAD + self.filled()
    }

    /// Values of a row.
    fn len(self) -> usize {
        self.channels * self.stride() + PAD
    }

    /// Where a channel's pixel of this column begins.
    fn at(self, channel: usize, column: isize) -> usize {
        (channel * self.stride() + PAD).wrapping_add_signed(column)
    }
}

/// One layer with the rows that its kernel covers.
pub(super) struct Stage {
    /// `(channels, 3 * 3)` and a bias for each.
    depth: Option<(Vec<[f32; 9]>, Vec<f32>)>,
    pub(super) point: Packed,
    /// 1, or 2: then rows are kept with their even and odd columns apart, as channels of half the width.
    pub(super) stride: usize,
    skip: bool,
    head: Option<Head>,
    in_channels: usize,
    /// Rows under the kernel, 3 or 5.
    reach: usize,
    in_height: usize,
    out_height: usize,
    kept_shape: RowShape,
    out_shape: RowShape,
    /// The last rows that came, row `y` at `y % reach`, and a row of zeros.
    kept: Vec<f32>,
    depth_row: Vec<f32>,
    skip_row: Vec<f32>,
    out_row: Vec<f32>,
    accepted: usize,
    emitted: usize,
    /// Where the inputs of the pointwise convolution begin.
    taps: Vec<usize>,
}

/// A pointwise convolution of a layer's output.
struct Head {
    point: Packed,
    taps: Vec<usize>,
    shape: RowShape,
    row: Vec<f32>,
    /// The rows so far.
    values: Vec<f32>,
}

impl Stage {
    pub(super) fn new(layer: RowLayer, in_channels: usize) -> Result<Self> {
        let RowLayer { depth, point, halves, skip, head } = layer;
        let point = Packed::new(&point)?;
        let (reach, taps) = if depth.is_some() { (3, in_channels) } else { (5, 25 * in_channels) };
        if point.in_channels != taps || (skip && (depth.is_none() || point.out_channels < in_channels)) {
            bail!("a layer of {} to {} channels for {in_channels}", point.in_channels, point.out_channels);
        }
        let depth = depth.map(|ConvWeights { kernel, bias }| {
            if kernel.dims() != [in_channels, 3, 3] || bias.dims() != [in_channels] {
                bail!("kernels {:?} and biases {:?} for {in_channels} channels", kernel.dims(), bias.dims());
            }
            let kernels = values(&kernel)?;
            Ok((kernels.as_chunks().0.to_vec(), values(&bias)?))
        });
        let head = head.as_ref().map(Packed::new).transpose()?;
        if head.as_ref().is_some_and(|head| head.in_channels != point.out_channels) {
            bail!("a head for other channels than the layer's {}", point.out_channels);
        }
        let (taps, shape) = (Vec::new(), RowShape::default());
        let head = head.map(|point| Head { point, taps, shape, row: Vec::new(), values: Vec::new() });
        Ok(Self {
            stride: if halves || depth.is_none() { 2 } else { 1 },
            depth: depth.transpose()?,
            point,
            skip,
            head,
            in_channels,
            reach,
            in_height: 0,
            out_height: 0,
            kept_shape: RowShape::default(),
            out_shape: RowShape::default(),
            kept: Vec::new(),
            depth_row: Vec::new(),
            skip_row: Vec::new(),
            out_row: Vec::new(),
            accepted: 0,
            emitted: 0,
            taps: Vec::new(),
        })
    }

    /// Makes room for pictures of this height and width; returns those of its output.
    pub(super) fn make_room(&mut self, (height, width): (usize, usize)) -> Result<(usize, usize)> {
        if height % self.stride != 0 || width % self.stride != 0 {
            bail!("a picture whose sides, {height} and {width} at some layer, can't be halved");
        }
        let (out_height, out_width) = (height / self.stride, width / self.stride);
        let shape = |channels| RowShape { channels, width: out_width };
        (self.in_height, self.out_height) = (height, out_height);
        self.kept_shape = shape(self.stride * self.in_channels);
        self.out_shape = shape(self.point.out_channels);
        self.kept = vec![0.0; (self.reach + 1) * self.kept_shape.len()];
        self.out_row = vec![0.0; self.out_shape.len()];
        (self.depth_row, self.skip_row) =
            (vec![0.0; shape(self.in_channels).len()], vec![0.0; shape(self.in_channels).len()]);
        let stride = self.out_shape.stride();
        self.taps = (0..self.in_channels).map(|channel| channel * stride).collect();
        if let Some(head) = &mut self.head {
            head.shape = shape(head.point.out_channels);
            head.taps = (0..head.point.in_channels).map(|channel| channel * stride).collect();
            head.row = vec![0.0; head.shape.len()];
        }
        Ok((out_height, out_width))
    }

    pub(super) fn restart(&mut self) {
        (self.accepted, self.emitted) = (0, 0);
        self.head.iter_mut().for_each(|head| head.values.clear());
    }

    /// Takes the next row in, channel by channel.
    pub(super) fn accept<'a>(&mut self, channels: impl Iterator<Item = &'a [f32]>) {
        let (shape, width) = (self.kept_shape, self.kept_shape.width);
        let row = &mut self.kept[self.accepted % self.reach * shape.len()..][..shape.len()];
        for (channel, values) in channels.enumerate() {
            if self.stride == 1 {
                row[shape.at(channel, 0)..][..width].copy_from_slice(values);
                continue;
            }
            let (pairs, _) = values.as_chunks::<2>();
            for (odd, first) in [(0, shape.at(2 * channel, 0)), (1, shape.at(2 * channel + 1, 0))] {
                row[first..][..width].iter_mut().zip(pairs).for_each(|(kept, pair)| *kept = pair[odd]);
            }
        }
        self.accepted += 1;
    }

    /// Where the next row goes, for whoever writes it as it is kept, at a stride of 1.
    pub(super) fn next_row(&mut self) -> &mut [f32] {
        let len = self.kept_shape.len();
        let row = &mut self.kept[self.accepted % self.reach * len..][..len];
        self.accepted += 1;
        row
    }

    /// Whether the next output row can be computed: all rows under the kernel are there, or will never come.
    pub(super) fn is_ready(&self) -> bool {
        let last = self.stride * self.emitted + self.reach - 1;
        self.emitted < self.out_height && (self.accepted == self.in_height || last < self.accepted + self.padding())
    }

    /// Rows of zeros above the picture.
    fn padding(&self) -> usize {
        // SAME: of `reach - stride` rows half, rounded down.
        (self.reach - self.stride) / 2
    }

    /// Where the row under the kernel's row `ky` begins: a kept one, or the zeros.
    fn kept_row(&self, ky: usize) -> usize {
        let y = (self.stride * self.emitted + ky).checked_sub(self.padding()).filter(|y| *y < self.in_height);
        y.map_or(self.reach, |y| y % self.reach) * self.kept_shape.len()
    }

    /// Computes the next output row into `target` or, without one, into a row of its own; and what the head makes of it.
    pub(super) fn compute(&mut self, arch: Arch, target: Option<&mut [f32]>) {
        let Self { out_shape, .. } = *self;
        let (stride, filled) = (out_shape.stride(), out_shape.filled());
        if self.depth.is_none() {
            self.place_taps();
        }
        let rows = [0, 1, 2].map(|ky| self.kept_row(ky));
        let window = Window { input: &self.kept, rows, columns: self.columns(), channel: self.stride * stride };
        let (input, skip) = match &self.depth {
            None => (&self.kept[..], None),
            Some((kernels, bias)) => {
                arch.dispatch(Depthwise { window, kernels, bias, output: &mut self.depth_row[PAD..], stride, filled });
                let skip = match (self.skip, self.stride) {
                    (false, _) => None,
                    (true, 1) => Some(&self.kept[rows[1] + PAD..]),
                    (true, _) => {
                        let (output, channels) = (&mut self.skip_row[PAD..], self.in_channels);
                        arch.dispatch(Largest { window, channels, output, stride, filled });
                        Some(&self.skip_row[PAD..])
                    }
                };
                (&self.depth_row[PAD..], skip)
            }
        };
        let skip = skip.map(|rows| (rows, self.in_channels));
        let target = target.unwrap_or(&mut self.out_row);
        arch.dispatch(pointwise(&self.point, input, &self.taps, skip, true, out_shape, target));
        if out_shape.width < filled {
            // What lies beyond the picture is 0 for the next layer.
            let channels = target[PAD..].chunks_mut(stride).take(out_shape.channels);
            channels.for_each(|channel| channel[out_shape.width..filled].fill(0.0));
        }
        if let Some(Head { point, taps, shape, row, values }) = &mut self.head {
            arch.dispatch(pointwise(point, &target[PAD..], taps, None, false, *shape, row));
            for channel in 0..shape.channels {
                values.extend_from_slice(&row[shape.at(channel, 0)..][..shape.width]);
            }
        }
        self.emitted += 1;
    }

    /// Where the three columns under a depthwise kernel begin in the row of a channel.
    fn columns(&self) -> [usize; 3] {
        let shape = self.kept_shape;
        // With even and odd columns apart: 2x, 2x + 1, 2x + 2.
        let places = if self.stride == 1 { [(0, -1), (0, 0), (0, 1)] } else { [(0, 0), (1, 0), (0, 1)] };
        places.map(|(odd, column)| shape.at(odd, column))
    }

    /// Where the values under the first layer's kernel begin, for the row at hand.
    fn place_taps(&mut self) {
        let mut taps = std::mem::take(&mut self.taps);
        taps.clear();
        for channel in 0..self.in_channels {
            for ky in 0..self.reach {
                let row = self.kept_row(ky);
                // 2x - 1 to 2x + 3.
                let places = [(1, -1), (0, 0), (1, 0), (0, 1), (1, 1)];
                taps.extend(places.map(|(odd, column)| row + self.kept_shape.at(2 * channel + odd, column)));
            }
        }
        self.taps = taps;
    }

    /// The channels of the last output row.
    pub(super) fn out_rows(&self) -> impl Iterator<Item = &[f32]> {
        let shape = self.out_shape;
        (0..shape.channels).map(move |channel| &self.out_row[shape.at(channel, 0)..][..shape.width])
    }

    pub(super) fn take_head(&mut self) -> Option<HeadRows> {
        let Head { shape, values, .. } = self.head.as_mut()?;
        Some(HeadRows { values: std::mem::take(values), channels: shape.channels, width: shape.width })
    }
}

fn pointwise<'a>(
    packed: &'a Packed,
    input: &'a [f32],
    taps: &'a [usize],
    skip: Option<(&'a [f32], usize)>,
    relu: bool,
    shape: RowShape,
    output: &'a mut [f32],
) -> Pointwise<'a> {
    let Packed { weights, bias, out_channels, .. } = packed;
    let (stride, filled) = (shape.stride(), shape.filled());
    Pointwise {
        input,
        taps,
        weights,
        bias,
        skip,
        relu,
        output: &mut output[PAD..],
        channels: *out_channels,
        stride,
        filled,
    }
}
