use candle_core::{Device, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use pulp::Simd;

use super::kernel::{Correlate, KernelGradient, Plan, TILE};
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

fn pictures_from_lanes(y: &Tensor) -> Tensor {
    let (groups, channels, height, width, lanes) = y.dims5().expect("lanes");
    let pictures = y.permute((0, 4, 1, 2, 3)).and_then(|y| y.reshape((groups * lanes, channels, height, width)));
    pictures.expect("pictures")
}

/// The variables of one layer: input, kernel, scale, shift, way around; and its form.
struct Layer {
    x: Var,
    kernel: Var,
    gamma: Var,
    beta: Var,
    skip: Option<Var>,
    form: LayerForm,
}

impl Layer {
    fn new(x: &[usize], outputs: usize, kernel: usize, form: LayerForm, skip: bool) -> Self {
        let out = |size: usize| size.div_ceil(form.stride);
        Self {
            x: random(1, x),
            kernel: random(2, &[outputs, x[1], kernel, kernel]),
            gamma: random(3, &[outputs]),
            beta: random(4, &[outputs]),
            skip: skip.then(|| random(5, &[x[0], outputs, out(x[2]), out(x[3])])),
            form,
        }
    }

    fn variables(&self) -> Vec<&Var> {
        [&self.x, &self.kernel, &self.gamma, &self.beta].into_iter().chain(&self.skip).collect()
    }

    /// Ours, in the usual layout.
    fn ours(&self) -> Result<(Tensor, ChannelStatistics)> {
        let weights = LayerWeights { kernel: &self.kernel, gamma: &self.gamma, beta: &self.beta };
        let skip = self.skip.as_ref().map(|skip| lanes_from_pictures(skip)).transpose()?;
        let (y, statistics) = conv_norm(&lanes_from_pictures(&self.x)?, weights, skip.as_ref(), self.form)?;
        Ok((pictures_from_lanes(&y), statistics))
    }

    /// What batch norm is defined to compute, step by step, by candle's operations; and the variance.
    fn candles(&self) -> Result<(Tensor, Tensor)> {
        let channels = |t: &Tensor| t.reshape((1, t.elem_count(), 1, 1));
        let y = self.x.conv2d(&self.kernel, self.kernel.dim(3)? / 2, self.form.stride, 1, 1)?;
        let centred = y.broadcast_sub(&y.mean_keepdim((0, 2, 3))?)?;
        let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
        let y = centred.broadcast_div(&(&variance + f64::from(self.form.epsilon))?.sqrt()?)?;
        let mut y = y.broadcast_mul(&channels(&self.gamma)?)?.broadcast_add(&channels(&self.beta)?)?;
        if let Some(skip) = &self.skip {
            y = (y + skip.as_tensor())?;
        }
        Ok((if self.form.relu { y.relu()? } else { y }, variance))
    }
}

#[test]
fn layers_and_their_gradients_equal_candles() {
    // Candle's own gradient of a strided convolution fails on odd sizes, so those are even here.
    for (x, outputs, kernel, stride, relu, skip) in [
        ([16, 1, 9, 7], 4, 3, 1, true, false),
        ([32, 5, 8, 8], 9, 3, 1, true, true),
        ([16, 17, 6, 6], 8, 3, 1, false, true),
        ([48, 4, 8, 8], 3, 3, 2, true, false),
        ([16, 9, 2, 2], 16, 3, 2, false, false),
        ([16, 4, 8, 8], 3, 1, 2, false, false),
        ([16, 4, 5, 6], 10, 1, 1, true, true),
    ] {
        let layer = Layer::new(&x, outputs, kernel, LayerForm { stride, epsilon: 1e-5, relu }, skip);
        let (ours, statistics) = layer.ours().expect("ours");
        let (candles, variance) = layer.candles().expect("candle's");
        compare(&ours, &candles, &layer.variables());
        let variance: Vec<f32> = variance.flatten_all().and_then(|v| v.to_vec1()).expect("variance");
        statistics
            .variance
            .iter()
            .zip(variance)
            .for_each(|(a, b)| assert!((a - b).abs() < 1e-5 * b.max(1.0), "{a} {b}"));
        assert_eq!(statistics.count, ours.elem_count() / outputs);
    }
}

#[test]
fn strided_layer_gradient_of_odd_sizes_equals_finite_differences() {
    let form = LayerForm { stride: 2, epsilon: 0.1, relu: false };
    let layer = Layer::new(&[16, 2, 7, 5], 3, 3, form, false);
    let value = || loss(&layer.ours().expect("forward").0);
    let gradients = value().backward().expect("backward");
    for variable in layer.variables() {
        let gradient: Vec<f32> = gradients.get(variable).and_then(|g| g.flatten_all().ok()?.to_vec1().ok()).expect("g");
        let original: Vec<f32> = variable.flatten_all().and_then(|v| v.to_vec1()).expect("values");
        for i in (0..original.len()).step_by(original.len().div_ceil(16)) {
            let value_at = |offset: f32| {
                let mut moved = original.clone();
                moved[i] += offset;
                variable.set(&Tensor::from_vec(moved, variable.dims(), &Device::Cpu).expect("t")).expect("set");
                value().to_scalar::<f32>().expect("scalar")
            };
            let slope = (value_at(0.02) - value_at(-0.02)) / 0.04;
            value_at(0.0);
            assert!((slope - gradient[i]).abs() < 1e-2 * slope.abs().max(1.0), "{slope} {}", gradient[i]);
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
    assert!(conv2d_bias(&x, &random(2, &[4, 2, 3, 3]), &b, 1, false).is_err());
    let nothing = Tensor::zeros((0, 3, 8, 8), candle_core::DType::F32, &Device::Cpu).expect("empty");
    assert!(conv2d_bias(&nothing, &w, &b, 1, false).is_err());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let form = LayerForm { stride: 1, epsilon: 1e-5, relu: true };
    let layer = || Layer::new(&[16, 3, 8, 8], 4, 3, form, true);
    layer().ours().expect("one that fits");
    for kernel in [[4, 2, 3, 3], [4, 3, 5, 5], [4, 3, 3, 1], [0, 3, 3, 3]] {
        assert!(Layer { kernel: random(1, &kernel), ..layer() }.ours().is_err(), "{kernel:?}");
    }
    assert!(Layer { form: LayerForm { stride: 0, ..form }, ..layer() }.ours().is_err());
    assert!(Layer { gamma: random(1, &[5]), ..layer() }.ours().is_err());
    assert!(Layer { skip: Some(random(1, &[16, 4, 8, 4])), ..layer() }.ours().is_err());
    assert!(Layer { x: random(1, &[17, 3, 8, 8]), ..layer() }.ours().is_err());
}

#[test]
fn each_kind_of_processor_computes_the_same() {
    let plan = Plan {
        in_channels: 3,
        in_width: 9,
        in_height: 5,
        out_channels: 10,
        out_width: 7,
        rows: (0..5)
            .map(|y: usize| (0..3).filter_map(|k| Some((k, (y + k).checked_sub(1).filter(|&r| r < 5)?))).collect())
            .collect(),
        phases: vec![vec![(0, 0), (1, 1), (2, 2)]],
        step: 1,
        kernel: 3,
    };
    let values = |seed, count: usize| random(seed, &[count]).to_vec1::<f32>().expect("values");
    let (input, weights) = (values(1, plan.in_len()), values(2, 2 * 3 * 9 * TILE));
    let grad = values(3, plan.out_len());
    let (mut fast, mut plain) = (vec![0.0; plan.out_len()], vec![0.0; plan.out_len()]);
    pulp::Arch::new().dispatch(Correlate { plan: &plan, input: &input, weights: &weights, output: &mut fast });
    pulp::Scalar::new().vectorize(Correlate { plan: &plan, input: &input, weights: &weights, output: &mut plain });
    fast.iter().zip(&plain).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{a} {b}"));
    let (mut fast, mut plain) = (vec![0.0; 2 * 27], vec![0.0; 2 * 27]);
    let work = |output| KernelGradient { plan: &plan, input: &input, grad: &grad, channel: 8, output };
    pulp::Arch::new().dispatch(work(&mut fast));
    pulp::Scalar::new().vectorize(work(&mut plain));
    fast.iter().zip(&plain).for_each(|(a, b)| assert!((a - b).abs() < 1e-3, "{a} {b}"));
}

#[test]
fn rectified_sum_equals_candles() {
    let (a, b) = (random(1, &[2, 3, 4, 5]), random(2, &[2, 3, 4, 5]));
    let candles = (a.as_tensor() + b.as_tensor()).and_then(|s| s.relu()).expect("candle's");
    assert!(largest_difference(&add_relu(&a, &b).expect("ours"), &candles) < 1e-6);
}
