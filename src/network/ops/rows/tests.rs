use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn random(rng: &mut ChaCha8Rng, shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random::<f32>() - 0.45).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
}

fn weights(rng: &mut ChaCha8Rng, kernel: &[usize]) -> ConvWeights {
    ConvWeights { kernel: random(rng, kernel), bias: random(rng, &kernel[..1]) }
}

/// Input and output channels of the layers behind the first, whether they halve, add their input, and have a head.
const LAYERS: [(usize, usize, bool, bool, bool); 4] =
    [(5, 7, false, true, false), (7, 14, true, true, true), (14, 14, false, true, false), (14, 9, true, false, true)];

fn layers(seed: u64) -> Vec<RowLayer> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let stem = RowLayer { depth: None, point: weights(rng, &[5, 3, 5, 5]), halves: true, skip: false, head: None };
    let blocks = LAYERS.map(|(input, output, halves, skip, head)| RowLayer {
        depth: Some(weights(rng, &[input, 3, 3])),
        point: weights(rng, &[output, input, 1, 1]),
        halves,
        skip,
        head: head.then(|| weights(rng, &[13, output, 1, 1])),
    });
    std::iter::once(stem).chain(blocks).collect()
}

/// Pads as `SAME` does and convolves, by candle.
fn convolved(x: &Tensor, weights: &ConvWeights, stride: usize, groups: usize) -> Result<Tensor> {
    let (channels, side) = (weights.kernel.dim(0)?, weights.kernel.dims()[weights.kernel.rank() - 1]);
    let kernel = weights.kernel.reshape((channels, (), side, side))?;
    let (before, after) = ((side - stride) / 2, side - stride - (side - stride) / 2);
    let padded = x.pad_with_zeros(2, before, after)?.pad_with_zeros(3, before, after)?;
    padded.conv2d(&kernel, 0, stride, 1, groups)?.broadcast_add(&weights.bias.reshape((1, channels, 1, 1))?)
}

/// What the heads should give, `(channels, height, width)` each.
fn expected(layers: &[RowLayer], picture: &Tensor) -> Result<Vec<Tensor>> {
    let (mut x, mut heads) = (picture.unsqueeze(0)?, Vec::new());
    for RowLayer { depth, point, halves, skip, head } in layers {
        let input = x.clone();
        x = match depth {
            None => convolved(&x, point, 2, 1)?,
            Some(depth) => {
                let stride = if *halves { 2 } else { 1 };
                convolved(&convolved(&x, depth, stride, x.dim(1)?)?, point, 1, 1)?
            }
        };
        if *skip {
            let around = if *halves { input.max_pool2d(2)? } else { input };
            x = (&x + around.pad_with_zeros(1, 0, x.dim(1)? - around.dim(1)?)?)?;
        }
        x = x.relu()?;
        if let Some(head) = head {
            heads.push(convolved(&x, head, 1, 1)?.squeeze(0)?);
        }
    }
    Ok(heads)
}

#[test]
fn rows_give_what_whole_layers_by_candle_give_at_every_size() {
    let mut net = RowNet::new(3, layers(4)).expect("a network");
    for (height, width) in [(16, 8), (40, 264), (8, 8), (64, 136), (16, 8)] {
        let picture = random(&mut ChaCha8Rng::seed_from_u64(9), &[3, height, width]);
        let expected = expected(&layers(4), &picture).expect("candle's result");
        let values: Vec<f32> = picture.flatten_all().and_then(|x| x.to_vec1()).expect("values");
        let heads = net.forward(&values, height, width).expect("heads");
        assert_eq!(heads.len(), 2);
        for (head, expected) in heads.iter().zip(expected) {
            let (channels, rows, columns) = expected.dims3().expect("three dimensions");
            assert_eq!((head.channels, head.width, head.values.len()), (channels, columns, channels * rows * columns));
            let expected = expected.transpose(0, 1).and_then(|x| x.flatten_all()?.to_vec1::<f32>()).expect("values");
            for (found, expected) in head.values.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4, "{found} instead of {expected} at {height}x{width}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut net = RowNet::new(3, layers(1)).expect("a network");
    let values = vec![0.0; 3 * 16 * 12];
    assert!(net.forward(&values, 16, 12).is_err(), "12 can't be halved three times");
    assert!(net.forward(&values[1..], 16, 12).is_err(), "a value is missing");
    assert!(net.forward(&[], 0, 0).is_err(), "nothing at all");
    net.forward(&vec![0.0; 3 * 16 * 16], 16, 16).expect("a fitting one after others");
    assert!(RowNet::new(2, layers(1)).is_err(), "other channels");
    let mut changed = layers(1);
    changed.remove(1);
    assert!(RowNet::new(3, changed).is_err(), "a layer is missing");
}
