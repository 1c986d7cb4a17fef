//! One data set of a run, as it is written down.

use std::path::{PathBuf, absolute};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::dataset::{DataOptions, DataSpec};

/// A data set of a run, as it is written into the run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    /// Folder or table.
    pub(super) path: PathBuf,
    /// What it is called in columns and reports.
    pub(super) name: String,
    /// How often each of its pictures is shown in an epoch, on average.
    pub(super) weight: f64,
    /// Whether its emotions are shown equally often, whatever the recipe says.
    pub(super) balanced: bool,
    /// Which samples it has.
    pub(super) options: DataOptions,
}

impl Source {
    /// A source as a user named it, with the options for all.
    pub(super) fn new(spec: &DataSpec, of_all: &DataOptions) -> Result<Self> {
        Ok(Self {
            path: absolute(&spec.path)?,
            name: spec.name(),
            weight: spec.weight.unwrap_or(1.0),
            balanced: spec.balanced,
            options: spec.options(of_all),
        })
    }
}
