//! From faces to probabilities: the network, the card of its weights, and the device that it runs on.

use anyhow::Result;
use candle_core::Device;
use image::GrayImage;

use crate::calibration::{Calibration, Prior};
use crate::emotion::Probabilities;
use crate::frame::FaceBox;
use crate::model::{EmotionNet, FoldedConv};
use crate::preprocess::{Preprocessor, Region};
use crate::weights::{ModelCard, Weights};

/// The most faces that go through the network at once: it bounds the memory that a crowd takes.
const BATCH: usize = 32;

/// Tells what faces express.
pub struct Classifier {
    net: EmotionNet<FoldedConv>,
    card: ModelCard,
    prior: Prior,
    calibration: Calibration,
    device: Device,
    preprocessor: Preprocessor,
}

impl Classifier {
    /// A classifier with these weights on this device, with the card's own prior unless another is named.
    ///
    /// # Errors
    /// When the weights don't fit their own card or don't tell what the prior needs, or the device has no room for them.
    pub fn new(weights: &Weights, prior: Option<Prior>, device: Device) -> Result<Self> {
        let prior = weights.card.prior_in_use(prior)?;
        Ok(Self {
            net: weights.net()?.fold(&device)?,
            preprocessor: Preprocessor::new(weights.card.input.clone()),
            prior,
            calibration: weights.card.calibration(Some(prior)),
            card: weights.card.clone(),
            device,
        })
    }

    /// The prior that the probabilities follow.
    pub fn prior(&self) -> Prior {
        self.prior
    }

    /// What each face of a grey frame expresses, in the order of the boxes.
    ///
    /// # Errors
    /// When the device fails.
    pub fn classify(&mut self, frame: &GrayImage, faces: &[FaceBox]) -> Result<Vec<Probabilities>> {
        let mut all = Vec::with_capacity(faces.len());
        for faces in faces.chunks(BATCH) {
            let regions: Vec<Region> = faces.iter().map(|face| Region::around_face(face, &self.card.input)).collect();
            let inputs = self.preprocessor.tensor_from_regions(frame, &regions, &self.device)?;
            let logits = self.net.logits(&inputs)?;
            all.extend(logits.iter().map(|logits| self.calibration.probabilities(logits)));
        }
        Ok(all)
    }
}
