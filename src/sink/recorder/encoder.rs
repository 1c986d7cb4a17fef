//! H.264, by OpenH264: a picture in, its units out.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, anyhow, ensure};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, IntraFramePeriod, MatrixCoefficients, QpRange, RateControlMode, VuiConfig,
};
use openh264::formats::YUVSource;

/// A player can jump to every 60th frame.
const KEY_FRAME_EVERY: u32 = 60;

/// The coarsest quantizer.
pub(super) const COARSEST: u8 = 51;

/// Below this, in bits a second, not even a small picture can be told from another.
const LEAST_BITRATE: u32 = 50_000;

/// How well a recording shows what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Always as well: how coarsely detail is coded, 0 (not at all) to 51.
    Constant(u8),
    /// As well as so many bits a second allow.
    Bitrate(u32),
}

impl Quality {
    /// Small letters stay sharp; at 26 they get a fringe.
    pub const DEFAULT_CRF: u8 = 22;
}

impl Default for Quality {
    fn default() -> Self {
        Self::Constant(Self::DEFAULT_CRF)
    }
}

/// Bits a second as a user writes them: `2500000`, `800k`, `4M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitsPerSecond(pub u32);

impl FromStr for BitsPerSecond {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, unit) = match text.strip_suffix(['k', 'K']) {
            Some(number) => (number, 1e3),
            None => text.strip_suffix(['m', 'M']).map_or((text, 1.0), |number| (number, 1e6)),
        };
        let bits = number.parse::<f64>().ok().map(|number| number * unit);
        let bits = bits.filter(|bits| (f64::from(LEAST_BITRATE)..=1e9).contains(bits));
        bits.map(|bits| Self(bits as u32))
            .ok_or_else(|| anyhow!("expected bits a second from 50k to 1000M, such as 800k or 4M"))
    }
}

impl fmt::Display for BitsPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}k", self.0 / 1000)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_a_second_have_units() {
        let parsed =
            ["2500000", "800k", "4M", "1.5m", "50K"].map(|text| text.parse().map(|BitsPerSecond(bits)| bits).ok());
        assert_eq!(parsed, [Some(2_500_000), Some(800_000), Some(4_000_000), Some(1_500_000), Some(50_000)]);
        for text in ["", "4", "-4M", "4G", "M", "NaN", "infM", "2000M", "4 M"] {
            assert!(text.parse::<BitsPerSecond>().is_err(), "{text}");
        }
    }
}
