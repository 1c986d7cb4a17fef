//! What a run says when its GPU fails, and what is left then.

use std::path::Path;

use anyhow::Error;

use crate::device::{GpuError, GpuFailure};

/// Where a run was when its GPU failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The run's folder.
    pub(super) run: &'a Path,
    /// Complete epochs, which are in the checkpoint.
    pub(super) done: usize,
    pub(super) batch_size: usize,
}

impl Place<'_> {
    /// The error with what is left of the run and what to try, where it is one of a GPU.
    pub(super) fn explain(self, error: Error) -> Error {
        let Some(gpu) = GpuError::find(&error) else { return error };
        let (run, epoch) = (self.run.display(), self.done + 1);
        let text = match gpu.failure {
            GpuFailure::OutOfMemory => format!(
                "a step of {} pictures does not fit into the GPU's memory: start the run anew with a smaller --batch-size, \
                 close other programs that use the GPU, or go on with emocam train --resume {run} --device cpu",
                self.batch_size
            ),
            _ => format!(
                "the GPU failed in epoch {epoch}; the checkpoint after {} epochs is safe: go on with emocam train --resume \
                 {run}, without the GPU by --device cpu",
                self.done
            ),
        };
        error.context(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_a_gpu_are_explained_and_the_words_stay() {
        let place = Place { run: Path::new("runs/a"), done: 2, batch_size: 512 };
        let explained = |failure| {
            let gpu = GpuError { failure, words: "CUDA_ERROR_X: why".into() };
            format!("{:#}", place.explain(Error::new(gpu).context("a step")))
        };
        let memory = explained(GpuFailure::OutOfMemory);
        assert!(memory.contains("512 pictures") && memory.contains("--batch-size"), "{memory}");
        let lost = explained(GpuFailure::Lost);
        assert!(lost.contains("after 2 epochs") && lost.contains("--resume runs/a"), "{lost}");
        assert!(lost.contains("CUDA_ERROR_X: why"), "{lost}");
        assert_eq!(place.explain(Error::msg("no disk")).to_string(), "no disk");
    }
}
