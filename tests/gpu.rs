//! The real binary on a GPU: what it computes, and what becomes of a run whose GPU fails.
//!
//! A build for the CPU rehearses it: the CPU plays the GPU, by the same operations of candle, and fails as it is told to (see
//! src/network/device/rehearsal.rs). A build for GPUs needs one.

#[allow(dead_code, unused_imports, reason = "it is for tests/it; this program uses a part")]
#[path = "it/common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use common::faces::Faces;
use common::{assert_exit, emocam, run_within, skip, temporary_folder, text};

const LIMIT: Duration = Duration::from_secs(600);

/// How far probabilities may be from those of the CPU: with cuDNN, TF32 rounds to 10 bits.
const TOLERANCE: f64 = if cfg!(feature = "cudnn") { 1e-2 } else { 1e-3 };

/// More calls than the start takes, and less than some dozens of frames do, one by one.
const SOON: &str = "150 99999";

/// As candle displays errors of the driver, of cuBLAS and of cuDNN.
const LOST: [&str; 3] = [
    "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access was encountered\")",
    "CublasError(CUBLAS_STATUS_EXECUTION_FAILED)",
    "CudnnError(CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER)",
];
const MEMORY: &str = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";

/// Whether there is no GPU for a test, nor the CPU in its place; it says so.
fn cannot(test: &str) -> bool {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    let reason = REASON.get_or_init(|| {
        let output = run_within(gpu(emocam().args(["annotate", "demo", "--frames", "1"]), "0 0", ""), LIMIT);
        let stderr = text(&output.stderr);
        let first = || stderr.lines().next().unwrap_or("it does not start").to_owned();
        (!stderr.contains("running on the GPU")).then(first)
    });
    reason.as_ref().inspect(|reason| skip(test, reason)).is_some()
}

/// Lets the GPU fail so.
fn gpu<'a>(command: &'a mut Command, when: &str, words: &str) -> &'a mut Command {
    command.env("EMOCAM_REHEARSE_GPU", format!("{when} {words}"))
}

/// `emocam annotate demo` with lines of JSON on standard output: frames as they are, so that they can be compared.
fn annotate(options: &str) -> Command {
    let mut command = emocam();
    command.args(["annotate", "demo", "--smoothing", "0", "-o", "-"]).args(options.split_whitespace());
    command
}

/// Runs to a good end. Returns the lines, and what was said.
fn lines_and_words(command: &mut Command) -> (String, String) {
    let output = run_within(command, LIMIT);
    assert_exit(&output, 0, &[]);
    (text(&output.stdout), text(&output.stderr))
}

fn on_the_cpu(frames: usize) -> String {
    lines_and_words(&mut annotate(&format!("--device cpu --frames {frames}"))).0
}

/// The same frames with the same faces, and nearly the same probabilities.
fn assert_alike(found: &str, expected: &str) {
    let numbers = |text: &str| -> Vec<f64> {
        let words = text.split(|c: char| !c.is_ascii_digit() && !".-".contains(c));
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let pair = (numbers(found), numbers(expected));
    assert!(pair.0.len() > 100 && pair.0.len() == pair.1.len(), "{found}instead of\n{expected}");
    assert!(pair.0.iter().zip(&pair.1).all(|(a, b)| (a - b).abs() <= TOLERANCE), "{found}instead of\n{expected}");
}

#[test]
fn a_gpu_says_what_the_cpu_says_and_is_told_only_where_it_was_not_asked_for() {
    if cannot("a_gpu_says_what_the_cpu_says_and_is_told_only_where_it_was_not_asked_for") {
        return;
    }
    let expected = on_the_cpu(16);
    for options in ["", "--device cuda", "--device cuda --batch 1", "--device cuda --batch 5"] {
        let (found, words) = lines_and_words(gpu(&mut annotate(&format!("--frames 16 {options}")), "0 0", ""));
        assert_alike(&found, &expected);
        assert_eq!(words.matches("running on the GPU: ").count(), usize::from(options.is_empty()), "{words}");
    }
}

#[test]
fn when_the_gpu_is_lost_the_cpu_goes_on_with_the_very_same_faces() {
    if cannot("when_the_gpu_is_lost_the_cpu_goes_on_with_the_very_same_faces") {
        return;
    }
    let expected = on_the_cpu(40);
    // The more frames at once, the fewer calls.
    let annotated = [(1, SOON), (3, SOON), (8, "60 99999")]
        .map(|(batch, when)| (annotate(&format!("--frames 40 --batch {batch} --device cuda")), when));
    let mut live = emocam();
    live.args("live demo --headless --smoothing 0 --device cuda --frames 40 -o -".split(' '));
    for ((mut command, when), lost) in annotated.into_iter().chain([(live, SOON)]).zip(LOST.iter().cycle()) {
        let (found, words) = lines_and_words(gpu(&mut command, when, lost));
        assert!(words.matches("the GPU is lost (CU").count() == 1 && words.contains("): the CPU goes on"), "{words}");
        assert_alike(&found, &expected);
    }
}

#[test]
fn faces_that_do_not_fit_into_the_memory_are_halved_once() {
    if cannot("faces_that_do_not_fit_into_the_memory_are_halved_once") {
        return;
    }
    let expected = on_the_cpu(8);
    let faces = expected.matches("\"probabilities\"").count();
    let eight_at_once = || annotate("--frames 8 --batch 8 --device cuda");
    // The second time through the network: the first one was to warm up.
    let (found, words) = lines_and_words(gpu(&mut eight_at_once(), "25 1", MEMORY));
    let notice = format!("{faces} faces at once do not fit into the GPU's memory: {} from now on", faces / 2);
    assert_eq!(words.matches(&notice).count(), 1, "{words}");
    assert_alike(&found, &expected);
    let both = format!("{faces} faces at once do not fit into the GPU's memory, nor do {}", faces / 2);
    let output = run_within(gpu(&mut eight_at_once(), "25 99999", MEMORY), LIMIT);
    assert_exit(&output, 1, &[&both, "--batch", "--device cpu", "CUDA_ERROR_OUT_OF_MEMORY: out of memory"]);
}

#[test]
fn a_gpu_that_fails_from_the_start_is_not_taken() {
    if cannot("a_gpu_that_fails_from_the_start_is_not_taken") {
        return;
    }
    let (found, words) = lines_and_words(gpu(&mut annotate("--frames 4"), "0 99999", MEMORY));
    assert!(words.contains("running on the CPU after all: the network can't run on"), "{words}");
    assert_eq!(found, on_the_cpu(4));
    let output = run_within(gpu(&mut annotate("--device cuda"), "0 99999", MEMORY), LIMIT);
    assert_exit(&output, 1, &["CUDA_ERROR_OUT_OF_MEMORY: out of memory; its memory is full"]);
    let bench = "bench --seconds 0.5 --json --device cuda";
    let output = run_within(gpu(emocam().args(bench.split(' ')), SOON, LOST[0]), LIMIT);
    assert_exit(&output, 1, &["was lost while it was measured"]);
}

/// A run of a tiny network: 25 epochs of two steps, none of which fills its last group of sixteen pictures.
fn train(folder: &Path, name: &str, device: &str) -> Command {
    let data = folder.join("data");
    if !data.exists() {
        Faces::drawn().write_classes(&data, 6);
    }
    let mut command = emocam();
    command.args(["train", "--device", device, "--data"]).arg(data).arg("--out").arg(folder.join(name));
    let line = "--init none --channels 4,4,8,8 --blocks 1,1,1 --epochs 25 --batch-size 17 --mixup 0.2";
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
fn training_on_a_gpu_goes_as_on_the_cpu_and_a_run_whose_gpu_is_lost_goes_on() {
    if cannot("training_on_a_gpu_goes_as_on_the_cpu_and_a_run_whose_gpu_is_lost_goes_on") {
        return;
    }
    let folder = temporary_folder();
    let run = |name: &str| folder.path().join(name);
    let done = |command: &mut Command| assert_exit(&run_within(command, LIMIT), 0, &[]);
    done(&mut train(folder.path(), "cpu", "cpu"));
    done(gpu(&mut train(folder.path(), "gpu", "cuda"), "0 0", ""));
    let [cpu, whole] = ["cpu", "gpu"].map(|name| history(&run(name)));
    assert_eq!(whole.len(), 25);
    // Learning rate and loss of each epoch.
    for (found, expected) in whole.iter().zip(&cpu) {
        for column in [1, 2] {
            assert!((found[column] / expected[column] - 1.0).abs() < 0.02, "{found:?} instead of {expected:?}");
        }
    }
    let output = run_within(gpu(&mut train(folder.path(), "lost", "cuda"), "700 99999", LOST[0]), LIMIT);
    assert_exit(&output, 1, &["the GPU failed in epoch", "is safe", "--resume", "CUDA_ERROR_ILLEGAL_ADDRESS"]);
    let before = history(&run("lost"));
    assert!((1..25).contains(&before.len()), "{before:?}");
    let mut resume = emocam();
    resume.args(["train", "--device", "cuda", "--resume"]).arg(run("lost"));
    done(gpu(&mut resume, "0 0", ""));
    assert_eq!(history(&run("lost")), whole, "as a run that was never interrupted");
    let output = run_within(gpu(&mut train(folder.path(), "full", "cuda"), "60 99999", MEMORY), LIMIT);
    assert_exit(
        &output,
        1,
        &["a step of 17 pictures does not fit into the GPU's memory", "--batch-size", "--device cpu"],
    );
    // Half of the pictures at once give the same report.
    let eval = |out: &str| {
        let mut command = emocam();
        command.args(["eval", "--device", "cuda", "--weights"]).arg(run("gpu/best.safetensors"));
        command.arg("--data").arg(run("data")).arg("--out").arg(run(out));
        command
    };
    done(gpu(&mut eval("all"), "0 0", ""));
    done(gpu(&mut eval("half"), "5 1", MEMORY));
    let report = |out: &str| fs::read_to_string(run(out).join("report.json")).expect("a report");
    assert_eq!(report("half"), report("all"));
}
