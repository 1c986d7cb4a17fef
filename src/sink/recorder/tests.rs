use std::fs::{self, File};
use std::process::Command;

use super::*;
use crate::sink::tests::annotated;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn created(path: &Path) -> Result<Recorder> {
    Recorder::create(path, Shown::Annotated, OutputOptions::default())
}

fn moment(milliseconds: u64) -> Moment {
    Moment { pts: Duration::from_millis(milliseconds), captured_at: Instant::now() }
}

/// Records empty frames of one size at these times, in microseconds.
fn record(path: &Path, size: (u32, u32), times: &[u64]) {
    let mut recorder = created(path).expect("a folder that can be written");
    for (id, time) in (0..).zip(times) {
        let _ = recorder.write(&annotated(id, time * 1000, size.0, size.1, vec![])).expect("a frame that fits");
    }
    recorder.finish(Ending::Whole).expect("a disk with room");
}

/// Start and duration in ticks, and whether it is a key frame.
type Sample = (u64, u32, bool);

/// Size and samples of a video.
fn read_back(path: &Path) -> ((u16, u16), Vec<Sample>) {
    let mut reader = mp4::read_mp4(File::open(path).expect("the video")).expect("an MP4 file");
    let track = reader.tracks().get(&TRACK).expect("a track");
    let size = (track.width(), track.height());
    let samples = (1..=track.sample_count())
        .map(|id| {
            let sample = reader.read_sample(TRACK, id).expect("readable").expect("there");
            (sample.start_time, sample.duration, sample.is_sync)
        })
        .collect();
    (size, samples)
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
    let folder = folder();
    let path = folder.path().join("out.mp4");
    // A camera that stumbles: 30 frames, 20 to 70 ms apart.
    let times: Vec<u64> = (0..30)
        .scan(500_000, |time, i| {
            *time += 20_000 + i * 31_337 % 50_000;
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
    // The last frame is shown as long as the one before it.
    assert_eq!(samples[29].1, samples[28].1);
    assert!(samples[0].2 && !samples[1].2, "the first frame, and not the second, is a key frame");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1, "the temporary file is gone");
}

#[test]
fn other_programs_read_the_video() {
    let folder = folder();
    let path = folder.path().join("out.mp4");
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
fn colours_survive() {
    let folder = folder();
    let path = folder.path().join("out.mp4");
    let size = (64, 48);
    let colors = [[213, 94, 0], [0, 158, 115], [204, 121, 167], [240, 228, 66], [0, 114, 178], [255; 3], [0; 3]];
    let mut recorder = created(&path).expect("a folder that can be written");
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
    let folder = folder();
    let path = folder.path().join("out.mp4");
    record(&path, (32, 32), &[0, 40_000, 40_000, 10_000, 80_000]);
    let starts: Vec<u64> = read_back(&path).1.iter().map(|(start, ..)| *start).collect();
    assert_eq!(starts, [0, 3600, 3601, 3602, 7200]);
}

#[test]
fn a_lone_frame_is_a_video_too() {
    let folder = folder();
    let path = folder.path().join("out.mp4");
    record(&path, (32, 32), &[7_000_000]);
    assert_eq!(read_back(&path).1, [(0, LONE_FRAME, true)]);
}

#[test]
fn frames_that_are_too_large_are_refused_with_the_limit() {
    let folder = folder();
    let path = folder.path().join("out.mp4");
    let mut recorder = created(&path).expect("a folder that can be written");
    let error = recorder.write(&annotated(0, 0, 5000, 100, vec![])).expect_err("too wide");
    assert!(format!("{error:#}").contains("5000x100 are too large for H.264, which ends at 3840x2160"), "{error:#}");
    drop(recorder);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn without_frames_there_is_no_file() {
    let folder = folder();
    let path = folder.path().join("out.mp4");
    let mut recorder = created(&path).expect("a folder that can be written");
    let error = recorder.finish(Ending::Whole).expect_err("nothing to write").to_string();
    assert!(error.contains("out.mp4 was not written"), "{error}");
    drop(created(&path));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn a_run_that_is_cut_short_keeps_its_frames() {
    let folder = folder();
    let path = folder.path().join("out.mp4");
    let mut recorder = created(&path).expect("a folder that can be written");
    let _ = recorder.write(&annotated(0, 0, 32, 32, vec![])).expect("a frame that fits");
    assert!(!path.exists(), "an unfinished video has no name");
    drop(recorder);
    assert_eq!(read_back(&folder.path().join("out.part.mp4")).1.len(), 1);
}

#[test]
fn a_file_that_appeared_meanwhile_is_not_overwritten() {
    let folder = folder();
    let path = folder.path().join("out.mp4");
    let mut recorder = created(&path).expect("a folder that can be written");
    let _ = recorder.write(&annotated(0, 0, 32, 32, vec![])).expect("a frame that fits");
    fs::write(&path, "precious").expect("a file");
    recorder.finish(Ending::Whole).expect_err("the file is there");
    assert_eq!(fs::read(&path).expect("the file"), b"precious");
}
