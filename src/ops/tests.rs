use candle_core::{Device, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn random(seed: u64, shape: &[usize]) -> Var {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| (rng.next_u32() as f32 / u32::MAX as f32) * 2.0 - 1.0).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).expect("shape")).expect("variable")
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).and_then(|d| d.abs()?.flatten_all()?.max(0)?.to_scalar()).expect("difference")
}

/// A loss whose gradient differs from value to value.
fn loss(y: &Tensor) -> Tensor {
    let weights = random(99, y.dims());
    (y.sqr().expect("square") * weights.as_tensor()).and_then(|t| t.sum_all()).expect("sum")
}

fn compare(ours: &Tensor, candles: &Tensor, variables: &[&Var]) {
    assert!(largest_difference(ours, candles) < 1e-4, "forward: {}", largest_difference(ours, candles));
    let ours = loss(ours).backward().expect("our gradients");
    let candles = loss(candles).backward().expect("candle's gradients");
    for variable in variables {
        let (a, b) = (ours.get(variable).expect("ours"), candles.get(variable).expect("candle's"));
        let scale = b.abs().and_then(|b| b.flatten_all()?.max(0)?.to_scalar::<f32>()).expect("scale").max(1.0);
        assert!(largest_difference(a, b) / scale < 1e-4, "gradient: {}", largest_difference(a, b) / scale);
    }
}

#[test]
fn convolution_and_gradients_equal_candles() {
    // Candle's own gradient of a strided convolution fails on odd sizes, so those are even here.
    for (batch, inputs, outputs, height, width, kernel, stride) in [
        (1, 1, 4, 9, 7, 3, 1),
        (3, 5, 6, 8, 8, 3, 1),
        (40, 3, 4, 6, 6, 3, 1),
        (5, 4, 3, 8, 8, 3, 2),
        (5, 4, 3, 8, 8, 1, 2),
        (2, 4, 3, 5, 6, 1, 1),
    ] {
        let (x, w) = (random(1, &[batch, inputs, height, width]), random(2, &[outputs, inputs, kernel, kernel]));
        let ours = conv2d(&x, &w, stride).expect("ours");
        let candles = x.conv2d(&w, kernel / 2, stride, 1, 1).expect("candle's");
        compare(&ours, &candles, &[&x, &w]);
    }
}

#[test]
fn strided_convolution_gradient_of_odd_sizes_equals_finite_differences() {
    let (x, w) = (random(1, &[2, 2, 7, 5]), random(2, &[3, 2, 3, 3]));
    let gradients = loss(&conv2d(&x, &w, 2).expect("forward")).backward().expect("backward");
    for variable in [&x, &w] {
        let gradient: Vec<f32> = gradients.get(variable).and_then(|g| g.flatten_all().ok()?.to_vec1().ok()).expect("g");
        let original: Vec<f32> = variable.flatten_all().and_then(|v| v.to_vec1()).expect("values");
        for i in (0..original.len()).step_by(5) {
            let value_at = |offset: f32| {
                let mut moved = original.clone();
                moved[i] += offset;
                variable.set(&Tensor::from_vec(moved, variable.dims(), &Device::Cpu).expect("t")).expect("set");
                loss(&conv2d(&x, &w, 2).expect("forward")).to_scalar::<f32>().expect("scalar")
            };
            // The loss is quadratic in each value, so the central difference is exact but for rounding.
            let slope = (value_at(0.1) - value_at(-0.1)) / 0.2;
            value_at(0.0);
            assert!((slope - gradient[i]).abs() < 2e-3 * slope.abs().max(1.0), "{slope} {}", gradient[i]);
        }
    }
}

#[test]
fn convolution_with_bias_equals_candles() {
    let (x, w, b) = (random(1, &[2, 3, 8, 8]), random(2, &[4, 3, 3, 3]), random(3, &[4]));
    let plain = x.conv2d(&w, 1, 2, 1, 1).and_then(|y| y.broadcast_add(&b.reshape((1, 4, 1, 1))?)).expect("candle's");
    for relu in [false, true] {
        let ours = conv2d_bias(&x, &w, &b, 2, relu).expect("ours");
        let candles = if relu { plain.relu().expect("relu") } else { plain.clone() };
        assert!(largest_difference(&ours, &candles) < 1e-5);
    }
    assert!(conv2d_bias(&x, &w, &random(3, &[5]), 2, false).is_err());
    assert!(conv2d(&x, &random(2, &[4, 2, 3, 3]), 1).is_err());
    let nothing = Tensor::zeros((0, 3, 8, 8), candle_core::DType::F32, &Device::Cpu).expect("empty");
    assert!(conv2d(&nothing, &w, 1).is_err());
}

#[test]
fn batch_norm_and_gradients_equal_candles() {
    for relu in [false, true] {
        let (x, gamma, beta) = (random(1, &[6, 3, 4, 5]), random(2, &[3]), random(3, &[3]));
        let (ours, statistics) = batch_norm(&x, &gamma, &beta, 1e-5, relu).expect("ours");
        let centred = x.mean_keepdim((0, 2, 3)).and_then(|mean| x.broadcast_sub(&mean)).expect("centred");
        let variance = centred.sqr().and_then(|s| s.mean_keepdim((0, 2, 3))).expect("variance");
        let candles = (&variance + 1e-5)
            .and_then(|v| centred.broadcast_div(&v.sqrt()?))
            .and_then(|y| y.broadcast_mul(&gamma.reshape((1, 3, 1, 1))?))
            .and_then(|y| y.broadcast_add(&beta.reshape((1, 3, 1, 1))?))
            .and_then(|y| if relu { y.relu() } else { Ok(y) })
            .expect("candle's");
        compare(&ours, &candles, &[&x, &gamma, &beta]);
        let variance: Vec<f32> = variance.flatten_all().and_then(|v| v.to_vec1()).expect("variance");
        statistics.variance.iter().zip(variance).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
        assert_eq!(statistics.count, 6 * 4 * 5);
    }
}

#[test]
fn rectified_sum_and_gradients_equal_candles() {
    let (a, b) = (random(1, &[2, 3, 4, 5]), random(2, &[2, 3, 4, 5]));
    let candles = (a.as_tensor() + b.as_tensor()).and_then(|s| s.relu()).expect("candle's");
    compare(&add_relu(&a, &b).expect("ours"), &candles, &[&a, &b]);
}
