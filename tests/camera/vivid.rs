//! The kernel's test camera, and the errors that it can be told to make.

use std::fs;
use std::process::{Command, Stdio};

use super::common::succeed;

pub(crate) const PATH: &str = "/dev/video0";

/// The colors of its picture from left to right: bars of 75 %, as bytes of RGB.
pub(crate) const BARS: [[u8; 3]; 8] = {
    const ON: u8 = 191;
    [[ON, ON, ON], [ON, ON, 0], [0, ON, ON], [0, ON, 0], [ON, 0, ON], [ON, 0, 0], [0, 0, ON], [0, 0, 0]]
};

/// The camera in a state that any program may have left it in.
pub(crate) struct Vivid;

impl Vivid {
    /// 640x480 in YUYV, at 25 fps.
    pub(crate) fn new() -> Self {
        let vivid = Self;
        vivid.set("width=640,height=480,pixelformat=YUYV", "25");
        vivid
    }

    /// Leaves it in this format and at this rate.
    pub(crate) fn set(&self, format: &str, fps: &str) {
        succeed(v4l2_ctl().arg(format!("--set-fmt-video={format}")).args(["--set-parm", fps]));
    }

    /// Presses a button, such as `inject_vidioc_qbuf_error`: the next time, that fails.
    pub(crate) fn press(&self, button: &str) {
        succeed(v4l2_ctl().arg(format!("--set-ctrl={button}=1")));
    }

    /// What it is at: the lines of v4l2-ctl.
    pub(crate) fn state(&self) -> String {
        super::common::text(&succeed(v4l2_ctl().args(["--get-fmt-video", "--get-parm"])).stdout)
    }
}

/// While the value lives there is no such camera.
pub(crate) struct WithoutVivid;

impl WithoutVivid {
    pub(crate) fn new() -> Self {
        driver("unbind");
        Self
    }
}

impl Drop for WithoutVivid {
    fn drop(&mut self) {
        driver("bind");
    }
}

fn driver(what: &str) {
    fs::write(format!("/sys/bus/platform/drivers/vivid/{what}"), "vivid.0").expect("the driver does as it is told");
}

fn v4l2_ctl() -> Command {
    let mut command = Command::new("v4l2-ctl");
    command.args(["-d", PATH]).stdin(Stdio::null());
    command
}
