//! `emocam bench`: all figures are there and are possible ones. How large they may be is asserted nowhere: machines differ.

use serde_json::Value;

use crate::common::{emocam, fail, succeed, temporary_folder, text};

fn number(value: &Value, name: &str) -> f64 {
    let found = name.split('.').fold(value, |value, name| &value[name]);
    found.as_f64().unwrap_or_else(|| panic!("{name} is no number in {value:#}"))
}

#[test]
fn all_figures_are_measured() {
    let output = succeed(emocam().args(["bench", "demo", "--json", "--seconds", "1", "--device", "cpu"]));
    let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    assert_eq!(json["source"]["name"], "demo");
    assert_eq!((&json["device"], &json["gpu"]), (&"cpu".into(), &Value::Null));
    for name in ["emocam", "machine.cpu", "machine.system"] {
        let found = name.split('.').fold(&json, |value, name| &value[name]);
        assert!(found.as_str().is_some_and(|text| !text.is_empty()), "{name}: {found}");
    }
    let mut names = vec!["machine.cores", "threads", "source.width", "source.height", "source.fps", "scan_ms"];
    names.extend(["start_to_first_label.ms", "start_to_first_label.scans"]);
    if cfg!(target_os = "linux") {
        names.extend(["machine.memory_mb", "memory_mb.after_warm_up", "memory_mb.end", "memory_mb.peak"]);
    }
    for name in names {
        assert!(number(&json, name) > 0.0, "{name} in {json:#}");
    }
    for run in ["throughput", "live"] {
        let run = &json[run];
        for name in ["seconds", "frames", "fps", "frame_ms", "frame_scans", "faces"] {
            assert!(number(run, name) > 0.0, "{name} in {run:#}");
        }
        for stage in ["capture", "detect", "classify", "render", "latency"] {
            let times = &run["stages_ms"][stage];
            let [p50, p95, p99] = ["p50", "p95", "p99"].map(|quantile| number(times, quantile));
            // Without a window there is nothing to render: less than a microsecond is 0.
            assert!((0.0 < p50 || stage == "render") && p50 <= p95 && p95 <= p99, "{stage}: {times}");
            assert!(number(times, "p95_scans") <= number(times, "p99_scans"), "{stage}: {times}");
            if cfg!(unix) && !["render", "latency"].contains(&stage) {
                assert!(number(times, "cpu_ms") > 0.0, "{stage}: {times}");
            }
        }
        if cfg!(unix) {
            assert!(number(run, "cpu_percent_of_one_core") > 0.0, "{run:#}");
        }
    }
    assert_eq!(json["throughput"]["dropped"], 0, "a file drops nothing");
    // Nothing is labelled before it was searched.
    let live = &json["live"]["stages_ms"];
    assert!(number(live, "latency.p99") >= number(live, "detect.p50"), "{live:#}");
    let faces = json["classification_ms"].as_array().expect("a list");
    assert_eq!(faces.iter().map(|times| number(times, "faces")).collect::<Vec<_>>(), [1.0, 4.0, 16.0]);
    for times in faces {
        assert!(number(times, "rounds") >= 40.0 && number(times, "p50") > 0.0, "{times}");
        assert!(number(times, "p50") <= number(times, "p95") && number(times, "faces_per_second") > 0.0, "{times}");
    }
    assert!(number(&json, "memory_mb.frames") > number(&json, "memory_mb.frames_of_warm_up"));
}

#[test]
fn the_table_names_machine_and_source() {
    let folder = temporary_folder();
    let picture = folder.path().join("gray.png");
    image::GrayImage::from_pixel(160, 120, image::Luma([128])).save(&picture).expect("a picture");
    let output = succeed(emocam().arg("bench").arg(&picture).args(["--seconds", "0.2", "--device", "cpu"]));
    let table = text(&output.stdout);
    for words in ["gray.png, 160x120, 1 fps", "a second, ", "no face was found", "latency", "% of one core", "16 faces"]
    {
        assert!(table.contains(words), "{words:?} is not in:\n{table}");
    }
}

#[test]
fn what_cannot_be_played_is_a_clear_error() {
    fail(emocam().args(["bench", "no/such/clip.mp4"]), 1, &["no/such/clip.mp4", "no such file"]);
    fail(emocam().args(["bench", "/dev/video0"]), 2, &["`bench` takes files"]);
    fail(emocam().args(["bench", "--seconds", "-1"]), 2, &["expected seconds"]);
    let folder = temporary_folder();
    fail(emocam().arg("bench").arg(folder.path()), 1, &[&*folder.path().to_string_lossy()]);
}
