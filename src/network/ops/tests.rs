use candle_core::{Device, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use pulp::Simd;

use super::block::Convolve;
use super::kernel::{Correlate, KernelGradient, Plan, TILE};
use super::packed::{PackedConv, padded};
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

fn pictures_from_lanes(y: &Tensor, batch: usize) -> Result<Tensor> {
    let (groups, channels, height, width, lanes) = y.dims5()?;
    y.permute((0, 4, 1, 2, 3))?.reshape((groups * lanes, channels, height, width))?.narrow(0, 0, batch)
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

/// Whose operations compute a layer.
#[derive(Clone, Copy, Debug)]
enum By {
    Us,
    Candle,
}

impl Layer {
    fn new(x: &[usize], outputs: usize, kernel: usize, (stride, relu): (usize, bool), skip: bool) -> Self {
        let out = |size: usize| size.div_ceil(stride);
        Self {
            x: random(1, x),
            kernel: random(2, &[outputs, x[1], kernel, kernel]),
            gamma: random(3, &[outputs]),
            beta: random(4, &[outputs]),
            skip: skip.then(|| random(5, &[x[0], outputs, out(x[2]), out(x[3])])),
            form: LayerForm { stride, epsilon: 1e-5, relu, batch: x[0] },
        }
    }

    fn variables(&self) -> Vec<&Var> {
        [&self.x, &self.kernel, &self.gamma, &self.beta].into_iter().chain(&self.skip).collect()
    }

    /// The layer's output in the usual layout.
    fn forward(&self, by: By) -> Result<(Tensor, ChannelStatistics)> {
        let weights = LayerWeights { kernel: &self.kernel, gamma: &self.gamma, beta: &self.beta };
        let skip = self.skip.as_ref().map(Var::as_tensor);
        match by {
            By::Us => {
                let skip = skip.map(lanes::from_pictures).transpose()?;
                let x = lanes::from_pictures(&self.x)?;
                let (y, statistics) = conv_norm::conv_norm(&x, weights, skip.as_ref(), self.form)?;
                Ok((pictures_from_lanes(&y, self.form.batch)?, statistics))
            }
            By::Candle => by_candle::conv_norm(&self.x, weights, skip, self.form),
        }
    }

    /// What batch norm is defined to compute, step by step, by candle's operations; and the variance.
    fn as_defined(&self) -> Result<(Tensor, Tensor)> {
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
fn layers_and_their_gradients_are_as_defined() {
    // Candle's own gradient of a strided convolution fails on odd sizes, so those are even here. Batches fill whole groups
    // of sixteen, or not.
    for (x, outputs, kernel, stride, relu, skip) in [
        ([16, 1, 9, 7], 4, 3, 1, true, false),
        ([32, 5, 8, 8], 9, 3, 1, true, true),
        ([16, 17, 6, 6], 8, 3, 1, false, true),
        ([48, 4, 8, 8], 3, 3, 2, true, false),
        ([16, 9, 2, 2], 16, 3, 2, false, false),
        ([16, 4, 8, 8], 3, 1, 2, false, false),
        ([16, 4, 5, 6], 10, 1, 1, true, true),
        ([1, 3, 6, 6], 5, 3, 1, true, true),
        ([5, 4, 8, 8], 6, 3, 2, true, true),
        ([21, 2, 4, 6], 9, 1, 2, false, true),
        ([33, 3, 5, 5], 2, 3, 1, true, false),
    ] {
        let layer = Layer::new(&x, outputs, kernel, (stride, relu), skip);
        let (expected, variance) = layer.as_defined().expect("candle's");
        for by in [By::Us, By::Candle] {
            let (found, statistics) = layer.forward(by).expect("a layer");
            compare(&found, &expected, &layer.variables());
            let values = |tensor: &Tensor| tensor.flatten_all().and_then(|v| v.to_vec1::<f32>()).expect("values");
            let pairs = values(&statistics.variance).into_iter().zip(values(&variance));
            pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-5 * b.max(1.0), "{by:?}: {a} {b}"));
            assert_eq!(statistics.count, found.elem_count() / outputs);
        }
    }
}

#[test]
fn gradients_of_strided_layers_of_odd_sizes_equal_finite_differences() {
    for (x, kernel, by) in [
        ([16, 2, 7, 5], 3, By::Us),
        ([3, 2, 7, 5], 3, By::Us),
        ([3, 2, 7, 5], 3, By::Candle),
        ([2, 2, 6, 5], 3, By::Candle),
        ([2, 2, 5, 7], 1, By::Candle),
    ] {
        let mut layer = Layer::new(&x, 3, kernel, (2, false), false);
        layer.form.epsilon = 0.1;
        let value = || loss(&layer.forward(by).expect("forward").0);
        let gradients = value().backward().expect("backward");
        for variable in layer.variables() {
            let gradient: Vec<f32> =
                gradients.get(variable).and_then(|g| g.flatten_all().ok()?.to_vec1().ok()).expect("g");
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
                assert!((slope - gradient[i]).abs() < 1e-2 * slope.abs().max(1.0), "{by:?} {slope} {}", gradient[i]);
            }
        }
    }
}

#[test]
fn means_of_pictures_side_by_side_are_those_of_the_pictures() {
    let x = random(1, &[19, 3, 4, 5]);
    let ours = lanes::from_pictures(&x).and_then(|x| training_means(&x, 19)).expect("means");
    assert!(largest_difference(&ours, &x.mean((2, 3)).expect("candle's")) < 1e-6);
    assert!(lanes::from_pictures(&x).and_then(|x| training_means(&x, 33)).is_err(), "more than there are");
}

#[test]
fn candles_operations_learn_as_ours_do() {
    let step = AdamWStep { momentum: 0.9, square_momentum: 0.999, kept: 0.99, length: 0.1, scale: 3.0, epsilon: 1e-8 };
    let after = |ours: bool| {
        let (values, gradient) = (random(1, &[3, 4]), random(2, &[3, 4]));
        let (moments, average) = (random(3, &[2, 12]).sqr().expect("moments"), random(4, &[3, 4]));
        for _ in 0..3 {
            let adamw = if ours { update::adamw } else { by_candle::adamw };
            adamw(&values, &moments, &gradient, &step).expect("a step");
            let blend = if ours { update::blend } else { by_candle::blend };
            blend(&average, &values, 0.75, 0.25).expect("a blend");
        }
        [values.flatten_all(), moments.flatten_all(), average.flatten_all()].map(|values| values.expect("values"))
    };
    for (ours, candles) in after(true).iter().zip(after(false)) {
        assert!(largest_difference(ours, &candles) < 1e-6);
    }
    let (values, moments, gradient) = (random(1, &[2]), random(2, &[2, 2]), random(3, &[1]));
    for adamw in [update::adamw, by_candle::adamw] {
        adamw(&values, &moments, &gradient, &step).expect_err("another length");
        adamw(&gradient, &moments, &values, &step).expect_err("too many moments");
    }
    by_candle::blend(&values, &gradient, 0.5, 0.5).expect_err("another length");
}

/// Convolution for inference by our operation and step by step by candle's, both in candle's layout.
fn inference_by_both(x: &Var, kernel: &Var, stride: usize, skip: bool, relu: bool) -> Result<(Tensor, Tensor)> {
    let bias = random(3, &[kernel.dim(0)?]);
    let mut candles = x.conv2d(kernel, kernel.dim(3)? / 2, stride, 1, 1)?.broadcast_add(&bias.reshape((
        1,
        bias.elem_count(),
        1,
        1,
    ))?)?;
    let skip = skip.then(|| random(4, candles.dims()));
    if let Some(skip) = &skip {
        candles = (candles + skip.as_tensor())?;
    }
    let skip = skip.map(|skip| inference_layout(&skip)).transpose()?;
    let conv = InferenceConv::new(kernel, &bias, stride, &Device::Cpu)?;
    let ours = conv.forward(&inference_layout(x)?, skip.as_ref(), relu)?.permute((0, 3, 1, 2))?;
    let on_gpu = BiasedConv::new(kernel.as_detached_tensor(), &bias, stride)?;
    let skip = skip.map(|skip| skip.permute((0, 3, 1, 2))?.contiguous()).transpose()?;
    assert!(largest_difference(&on_gpu.forward(x, skip.as_ref(), relu)?, &ours) < 1e-5);
    Ok((ours, if relu { candles.relu()? } else { candles }))
}

#[test]
fn inference_equals_candles() {
    // Batch, input channels, height and width; output channels, kernel, stride.
    for (x, outputs, kernel, stride) in [
        ([1, 1, 16, 16], 16, 3, 1),
        ([5, 3, 9, 7], 4, 3, 2),
        ([1, 17, 6, 6], 40, 3, 1),
        ([2, 5, 12, 10], 33, 5, 1),
        ([3, 4, 7, 13], 20, 5, 2),
        ([5, 20, 5, 6], 48, 1, 1),
        ([1, 8, 11, 5], 50, 1, 2),
        ([1, 2, 1, 1], 3, 3, 2),
        ([9, 2, 2, 33], 17, 7, 1),
    ] {
        let (x, kernel) = (random(1, &x), random(2, &[outputs, x[1], kernel, kernel]));
        for (skip, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            let (ours, candles) = inference_by_both(&x, &kernel, stride, skip, relu).expect("a convolution");
            let difference = largest_difference(&ours, &candles);
            assert!(difference < 1e-5, "{:?} {:?} {stride} {skip} {relu}: {difference}", x.dims(), kernel.dims());
        }
    }
}

#[test]
fn inference_does_not_depend_on_the_batch_or_the_threads() {
    let (x, kernel, bias) = (random(1, &[11, 3, 9, 8]), random(2, &[20, 3, 3, 3]), random(3, &[20]));
    let conv = InferenceConv::new(&kernel, &bias, 1, &Device::Cpu).expect("a convolution");
    let x = inference_layout(&x).expect("pictures");
    let values = |x: &Tensor| {
        let y = conv.forward(x, None, true).and_then(|y| y.flatten_all()?.to_vec1::<f32>()).expect("values");
        y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let by_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| values(&x))
    };
    let together = by_threads(1);
    assert_eq!(together, by_threads(3));
    let alone: Vec<u32> = (0..11).flat_map(|i| values(&x.narrow(0, i, 1).expect("a picture"))).collect();
    assert_eq!(together, alone);
}

#[test]
fn convolutions_that_do_not_fit_are_refused() {
    let (kernel, bias) = (random(2, &[4, 3, 3, 3]), random(3, &[4]));
    let new = |kernel: &Var, bias: &Var, stride| InferenceConv::new(kernel, bias, stride, &Device::Cpu);
    assert!(new(&kernel, &random(3, &[5]), 2).is_err());
    assert!(new(&kernel, &bias, 0).is_err());
    for kernel in [[4, 3, 2, 2], [4, 3, 3, 1]] {
        assert!(new(&random(2, &kernel), &bias, 1).is_err(), "{kernel:?}");
    }
    let conv = new(&kernel, &bias, 2).expect("a convolution");
    let forward = |x: &[usize], skip: &[usize]| conv.forward(&random(1, x), Some(&random(1, skip)), true);
    assert!(forward(&[2, 8, 8, 3], &[2, 4, 4, 4]).is_ok());
    assert!(forward(&[2, 8, 8, 4], &[2, 4, 4, 4]).is_err(), "other channels");
    assert!(forward(&[2, 8, 8, 3], &[1, 4, 4, 4]).is_err(), "another way around");
    let nothing = |shape: [usize; 4]| Tensor::zeros(&shape, candle_core::DType::F32, &Device::Cpu).expect("empty");
    assert!(conv.forward(&nothing([0, 8, 8, 3]), None, false).is_err());
    assert!(inference_means(&nothing([1, 0, 8, 3])).is_err());
}

#[test]
fn means_of_channels_equal_candles() {
    let x = random(1, &[3, 5, 4, 7]);
    let ours = inference_layout(&x).and_then(|x| inference_means(&x)).expect("ours");
    assert!(largest_difference(&ours, &x.mean((2, 3)).expect("candle's")) < 1e-6);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let layer = || Layer::new(&[16, 3, 8, 8], 4, 3, (1, true), true);
    for by in [By::Us, By::Candle] {
        let refused = |layer: Layer| layer.forward(by).is_err();
        assert!(!refused(layer()));
        for kernel in [[4, 2, 3, 3], [0, 3, 3, 3]] {
            assert!(refused(Layer { kernel: random(1, &kernel), ..layer() }), "{by:?} {kernel:?}");
        }
        assert!(refused(Layer { gamma: random(1, &[5]), ..layer() }), "{by:?}");
        assert!(refused(Layer { skip: Some(random(1, &[16, 4, 8, 4])), ..layer() }), "{by:?}");
    }
    let refused = |layer: Layer| layer.forward(By::Us).is_err();
    for kernel in [[4, 3, 5, 5], [4, 3, 3, 1]] {
        assert!(refused(Layer { kernel: random(1, &kernel), ..layer() }), "{kernel:?}");
    }
    let form = layer().form;
    assert!(refused(Layer { form: LayerForm { stride: 0, ..form }, ..layer() }));
    for batch in [0, 17] {
        assert!(refused(Layer { form: LayerForm { batch, ..form }, ..layer() }), "{batch}");
    }
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
fn inference_is_the_same_on_each_kind_of_processor() {
    for (outputs, width, stride) in [(20, 9, 1), (40, 12, 2), (16, 4, 1)] {
        let values =
            |seed, shape: &[usize]| random(seed, shape).flatten_all().and_then(|t| t.to_vec1()).expect("values");
        let (kernel, bias) = (random(1, &[outputs, 3, 3, 3]), random(2, &[outputs]));
        let conv = PackedConv::new(&kernel, &bias, stride).expect("a convolution");
        let (shape, plan) = conv.plan(&(2, 7, width, 3).into()).expect("a plan");
        let (input, skip): (Vec<f32>, Vec<f32>) = (values(3, &[2, 7, width, 3]), values(4, shape.dims()));
        let fast = conv.forward(&plan, &input, Some(&skip), true);
        let padded = padded(&plan, &input);
        let check = |vectorize: &dyn Fn(Convolve<'_>)| {
            let mut plain = vec![0.0; fast.len()];
            vectorize(conv.work(&plan, &padded, Some(&skip), true, &mut plain));
            fast.iter().zip(&plain).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
        };
        check(&|work| Simd::vectorize(pulp::Scalar::new(), work));
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = pulp::x86::V3::try_new() {
            check(&|work| Simd::vectorize(avx2, work));
        }
    }
}
