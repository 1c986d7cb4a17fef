use anyhow::{bail, ensure};

use super::*;

/// A camera whose frames have its index as their width; each begins to count anew. It fails where it should.
struct Fake {
    info: SourceInfo,
    camera: u32,
    given: u64,
    fails_at: u64,
}

impl Fake {
    fn open(camera: u32, fails_at: u64) -> Box<dyn Source> {
        let info = SourceInfo { name: format!("fake {camera}"), camera: Some(camera), ..Default::default() };
        Box::new(Self { info, camera, given: 0, fails_at })
    }
}

impl Source for Fake {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        ensure!(self.given != self.fails_at, "camera {} fails", self.camera);
        self.given += 1;
        // Two of three frames are lost.
        let pts = Duration::from_millis(self.given);
        Ok(Some(Frame::new(3 * (self.given - 1), pts, (self.camera + 1, 1), vec![0; 3].into())))
    }

    fn health(&self) -> Health {
        Health { missed: 2 * self.given, ..Health::default() }
    }
}

const NEVER: u64 = u64::MAX;

type List = Box<dyn FnMut() -> Result<Vec<u32>> + Send>;

type Open = Box<dyn FnMut(u32) -> Result<Box<dyn Source>> + Send>;

/// Cameras of these indices, of which one is running.
fn cameras(
    known: &'static [u32],
    running: u32,
    open: impl FnMut(u32) -> Result<Box<dyn Source>> + Send + 'static,
) -> SwitchingSource<List, Open> {
    SwitchingSource::new(Fake::open(running, NEVER), running, false, Box::new(|| Ok(known.to_vec())), Box::new(open))
}

/// The camera that the next frame is of.
fn next(source: &mut dyn Source) -> u32 {
    source.next_frame().expect("no error").expect("no end").width - 1
}

#[test]
fn each_wish_takes_the_next_camera_and_after_the_last_one_the_first() {
    let mut source = cameras(&[7, 0, 3], 3, |index| Ok(Fake::open(index, NEVER)));
    let switch = source.switch.clone();
    let mut seen = vec![next(&mut source)];
    for _ in 0..3 {
        switch.request();
        seen.push(next(&mut source));
        assert_eq!(next(&mut source), seen[seen.len() - 1], "one wish is one step");
    }
    assert_eq!(seen, [3, 7, 0, 3]);
    let taken: Vec<String> = switch.taken().into_iter().map(|(_, name)| name).collect();
    assert_eq!(taken, ["fake 7", "fake 0", "fake 3"]);
    assert_eq!(source.warnings(), taken);
    assert!(switch.taken().is_empty());
    assert_eq!(source.health().missed, 2 * 7);
}

#[test]
fn numbers_and_times_grow_and_the_scene_changes() {
    let mut source = cameras(&[0, 1], 0, |index| Ok(Fake::open(index, NEVER)));
    let switch = source.switch.clone();
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.extend((0..3).map(|_| source.next_frame().expect("no error").expect("no end")));
        thread::sleep(Duration::from_millis(20));
        switch.request();
    }
    let ids: Vec<u64> = frames.iter().map(|frame| frame.id).collect();
    assert_eq!(ids, [0, 3, 6, 7, 10, 13, 14, 17, 20]);
    assert!(frames.is_sorted_by(|a, b| a.pts < b.pts), "{frames:?}");
    // All of one clock: that of the machine, from the first frame on.
    let origin = frames[0].captured_at - frames[0].pts;
    for frame in &frames {
        let off = frame.pts.abs_diff(frame.captured_at - origin);
        assert!(off < Duration::from_millis(1), "{off:?}");
    }
    assert_eq!(frames.iter().map(|frame| frame.scene).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
}

#[test]
fn without_another_camera_that_is_said_and_all_goes_on() {
    for known in [&[4][..], &[]] {
        let mut source = cameras(known, 4, |index| bail!("{index} was opened"));
        next(&mut source);
        source.switch.request();
        assert_eq!(next(&mut source), 4);
        assert_eq!(source.warnings(), ["there is no other camera"]);
        assert_eq!(source.next_frame().expect("no error").expect("no end").id, 6);
    }
}

/// One that can't be opened, and one that is open and gives no frame.
#[test]
fn a_camera_that_gives_nothing_leaves_the_old_one_in_its_place() {
    for fails_late in [false, true] {
        let mut opened = Vec::new();
        let mut source = cameras(&[0, 1], 0, move |index| {
            opened.push(index);
            match (index, fails_late) {
                (1, false) => bail!("camera 1 fails"),
                (1, true) => Ok(Fake::open(1, 0)),
                // It is not there at once, either.
                _ if opened.iter().filter(|&&index| index == 0).count() == 1 => bail!("camera 0 is busy"),
                _ => Ok(Fake::open(index, NEVER)),
            }
        });
        next(&mut source);
        source.switch.request();
        assert_eq!(next(&mut source), 0);
        assert_eq!(source.warnings(), ["camera 1 fails; going on with camera 0"]);
        assert!(source.switch.taken().is_empty());
        let frame = source.next_frame().expect("no error").expect("no end");
        assert!(frame.scene > 0 && frame.id > 0);
    }
}

#[test]
fn a_camera_that_gives_nothing_is_passed_over_by_the_next_wish() {
    let mut source =
        cameras(&[0, 1, 2], 0, |index| if index == 1 { bail!("busy") } else { Ok(Fake::open(index, NEVER)) });
    let mut seen = Vec::new();
    for _ in 0..4 {
        source.switch.request();
        seen.push(next(&mut source));
    }
    assert_eq!(seen, [0, 2, 0, 0]);
    // With two the other one is tried again.
    let mut source = cameras(&[0, 1], 0, |index| if index == 1 { bail!("busy") } else { Ok(Fake::open(index, NEVER)) });
    for _ in 0..2 {
        source.switch.request();
        assert_eq!((next(&mut source), source.warnings()), (0, vec!["busy; going on with camera 0".to_owned()]));
    }
}

#[test]
fn a_camera_that_fails_after_its_first_frame_fails_as_any() {
    let mut source = cameras(&[0, 1], 0, |index| Ok(Fake::open(index, 1)));
    source.switch.request();
    assert_eq!(next(&mut source), 1);
    let error = source.next_frame().expect_err("it fails");
    assert_eq!(error.to_string(), "camera 1 fails");
}
