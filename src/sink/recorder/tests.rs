mod broken;

use std::fs;
use std::process::Command;

use fast_image_resize::Resizer;
use mp4_atom::{Any, DecodeMaybe};

use super::container::TIMESCALE;
use super::video::LONE_FRAME;
use super::*;
use crate::sink::framed::framed;
use crate::sink::tests::labelled;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Where a video is to be written, and the folder, which goes when it is dropped.
fn target() -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("out.mp4");
    (folder, path)
}

fn created(path: &Path) -> Recorder {
    created_with(path, OutputOptions::default())
}

fn created_with(path: &Path, options: OutputOptions<'_>) -> Recorder {
    Recorder::create(path, Shown::Labelled, options).expect("a folder that can be written")
}

fn moment(milliseconds: u64) -> Moment {
    Moment { pts: Duration::from_millis(milliseconds), duration: None, captured_at: Instant::now() }
}

/// Records empty frames of one size at these times, in microseconds.
fn record(path: &Path, size: (u32, u32), times: &[u64]) {
    let mut recorder = created(path);
    for (id, time) in (0..).zip(times) {
        let _ = recorder.write(&labelled(id, time * 1000, size.0, size.1, vec![])).expect("a frame that fits");
    }
    recorder.finish(Ending::Whole).expect("a disk with room");
}

/// Start and duration in ticks, and whether it is a key frame.
type Sample = (u64, u32, bool);

/// Size and samples of a video that is complete.
fn read_back(path: &Path) -> ((u16, u16), Vec<Sample>) {
    let bytes = fs::read(path).expect("the video");
    let mut rest = &bytes[..];
    let mut moov = None;
    while let Some(atom) = Any::decode_maybe(&mut rest).expect("a file of boxes") {
        if let Any::Moov(found) = atom {
            assert!(moov.replace(found).is_none(), "two indices");
        }
    }
    let moov = moov.expect("an index");
    assert!(moov.mvex.is_none(), "an ordinary file");
    let track = &moov.trak[0];
    let tables = &track.mdia.minf.stbl;
    let keys = &tables.stss.as_ref().expect("key frames").entries;
    let durations = tables.stts.entries.iter();
    let durations = durations.flat_map(|entry| std::iter::repeat_n(entry.sample_delta, entry.sample_count as usize));
    let samples: Vec<Sample> = (1..)
        .zip(durations)
        .scan(0, |start, (number, duration)| {
            *start += u64::from(duration);
            Some((*start - u64::from(duration), duration, keys.contains(&number)))
        })
        .collect();
    assert_eq!(samples.iter().map(|(_, duration, _)| u64::from(*duration)).sum::<u64>(), moov.mvhd.duration);
    ((track.tkhd.width.integer(), track.tkhd.height.integer()), samples)
}

/// What an ffmpeg tool prints, or `None` with a note where it is not installed.
fn output_of(tool: &str, args: &[&str]) -> Option<Vec<u8>> {
    let Ok(output) = Command::new(tool).args(args).output() else {
        eprintln!("skipped a check: {tool} is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// All frames as another program sees them.
fn decoded(path: &Path, size: (u32, u32)) -> Option<Vec<RgbImage>> {
    let path = path.to_string_lossy();
    let bytes = output_of("ffmpeg", &["-v", "error", "-i", &path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])?;
    let frame = (size.0 * size.1 * 3) as usize;
    assert_eq!(bytes.len() % frame, 0, "frames have another size than {size:?}");
    Some(bytes.chunks(frame).filter_map(|bytes| RgbImage::from_raw(size.0, size.1, bytes.to_vec())).collect())
}

fn mean_error(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

#[test]
fn every_frame_becomes_a_sample_at_its_own_time() {
    let (folder, path) = target();
    // A camera that stumbles: 30 frames, 20 to 70 ms apart, and a gap of nine seconds in which all were dropped.
    let times: Vec<u64> = (0..30)
        .scan(500_000, |time, i| {
            *time += 20_000 + i * 31_337 % 50_000 + if i == 20 { 9_000_000 } else { 0 };
            Some(*time)
        })
        .collect();
    record(&path, (64, 48), &times);

    let (size, samples) = read_back(&path);
    assert_eq!(size, (64, 48));
    assert_eq!(samples.len(), 30);
    for ((start, ..), time) in samples.iter().zip(&times) {
        let expected = (time - times[0]) as f64 * 0.09;
        assert!((*start as f64 - expected).abs() <= 1.0, "{start} ticks for {time} microseconds");
    }
    if let Some(seen) = times_by_ffmpeg(&path) {
        assert_eq!(seen.len(), times.len());
        assert!(seen.iter().zip(&times).all(|(seen, time)| (seen - (time - times[0]) as f64 / 1e6).abs() < 1e-4));
    }
    // The last frame is shown as long as the one before it.
    assert_eq!(samples[29].1, samples[28].1);
    assert!(samples[0].2 && !samples[1].2, "the first frame, and not the second, is a key frame");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1, "the temporary file is gone");
}

#[test]
fn other_programs_read_the_video() {
    let (_folder, path) = target();
    record(&path, (64, 48), &(0..75).map(|i| i * 40_000).collect::<Vec<_>>());
    let entries = "stream=codec_name,profile,width,height,pix_fmt,color_range,color_space,duration,nb_read_frames";
    let args =
        ["-v", "error", "-count_frames", "-of", "default=nk=1:nw=1", "-show_entries", entries, &path.to_string_lossy()];
    let Some(report) = output_of("ffprobe", &args) else { return };
    let report = String::from_utf8_lossy(&report).into_owned();
    for expected in ["h264", "64", "48", "yuv420p", "tv", "smpte170m", "3.000000", "75"] {
        assert!(report.lines().any(|line| line == expected), "no {expected} in\n{report}");
    }
}

#[test]
fn colors_survive() {
    let (_folder, path) = target();
    let size = (64, 48);
    let colors = [[213, 94, 0], [0, 158, 115], [204, 121, 167], [240, 228, 66], [0, 114, 178], [255; 3], [0; 3]];
    let mut recorder = created(&path);
    let pictures = colors.map(|color| RgbImage::from_pixel(size.0, size.1, image::Rgb(color)));
    for (picture, time) in pictures.iter().zip(0..) {
        recorder.append(picture, moment(time * 40)).expect("a frame that fits");
    }
    recorder.finish(Ending::Whole).expect("a disk with room");
    let Some(frames) = decoded(&path, size) else { return };
    assert_eq!(frames.len(), colors.len());
    for (frame, picture) in frames.iter().zip(&pictures) {
        let error = mean_error(frame, picture);
        assert!(error < 3.0, "mean error {error} for {:?}", picture.get_pixel(0, 0));
    }
}

#[test]
fn odd_and_tiny_frames_are_padded() {
    let folder = folder();
    for (size, coded) in [((33, 21), (34, 22)), ((1, 1), (16, 16)), ((1, 300), (16, 300)), ((17, 16), (18, 16))] {
        let path = folder.path().join(format!("{}x{}.mp4", size.0, size.1));
        record(&path, size, &[0, 40_000]);
        let (read, samples) = read_back(&path);
        assert_eq!((read, samples.len()), (coded, 2), "for {size:?}");
        if let Some(frames) = decoded(&path, (coded.0.into(), coded.1.into())) {
            assert_eq!(frames.len(), 2, "for {size:?}");
        }
    }
}

#[test]
fn frames_of_another_size_are_fitted_on_black() {
    let white = |width, height| RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
    let mut resizer = Resizer::new();
    let picture = white(200, 50);
    let framed = framed(&mut resizer, &picture, (100, 100), (100, 100)).expect("valid sizes");
    assert_eq!(framed.dimensions(), (100, 100));
    let white_rows: Vec<u32> = (0..100).filter(|y| framed.get_pixel(50, *y).0 == [255; 3]).collect();
    assert_eq!(white_rows, (37..62).collect::<Vec<_>>());
    assert_eq!(framed.get_pixel(50, 10).0, [0; 3]);
}

#[test]
fn a_clock_that_stands_still_or_goes_back_is_nudged() {
    let (_folder, path) = target();
    record(&path, (32, 32), &[0, 40_000, 40_000, 10_000, 80_000]);
    let starts: Vec<u64> = read_back(&path).1.iter().map(|(start, ..)| *start).collect();
    assert_eq!(starts, [0, 3600, 3601, 3602, 7200]);
}

#[test]
fn a_lone_frame_is_a_video_too() {
    let (_folder, path) = target();
    record(&path, (32, 32), &[7_000_000]);
    assert_eq!(read_back(&path).1, [(0, LONE_FRAME, true)]);
}

#[test]
fn frames_that_are_too_large_are_scaled_down_and_that_is_said_once() {
    let (_folder, path) = target();
    let mut recorder = created(&path);
    for id in 0..2 {
        let _ = recorder.write(&labelled(id, id * 40_000_000, 5000, 100, vec![])).expect("it is scaled");
    }
    recorder.finish(Ending::Whole).expect("a disk with room");
    let warnings = recorder.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("5000x100") && warnings[0].contains("3840x78"), "{warnings:?}");
    assert_eq!(read_back(&path).0, (3840, 78));
    let (_folder, path) = target();
    record(&path, (1000, 2400), &[0]);
    assert_eq!(read_back(&path).0, (1000, 2400));
    record(&path.with_extension("2.mp4"), (2304, 4096), &[0]);
    assert_eq!(read_back(&path.with_extension("2.mp4")).0, (2160, 3840));
}

#[test]
fn the_last_frame_lasts_as_long_as_its_source_says() {
    let (_folder, path) = target();
    let mut recorder = created(&path);
    for id in 0..3 {
        let mut labelled = labelled(id, id * 40_000_000, 32, 32, vec![]);
        labelled.frame.duration = Some(Duration::from_secs(5));
        let _ = recorder.write(&labelled).expect("a frame that fits");
    }
    recorder.finish(Ending::Whole).expect("a disk with room");
    let durations: Vec<u32> = read_back(&path).1.iter().map(|(_, duration, _)| *duration).collect();
    assert_eq!(durations, [3600, 3600, 5 * TIMESCALE]);
}

#[test]
fn without_frames_there_is_no_file() {
    let (folder, path) = target();
    let mut recorder = created(&path);
    let error = recorder.finish(Ending::Whole).expect_err("nothing to write").to_string();
    assert!(error.contains("out.mp4 was not written"), "{error}");
    drop(created(&path));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn a_run_that_is_cut_short_keeps_its_frames() {
    let (folder, path) = target();
    let mut recorder = created(&path);
    let _ = recorder.write(&labelled(0, 0, 32, 32, vec![])).expect("a frame that fits");
    assert!(!path.exists(), "an unfinished video has no name");
    drop(recorder);
    assert_eq!(read_back(&folder.path().join("out.part.mp4")).1.len(), 1);
}

/// The times of all frames that ffmpeg can decode, in seconds; `None` with a note where it is not installed.
fn times_by_ffmpeg(path: &Path) -> Option<Vec<f64>> {
    let entries = ["-select_streams", "v", "-show_entries", "frame=pts_time", "-of", "csv=p=0"];
    let output = output_of("ffprobe", &[&["-v", "quiet"], &entries[..], &[&*path.to_string_lossy()]].concat())?;
    let text = String::from_utf8_lossy(&output);
    Some(text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect())
}

/// Wherever a recording is cut off, it can be played up to shortly before.
#[test]
fn a_file_that_is_cut_anywhere_plays_until_shortly_before() {
    let (folder, path) = target();
    let mut recorder = created(&path);
    // Ten seconds at 20 frames a second; how large the file was after each.
    let part = folder.path().join("out.part.mp4");
    let sizes: Vec<u64> = (0..200u64)
        .map(|id| {
            let _ = recorder.write(&labelled(id, id * 50_000_000, 64, 48, vec![])).expect("a frame that fits");
            fs::metadata(&part).expect("the file").len()
        })
        .collect();
    // As a killed process leaves it.
    let bytes = fs::read(&part).expect("the file");
    drop(recorder);
    let cut = folder.path().join("cut.mp4");
    for share in 1..=40 {
        let length = bytes.len() * share / 40;
        fs::write(&cut, &bytes[..length]).expect("a file");
        // The moment at which the file was that long.
        let moment = sizes.iter().filter(|&&size| size <= length as u64).count() as f64 * 0.05;
        let Some(times) = times_by_ffmpeg(&cut) else { return };
        let played = times.last().map_or(0.0, |last| last + 0.05);
        assert!(played >= moment - 1.0, "cut at {length} of {} bytes, {moment} s: {played} s", bytes.len());
        assert!(times.iter().enumerate().all(|(id, time)| (time - id as f64 * 0.05).abs() < 1e-3), "{times:?}");
    }
}

/// The last picture of a camera that is away stands until the recording ends.
#[test]
fn a_camera_that_is_away_at_the_end_does_not_shorten_the_recording() {
    let (_folder, path) = target();
    let options = OutputOptions { live: true, ..Default::default() };
    let mut recorder = created_with(&path, options);
    let away = Duration::from_secs(7);
    let mut frame = labelled(0, 0, 64, 48, vec![]);
    let Some(captured_at) = Instant::now().checked_sub(away) else { return };
    frame.frame.captured_at = captured_at;
    let _ = recorder.write(&frame).expect("a frame that fits");
    recorder.finish(Ending::Whole).expect("a disk with room");
    let seconds = f64::from(read_back(&path).1[0].1) / f64::from(TIMESCALE);
    assert!((7.0..20.0).contains(&seconds), "{seconds} s");
}

#[test]
fn a_finer_quality_takes_more_bits_and_none_leaves_a_frame_out() {
    let size = (320, 240);
    let folder = folder();
    // Noise that moves: as much as one asks for can be spent on it.
    let noise = RgbImage::from_fn(640, 480, |x, y| {
        let value = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 24;
        image::Rgb([value as u8, ((value / 2 + x / 8) % 256) as u8, (y / 3) as u8])
    });
    let mut sizes = Vec::new();
    for quality in [Quality(30), Quality(15)] {
        let path = folder.path().join("out.mp4");
        let options = OutputOptions { force: true, quality, ..Default::default() };
        let mut recorder = created_with(&path, options);
        for id in 0..300u64 {
            let x = (id % 100) as u32;
            let picture = image::imageops::crop_imm(&noise, x, x, size.0, size.1).to_image();
            recorder
                .append(&picture, moment(id * 1000 / 30))
                .unwrap_or_else(|error| panic!("{quality:?}, frame {id}: {error:#}"));
        }
        recorder.finish(Ending::Whole).expect("a disk with room");
        assert_eq!(read_back(&path).1.len(), 300, "no frame is left out");
        sizes.push(fs::metadata(&path).expect("the file").len());
    }
    assert!(sizes[1] * 2 > sizes[0] * 3, "{sizes:?} bytes");
}

/// White noise at a fine quality is more than the encoder can hold: it becomes coarser, and the recording goes on.
#[test]
fn what_cannot_be_coded_as_well_as_wished_is_coded_less_well() {
    let (_folder, path) = target();
    let options = OutputOptions { quality: Quality(8), ..Default::default() };
    let mut recorder = created_with(&path, options);
    let mut state = 1u64;
    let mut noise = |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        image::Rgb([(state >> 33) as u8, (state >> 41) as u8, (state >> 49) as u8])
    };
    for id in 0..6 {
        let picture = if id < 3 { RgbImage::new(64, 48) } else { RgbImage::from_fn(64, 48, &mut noise) };
        recorder.append(&picture, moment(id * 33)).expect("a frame that is coded somehow");
    }
    recorder.finish(Ending::Whole).expect("a disk with room");
    assert_eq!(read_back(&path).1.len(), 6);
    if let Some(frames) = decoded(&path, (64, 48)) {
        assert_eq!(frames.len(), 6);
    }
}
