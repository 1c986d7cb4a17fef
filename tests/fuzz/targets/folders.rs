//! The names of folders and pictures of a data set: a line for each picture, and a first one with rules for classes.
#![no_main]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use emocam::dataset::{DataOptions, Dataset, FacesMode};
use libfuzzer_sys::fuzz_target;

/// The most pictures in one input.
const MOST: usize = 12;

fuzz_target!(
    init: emocam_fuzz::seed(&[
        b"\ntrain/happy/a.pgm\ntrain/3_Sad/b.pgm\nval/AN/c.pgm\ntest/surprise/x/y.pgm\n",
        b"raf-db contempt=disgust\n1/a.pgm\n4/b.pgm\nContempt/c.pgm\nnotes.txt\n",
        b"\nAF01/AF01ANS.pgm\nAF01/AF01HAHL.pgm\nBM35NES.PGM\n",
        b"affectnet,7=none\nTraining/0/AF01ANS.pgm\nTesting/7/a.pgm\n",
    ]),
    |data: &[u8]| {
        let mut lines = data.split(|&byte| byte == b'\n');
        let rules = lines.next().and_then(|rules| std::str::from_utf8(rules).ok()?.parse().ok());
        let folder = emocam_fuzz::place("folders");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the folder can be written to");
        for line in lines.take(MOST) {
            let path = Path::new(OsStr::from_bytes(line));
            if !path.components().all(|part| matches!(part, Component::Normal(_))) {
                continue;
            }
            // What the system takes for no name is not met in a folder.
            let path = folder.join(path);
            let _ = path.parent().map(fs::create_dir_all);
            let _ = fs::write(path, emocam_fuzz::PICTURE);
        }
        let map = rules.unwrap_or_default();
        let options = DataOptions { faces: FacesMode::Whole, map, ..DataOptions::default() };
        let _ = Dataset::load(&folder, &options);
    }
);
