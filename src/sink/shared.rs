//! One table for many inputs: the frames of each say which file they are of.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::{Ending, OutputOptions, Sink, SinkSpec};
use crate::flow::labelled::Labelled;

/// A table that the runs of several inputs write to, one after the other.
pub struct SharedTable(Arc<Mutex<Shared>>);

struct Shared {
    table: Box<dyn Sink + Send>,
    /// Whether it takes more: its reader may leave, and its disk may be full.
    is_open: bool,
}

/// An input's end of it.
struct Part {
    shared: Arc<Mutex<Shared>>,
    /// What the input is called.
    input: Arc<str>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Lines are written whole or are known to be broken.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedTable {
    /// Opens it.
    ///
    /// # Errors
    /// As [`SinkSpec::open`].
    pub fn open(spec: &SinkSpec, options: OutputOptions<'_>) -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Shared { table: spec.open(options)?, is_open: true }))))
    }

    /// What an input's run writes to; `None` where nothing is taken any more. Completing it completes nothing: others
    /// follow.
    pub fn part(&self, input: &str) -> Option<Box<dyn Sink + Send>> {
        let part = || Box::new(Part { shared: Arc::clone(&self.0), input: input.into() }) as Box<dyn Sink + Send>;
        self.is_open().then(part)
    }

    /// Whether it takes more.
    pub fn is_open(&self) -> bool {
        lock(&self.0).is_open
    }

    /// Completes the table.
    ///
    /// # Errors
    /// As [`Sink::finish`].
    pub fn finish(&self, ending: Ending) -> Result<()> {
        lock(&self.0).table.finish(ending)
    }
}

impl Part {
    /// A file in a folder is named with its folder.
    fn named(&self, file: Option<&Arc<str>>) -> Arc<str> {
        match file {
            Some(file) if **file != *self.input => format!("{}/{file}", self.input.trim_end_matches('/')).into(),
            _ => Arc::clone(&self.input),
        }
    }
}

impl Sink for Part {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let mut labelled = labelled.clone();
        labelled.frame.file = Some(self.named(labelled.frame.file.as_ref()));
        let mut shared = lock(&self.shared);
        let written = shared.table.write(&labelled);
        shared.is_open = written.as_ref().is_ok_and(ControlFlow::is_continue);
        written
    }

    fn finish(&mut self, _: Ending) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sink::tests::labelled;

    #[test]
    fn each_row_says_which_input_it_is_of() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("all.jsonl");
        let table = SharedTable::open(&SinkSpec::Jsonl(path.clone()), OutputOptions::default()).expect("a new file");
        for (input, file) in [("s1/a.mp4", None), ("photos/", Some("b.jpg"))] {
            let mut part = table.part(input).expect("it is open");
            let mut frame = labelled(0, 0, 2, 2, vec![]);
            frame.frame.file = file.map(Arc::from);
            assert!(part.write(&frame).expect("a disk with room").is_continue());
            part.finish(Ending::Whole).expect("nothing to do");
            assert!(!path.exists());
        }
        table.finish(Ending::Whole).expect("a disk with room");
        let text = fs::read_to_string(&path).expect("the file");
        let files: Vec<&str> = text.lines().filter_map(|line| line.split(r#""file":"#).nth(1)).collect();
        assert_eq!(files, [r#""s1/a.mp4"}"#, r#""photos/b.jpg"}"#]);
    }
}
