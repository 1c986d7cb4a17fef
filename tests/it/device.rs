//! On what the network runs, in a program that was built for the CPU, and how many frames it is given at once. What needs a
//! GPU is in `gpu.rs`.

use std::fs;

use serde_json::Value;

use crate::common::{emocam, fail, json_lines, skip, succeed, temporary_folder, text};

#[test]
fn a_device_that_there_is_not_is_refused() {
    for device in ["gpu", "cuda:", "cuda:-1", "cuda:x", "CPU", ""] {
        fail(emocam().args(["annotate", "demo", "--device", device]), 2, &["expected auto, cpu, cuda or cuda:N"]);
    }
    if cfg!(feature = "cuda") {
        return skip("a_device_that_there_is_not_is_refused", "the part for builds for the CPU: this one is for GPUs");
    }
    for line in ["annotate demo --device cuda", "live demo --headless --device cuda:1", "bench --device cuda"] {
        let words = ["--device cuda:", "was built for the CPU", "--features cuda"];
        fail(emocam().args(line.split(' ')), 1, &words);
    }
}

#[test]
fn a_program_for_the_cpu_takes_it_without_a_word() {
    if cfg!(feature = "cuda") {
        return skip("a_program_for_the_cpu_takes_it_without_a_word", "this program was built for GPUs");
    }
    for device in ["auto", "cpu"] {
        let output = succeed(emocam().args(["annotate", "demo", "--frames", "1", "--device", device]));
        let stderr = text(&output.stderr);
        assert!(!stderr.contains("running on") && !stderr.contains("GPU"), "{stderr}");
    }
}

#[test]
fn frames_that_are_labelled_at_once_give_the_same_data_byte_for_byte() {
    let folder = temporary_folder();
    let annotate = |batch: &str, frames: &str| {
        let (data, stats) = (folder.path().join(format!("{batch}.jsonl")), folder.path().join(format!("{batch}.json")));
        let mut command = emocam();
        command.args(["annotate", "demo", "--device", "cpu", "--force", "--frames", frames]);
        if batch != "default" {
            command.args(["--batch", batch]);
        }
        succeed(command.arg("-o").arg(&data).arg("--stats").arg(&stats));
        let stats: Value = serde_json::from_slice(&fs::read(stats).expect("a file")).expect("JSON");
        assert_eq!(stats["frames"], json_lines(&data).len());
        // Each frame has its share of the time.
        let [p50, p99] = ["p50", "p99"].map(|share| stats["stages_ms"]["classify"][share].as_f64().expect("a number"));
        assert!(0.0 < p50 && p50 <= p99, "{stats:#}");
        fs::read(data).expect("a file")
    };
    let one_by_one = annotate("default", "60");
    assert_eq!(one_by_one.iter().filter(|&&byte| byte == b'\n').count(), 60);
    for batch in ["1", "7", "60", "256"] {
        assert!(annotate(batch, "60") == one_by_one, "--batch {batch}");
    }
}

#[test]
fn so_many_frames_at_once_are_not_taken() {
    for batch in ["0", "257", "-1", "many"] {
        fail(emocam().args(["annotate", "demo", "--batch", batch]), 2, &["--batch <N>"]);
    }
    fail(emocam().args(["live", "demo", "--batch", "2"]), 2, &["unexpected argument '--batch'"]);
}
