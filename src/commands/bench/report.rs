//! The figures of a bench, as a table of 80 columns and as JSON.
//!
//! Owns names, units and rounding. Times are milliseconds; `scans` says how many times the yardstick a time is, that is,
//! one scan of a whole frame; memory is in megabytes of a million bytes. What a system doesn't tell is `null`, and left out
//! of the table.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::faces::FaceTimes;
use emocam::measure::machine::Machine;
use emocam::measure::stats::{StageTimes, Stats, megabytes, ms};
use emocam::network::device::DeviceSpec;
use emocam::sink::rounded;

/// What was measured on what.
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) setting: Setting,
    /// The yardstick.
    pub(super) scan: Duration,
    /// From the start of the program until the first labelled face was drawn; `None` if there was no face.
    pub(super) first_label: Option<Duration>,
    pub(super) memory: Memory,
    /// The run as fast as it goes.
    pub(super) fast: Stats,
    /// The run as if from a camera.
    pub(super) live: Stats,
    /// Classification alone, of some numbers of faces.
    pub(super) faces: Vec<FaceTimes>,
}

/// What was played and how faces were looked for.
pub(super) struct Setting {
    pub(super) source: String,
    /// Width and height in pixels.
    pub(super) size: (u32, u32),
    /// Frames a second, as if from a camera.
    pub(super) fps: f64,
    /// In pixels; `None` where it follows the frame's size.
    pub(super) min_face: Option<u32>,
    pub(super) device: DeviceSpec,
    /// The GPU's name, where it is one.
    pub(super) gpu: Option<String>,
    pub(super) threads: usize,
}

/// Bytes of memory over the whole of it.
pub(super) struct Memory {
    pub(super) after_warm_up: Option<u64>,
    pub(super) frames_of_warm_up: u64,
    pub(super) end: Option<u64>,
    /// All frames that were labelled, those of the warm-up too.
    pub(super) frames: u64,
    pub(super) peak: Option<u64>,
}

impl Report {
    /// How many scans of a whole frame fit into a time.
    fn scans(&self, time: Duration) -> f64 {
        rounded(time.as_secs_f64() / self.scan.as_secs_f64().max(1e-9), 3)
    }

    pub(super) fn to_json(&self) -> Value {
        let Setting { source, size, fps, min_face, device, gpu, threads } = &self.setting;
        let memory = &self.memory;
        let first_label = self.first_label.map(|time| json!({"ms": ms(time), "scans": self.scans(time)}));
        json!({
            "emocam": env!("CARGO_PKG_VERSION"),
            "machine": {
                "cpu": self.machine.cpu,
                "cores": self.machine.cores,
                "memory_mb": self.machine.memory.map(megabytes),
                "system": self.machine.system,
            },
            "device": device.to_string(),
            "gpu": gpu,
            "threads": threads,
            "source": {"name": source, "width": size.0, "height": size.1, "fps": rounded(*fps, 3)},
            "min_face": min_face,
            "scan_ms": ms(self.scan),
            "throughput": self.run_to_json(&self.fast),
            "live": self.run_to_json(&self.live),
            "classification_ms": self.faces.iter().map(face_times_to_json).collect::<Vec<_>>(),
            "start_to_first_label": first_label,
            "memory_mb": {
                "after_warm_up": memory.after_warm_up.map(megabytes),
                "frames_of_warm_up": memory.frames_of_warm_up,
                "end": memory.end.map(megabytes),
                "frames": memory.frames,
                "peak": memory.peak.map(megabytes),
            },
        })
    }

    fn run_to_json(&self, run: &Stats) -> Value {
        let stages = run.stages().into_iter().map(|stage| {
            let mut times = stage.to_json();
            let scans = [("p50_scans", stage.p50), ("p95_scans", stage.p95), ("p99_scans", stage.p99)];
            scans.into_iter().for_each(|(name, time)| times[name] = self.scans(time).into());
            (stage.name.to_owned(), times)
        });
        json!({
            "seconds": rounded(run.elapsed().as_secs_f64(), 3),
            "frames": run.frames(),
            "fps": rounded(run.fps(), 2),
            "frame_ms": ms(time_of_frame(run)),
            "frame_scans": self.scans(time_of_frame(run)),
            "dropped": run.dropped(),
            "faces": run.faces(),
            "cpu_percent_of_one_core": run.cpu_percent_of_one_core().map(|share| rounded(share, 1)),
            "children_cpu_percent_of_one_core":
                run.children_cpu_percent_of_one_core().map(|share| rounded(share, 1)),
            "stages_ms": stages.collect::<Map<_, _>>(),
        })
    }

    fn write_faces(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\nClassification alone, ways to the device and back included")?;
        write!(f, "\n{:<10}{:>10}{:>10}{:>20}", "", "p50 ms", "p95 ms", "faces a second")?;
        for times in &self.faces {
            let name = format!("{} face{}", times.faces, plural(times.faces));
            write!(f, "\n{name:<10}{:>10.3}{:>10.3}", ms(times.p50), ms(times.p95))?;
            write!(f, "{:>20.0}", times.faces_a_second())?;
        }
        writeln!(f)
    }

    fn write_run(&self, f: &mut fmt::Formatter<'_>, run: &Stats) -> fmt::Result {
        write!(f, "{} frames in {:.1} s, ", run.frames(), run.elapsed().as_secs_f64())?;
        write!(f, "{:.1} faces a frame", run.faces() as f64 / run.frames().max(1) as f64)?;
        if let Some(processor) = run.processor() {
            write!(f, ", {processor}")?;
        }
        write!(f, "\n{:<10}{:>10}{:>10}{:>10}{:>10}", "", "p50 ms", "p95 ms", "p99 ms", "CPU ms")?;
        writeln!(f, "{:>13}{:>13}", "p50 in scans", "p95 in scans")?;
        for StageTimes { name, p50, p95, p99, cpu } in run.stages() {
            let cpu = cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.2}", ms(cpu)));
            write!(f, "{name:<10}{:>10.2}{:>10.2}{:>10.2}{cpu:>10}", ms(p50), ms(p95), ms(p99))?;
            writeln!(f, "{:>13.3}{:>13.3}", self.scans(p50), self.scans(p95))?;
        }
        Ok(())
    }
}

fn face_times_to_json(times: &FaceTimes) -> Value {
    json!({
        "faces": times.faces,
        "rounds": times.rounds,
        "p50": ms(times.p50),
        "p95": ms(times.p95),
        "faces_per_second": rounded(times.faces_a_second(), 1),
    })
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// From one frame to the next, as a mean.
fn time_of_frame(run: &Stats) -> Duration {
    run.elapsed().div_f64(run.frames().max(1) as f64)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { source, size: (width, height), fps, device, gpu, threads, .. } = &self.setting;
        let device = gpu.as_ref().map_or_else(|| device.to_string(), |name| format!("{name} ({device})"));
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "emocam {}, {device}, {threads} thread{}", env!("CARGO_PKG_VERSION"), plural(*threads))?;
        writeln!(f, "{source}, {width}x{height}, {} fps", rounded(*fps, 2))?;
        writeln!(f, "One scan of a whole frame, 640x480, faces of 40 pixels and more: {:.1} ms", ms(self.scan))?;

        let frame = time_of_frame(&self.fast);
        write!(f, "\nAs fast as it goes: {:.1} frames a second, ", self.fast.fps())?;
        writeln!(f, "{:.2} ms or {:.3} scans a frame", ms(frame), self.scans(frame))?;
        self.write_run(f, &self.fast)?;

        writeln!(f, "\nAs if from a camera: {} frames dropped", self.live.dropped())?;
        self.write_run(f, &self.live)?;
        self.write_faces(f)?;

        match self.first_label {
            Some(time) => write!(f, "\nFrom start to first label: {:.0} ms, {:.1} scans", ms(time), self.scans(time))?,
            None => write!(f, "\nFrom start to first label: no face was found in the first frames")?,
        }
        let Memory { after_warm_up, frames_of_warm_up, end, frames, peak } = &self.memory;
        if let (Some(warm), Some(end), Some(peak)) = (after_warm_up, end, peak) {
            let [warm, end, peak] = [*warm, *end, *peak].map(megabytes);
            write!(f, "\nMemory: {warm:.1} MB after {frames_of_warm_up} frames, {end:.1} MB after {frames}, ")?;
            write!(f, "at most {peak:.1} MB, scans included")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emocam::flow::labelled::Losses;
    use emocam::source::Health;

    fn report(first_label: Option<Duration>) -> Report {
        let mut stats = [Stats::new(), Stats::new()];
        stats.iter_mut().for_each(|stats| stats.finish(Losses::default(), Health::default()));
        let [fast, live] = stats;
        let machine = Machine { cpu: "CPU".into(), cores: 2, memory: None, system: "OS".into() };
        let setting = Setting {
            source: "clip.mp4".into(),
            size: (1280, 720),
            fps: 29.97,
            min_face: Some(40),
            device: DeviceSpec::Cuda(1),
            gpu: Some("NVIDIA GeForce RTX 4090 Laptop GPU".into()),
            threads: 16,
        };
        let memory = Memory {
            after_warm_up: Some(60_000_000),
            frames_of_warm_up: 1000,
            end: Some(61_000_000),
            frames: 100_000,
            peak: None,
        };
        let scan = Duration::from_millis(50);
        let [p50, p95] = [2, 3].map(Duration::from_millis);
        let faces = [1, 16].map(|faces| FaceTimes { faces, rounds: 40, p50, p95 }).to_vec();
        Report { machine, setting, scan, first_label, memory, fast, live, faces }
    }

    #[test]
    fn times_are_also_given_in_scans() {
        let json = report(Some(Duration::from_millis(300))).to_json();
        assert_eq!(json["start_to_first_label"], json!({"ms": 300.0, "scans": 6.0}));
        assert_eq!(json["scan_ms"], 50.0);
        assert_eq!(json["source"], json!({"name": "clip.mp4", "width": 1280, "height": 720, "fps": 29.97}));
        assert_eq!(json["memory_mb"]["end"], 61.0);
        assert!(json["memory_mb"]["peak"].is_null(), "{json}");
        assert_eq!(json["live"]["stages_ms"]["latency"]["p95_scans"], 0.0);
        assert_eq!((&json["device"], &json["gpu"]), (&"cuda:1".into(), &"NVIDIA GeForce RTX 4090 Laptop GPU".into()));
        let sixteen = json!({"faces": 16, "rounds": 40, "p50": 2.0, "p95": 3.0, "faces_per_second": 8000.0});
        assert_eq!(json["classification_ms"][1], sixteen);
    }

    #[test]
    fn the_table_fits_a_terminal() {
        let text = report(None).to_string();
        assert!(text.contains("no face was found"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains("Memory"), "it is not known: {text}");
        assert!(text.contains("NVIDIA GeForce RTX 4090 Laptop GPU (cuda:1), 16 threads"), "{text}");
        assert!(text.contains("16 faces       2.000     3.000                8000\n"), "{text}");
    }
}
