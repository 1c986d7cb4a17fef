//! A table of pictures, beside a picture.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: emocam_fuzz::seed(&[
        b"path,label,person,part\na.pgm,happy,p1,train\na.pgm,3_Sad,,test\n",
        b"file,anger,disgust,fear,happy,neutral,sad,surprise\n./a.pgm,0,0.5,0,0.25,0.25,0,0\n",
        b"\"Image\",Emotion\r\n\"a.pgm\",\"an\"\r\n",
    ]),
    |data: &[u8]| {
        let folder = emocam_fuzz::place("manifest");
        fs::create_dir_all(&folder).expect("the folder can be written to");
        fs::write(folder.join("a.pgm"), emocam_fuzz::PICTURE).expect("the folder can be written to");
        fs::write(folder.join("manifest.csv"), data).expect("the folder can be written to");
        emocam_fuzz::load(&folder);
    }
);
