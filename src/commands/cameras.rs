//! What `emocam cameras` prints: the cameras of this machine and what they can deliver.

use std::io::{ErrorKind, Write};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::cli::Cameras;
use emocam::source::{CameraFormat, CameraInfo, Holder, list_cameras};

/// What to look for where there is no camera.
const NONE: &str = "no camera was found. Is it plugged in, and is it on? On Linux, is there a file /dev/video0, may you \
                    read it (group `video`), and does another program have it (`fuser /dev/video*`)? In a container or a \
                    virtual machine it has to be handed in";

/// Lists the cameras.
///
/// # Errors
/// When there is none, the system can't be asked, or the list can't be written.
pub(super) fn run(arguments: &Cameras, out: &mut dyn Write) -> Result<()> {
    let cameras = list_cameras()?;
    let list = if arguments.json {
        format!("{:#}\n", cameras.iter().map(camera_as_json).collect::<Value>())
    } else {
        cameras.iter().map(camera_as_text).collect()
    };
    match out.write_all(list.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    if cameras.is_empty() {
        bail!(NONE);
    }
    Ok(())
}

fn camera_as_text(camera: &CameraInfo) -> String {
    let mut text = format!("{}  {}  {}\n", camera.index, camera.path, camera.name);
    if let Some(problem) = &camera.problem {
        text += &format!("    cannot be opened: {problem}\n");
    }
    for holder in &camera.in_use_by {
        text += &format!("    in use by {holder}\n");
    }
    for formats in camera.formats.chunk_by(|a, b| (a.pixel_format, a.size()) == (b.pixel_format, b.size())) {
        let CameraFormat { pixel_format, width, height, .. } = formats[0];
        let rates: Vec<String> = formats.iter().map(|format| format.rate.to_string()).collect();
        text += &format!("    {pixel_format:<5}  {width}x{height} at {} fps\n", rates.join(", "));
    }
    text
}

fn camera_as_json(camera: &CameraInfo) -> Value {
    let CameraInfo { index, name, path, formats, in_use_by, problem } = camera;
    let format = |format: &CameraFormat| {
        let CameraFormat { pixel_format, width, height, rate } = format;
        json!({"pixel_format": pixel_format.name(), "width": width, "height": height, "fps": rate.fps()})
    };
    let holder = |Holder { pid, program }: &Holder| json!({"pid": pid, "program": program});
    json!({
        "index": index,
        "name": name,
        "path": path,
        "formats": formats.iter().map(format).collect::<Vec<_>>(),
        "in_use_by": in_use_by.iter().map(holder).collect::<Vec<_>>(),
        "problem": problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use emocam::source::{PixelFormat, Rate};

    fn camera() -> CameraInfo {
        let format = |frames, seconds| CameraFormat {
            pixel_format: PixelFormat::Mjpeg,
            width: 640,
            height: 480,
            rate: Rate { frames, seconds },
        };
        CameraInfo {
            index: 2,
            name: "C920".into(),
            path: "/dev/video2".into(),
            formats: vec![format(15, 1), format(30000, 1001)],
            in_use_by: vec![Holder { pid: 7, program: "cheese".into() }],
            problem: None,
        }
    }

    #[test]
    fn a_camera_is_told_in_a_few_lines() {
        let text = camera_as_text(&camera());
        assert_eq!(
            text,
            "2  /dev/video2  C920\n    in use by cheese (process 7)\n    MJPEG  640x480 at 15, 29.97 fps\n"
        );
        let closed = CameraInfo { formats: vec![], in_use_by: vec![], problem: Some("locked".into()), ..camera() };
        assert_eq!(camera_as_text(&closed), "2  /dev/video2  C920\n    cannot be opened: locked\n");
    }

    #[test]
    fn a_camera_as_json_has_all_that_the_text_has() {
        let json = camera_as_json(&camera());
        assert_eq!((&json["index"], &json["name"], &json["path"]), (&2.into(), &"C920".into(), &"/dev/video2".into()));
        assert_eq!(json["formats"][0], json!({"pixel_format": "MJPEG", "width": 640, "height": 480, "fps": 15.0}));
        assert_eq!(json["in_use_by"], json!([{"pid": 7, "program": "cheese"}]));
        assert!(json["problem"].is_null());
    }
}
