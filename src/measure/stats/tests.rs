use super::*;
use crate::flow::labelled::Timing;
use crate::sink::tests::prediction;

/// Half of the time the processor worked.
fn spent(ms: u64) -> Spent {
    let wall = Duration::from_millis(ms);
    Spent { wall, cpu: Some(wall / 2) }
}

fn labelled(detect_ms: u64, faces: u64) -> Labelled {
    let happy = |id| prediction(id, [0.0, 0.0, 1.0, 1.0], 3.0, [0.01, 0.01, 0.01, 0.94, 0.01, 0.01, 0.01]);
    let frame = crate::sink::tests::labelled(0, 0, 1, 1, (0..faces).map(happy).collect());
    Labelled { timing: Timing { detect: spent(detect_ms), ..Default::default() }, ..frame }
}

#[test]
fn quantiles_shares_and_counts() {
    let mut stats = Stats::new();
    for ms in 1..=100 {
        stats.add(&labelled(ms, u64::from(ms > 50)));
    }
    let losses = Losses { dropped: 4, unrecorded: 0 };
    stats.finish(losses, Health { missed: 3, damaged: 2, reconnects: 1 });
    let json = stats.to_json();
    assert_eq!(json["frames"], 100);
    assert_eq!((&json["dropped"], &json["damaged"], &json["reconnects"]), (&7.into(), &2.into(), &1.into()));
    assert!(stats.to_string().contains("7 dropped, 2 damaged, camera back 1 time"), "{stats}");
    assert_eq!(json["faces"], 50);
    assert_eq!(json["emotions"]["Happy"], 1.0);
    assert_eq!(json["emotions"]["Unsure"], 0.0);
    for (quantile, expected) in [("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("cpu_ms", 25.25)] {
        let found = json["stages_ms"]["detect"][quantile].as_f64().expect("a number");
        assert!((found / expected - 1.0).abs() < 0.02, "{quantile} {found}");
    }
    assert!(json["stages_ms"]["capture"]["cpu_ms"].is_null(), "nobody measured it: {json}");
    assert!(json["stages_ms"]["latency"].get("cpu_ms").is_none(), "{json}");
    assert!(stats.to_string().contains("Happy 100.0%"), "{stats}");
}

#[cfg(unix)]
#[test]
fn the_processor_time_is_that_of_the_run() {
    let mut stats = Stats::new();
    assert_eq!(stats.cpu_percent_of_one_core(), None);
    let watch = crate::system::clock::Stopwatch::start();
    while watch.spent().cpu.expect("a clock") < Duration::from_millis(20) {}
    stats.finish(Losses::default(), Health::default());
    let used = stats.elapsed().mul_f64(stats.cpu_percent_of_one_core().expect("a clock") / 100.0);
    // Clocks of threads and of processes need not tick together.
    assert!(used >= Duration::from_millis(15), "{used:?}");
}

#[test]
fn the_first_face_is_noted_once() {
    let mut stats = Stats::new();
    stats.add(&labelled(1, 0));
    assert_eq!(stats.first_face(), None);
    stats.add(&labelled(1, 1));
    let first = stats.first_face().expect("a face");
    stats.add(&labelled(1, 1));
    assert_eq!(stats.first_face(), Some(first));
}

#[test]
fn unsure_faces_are_counted_apart() {
    let mut stats = Stats::new();
    stats.add(&labelled(1, 1));
    assert_eq!(stats.to_json()["emotions"]["Unsure"], 0.0);
    assert!(!stats.to_string().contains("Unsure"), "{stats}");
    let mut frame = labelled(1, 3);
    frame.predictions[1].unsure = true;
    stats.add(&frame);
    let json = stats.to_json();
    assert_eq!(json["faces"], 4);
    assert_eq!((&json["emotions"]["Happy"], &json["emotions"]["Unsure"]), (&0.75.into(), &0.25.into()));
    assert!(stats.to_string().ends_with("Happy 75.0%, Unsure 25.0%"), "{stats}");
}

#[test]
fn who_was_left_out_is_told_at_the_end() {
    let mut stats = Stats::new();
    stats.look_for(SmallestFace::Pixels(24));
    stats.add(&Labelled { ignored: 3, ..labelled(1, 0) });
    let end = "\nno face was found\nfaces smaller than 24 pixels were not looked for\nfaces that were not \
               labelled: at most 3 in a frame, 3 over all frames";
    assert!(stats.to_string().ends_with(end), "{stats}");
    let json = stats.to_json();
    let left_out = ["smallest_face", "ignored_faces", "ignored_faces_most", "turned_faces", "unread_faces"];
    assert_eq!(left_out.map(|name| json[name].as_u64()), [24, 3, 3, 0, 0].map(Some));
}

#[test]
fn a_run_without_frames_has_a_summary() {
    let mut stats = Stats::new();
    stats.finish(Losses::default(), Health::default());
    assert!(stats.to_string().starts_with("0 frames"));
    assert_eq!(stats.to_json()["stages_ms"]["latency"]["p95"], 0.0);
}
