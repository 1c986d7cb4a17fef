//! H.264, by OpenH264: a picture in, its units out.

use anyhow::{Result, anyhow, ensure};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, IntraFramePeriod, MatrixCoefficients, QpRange, RateControlMode, VuiConfig,
};
use openh264::formats::YUVSource;

/// A player can jump to every 60th frame.
const KEY_FRAME_EVERY: u32 = 60;

/// The coarsest quantizer.
pub(super) const COARSEST: u8 = 51;

/// An encoder of constant quality: `crf` is how coarsely detail is coded.
pub(super) fn encoder(crf: u8) -> Result<Encoder> {
    // At 0 the encoder takes values of its own.
    let crf = crf.clamp(1, COARSEST);
    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Bufferbased)
        // Out of reach, so that it is the quality that counts.
        .bitrate(BitRate::from_bps(20_000_000))
        .qp(QpRange::new(crf.saturating_sub(2).max(1), crf))
        // No frame is left out to save bits.
        .skip_frames(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(KEY_FRAME_EVERY))
        .num_threads(1)
        // The conversion of openh264 uses the matrix of BT.601, and players guess BT.709 for large videos: say it.
        .vui(VuiConfig::bt709().matrix_coefficients(MatrixCoefficients::Smpte170M));
    Ok(Encoder::with_api_config(OpenH264API::from_source(), config)?)
}

/// One encoded frame.
pub(super) struct AccessUnit {
    pub(super) sps: Option<Vec<u8>>,
    pub(super) pps: Option<Vec<u8>>,
    /// The slices, each after its length in four bytes, as MP4 wants it.
    pub(super) bytes: Vec<u8>,
    pub(super) is_key_frame: bool,
}

impl AccessUnit {
    /// Encodes a picture.
    pub(super) fn encode(encoder: &mut Encoder, yuv: &impl YUVSource) -> Result<Self> {
        // NAL unit types of H.264, table 7-1.
        const KEY_FRAME_SLICE: u8 = 5;
        const SPS: u8 = 7;
        const PPS: u8 = 8;

        let stream = encoder.encode(yuv)?;
        let mut unit = Self { sps: None, pps: None, bytes: Vec::new(), is_key_frame: false };
        for layer in (0..stream.num_layers()).filter_map(|index| stream.layer(index)) {
            for nal in (0..layer.nal_count()).filter_map(|index| layer.nal_unit(index)) {
                let nal = without_start_code(nal)?;
                match nal.first().map(|byte| byte & 0x1f) {
                    None => {}
                    Some(SPS) => unit.sps = Some(nal.to_vec()),
                    Some(PPS) => unit.pps = Some(nal.to_vec()),
                    Some(kind) => {
                        unit.is_key_frame |= kind == KEY_FRAME_SLICE;
                        unit.bytes.extend(u32::try_from(nal.len())?.to_be_bytes());
                        unit.bytes.extend(nal);
                    }
                }
            }
        }
        ensure!(!unit.bytes.is_empty(), "the H.264 encoder left the frame out");
        Ok(unit)
    }
}

fn without_start_code(nal: &[u8]) -> Result<&[u8]> {
    nal.strip_prefix(&[0, 0, 0, 1])
        .or_else(|| nal.strip_prefix(&[0, 0, 1]))
        .ok_or_else(|| anyhow!("the H.264 encoder gave a unit without a start code"))
}
