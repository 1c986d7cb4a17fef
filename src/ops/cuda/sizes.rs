//! The sizes that kernels get, and the tiles that a convolution is cut into.

use candle_core::{Result, Shape, bail};

/// The sizes of one convolution with odd kernels and a padding of half of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConvSizes {
    pub(super) batch: usize,
    pub(super) in_channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl ConvSizes {
    /// Of pictures `(batch, in, h, w)` and kernels `(out, in, k, k)`.
    pub(super) fn new(input: &Shape, kernel: &Shape, stride: usize) -> Result<Self> {
        let (batch, in_channels, height, width) = input.dims4()?;
        let (out_channels, expected_channels, rows, side) = kernel.dims4()?;
        let is_sound = input.elem_count() > 0 && kernel.elem_count() > 0 && matches!(stride, 1 | 2);
        if !is_sound || expected_channels != in_channels || rows != side || side % 2 == 0 {
            bail!("a convolution of {input:?} with kernels {kernel:?}, stride {stride}");
        }
        Ok(Self { batch, in_channels, height, width, out_channels, kernel: side, stride })
    }

    pub(super) fn out_height(&self) -> usize {
        (self.height - 1) / self.stride + 1
    }

    pub(super) fn out_width(&self) -> usize {
        (self.width - 1) / self.stride + 1
    }

    /// Pixels of one channel of one output.
    pub(super) fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    pub(super) fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.height * self.width
    }

    pub(super) fn kernel_len(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel * self.kernel
    }

    pub(super) fn output_len(&self) -> usize {
        self.batch * self.out_channels * self.out_pixels()
    }

    /// Weights of one output channel.
    #[cfg(not(feature = "cudnn"))]
    pub(super) fn places(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }

    /// The gradient of the input is made of so many phases (see `conv.cu`); the first and largest has that many pixels.
    #[cfg(not(feature = "cudnn"))]
    pub(super) fn phases(&self) -> (usize, usize) {
        let pixels = self.height.div_ceil(self.stride) * self.width.div_ceil(self.stride);
        (self.batch * pixels, self.stride * self.stride)
    }

    /// The shape of the pictures.
    pub(super) fn input(&self) -> Shape {
        (self.batch, self.in_channels, self.height, self.width).into()
    }

    /// The shape of the kernels.
    pub(super) fn kernels(&self) -> Shape {
        (self.out_channels, self.in_channels, self.kernel, self.kernel).into()
    }

    /// The shape of the output.
    pub(super) fn output(&self) -> Shape {
        (self.batch, self.out_channels, self.out_height(), self.out_width()).into()
    }

    /// As `Sizes` in `conv.cu`.
    pub(super) fn plan(&self) -> Result<[i32; 9]> {
        let (out_height, out_width) = (self.out_height(), self.out_width());
        let Self { batch, in_channels, height, width, out_channels, kernel, stride } = *self;
        ints(
            [batch, in_channels, height, width, out_channels, out_height, out_width, kernel, stride],
            self.input_len().max(self.output_len()),
        )
    }
}

/// The sizes of batch norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormSizes {
    pub(super) batch: usize,
    pub(super) channels: usize,
    /// Values of one channel of one picture.
    pub(super) pixels: usize,
}

impl NormSizes {
    /// Of pictures `(batch, channels, h, w)`.
    pub(super) fn new(pictures: &Shape) -> Result<Self> {
        let (batch, channels, height, width) = pictures.dims4()?;
        if pictures.elem_count() == 0 {
            bail!("batch norm of {pictures:?}");
        }
        Ok(Self { batch, channels, pixels: height * width })
    }

    pub(super) fn len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// As `Sizes` in `norm.cu`.
    pub(super) fn plan(&self) -> Result<[i32; 3]> {
        ints([self.batch, self.channels, self.pixels], self.len())
    }
}

/// Sizes as kernels take them, which count no further than `i32` goes.
fn ints<const N: usize>(sizes: [usize; N], largest: usize) -> Result<[i32; N]> {
    if i32::try_from(largest).is_err() {
        bail!("{largest} values at once are more than a kernel counts: use a smaller batch");
    }
    Ok(sizes.map(|size| size as i32))
}

/// What a block of a convolution computes: `8 * rows` channels by `32 * columns` pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    rows: usize,
    columns: usize,
}

/// Those that `conv.cu` has.
pub(super) const TILES: [Tile; 6] = [
    Tile { rows: 10, columns: 4 },
    Tile { rows: 5, columns: 4 },
    Tile { rows: 2, columns: 4 },
    Tile { rows: 5, columns: 1 },
    Tile { rows: 2, columns: 1 },
    Tile { rows: 1, columns: 1 },
];

impl Tile {
    /// The one by which a convolution of so many channels and pixels, `layers` times over, should take the least time:
    /// instructions of a thread a step, times the rounds in which the blocks are worked off. A guess from counting, not a
    /// measurement.
    pub(super) fn choose(channels: usize, pixels: usize, layers: usize, processors: usize) -> Self {
        let time = |tile: &Self| {
            let (columns, rows) = tile.blocks(channels, pixels);
            // Two blocks share a processor.
            let rounds = ((columns * rows * layers) as f64 / (2 * processors) as f64).max(1.0);
            // Products, the loads that feed them, and what comes with every step.
            rounds * (tile.rows * tile.columns + tile.rows + tile.columns + 4) as f64
        };
        TILES.into_iter().min_by(|a, b| time(a).total_cmp(&time(b))).unwrap_or(TILES[0])
    }

    /// The one for the gradient of kernels with so many places in all channels. Its sums are shared out to as many blocks as
    /// are wanted, so that only what lies beyond the result is lost; of equal ones the largest.
    #[cfg(not(feature = "cudnn"))]
    pub(super) fn for_kernels(channels: usize, places: usize) -> Self {
        let time = |tile: &Self| {
            let (columns, rows) = tile.blocks(channels, places);
            (columns * rows * (tile.rows * tile.columns + tile.rows + tile.columns + 4)) as f64
        };
        TILES.into_iter().min_by(|a, b| time(a).total_cmp(&time(b))).unwrap_or(TILES[0])
    }

    /// Blocks across pixels and across channels.
    pub(super) fn blocks(self, channels: usize, pixels: usize) -> (usize, usize) {
        (pixels.div_ceil(32 * self.columns), channels.div_ceil(8 * self.rows))
    }

    /// The kernel that computes in this tile.
    pub(super) fn name(self, kernel: &str) -> String {
        format!("{kernel}_{}x{}", self.rows, self.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pixels_are_cut_small_and_many_large() {
        let one_face = Tile::choose(160, 36, 1, 132);
        let a_batch = Tile::choose(80, 256 * 144, 1, 132);
        assert_eq!((one_face, a_batch), (TILES[5], TILES[0]));
        // As many channels as a tile has rows waste nothing.
        assert_eq!(Tile::choose(40, 256 * 576, 1, 132), TILES[1]);
        assert_eq!(Tile::for_kernels(16, 9), TILES[4]);
    }

    #[test]
    fn every_value_has_a_block() {
        for tile in TILES {
            let (columns, rows) = tile.blocks(41, 1000);
            assert!(columns * 32 * tile.columns >= 1000 && rows * 8 * tile.rows >= 41, "{tile:?}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let new = |input: [usize; 4], kernel: [usize; 4], stride| {
            ConvSizes::new(&Shape::from(input.to_vec()), &Shape::from(kernel.to_vec()), stride)
        };
        let sizes = new([2, 3, 7, 5], [4, 3, 3, 3], 2).expect("sizes");
        assert_eq!(sizes.output().dims(), [2, 4, 4, 3]);
        for (input, kernel, stride) in [
            ([2, 3, 7, 5], [4, 2, 3, 3], 1),
            ([2, 3, 7, 5], [4, 3, 2, 2], 1),
            ([2, 3, 7, 5], [4, 3, 3, 1], 1),
            ([2, 3, 7, 5], [4, 3, 3, 3], 3),
            ([0, 3, 7, 5], [4, 3, 3, 3], 1),
            ([2, 3, 7, 5], [0, 3, 3, 3], 1),
        ] {
            assert!(new(input, kernel, stride).is_err(), "{input:?} {kernel:?} {stride}");
        }
        let huge = ConvSizes { batch: 1 << 20, ..sizes };
        assert!(ConvSizes { height: 1 << 12, ..huge }.plan().is_err());
    }
}
