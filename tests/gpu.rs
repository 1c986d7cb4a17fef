//! The real binary on a GPU: what it computes, what it says where there is none, and what becomes of a run whose GPU fails.
//!
//! Needs a build with `--features cuda`. `scripts/gpu-rig/run -- cargo test --release --features cuda --test gpu` has a driver
//! that simulates GPUs, and their faults as these tests ask for them; a real GPU can't be asked to fail, so the tests of
//! faults are skipped there.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use common::faces::Faces;
use common::{assert_exit, demo_clip, emocam, json_lines, parsed_lines, run_within, skip, temporary_folder, text};
use serde_json::Value;

/// A simulated GPU takes its time.
const LIMIT: Duration = Duration::from_secs(600);

/// How far probabilities may be from those of the CPU: what the devices round in another way, and the last digit that is
/// written, which may fall on either side.
const TOLERANCE: f64 = 1e-4 + 1e-4;

/// What the simulated driver is told: how many GPUs there are, how many bytes of memory each has, after how many kernels
/// the first one is lost, and which CUDA the driver is for (12020 is 12.2).
const GPUS: &str = "EMOCAM_RIG_GPUS";
const MEMORY: &str = "EMOCAM_RIG_MEMORY";
const LOSE_AFTER: &str = "EMOCAM_RIG_LOSE_AFTER";
const DRIVER: &str = "EMOCAM_RIG_DRIVER";

/// More kernels than the start takes, and less than some dozens of frames do, one by one.
const SOON: &str = "150";

/// What there is to test on.
#[derive(Debug)]
enum Gpu {
    /// None, for this reason.
    None(String),
    Real,
    /// It does as it is told.
    Simulated,
}

fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        if !cfg!(feature = "cuda") {
            return Gpu::None("this program was built for the CPU".into());
        }
        let said = |command: &mut Command| {
            let stderr = text(&run_within(command.args(["annotate", "demo", "--frames", "1"]), LIMIT).stderr);
            (stderr.contains("running on the GPU"), stderr)
        };
        match (said(&mut emocam()), said(emocam().env(GPUS, "0"))) {
            ((false, stderr), _) => Gpu::None(stderr.lines().next().unwrap_or("it does not start").to_owned()),
            (_, (true, _)) => Gpu::Real,
            (_, (false, _)) => Gpu::Simulated,
        }
    })
}

/// Whether a test can't be made; it says so.
fn cannot(test: &str, needs_faults: bool) -> bool {
    match gpu() {
        Gpu::None(reason) => skip(test, reason),
        Gpu::Real if needs_faults => skip(test, "a real GPU can't be asked to fail: see scripts/gpu-rig/run"),
        Gpu::Real | Gpu::Simulated => return false,
    }
    true
}

/// `emocam annotate demo` with lines of JSON on standard output: frames as they are, so that they can be compared.
fn annotate(options: &str) -> Command {
    let mut command = emocam();
    command.args(["annotate", "demo", "--smoothing", "0", "-o", "-"]).args(options.split_whitespace());
    command
}

/// Runs to a good end. Returns the lines, and what was said.
fn lines_and_words(command: &mut Command) -> (Vec<Value>, String) {
    let output = run_within(command, LIMIT);
    assert_exit(&output, 0, &[]);
    (parsed_lines(&text(&output.stdout)), text(&output.stderr))
}

fn on_the_cpu(frames: usize) -> Vec<Value> {
    lines_and_words(&mut annotate(&format!("--device cpu --frames {frames}"))).0
}

/// Runs to an error, which has these words.
fn fails(command: &mut Command, words: &[&str]) {
    assert_exit(&run_within(command, LIMIT), 1, words);
}

/// The same frames with the same faces, and nearly the same probabilities.
fn assert_alike(found: &[Value], expected: &[Value]) {
    assert_eq!(found.len(), expected.len(), "frames");
    let mut faces = 0;
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found["frame"], expected["frame"]);
        let [found, expected] = [found, expected].map(|line| line["faces"].as_array().expect("faces"));
        assert_eq!(found.len(), expected.len(), "faces");
        for (found, expected) in found.iter().zip(expected) {
            faces += 1;
            assert_eq!((&found["id"], &found["box"]), (&expected["id"], &expected["box"]));
            for (emotion, expected) in expected["probabilities"].as_object().expect("probabilities") {
                let [found, expected] = [&found["probabilities"][emotion], expected].map(|p| p.as_f64().expect("one"));
                assert!((found - expected).abs() <= TOLERANCE, "{emotion}: {found} instead of {expected}");
            }
        }
    }
    assert!(faces > 0, "there were faces to compare");
}

#[test]
fn a_gpu_says_what_the_cpu_says() {
    if cannot("a_gpu_says_what_the_cpu_says", false) {
        return;
    }
    let expected = on_the_cpu(16);
    for options in ["", "--batch 1", "--batch 5"] {
        let (found, words) = lines_and_words(&mut annotate(&format!("--device cuda --frames 16 {options}")));
        assert_alike(&found, &expected);
        // A GPU that was asked for by name is no news, and nothing happened to it.
        assert!(!words.contains("GPU") && !words.contains("running on"), "{words}");
    }
}

#[test]
fn what_is_taken_by_itself_is_told() {
    if cannot("what_is_taken_by_itself_is_told", false) {
        return;
    }
    let (found, words) = lines_and_words(&mut annotate("--frames 4"));
    assert_eq!(words.matches("running on the GPU: ").count(), 1, "{words}");
    assert!(words.contains(" (cuda:0)\n"), "{words}");
    assert_alike(&found, &on_the_cpu(4));
    let (_, words) = lines_and_words(&mut annotate("--frames 4 --device cpu"));
    assert!(!words.contains("running on"), "{words}");
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_that_tells_which_are() {
    if cannot("a_gpu_that_is_not_there_is_an_error_that_tells_which_are", false) {
        return;
    }
    let words = ["--device cuda:63: there is no such GPU; this machine has", "cuda:0"];
    fails(&mut annotate("--frames 1 --device cuda:63"), &words);
}

#[test]
fn of_several_gpus_each_can_be_named() {
    if cannot("of_several_gpus_each_can_be_named", true) {
        return;
    }
    let (found, _) = lines_and_words(annotate("--frames 4 --device cuda:1").env(GPUS, "2"));
    assert_alike(&found, &on_the_cpu(4));
    fails(annotate("--device cuda:2").env(GPUS, "2"), &["this machine has 2 (cuda:0 to cuda:1)"]);
}

#[test]
fn without_a_gpu_the_cpu_is_taken_unless_a_gpu_was_asked_for() {
    if cannot("without_a_gpu_the_cpu_is_taken_unless_a_gpu_was_asked_for", true) {
        return;
    }
    let (found, words) = lines_and_words(annotate("--frames 4").env(GPUS, "0"));
    let notice = "running on the CPU: no NVIDIA GPU can be used (CUDA_ERROR_NO_DEVICE: ";
    assert_eq!(words.matches(notice).count(), 1, "{words}");
    assert_eq!(found, on_the_cpu(4));
    let words = ["--device cuda:0 can't be used", "CUDA_ERROR_NO_DEVICE", "CUDA_VISIBLE_DEVICES"];
    fails(annotate("--device cuda").env(GPUS, "0"), &words);
}

#[test]
fn a_driver_that_is_too_old_is_told_with_what_would_do() {
    if cannot("a_driver_that_is_too_old_is_told_with_what_would_do", true) {
        return;
    }
    // Older than any CUDA that the program can be built with.
    let words = ["the driver is for CUDA 11.0, this emocam for 1", "update the driver"];
    fails(annotate("--device cuda").env(DRIVER, "11000"), &[&words[..], &["--device cuda:0 can't be used"]].concat());
    let (found, said) = lines_and_words(annotate("--frames 4").env(DRIVER, "11000"));
    for word in words.iter().chain(&["running on the CPU: no NVIDIA GPU can be used ("]) {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    assert_eq!(found, on_the_cpu(4));
}

#[test]
fn a_gpu_whose_memory_is_full_from_the_start_is_not_taken() {
    if cannot("a_gpu_whose_memory_is_full_from_the_start_is_not_taken", true) {
        return;
    }
    // Not enough for the weights.
    let (found, words) = lines_and_words(annotate("--frames 4").env(MEMORY, "256K"));
    assert!(words.contains("running on the CPU") && words.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{words}");
    assert_eq!(found, on_the_cpu(4));
    fails(annotate("--device cuda").env(MEMORY, "256K"), &["CUDA_ERROR_OUT_OF_MEMORY"]);
}

/// Eight frames with a face each, at once, on a GPU with so many bytes of memory.
fn eight_at_once(memory: u64) -> Output {
    run_within(annotate("--frames 8 --batch 8 --device cuda").env(MEMORY, memory.to_string()), LIMIT)
}

#[test]
fn faces_that_do_not_fit_into_the_memory_are_divided_once() {
    if cannot("faces_that_do_not_fit_into_the_memory_are_divided_once", true) {
        return;
    }
    let expected = on_the_cpu(8);
    let faces: usize = expected.iter().map(|line| line["faces"].as_array().map_or(0, Vec::len)).sum();
    let notice = format!("{faces} faces at once do not fit into the GPU's memory: {} from now on", faces / 2);
    // The least memory in which nothing is divided, to within 2%.
    let (mut too_little, mut enough) = (1u64 << 18, 1u64 << 30);
    while enough > too_little + too_little / 50 {
        let memory = (too_little as f64 * enough as f64).sqrt() as u64;
        let output = eight_at_once(memory);
        let is_enough = output.status.success() && !text(&output.stderr).contains("do not fit");
        *(if is_enough { &mut enough } else { &mut too_little }) = memory;
    }
    // A little less: half of them at a time, which is told once, and none is missing.
    let output = eight_at_once(too_little);
    assert_exit(&output, 0, &[&notice]);
    assert_eq!(text(&output.stderr).matches("do not fit").count(), 1);
    assert_alike(&parsed_lines(&text(&output.stdout)), &expected);
    // Less and less: at last not even half of them fits, and that is the end.
    let mut memory = too_little;
    let output = loop {
        memory -= memory / 16;
        let output = eight_at_once(memory);
        if !output.status.success() {
            break output;
        }
    };
    let both = format!("{faces} faces at once do not fit into the GPU's memory, nor do {}", faces / 2);
    assert_exit(&output, 1, &[&both, "--batch", "--device cpu", "OUT_OF_MEMORY"]);
}

#[test]
fn when_the_gpu_is_lost_the_cpu_goes_on_with_the_very_same_faces() {
    const FRAMES: usize = 40;
    if cannot("when_the_gpu_is_lost_the_cpu_goes_on_with_the_very_same_faces", true) {
        return;
    }
    let expected = on_the_cpu(FRAMES);
    let is_told_once = |words: &str| {
        assert_eq!(words.matches("the GPU is lost (CUDA_ERROR_").count(), 1, "{words}");
        assert!(words.contains("): the CPU goes on"), "{words}");
    };
    for batch in [1, 3] {
        let options = format!("--frames {FRAMES} --batch {batch} --device cuda");
        let (found, words) = lines_and_words(annotate(&options).env(LOSE_AFTER, SOON));
        is_told_once(&words);
        assert_alike(&found, &expected);
    }
    let folder = temporary_folder();
    let data = folder.path().join("live.jsonl");
    let mut command = live(&data, FRAMES);
    let output = run_within(command.env(LOSE_AFTER, SOON), LIMIT);
    assert_exit(&output, 0, &[]);
    is_told_once(&text(&output.stderr));
    assert_alike(&parsed_lines(&fs::read_to_string(&data).expect("a file")), &expected);
}

fn live(data: &Path, frames: usize) -> Command {
    let mut command = emocam();
    command.args(["live", "demo", "--headless", "--smoothing", "0", "--device", "cuda", "--frames"]);
    command.arg(frames.to_string()).arg("-o").arg(data);
    command
}

#[test]
fn several_files_go_on_after_the_gpu_is_lost() {
    if cannot("several_files_go_on_after_the_gpu_is_lost", true) {
        return;
    }
    let folder = temporary_folder();
    let clips: Vec<PathBuf> = ["a.mp4", "b.mp4"].map(|name| folder.path().join(name)).into();
    for clip in &clips {
        fs::copy(demo_clip(), clip).expect("a copy");
    }
    let mut command = emocam();
    command.arg("annotate").args(&clips).args(["--device", "cuda", "--frames", "30", "--batch", "1", "-o"]);
    let results = folder.path().join("results");
    let output = run_within(command.arg(format!("{}/", results.display())).env(LOSE_AFTER, SOON), LIMIT);
    assert_exit(&output, 0, &[]);
    assert_eq!(text(&output.stderr).matches("the GPU is lost").count(), 1, "{}", text(&output.stderr));
    for name in ["a.jsonl", "b.jsonl"] {
        assert_eq!(json_lines(&results.join(name)).len(), 30, "{name}");
    }
}

#[test]
fn figures_are_those_of_the_gpu_or_there_are_none() {
    if cannot("figures_are_those_of_the_gpu_or_there_are_none", false) {
        return;
    }
    let bench = || {
        let mut command = emocam();
        command.args(["bench", "--seconds", "0.5", "--json", "--device", "cuda"]);
        command
    };
    let output = run_within(&mut bench(), LIMIT);
    assert_exit(&output, 0, &[]);
    let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(figures["device"], "cuda:0");
    assert!(figures["gpu"].as_str().is_some_and(|name| !name.is_empty()), "{figures:#}");
    if matches!(gpu(), Gpu::Simulated) {
        fails(bench().env(LOSE_AFTER, SOON), &["cuda:0 was lost while it was measured"]);
    }
}

/// A run of a tiny network: three epochs of two steps.
fn train(folder: &Path, device: &str) -> Command {
    let data = folder.join("data");
    if !data.exists() {
        Faces::drawn().write_classes(&data, 6);
    }
    let mut command = emocam();
    command.args(["train", "--device", device, "--data"]).arg(data).arg("--out").arg(folder.join(device));
    let line = "--init none --channels 4,4,8,8 --blocks 1,1,1 --epochs 3 --batch-size 16 --mixup 0.2";
    command.args(line.split(' '));
    command
}

/// The figures of each epoch, without times.
fn history(run: &Path) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(run.join("history.csv")).expect("a history");
    let row = |line: &str| line.split(',').take(7).map(|figure| figure.parse().expect("a figure")).collect();
    text.lines().skip(1).map(row).collect()
}

#[test]
fn training_on_a_gpu_goes_as_on_the_cpu() {
    if cannot("training_on_a_gpu_goes_as_on_the_cpu", false) {
        return;
    }
    let folder = temporary_folder();
    for device in ["cpu", "cuda"] {
        assert_exit(&run_within(&mut train(folder.path(), device), LIMIT), 0, &[]);
    }
    let [cpu, gpu] = ["cpu", "cuda"].map(|device| history(&folder.path().join(device)));
    assert_eq!(gpu.len(), 3);
    for (found, expected) in gpu.iter().flatten().zip(cpu.iter().flatten()) {
        assert!((found - expected).abs() < 1e-3, "{gpu:?} instead of {cpu:?}");
    }
}

#[test]
fn a_training_run_whose_gpu_is_lost_goes_on_from_its_checkpoint() {
    if cannot("a_training_run_whose_gpu_is_lost_goes_on_from_its_checkpoint", true) {
        return;
    }
    let folder = temporary_folder();
    let run = folder.path().join("cuda");
    // About a third of what the whole run launches: after the first epoch, and before the end.
    let output = run_within(train(folder.path(), "cuda").env(LOSE_AFTER, "900"), LIMIT);
    assert_exit(&output, 1, &["the GPU failed in epoch", "is safe", "--resume", "CUDA_ERROR_"]);
    let done = history(&run);
    assert!((1..3).contains(&done.len()), "{done:?}");
    let mut resume = emocam();
    assert_exit(&run_within(resume.args(["train", "--device", "cpu", "--resume"]).arg(&run), LIMIT), 0, &[]);
    let whole = history(&run);
    assert_eq!((whole.len(), &whole[..done.len()]), (3, &done[..]));
}
