//! The wish to stop: one flag that flows up, from whoever has it to the front of the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a run; clones end the same one.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    parent: Option<Box<Stop>>,
}

impl Stop {
    /// A flag for one run of several: it is also set when this one is, and not the other way round.
    pub fn child(&self) -> Self {
        Self { requested: Arc::default(), parent: Some(Box::new(self.clone())) }
    }

    /// Asks for the end: capture takes no more frames.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed) || self.parent.as_ref().is_some_and(|parent| parent.is_requested())
    }
}
