//! The files that a run writes, and whether they are whole.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::common::{emocam, json_lines, parsed_lines, succeed, temporary_folder, text};
use super::live::numbers;

/// A video, a table and statistics in a folder that is removed when the value is dropped.
pub(crate) struct Recording {
    _folder: TempDir,
    video: PathBuf,
    table: PathBuf,
    stats: PathBuf,
}

impl Recording {
    pub(crate) fn new() -> Self {
        let folder = temporary_folder();
        let [video, table, stats] = ["run.mp4", "run.jsonl", "stats.json"].map(|name| folder.path().join(name));
        Self { _folder: folder, video, table, stats }
    }

    /// Makes a run write all three; more arguments may follow.
    pub(crate) fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let files = ["-o", plain(&self.video), "-o", plain(&self.table), "--stats", plain(&self.stats)];
        [&files, more].concat()
    }

    /// Checks that the video and the table have each of so many frames, up to the same time.
    ///
    /// # Panics
    /// If not.
    pub(crate) fn assert_whole(&self, frames: usize) {
        let table = json_lines(&self.table);
        assert_eq!(table.len(), frames, "lines in the table");
        // Large faces alone are fast to look for.
        let mut annotate = emocam();
        annotate.args(["annotate", plain(&self.video), "--min-face", "400", "-o", "-"]);
        let video = parsed_lines(&text(&succeed(&mut annotate).stdout));
        assert_eq!(video.len(), frames, "frames in the video");
        let length = |lines: &[Value]| numbers(&lines[frames - 1]).1 - numbers(&lines[0]).1;
        let (of_table, of_video) = (length(&table), length(&video));
        assert!((of_table - of_video).abs() < 0.2, "{of_table:.2} s of table, {of_video:.2} s of video");
    }

    /// A number in the statistics.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn count(&self, key: &str) -> u64 {
        let stats: Value = serde_json::from_slice(&fs::read(&self.stats).expect("the statistics")).expect("JSON");
        stats[key].as_u64().unwrap_or_else(|| panic!("no {key:?} in {stats}"))
    }
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("a path of plain text")
}
