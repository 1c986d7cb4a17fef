//! A webcam that a test plugs in and out: the rig's uvccam.c, under the kernel's own driver for webcams.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::pictures::{HEIGHT, Pictures, WIDTH};

/// The variable that has the path of the program that is a webcam. It is set by the rig.
pub(crate) const PROGRAM: &str = "CAMERA_RIG_UVCCAM";

/// The name of the webcam, unless it is given another one.
pub(crate) const NAME: &str = "Camrig UVC webcam";

/// Far more than the kernel takes to find a camera, or to be done with one.
const LIMIT: Duration = Duration::from_secs(20);

/// A webcam of 640x480 at 30 fps. It is unplugged when the value is dropped.
pub(crate) struct Webcam {
    pictures: Pictures,
    jpegs: Vec<PathBuf>,
    /// The serial number, and the port it is plugged into.
    number: u32,
    process: Option<Child>,
    index: u32,
}

impl Webcam {
    /// Plugged in, and playing a face.
    pub(crate) fn new() -> Self {
        Self::playing(|pictures| vec![pictures.jpeg()])
    }

    /// Plugged in, and playing these pictures as JPEG in turn.
    pub(crate) fn playing(jpegs: impl FnOnce(&Pictures) -> Vec<PathBuf>) -> Self {
        let pictures = Pictures::new();
        let jpegs = jpegs(&pictures);
        let mut webcam = Self { pictures, jpegs, number: 0, process: None, index: 0 };
        webcam.plug();
        webcam
    }

    /// A second one of the same make beside it, in another port.
    pub(crate) fn second() -> Self {
        let pictures = Pictures::new();
        let jpegs = vec![pictures.jpeg()];
        let mut webcam = Self { pictures, jpegs, number: 1, process: None, index: 0 };
        webcam.plug();
        webcam
    }

    /// Plugs it in, and waits until the kernel has made a camera of it.
    pub(crate) fn plug(&mut self) {
        assert!(self.process.is_none(), "it is plugged in");
        let mut command = Command::new(env::var_os(PROGRAM).expect("the rig says where its webcam is"));
        command.args(["-n", NAME, "-s", &self.serial(), "-p", &self.number.to_string()]);
        command.arg(format!("{WIDTH}x{HEIGHT}")).arg(self.pictures.yuyv()).args(&self.jpegs);
        self.process = Some(command.stdin(Stdio::null()).spawn().expect("the webcam starts"));
        let start = Instant::now();
        self.index = loop {
            if let [camera, _metadata] = nodes_of(&self.serial())[..] {
                break camera;
            }
            assert!(start.elapsed() < LIMIT, "the kernel makes no camera of the webcam");
            thread::sleep(Duration::from_millis(5));
        };
    }

    /// Pulls the plug, and waits until the kernel has seen that.
    pub(crate) fn unplug(&mut self) {
        self.pull();
        let start = Instant::now();
        while !nodes_of(&self.serial()).is_empty() {
            assert!(start.elapsed() < LIMIT, "the kernel keeps a camera that is gone");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// No more frames, but it answers.
    pub(crate) fn freeze(&self) {
        self.signal("USR1");
    }

    /// No answers, either.
    pub(crate) fn hang(&self) {
        self.signal("HUP");
    }

    /// The end of either.
    pub(crate) fn thaw(&self) {
        self.signal("USR2");
    }

    /// N of its `/dev/videoN`.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn path(&self) -> String {
        format!("/dev/video{}", self.index)
    }

    /// The node beside it that is no camera, though it has the camera's name.
    pub(crate) fn metadata_path(&self) -> String {
        let [_, metadata] = nodes_of(&self.serial())[..] else { panic!("no metadata node") };
        format!("/dev/video{metadata}")
    }

    fn serial(&self) -> String {
        format!("camrig-{}", self.number)
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("it is plugged in");
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", process.id())]).status();
        assert!(sent.expect("a shell starts").success(), "the webcam has ended");
    }

    fn pull(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Both fail only where it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Webcam {
    fn drop(&mut self) {
        self.pull();
    }
}

/// Waits until no webcam is left of what came before.
///
/// # Panics
/// If one stays.
pub(crate) fn wait_for_no_webcam() {
    let start = Instant::now();
    while nodes().iter().any(|node| node.serial.is_some()) {
        assert!(start.elapsed() < LIMIT, "a webcam of the case before is still there");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The indices of the nodes of a webcam: the camera first, then the metadata.
fn nodes_of(serial: &str) -> Vec<u32> {
    let mut nodes: Vec<_> = nodes().into_iter().filter(|node| node.serial.as_deref() == Some(serial)).collect();
    nodes.sort_by_key(|node| node.place);
    nodes.iter().map(|node| node.index).collect()
}

struct Node {
    /// N of `/dev/videoN`.
    index: u32,
    /// Which of its device's nodes it is.
    place: u32,
    /// Of the USB device; vivid has none.
    serial: Option<String>,
}

fn nodes() -> Vec<Node> {
    let entries = fs::read_dir("/sys/class/video4linux").expect("cameras have a folder");
    let node = |entry: fs::DirEntry| {
        // Any of these files may go while it is looked for.
        let folder = entry.path();
        let place = fs::read_to_string(folder.join("index")).ok()?.trim().parse().ok()?;
        let serial = fs::read_to_string(folder.join("device/../serial")).ok().map(|serial| serial.trim().to_owned());
        let index: u32 = entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?;
        fs::exists(format!("/dev/video{index}")).ok()?.then_some(Node { index, place, serial })
    };
    entries.filter_map(|entry| node(entry.ok()?)).collect()
}
