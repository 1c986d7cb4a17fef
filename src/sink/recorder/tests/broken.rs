//! Recordings that end in the middle of something.

use super::super::video::Video;
use super::*;

/// The moment before the last write: the index of the whole is there, and the header that hides the pieces is not.
#[test]
fn a_file_that_lacks_only_its_last_sixteen_bytes_plays_too() {
    let (_folder, path) = target();
    let times: Vec<u64> = (0..75).map(|i| i * 40_000).collect();
    record(&path, (64, 48), &times);
    let mut bytes = fs::read(&path).expect("the video");
    let header = b"\0\0\0\x01mdat";
    let at = bytes.windows(header.len()).position(|window| window == header).expect("the header");
    assert_eq!(at, 36, "right after the first box");
    bytes[at..at + 16].copy_from_slice(b"\0\0\0\x10free\0\0\0\0\0\0\0\0");
    fs::write(&path, &bytes).expect("a file");
    let Some(seen) = times_by_ffmpeg(&path) else { return };
    assert_eq!(seen.len(), times.len());
    assert!(seen.iter().zip(&times).all(|(seen, time)| (seen - *time as f64 / 1e6).abs() < 1e-3), "{seen:?}");
}

/// A file that takes no more is stood in for by a pipe whose reader goes away.
#[cfg(unix)]
#[test]
fn a_video_that_broke_says_how_much_is_left_whatever_is_tried_then() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let file = fs::File::from(std::os::fd::OwnedFd::from(writer));
    let mut video = Box::new(Video::start(file, (64, 48), Quality::default()).expect("a size that fits"));
    let picture = RgbImage::new(64, 48);
    let time = |id: u64| Duration::from_millis(id * 40);
    for id in 0..50 {
        video.append(&picture, time(id)).expect("a pipe that takes it");
    }
    drop(reader);
    // The next piece, then two key frames, of which each could begin a video.
    let errors: Vec<String> =
        (50..180).filter_map(|id| video.append(&picture, time(id)).err().map(|error| format!("{error:#}"))).collect();
    assert!(errors.len() >= 115, "{} errors", errors.len());
    assert!(errors[0].contains("Broken pipe"), "{}", errors[0]);
    for error in &errors {
        assert!(error.starts_with("no more than its first 1.6 s can be played"), "{error}");
    }
    let error = video.finish(None).expect_err("it broke").to_string();
    assert!(error.starts_with("no more than its first 1.6 s can be played"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_from_the_start_leaves_nothing() {
    let file = fs::File::options().write(true).open("/dev/full").expect("a device of every Linux");
    let mut video = Box::new(Video::start(file, (64, 48), Quality::default()).expect("a size that fits"));
    let picture = RgbImage::new(64, 48);
    let error = video.append(&picture, Duration::ZERO).expect_err("a full disk");
    assert!(format!("{error:#}").contains("No space left on device"), "{error:#}");
    for id in 1..70 {
        let error = video.append(&picture, Duration::from_millis(id * 40)).expect_err("a full disk").to_string();
        assert_eq!(error, "nothing of it can be played");
    }
    assert_eq!(video.finish(None).expect_err("a full disk").to_string(), "nothing of it can be played");
}

#[test]
fn a_picture_of_odd_sides_is_all_there() {
    let (_folder, path) = target();
    let picture = RgbImage::from_fn(641, 481, |x, y| image::Rgb([(x / 3) as u8, (y / 2) as u8, ((x + y) / 5) as u8]));
    let mut recorder = created(&path);
    for id in 0..2 {
        recorder.append(&picture, moment(id * 40)).expect("a frame that fits");
    }
    recorder.finish(Ending::Whole).expect("a disk with room");
    assert_eq!(read_back(&path).0, (642, 482));
    let Some(frames) = decoded(&path, (642, 482)) else { return };
    for frame in &frames {
        let error = mean_error(&image::imageops::crop_imm(frame, 0, 0, 641, 481).to_image(), &picture);
        assert!(error < 3.0, "mean error {error}");
        // The edge is repeated: no line of another color at the side.
        let [edge, beside] = [641, 640].map(|x| frame.get_pixel(x, 240).0);
        assert!(edge.iter().zip(beside).all(|(a, b)| a.abs_diff(b) < 8), "{edge:?} beside {beside:?}");
    }
}
