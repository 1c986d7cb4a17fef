//! From faces to probabilities: the network, the card of its weights, and the device that it runs on.
//!
//! Owns what becomes of a run whose GPU fails: too many faces for its memory are divided, and when it is lost the CPU goes on
//! from the very faces that it was lost with.

use std::mem;

use anyhow::{Context, Error, Result};
use candle_core::{DType, Device, Tensor};
use image::GrayImage;

use crate::flow::emotion::{Emotion, Probabilities};
use crate::flow::frame::Face;
use crate::network::calibration::{Calibration, Prior};
use crate::network::device::{GpuError, GpuFailure, abandon, description, is_gpu};
use crate::network::model::{EmotionNet, FoldedConv};
use crate::network::preprocess::{Preprocessor, Region};
use crate::network::weights::{ModelCard, Weights};

/// The most faces that go through the network at once on the CPU: it bounds the memory that a crowd takes.
const BATCH: usize = 32;

/// The same on a GPU, which is faster the more there are, and has the room.
const GPU_BATCH: usize = 256;

/// How many frames are labelled at once on a GPU where nothing hurries: a way to it and back costs as much as many faces.
const GPU_FRAMES: usize = 8;

/// Faces in a grey frame.
#[derive(Clone, Copy)]
pub struct FrameFaces<'a> {
    /// The frame.
    pub gray: &'a GrayImage,
    /// Where the faces are.
    pub faces: &'a [Face],
}

/// Tells what faces express.
pub struct Classifier {
    net: EmotionNet<FoldedConv>,
    card: ModelCard,
    prior: Prior,
    calibration: Calibration,
    device: Device,
    preprocessor: Preprocessor,
    /// What the CPU takes over with when a GPU is lost.
    spare: Option<Weights>,
    limit: Limit,
}

impl Classifier {
    /// A classifier with these weights on this device, with the card's own prior unless another is named.
    ///
    /// # Errors
    /// When the weights don't fit their own card or don't tell what the prior needs, or the device has no room for them.
    pub fn new(weights: &Weights, prior: Option<Prior>, device: Device) -> Result<Self> {
        let prior = weights.card.prior_in_use(prior)?;
        Self::on(&device, weights, prior).map_err(|error| {
            let Some(gpu) = GpuError::find(&error) else { return error };
            let text = format!("the network can't run on {}", description(&device));
            abandon(device);
            Error::new(gpu.with_advice()).context(text)
        })
    }

    fn on(device: &Device, weights: &Weights, prior: Prior) -> Result<Self> {
        let classifier = Self {
            net: weights.net()?.fold(device)?,
            preprocessor: Preprocessor::new(weights.card.input.clone()),
            prior,
            calibration: weights.card.calibration(Some(prior)),
            card: weights.card.clone(),
            spare: is_gpu(device).then(|| weights.clone()),
            limit: Limit::of(device),
            device: device.clone(),
        };
        if is_gpu(device) {
            classifier.warm_up()?;
        }
        Ok(classifier)
    }

    /// Runs the network once: a GPU's driver translates its code now, and says now if it can't, not while a camera waits.
    fn warm_up(&self) -> Result<()> {
        let size = self.card.input.size;
        let face = Tensor::zeros((1, 1, size, size), DType::F32, &self.device)?;
        self.net.logits(&face).map(|_| ())
    }

    /// The prior that the probabilities follow.
    pub fn prior(&self) -> Prior {
        self.prior
    }

    /// Where the network runs at present.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many frames are best labelled at once where none of them is waited for.
    pub fn frames_at_once(&self) -> usize {
        if is_gpu(&self.device) { GPU_FRAMES } else { 1 }
    }

    /// What each face of a grey frame expresses, in the order of the boxes.
    ///
    /// # Errors
    /// As [`Self::classify_frames`].
    pub fn classify(&mut self, gray: &GrayImage, faces: &[Face]) -> Result<Vec<Probabilities>> {
        let mut labels = self.classify_frames(&[FrameFaces { gray, faces }], |_| {})?;
        labels.pop().context("labels for one frame")
    }

    /// What each face of each frame expresses, in their order, all of them on one way to the device and back. `tell` hears
    /// what a person should know: that a GPU was lost and the CPU goes on, or that its memory takes fewer faces at once.
    ///
    /// # Errors
    /// When the device fails and the CPU can't help: its memory is full, or this program and the GPU don't fit each other.
    pub fn classify_frames(
        &mut self,
        frames: &[FrameFaces<'_>],
        mut tell: impl FnMut(String),
    ) -> Result<Vec<Vec<Probabilities>>> {
        let all: Vec<(&GrayImage, Region)> = frames
            .iter()
            .flat_map(|frame| frame.faces.iter().map(|face| (frame.gray, Region::of_face(face, &self.card.input))))
            .collect();
        let mut labels = Vec::with_capacity(all.len());
        while let rest @ [_, ..] = &all[labels.len()..] {
            let batch = &rest[..rest.len().min(self.limit.most)];
            match self.logits(batch) {
                Ok(logits) => labels.extend(logits.iter().map(|logits| self.calibration.probabilities(logits))),
                Err(error) => tell(self.recover(error, batch.len())?),
            }
        }
        let mut labels = labels.into_iter();
        Ok(frames.iter().map(|frame| labels.by_ref().take(frame.faces.len()).collect()).collect())
    }

    fn logits(&mut self, faces: &[(&GrayImage, Region)]) -> Result<Vec<[f32; Emotion::COUNT]>> {
        self.net.logits(&self.preprocessor.tensor_from_regions(faces, &self.device)?)
    }

    /// Makes the next try of so many faces a better one, and says how; else the error.
    fn recover(&mut self, error: Error, faces: usize) -> Result<String> {
        let Some(gpu) = GpuError::find(&error) else { return Err(error) };
        match gpu.failure {
            GpuFailure::OutOfMemory => self.limit.halve(faces).map_err(|text| Error::new(gpu).context(text)),
            GpuFailure::Lost | GpuFailure::NoGpu if self.spare.is_some() => {
                self.take_over()?;
                Ok(format!("the GPU is lost ({gpu}): the CPU goes on"))
            }
            _ => Err(gpu.into()),
        }
    }

    /// Goes on on the CPU.
    fn take_over(&mut self) -> Result<()> {
        let weights = self.spare.take().context("the weights for the CPU are gone")?;
        abandon(mem::replace(&mut self.device, Device::Cpu));
        abandon(mem::replace(&mut self.net, weights.net()?.fold(&Device::Cpu)?));
        self.limit = Limit::of(&self.device);
        Ok(())
    }
}

/// How many faces go through the network at once.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    most: usize,
    /// So many did not fit into the GPU's memory.
    too_many: Option<usize>,
}

impl Limit {
    fn of(device: &Device) -> Self {
        Self { most: if is_gpu(device) { GPU_BATCH } else { BATCH }, too_many: None }
    }

    /// Halves a batch that did not fit, once, and says so; the second time it is over, for this reason.
    fn halve(&mut self, faces: usize) -> Result<String, String> {
        if self.too_many.is_none() && faces > 1 {
            self.too_many = Some(faces);
            self.most = faces / 2;
            return Ok(format!("{faces} faces at once do not fit into the GPU's memory: {} from now on", self.most));
        }
        let (count, those) = if faces == 1 { ("1 face".into(), "does") } else { (format!("{faces} faces"), "do") };
        let what = match self.too_many {
            Some(before) if faces < before => {
                format!("{before} faces at once do not fit into the GPU's memory, nor {those} {faces}")
            }
            _ => format!("{count} at once {those} not fit into the GPU's memory"),
        };
        Err(format!("{what}: try a smaller --batch, close other programs that use the GPU, or take --device cpu"))
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use crate::flow::frame::FaceBox;

    use super::*;

    fn gray(seed: u32) -> GrayImage {
        GrayImage::from_fn(160, 120, |x, y| Luma([(x * (3 + seed) + y * y / 7 + 40 * seed) as u8]))
    }

    fn faces(count: u8) -> Vec<Face> {
        let face = |at: u8| {
            FaceBox { x: f32::from(at), y: 10.0, width: 60.0 + f32::from(at), height: 60.0, score: 1.0 }.into()
        };
        (0..count).map(face).collect()
    }

    fn classifier() -> Classifier {
        Classifier::new(&Weights::embedded().expect("weights"), None, Device::Cpu).expect("a classifier")
    }

    fn together(classifier: &mut Classifier, frames: &[FrameFaces<'_>]) -> Vec<Vec<Probabilities>> {
        classifier.classify_frames(frames, |text| panic!("told: {text}")).expect("labels")
    }

    #[test]
    fn frames_at_once_are_labelled_as_one_by_one() {
        let (mut classifier, pictures) = (classifier(), [0, 1, 2, 3].map(gray));
        // More than go through the network at once, a frame without faces, and a limit in the middle of a frame.
        let faces = [3, 0, 40, 1].map(faces);
        let frames: Vec<_> = pictures.iter().zip(&faces).map(|(gray, faces)| FrameFaces { gray, faces }).collect();
        let at_once = together(&mut classifier, &frames);
        let one_by_one: Vec<_> =
            frames.iter().map(|frame| classifier.classify(frame.gray, frame.faces).expect("labels")).collect();
        assert_eq!(at_once.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 40, 1]);
        assert_eq!(at_once, one_by_one, "bit for bit");
        assert!(together(&mut classifier, &[]).is_empty());
    }

    #[test]
    fn the_cpu_goes_on_with_the_same_weights() {
        let (mut classifier, picture, faces) = (classifier(), gray(1), faces(2));
        let before = classifier.classify(&picture, &faces).expect("labels");
        assert!(classifier.take_over().is_err(), "on the CPU there is nothing to take over");
        classifier.spare = Some(Weights::embedded().expect("weights"));
        classifier.limit = Limit { most: 1, too_many: Some(2) };
        classifier.take_over().expect("the CPU");
        assert_eq!(classifier.limit, Limit { most: BATCH, too_many: None });
        assert_eq!(classifier.classify(&picture, &faces).expect("labels"), before);
    }

    /// With cuDNN, TF32 rounds to 10 bits.
    #[cfg(feature = "cuda")]
    #[test]
    fn logits_on_a_gpu_are_those_of_the_cpu() {
        let Ok(gpu) = crate::network::device::DeviceSpec::Cuda(0).open(|_| ()) else {
            return eprintln!("skipped: logits_on_a_gpu_are_those_of_the_cpu: no GPU can be used");
        };
        let weights = Weights::embedded().expect("weights");
        let (picture, faces) = (gray(1), faces(9));
        let logits = |device| {
            let mut classifier = Classifier::new(&weights, None, device).expect("a classifier");
            let region = |face| (&picture, Region::of_face(face, &classifier.card.input));
            let regions: Vec<_> = faces.iter().map(region).collect();
            classifier.logits(&regions).expect("logits").concat()
        };
        let tolerance = if cfg!(feature = "cudnn") { 1e-2 } else { 1e-3 };
        for (found, expected) in logits(gpu).iter().zip(logits(Device::Cpu)) {
            assert!((found - expected).abs() < tolerance, "{found} instead of {expected}");
        }
    }

    fn gpu_error(name: &'static str) -> Error {
        Error::new(candle_core::Error::Cuda(name.into()))
    }

    #[test]
    fn what_becomes_of_an_error_depends_on_its_kind() {
        let mut classifier = classifier();
        let error = classifier.recover(Error::msg("a region of 0x0"), 3).expect_err("none of a GPU");
        assert_eq!(error.to_string(), "a region of 0x0");
        for name in ["CUDA_ERROR_INVALID_PTX", "CUBLAS_STATUS_INVALID_VALUE", "CUDA_ERROR_UNKNOWN"] {
            let error = classifier.recover(gpu_error(name), 3).expect_err("the CPU has nothing to go on with");
            assert_eq!(error.to_string(), name);
        }
        let (full, lost) = ("CUDA_ERROR_OUT_OF_MEMORY", "CUDA_ERROR_UNKNOWN");
        let text = classifier.recover(gpu_error(full), 8).expect("another try");
        assert!(text.ends_with("4 from now on") && classifier.limit.most == 4, "{text}");
        let error = classifier.recover(gpu_error(full), 4).expect_err("no third try");
        let text = format!("{error:#}");
        assert!(text.contains("nor do 4") && text.ends_with(": CUDA_ERROR_OUT_OF_MEMORY"), "{text}");
        classifier.spare = Some(Weights::embedded().expect("weights"));
        let text = classifier.recover(gpu_error(lost), 4).expect("the CPU");
        assert_eq!(text, "the GPU is lost (CUDA_ERROR_UNKNOWN): the CPU goes on");
        assert!(classifier.spare.is_none() && classifier.limit.most == BATCH);
    }

    #[test]
    fn a_batch_is_halved_once_and_then_it_is_an_error() {
        let mut limit = Limit { most: GPU_BATCH, too_many: None };
        assert!(limit.halve(32).expect("halved").starts_with("32 faces at once do not fit"));
        assert_eq!(limit.most, 16);
        let error = limit.halve(16).expect_err("the second time");
        assert!(error.starts_with("32 faces at once do not fit into the GPU's memory, nor do 16: try"), "{error}");
        assert_eq!(limit.most, 16);
        let error = limit.halve(1).expect_err("the second time");
        assert!(error.contains("nor does 1:"), "{error}");
        let error = Limit { most: GPU_BATCH, too_many: None }.halve(1).expect_err("nothing to halve");
        assert!(error.starts_with("1 face at once does not fit"), "{error}");
    }
}
