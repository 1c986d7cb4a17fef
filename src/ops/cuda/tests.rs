//! The kernels on a GPU against candle's operations, or this program's own, on the CPU.
//!
//! Without a GPU, real or simulated (`scripts/gpu-rig/run`), each test says that it is skipped.

use std::io::Write;

use candle_core::{CudaDevice, Device, Var};
use image::{GrayImage, Luma};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::kernels::{self, Finish};
use super::sizes::{ConvSizes, TILES};
use super::*;
use crate::dataset::augment::{Augmentation, Change};
use crate::device::DeviceSpec;
use crate::ops::ChannelStatistics;
use crate::ops::tests::{Layer, largest_difference, loss, random};
use crate::ops::{
    AdamWStep, InferenceConv, LayerForm, LayerWeights, adamw, conv_norm, inference_layout, inference_means,
};
use crate::preprocess::{InputSpec, Normalization, Preprocessor, Region};

/// The first GPU. Without one the test says so, past what libtest captures, and is done.
fn gpu(test: &str) -> Option<Device> {
    let device = DeviceSpec::Cuda(0).open(|_| ());
    if let Err(error) = &device {
        let line = format!("skipped: {test}: {error:#}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    device.ok()
}

fn moved(variable: &Var, device: &Device) -> Var {
    Var::from_tensor(&variable.to_device(device).expect("on the device")).expect("a variable")
}

fn on_cpu(tensor: &Tensor) -> Tensor {
    tensor.to_device(&Device::Cpu).expect("on the CPU")
}

/// The output of a layer on its device, its statistics, and the gradients of its variables, in their order.
fn layer_on(layer: &Layer, device: &Device) -> (Tensor, ChannelStatistics, Vec<Tensor>) {
    let layer = Layer {
        x: moved(&layer.x, device),
        kernel: moved(&layer.kernel, device),
        gamma: moved(&layer.gamma, device),
        beta: moved(&layer.beta, device),
        skip: layer.skip.as_ref().map(|skip| moved(skip, device)),
        form: layer.form,
    };
    let weights = LayerWeights { kernel: &layer.kernel, gamma: &layer.gamma, beta: &layer.beta };
    let skip = layer.skip.as_ref().map(Var::as_tensor);
    let (y, statistics) = conv_norm(&layer.x, weights, skip, layer.form).expect("a layer");
    let gradients = loss(&y).backward().expect("gradients");
    let gradients = layer.variables().into_iter().map(|variable| on_cpu(gradients.get(variable).expect("a gradient")));
    (on_cpu(&y), statistics, gradients.collect())
}

/// Sums of many products differ by how they are ordered.
fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    let scale = expected.abs().and_then(|e| e.flatten_all()?.max(0)?.to_scalar::<f32>()).expect("scale").max(1.0);
    let difference = largest_difference(found, expected) / scale;
    assert!(difference < 1e-4, "{what}: {difference}");
}

#[test]
fn layers_and_their_gradients_equal_candles() {
    let Some(device) = gpu("layers_and_their_gradients_equal_candles") else { return };
    // Candle's own gradient of a strided convolution fails on odd sizes, so those are even here.
    for (x, outputs, kernel, stride, relu, skip) in [
        ([16, 1, 9, 7], 4, 3, 1, true, false),
        ([3, 5, 8, 8], 9, 3, 1, true, true),
        ([2, 17, 6, 6], 8, 3, 1, false, true),
        ([5, 4, 8, 8], 41, 3, 2, true, false),
        ([1, 9, 2, 2], 16, 3, 2, false, false),
        ([7, 40, 8, 8], 81, 1, 2, false, false),
        ([2, 4, 5, 6], 10, 5, 1, true, true),
    ] {
        let form = LayerForm { stride, epsilon: 1e-3, relu };
        let layer = Layer::new(&x, outputs, kernel, form, skip);
        let (y, statistics, gradients) = layer_on(&layer, &device);
        let (expected, variance) = layer.candles().expect("candle's");
        assert_close("output", &y, &expected);
        assert_close("variance", &on_cpu(&statistics.variance), &variance.flatten_all().expect("variance"));
        assert_eq!(statistics.count, y.elem_count() / outputs);
        let of_candle = loss(&expected).backward().expect("gradients");
        for (i, (found, variable)) in gradients.iter().zip(layer.variables()).enumerate() {
            let expected = of_candle.get(variable).expect("a gradient");
            assert_close(&format!("gradient {i} of {x:?}"), found, expected);
        }
    }
}

#[test]
fn a_strided_layer_of_odd_sizes_equals_the_cpus() {
    let Some(device) = gpu("a_strided_layer_of_odd_sizes_equals_the_cpus") else { return };
    for (height, width, kernel) in [(7, 5, 3), (1, 9, 3), (5, 7, 1)] {
        let form = LayerForm { stride: 2, epsilon: 0.1, relu: true };
        let layer = Layer::new(&[16, 2, height, width], 3, kernel, form, true);
        let (y, _, gradients) = layer_on(&layer, &device);
        let (expected, _) = layer.ours().expect("ours");
        assert_close("output", &y, &expected);
        let ours = loss(&expected).backward().expect("gradients");
        for (found, variable) in gradients.iter().zip(layer.variables()) {
            assert_close("gradient", found, ours.get(variable).expect("a gradient"));
        }
    }
}

#[test]
fn the_same_numbers_in_give_the_same_numbers_out() {
    let Some(device) = gpu("the_same_numbers_in_give_the_same_numbers_out") else { return };
    let form = LayerForm { stride: 1, epsilon: 1e-5, relu: true };
    let layer = Layer::new(&[32, 16, 12, 12], 20, 3, form, true);
    let values = |tensor: &Tensor| tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("values");
    let bits = || {
        let (y, _, gradients) = layer_on(&layer, &device);
        [&y].into_iter().chain(&gradients).flat_map(values).map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(bits(), bits());
}

/// The result of a kernel as a tensor on the CPU.
fn downloaded(device: &CudaDevice, values: &CudaSlice<f32>, shape: &Shape) -> Tensor {
    Tensor::from_vec(device.clone_dtoh(values).expect("a download"), shape, &Device::Cpu).expect("a tensor")
}

#[test]
#[cfg(not(feature = "cudnn"))]
fn every_tile_computes_the_same() {
    let Some(device) = gpu("every_tile_computes_the_same") else { return };
    let cuda = device.as_cuda_device().expect("a GPU");
    // More channels and pixels than the largest tile has, and not a multiple of any.
    let (x, weights) = (random(1, &[3, 9, 10, 7]), random(2, &[83, 9, 3, 3]));
    for stride in [1, 2] {
        let sizes = ConvSizes::new(x.shape(), weights.shape(), stride).expect("sizes");
        let grad = random(3, sizes.output().dims());
        let [x, weights, grad] = [&x, &weights, &grad].map(|t| t.to_device(&device).expect("on the GPU"));
        let in_tile = |tile| {
            with_values(&x, |x| {
                with_values(&weights, |weights| {
                    with_values(&grad, |grad| {
                        let y = kernels::convolve_in(tile, cuda, &sizes, x, weights, Finish::default())?;
                        let of_input = kernels::input_gradient_in(tile, cuda, &sizes, grad, weights)?;
                        let of_kernel = kernels::kernel_gradient_in(tile, cuda, &sizes, x, grad)?;
                        Ok([
                            downloaded(cuda, &y, &sizes.output()),
                            downloaded(cuda, &of_input, &sizes.input()),
                            downloaded(cuda, &of_kernel, &sizes.kernels()),
                        ])
                    })
                })
            })
            .expect("results")
        };
        let [first, others @ ..] = TILES.map(in_tile);
        let expected = on_cpu(&x).conv2d(&on_cpu(&weights), 1, stride, 1, 1).expect("candle's");
        assert_close("output", &first[0], &expected);
        for (tile, other) in TILES[1..].iter().zip(others) {
            for (found, expected) in other.iter().zip(&first) {
                assert_close(&format!("{tile:?}"), found, expected);
            }
        }
    }
}

#[test]
fn inference_equals_the_cpus() {
    let Some(device) = gpu("inference_equals_the_cpus") else { return };
    for (x, outputs, kernel, stride) in [
        ([1, 1, 16, 16], 16, 3, 1),
        ([5, 3, 9, 7], 4, 3, 2),
        ([1, 17, 6, 6], 40, 3, 1),
        ([2, 5, 12, 10], 33, 5, 1),
        ([1, 8, 11, 5], 50, 1, 2),
        ([9, 2, 2, 33], 17, 7, 1),
    ] {
        let (x, kernel, bias) = (random(1, &x), random(2, &[outputs, x[1], kernel, kernel]), random(3, &[outputs]));
        for (has_skip, relu) in [(false, true), (true, false), (true, true)] {
            let conv = |device| InferenceConv::new(&kernel, &bias, stride, device).expect("a convolution");
            let (on_the_cpu, on_gpu) = (conv(&Device::Cpu), conv(&device));
            let layout = |t: &Tensor| inference_layout(t).expect("a layout");
            let plain = on_the_cpu.forward(&layout(&x), None, false).expect("a result");
            let skip = has_skip.then(|| random(4, plain.permute((0, 3, 1, 2)).expect("pictures").dims()));
            let expected = on_the_cpu.forward(&layout(&x), skip.as_ref().map(|s| layout(s)).as_ref(), relu);
            let expected = expected.and_then(|y| y.permute((0, 3, 1, 2))).expect("a result");
            let there = |t: &Tensor| t.to_device(&device).expect("on the GPU");
            let found = on_gpu.forward(&there(&x), skip.as_ref().map(|s| there(s)).as_ref(), relu).expect("a result");
            assert_close(&format!("{:?}", x.dims()), &on_cpu(&found), &expected);
        }
    }
}

#[test]
fn the_end_of_the_network_equals_candles() {
    let Some(device) = gpu("the_end_of_the_network_equals_candles") else { return };
    let there = |t: &Var| t.to_device(&device).expect("on the GPU");
    let (x, weights, bias) = (random(1, &[3, 45, 5, 7]), random(2, &[7, 45]), random(3, &[7]));
    let means = inference_means(&there(&x)).expect("means");
    let expected = x.mean((2, 3)).expect("candle's");
    assert_close("means", &on_cpu(&means), &expected);
    let found = linear(&means, &there(&weights), &there(&bias)).expect("rows");
    let expected = expected.matmul(&weights.t().expect("t")).and_then(|y| y.broadcast_add(&bias)).expect("candle's");
    assert_close("linear", &on_cpu(&found), &expected);
    assert!(linear(&means, &there(&bias), &there(&bias)).is_err());
}

#[test]
fn optimizer_and_averages_equal_the_cpus() {
    let Some(device) = gpu("optimizer_and_averages_equal_the_cpus") else { return };
    let step = AdamWStep { momentum: 0.9, square_momentum: 0.999, kept: 0.99, length: 0.1, scale: 3.0, epsilon: 1e-8 };
    let run = |device: &Device| {
        let there = |seed, shape: &[usize]| random(seed, shape).to_device(device).expect("there").copy().expect("own");
        let (values, moments, average) = (there(1, &[33, 11]), there(2, &[2, 363]), there(4, &[33, 11]));
        let moments = moments.abs().expect("no square is negative");
        adamw(&values, &moments, &there(3, &[33, 11]), &step).expect("a step");
        crate::ops::blend(&average, &values, 0.75, 0.25).expect("a blend");
        [values, moments, average].map(|t| on_cpu(&t))
    };
    for (found, expected) in run(&device).iter().zip(&run(&Device::Cpu)) {
        assert!(largest_difference(found, expected) < 1e-5);
    }
    let whole = random(1, &[4, 4]).to_device(&device).expect("there");
    let part = whole.narrow(0, 1, 2).expect("a part");
    assert!(crate::ops::blend(&part, &part.copy().expect("own"), 0.5, 0.5).is_err(), "a part of a tensor");
}

#[test]
fn changed_pictures_are_the_cpus_bit_for_bit() {
    let Some(device) = gpu("changed_pictures_are_the_cpus_bit_for_bit") else { return };
    for size in [48, 17] {
        let input = InputSpec { size, ..InputSpec::default() };
        let Normalization::PerCrop { least_deviation } = input.normalization;
        let side = size as u32;
        let pictures: Vec<GrayImage> = (0..5u32)
            .map(|i| GrayImage::from_fn(side, side, |x, y| Luma([((x * x * 3 + y * (7 + i)) % 256) as u8])))
            .chain([GrayImage::from_pixel(side, side, Luma([9]))])
            .collect();
        let augmentation = Augmentation::default();
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (mut rows, mut expected) = (Vec::new(), Vec::new());
        for i in 0..48 {
            let picture = &pictures[i % pictures.len()];
            let change = augmentation.draw(picture.dimensions(), &mut rng);
            rows.extend(change.to_row(i % pictures.len()));
            let changed = change.apply(picture);
            let mut values = vec![0.0; size * size];
            let mut preprocessor = Preprocessor::new(input.clone());
            preprocessor.write_input(&changed, Region::whole(&changed), &mut values).expect("an input");
            expected.extend(values);
        }
        let pixels: Vec<u8> = pictures.iter().flat_map(|picture| picture.as_raw().clone()).collect();
        let pixels = Tensor::from_vec(pixels, (pictures.len(), size, size), &device).expect("pictures");
        let rows = Tensor::from_vec(rows, (48, Change::ROW_LEN), &device).expect("rows");
        let found = augment(&pixels, &rows, least_deviation).and_then(|t| t.flatten_all()?.to_vec1::<f32>());
        let found = found.expect("inputs");
        let wrong = found.iter().zip(&expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(wrong, 0, "values that differ, of {}", expected.len());
    }
}
