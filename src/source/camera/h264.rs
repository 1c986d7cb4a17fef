//! H.264 as cameras and capture cards send it: a picture in each frame, with start codes (ITU-T H.264, annex B).
//!
//! Most pictures are changes to the one before. So none is shown until a key frame has come, and after one that is damaged
//! or missing none until the next.

use std::mem;

use anyhow::{Context, Result, anyhow, ensure};
use openh264::decoder::Decoder;
use openh264::nal_units;

use super::worker::Packet;
use crate::source::h264::rgb_from_decoded;
use crate::source::pixels::Rgb;
use crate::system::buffers::Buffers;

// Kinds of units (ITU-T H.264, table 7-1).
const KEY_PICTURE: u8 = 5;
const SEQUENCE_SET: u8 = 7;
const PICTURE_SET: u8 = 8;

/// The stream of one opened camera.
pub(super) struct H264 {
    decoder: Decoder,
    state: State,
    /// The count of the frame that the next one has to have.
    next: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// No key frame has come yet.
    New,
    /// All that the next picture can stand on is there.
    Whole,
    /// Something is missing, until the next key frame.
    Broken,
}

impl H264 {
    /// A stream that begins.
    pub(super) fn new() -> Result<Self> {
        let decoder = Decoder::new().context("cannot start the built-in H.264 decoder")?;
        Ok(Self { decoder, state: State::New, next: 1 })
    }

    /// The picture of a frame, once those before it that nobody took are decoded, too; none before the first key frame.
    pub(super) fn decode(&mut self, packet: &Packet, buffers: &mut Buffers<[u8]>) -> Result<Option<Rgb>> {
        for earlier in &packet.earlier {
            // What is wrong with one is known by the next.
            let _ = self.decode_one(earlier, None);
        }
        self.decode_one(packet, Some(buffers))
    }

    fn decode_one(&mut self, packet: &Packet, buffers: Option<&mut Buffers<[u8]>>) -> Result<Option<Rgb>> {
        let follows = packet.count == mem::replace(&mut self.next, packet.count + 1);
        if self.state == State::Whole && (packet.damaged || !follows) {
            self.state = State::Broken;
        }
        ensure!(!packet.damaged, "a frame that is damaged");
        let has =
            |wanted: &[u8]| nal_units(packet.frame()).any(|unit| kind(unit).is_some_and(|kind| wanted.contains(&kind)));
        if self.state != State::Whole && !has(&[KEY_PICTURE]) {
            if has(&[SEQUENCE_SET, PICTURE_SET]) {
                // They may come before the key frame that needs them.
                let _ = self.decoder.decode(packet.frame());
            }
            ensure!(self.state == State::New, "a frame that stands on one that is missing or damaged");
            return Ok(None);
        }
        // Until it is known better: a key frame that can't be decoded is no start, either.
        self.state = State::Broken;
        let decoded = self.decoder.decode(packet.frame()).map_err(|_| anyhow!("a frame of H.264 that is damaged"))?;
        self.state = State::Whole;
        decoded.zip(buffers).map(|(picture, buffers)| rgb_from_decoded(&picture, buffers)).transpose()
    }
}

/// The kind of a unit with its start code.
fn kind(unit: &[u8]) -> Option<u8> {
    let header = unit.iter().position(|&byte| byte == 1)? + 1;
    unit.get(header).map(|header| header & 0x1F)
}

#[cfg(test)]
mod tests {
    use openh264::encoder::Encoder;
    use openh264::formats::YUVBuffer;

    use super::super::tests::packet;
    use super::*;

    const SIZE: (usize, usize) = (64, 48);

    /// A key frame and the pictures after it, each brighter than the one before.
    fn stream(pictures: u8) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new().expect("an encoder");
        let picture = |number: u8| {
            let luma = vec![40 + 20 * number; SIZE.0 * SIZE.1];
            YUVBuffer::from_vec([luma, vec![128; SIZE.0 * SIZE.1 / 2]].concat(), SIZE.0, SIZE.1)
        };
        (0..pictures).map(|number| encoder.encode(&picture(number)).expect("a frame").to_vec()).collect()
    }

    /// What becomes of each packet: the brightness of its picture, nothing yet, or damaged.
    fn brightness(packets: &[Packet]) -> Vec<Result<Option<u8>, ()>> {
        let (mut stream, mut buffers) = (H264::new().expect("a decoder"), Buffers::default());
        let middle = 3 * (SIZE.0 * SIZE.1 / 2 + SIZE.0 / 2);
        let mut decode = |packet| stream.decode(packet, &mut buffers).map_err(|_| ());
        packets.iter().map(|packet| Ok(decode(packet)?.map(|picture| picture.pixels[middle]))).collect()
    }

    fn is_near(found: &Result<Option<u8>, ()>, luma: u8) -> bool {
        let expected = (f64::from(luma) - 16.0) * 255.0 / 219.0;
        matches!(found, Ok(Some(level)) if (f64::from(*level) - expected).abs() < 6.0)
    }

    #[test]
    fn pictures_come_from_the_first_key_frame_on() {
        let frames = stream(3);
        let packets: Vec<_> = [&frames[1], &frames[2], &frames[0], &frames[1], &frames[2]]
            .into_iter()
            .zip(1..)
            .map(|(frame, count)| packet(count, frame))
            .collect();
        let found = brightness(&packets);
        assert_eq!(found[..2], [Ok(None), Ok(None)]);
        assert!(is_near(&found[2], 40) && is_near(&found[3], 60) && is_near(&found[4], 80), "{found:?}");
    }

    #[test]
    fn what_stands_on_a_missing_or_damaged_frame_is_damaged_until_the_next_key_frame() {
        let frames = stream(3);
        let damaged = Packet { damaged: true, ..packet(5, &frames[1]) };
        let garbage: Vec<u8> = [&frames[0][..], &[0, 0, 1, 0x65, 0xFF, 0xFF, 0xFF]].concat();
        let found = brightness(&[
            packet(1, &frames[0]),
            packet(3, &frames[2]),
            packet(4, &frames[0]),
            damaged,
            packet(6, &frames[2]),
            packet(7, &garbage[garbage.len() - 7..]),
            packet(8, &frames[1]),
            packet(9, &frames[0]),
        ]);
        assert!(is_near(&found[0], 40) && is_near(&found[2], 40) && is_near(&found[7], 40), "{found:?}");
        for number in [1, 3, 4, 5, 6] {
            assert!(found[number].is_err(), "{number}: {found:?}");
        }
    }

    #[test]
    fn frames_that_nobody_took_are_decoded_all_the_same() {
        let frames = stream(3);
        let late = Packet { earlier: vec![packet(1, &frames[0]), packet(2, &frames[1])], ..packet(3, &frames[2]) };
        let found = brightness(&[late]);
        assert!(is_near(&found[0], 80), "{found:?}");
    }

    #[test]
    fn parameter_sets_may_come_on_their_own() {
        let frames = stream(2);
        let key = nal_units(&frames[0]).find(|unit| kind(unit) == Some(KEY_PICTURE)).expect("a key picture");
        let sets = &frames[0][..frames[0].len() - key.len()];
        let found = brightness(&[packet(1, sets), packet(2, key), packet(3, &frames[1])]);
        assert_eq!(found[0], Ok(None));
        assert!(is_near(&found[1], 40) && is_near(&found[2], 60), "{found:?}");
    }
}
