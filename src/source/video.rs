//! Video files: which decoder reads them.
//!
//! The system's ffmpeg where there is one, because it reads everything; else the decoder inside the program, which reads
//! H.264 without B-frames in MP4. Owns that choice, and nothing of the decoding.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Source;
use super::ffmpeg::FfmpegSource;
use super::ffmpeg_input::{Input, Tools};
use super::h264::H264Source;
use crate::system::programs::installed;

/// What to try when the built-in decoder can't read a file.
const INSTALL_FFMPEG: &str = "without ffmpeg, emocam reads only H.264 without B-frames in MP4; install ffmpeg to read \
    everything: `apt install ffmpeg`, `dnf install ffmpeg`, `brew install ffmpeg` or `winget install ffmpeg`";

/// What to try where only ffmpeg can read.
const TAKES_FFMPEG: &str = "pipes and addresses are read with ffmpeg, which is not installed: `apt install ffmpeg`, \
    `dnf install ffmpeg`, `brew install ffmpeg` or `winget install ffmpeg`";

/// Opens what comes in at standard input.
pub(super) fn open_stdin(name: String) -> Result<Box<dyn Source>> {
    ensure!(
        !io::stdin().is_terminal(),
        "standard input is a terminal: send a video into it, as `cat clip.mkv | emocam ... -`"
    );
    open_stream(Input::Pipe(None, name))
}

/// Opens what an address leads to. `name` is how it is shown.
pub(super) fn open_address(address: &str, name: String) -> Result<Box<dyn Source>> {
    open_stream(Input::Address(address, name))
}

fn open_stream(input: Input<'_>) -> Result<Box<dyn Source>> {
    let tools = installed_tools().context(TAKES_FFMPEG).with_context(|| input.name())?;
    Ok(Box::new(FfmpegSource::open(input, &tools)?))
}

/// Opens a video file, or a pipe that has a name.
pub(super) fn open(path: &Path) -> Result<Box<dyn Source>> {
    open_with(path, installed_tools().as_ref())
}

/// By ffmpeg where there is one.
fn open_with(path: &Path, ffmpeg: Option<&Tools>) -> Result<Box<dyn Source>> {
    let is_pipe = path.metadata().is_ok_and(|metadata| !metadata.is_file());
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if is_pipe {
        // What was read of it can't be read again.
        return open_stream(Input::Pipe(Some(file), path.display().to_string()));
    }
    Ok(match ffmpeg {
        Some(tools) => Box::new(FfmpegSource::open(Input::File(path), tools)?),
        None => {
            let name = path.display().to_string();
            Box::new(H264Source::open(BufReader::new(file), name).context(INSTALL_FFMPEG)?)
        }
    })
}

fn installed_tools() -> Option<Tools> {
    Some(Tools { ffmpeg: installed("ffmpeg")?, ffprobe: installed("ffprobe") })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::flow::frame::Frame;

    /// What the machine has, or a word on why the test is skipped.
    fn ffmpeg() -> Option<Tools> {
        let tools = installed_tools();
        if tools.is_none() {
            eprintln!("skipped: ffmpeg is not installed");
        }
        tools
    }

    fn clip() -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/clips/crying_to_smiling_640x360.mp4");
        if !path.exists() {
            eprintln!("skipped: {} is not there", path.display());
            return None;
        }
        Some(path)
    }

    /// The clip inside the program: H.264 without B-frames in MP4, 240 frames, index first.
    fn demo_clip() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/source/demo.mp4")
    }

    fn make(folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
        let path = folder.join(name);
        let made =
            Command::new("ffmpeg").args(["-v", "error", "-nostdin"]).args(arguments).arg(&path).status().unwrap();
        assert!(made.success(), "ffmpeg could not make {name}");
        path
    }

    /// All frames, and how the stream ended.
    fn read_all(source: &mut dyn Source) -> (Vec<Frame>, Result<()>) {
        let mut frames = Vec::new();
        loop {
            match source.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, Ok(())),
                Err(error) => {
                    assert!(source.next_frame().unwrap().is_none(), "a frame after an error");
                    return (frames, Err(error));
                }
            }
        }
    }

    fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn ffmpeg_gives_every_frame_with_its_time() {
        let (Some(tools), Some(clip)) = (ffmpeg(), clip()) else { return };
        let mut source = open_with(&clip, Some(&tools)).unwrap();
        assert_eq!(source.info().frames, Some(472));
        assert!((source.info().fps.unwrap() - 23.976).abs() < 0.001);
        let (frames, end) = read_all(source.as_mut());
        end.unwrap();
        assert_eq!(frames.len(), 472);
        for (index, frame) in frames.iter().enumerate() {
            assert_eq!((frame.id, frame.width, frame.height), (index as u64, 640, 360));
            assert!((frame.pts.as_secs_f64() - index as f64 * 1001.0 / 24000.0).abs() < 1e-3, "{:?}", frame.pts);
        }
    }

    #[test]
    fn both_decoders_give_the_same_frames() {
        let Some(tools) = ffmpeg() else { return };
        let (by_ffmpeg, end) = read_all(open_with(&demo_clip(), Some(&tools)).unwrap().as_mut());
        end.unwrap();
        let mut built_in = open_with(&demo_clip(), None).unwrap();
        assert_eq!((built_in.info().frames, built_in.info().fps), (Some(240), Some(30.0)));
        let (frames, end) = read_all(built_in.as_mut());
        end.unwrap();
        assert_eq!((by_ffmpeg.len(), frames.len()), (240, 240));
        for (a, b) in by_ffmpeg.iter().zip(&frames) {
            assert_eq!((a.id, a.width, a.height), (b.id, b.width, b.height));
            assert!(a.pts.abs_diff(b.pts) < Duration::from_millis(1), "{:?} and {:?}", a.pts, b.pts);
            let difference = mean_difference(&a.rgb, &b.rgb);
            assert!(difference < 2.0, "frame {} differs by {difference}", a.id);
        }
    }

    #[test]
    fn the_built_in_decoder_says_what_it_does_not_read() {
        let Some(_) = ffmpeg() else { return };
        let folder = tempfile::tempdir().unwrap();
        let demo = demo_clip();
        let demo = demo.to_str().unwrap();
        let error = |path: &Path| format!("{:#}", open_with(path, None).err().expect("opening must fail"));
        let mkv = make(folder.path(), "demo.mkv", &["-i", demo, "-c", "copy"]);
        assert!(error(&mkv).contains("install ffmpeg"));
        let movflags = ["-i", demo, "-c", "copy", "-movflags", "frag_keyframe+empty_moov"];
        let fragmented = make(folder.path(), "fragmented.mp4", &movflags);
        assert!(error(&fragmented).contains("fragmented"));
    }

    #[test]
    fn odd_names_are_names() {
        let Some(tools) = ffmpeg() else { return };
        let folder = tempfile::tempdir().unwrap();
        for name in ["-i.mp4", "a:b.mp4", "100%d.mp4", "http:x.mp4", "two words.mp4"] {
            let path = folder.path().join(name);
            fs::copy(demo_clip(), &path).unwrap();
            assert!(open_with(&path, Some(&tools)).is_ok(), "{name}");
        }
    }

    #[test]
    fn videos_filmed_sideways_are_turned_by_both_decoders() {
        let folder = tempfile::tempdir().unwrap();
        let mut clip = fs::read(demo_clip()).unwrap();
        let tkhd = clip.windows(4).position(|bytes| bytes == b"tkhd").unwrap() + 4;
        let (one, minus_one) = (0x0001_0000_i32, -0x0001_0000_i32);
        for (name, [a, b, c, d], size) in [
            ("90.mp4", [0, one, minus_one, 0], (480, 640)),
            ("180.mp4", [minus_one, 0, 0, minus_one], (640, 480)),
            ("270.mp4", [0, minus_one, one, 0], (480, 640)),
        ] {
            for (index, value) in [(0, a), (1, b), (3, c), (4, d)] {
                clip[tkhd + 40 + 4 * index..][..4].copy_from_slice(&value.to_be_bytes());
            }
            let path = folder.path().join(name);
            fs::write(&path, &clip).unwrap();
            let first = |ffmpeg: Option<&Tools>| open_with(&path, ffmpeg).unwrap().next_frame().unwrap().unwrap();
            let built_in = first(None);
            assert_eq!((built_in.width, built_in.height), size);
            if let Some(tools) = ffmpeg() {
                let by_ffmpeg = first(Some(&tools));
                assert_eq!((by_ffmpeg.width, by_ffmpeg.height), size);
                assert!(mean_difference(&by_ffmpeg.rgb, &built_in.rgb) < 2.0, "{name} is turned another way");
            }
        }
    }

    #[test]
    fn sizes_may_change_and_may_be_odd() {
        let Some(tools) = ffmpeg() else { return };
        let folder = tempfile::tempdir().unwrap();
        let h264 = ["-c:v", "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-bsf:v", "h264_mp4toannexb"];
        let part = |name: &str, size: &str| {
            let input = format!("testsrc=duration=0.2:rate=25,scale={size}");
            make(folder.path(), name, &[&["-f", "lavfi", "-i", &input][..], &h264].concat())
        };
        let (small, large) = (part("small.h264", "160:120"), part("large.h264", "320:240"));
        let joined = folder.path().join("joined.h264");
        fs::write(&joined, [fs::read(small).unwrap(), fs::read(large).unwrap()].concat()).unwrap();
        let (frames, end) = read_all(open_with(&joined, Some(&tools)).unwrap().as_mut());
        end.unwrap();
        let sizes: Vec<_> = frames.iter().map(|frame| (frame.width, frame.height)).collect();
        assert_eq!(sizes, [[(160, 120); 5], [(320, 240); 5]].concat());

        let odd = ["-f", "lavfi", "-i", "testsrc=duration=0.2:rate=25:size=641x481", "-c:v", "libx264"];
        let odd = [&odd[..], &["-profile:v", "high444", "-bf", "0", "-pix_fmt", "yuv444p"]].concat();
        let odd = make(folder.path(), "odd.mp4", &odd);
        let (frames, end) = read_all(open_with(&odd, Some(&tools)).unwrap().as_mut());
        end.unwrap();
        assert_eq!((frames.len(), frames[0].width, frames[0].height), (5, 641, 481));
        // 4:4:4 is not for the built-in decoder: an error, from wherever it notices.
        let (frames, end) = match open_with(&odd, None) {
            Ok(mut source) => read_all(source.as_mut()),
            Err(error) => (Vec::new(), Err(error)),
        };
        assert!(frames.is_empty() && end.is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_source_that_is_dropped_early_leaves_no_process() {
        let (Some(tools), Some(clip)) = (ffmpeg(), clip()) else { return };
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("dropped-early.mp4");
        std::os::unix::fs::symlink(clip.canonicalize().unwrap(), &link).unwrap();
        let running = || {
            let processes = fs::read_dir("/proc").unwrap().flatten();
            processes
                .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
                .filter(|line| line.windows(17).any(|part| part == b"dropped-early.mp4"))
                .count()
        };
        let mut source = open_with(&link, Some(&tools)).unwrap();
        assert!(source.next_frame().unwrap().is_some());
        assert_eq!(running(), 1);
        drop(source);
        assert_eq!(running(), 0);
    }
}
