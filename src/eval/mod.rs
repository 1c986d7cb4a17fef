//! What a network is worth on labelled faces: predictions, figures, the report of a run.
//!
//! `evaluation` runs a network over samples; `metrics`, `interval` and `reliability` count what it said, `temperature` fits
//! the one number that calibrates it; `robust` measures on degraded copies; `report` holds all of that, and `write` makes files of it.

mod evaluation;
mod interval;
mod metrics;
mod reliability;
mod report;
mod robust;
mod temperature;
pub mod write;

pub use evaluation::{Evaluation, evaluate};
pub use interval::Interval;
pub use metrics::{ClassMetrics, Metrics};
pub use reliability::{BinFigures, Reliability};
pub use report::{Report, ReportHeader};
pub use robust::{Degradation, Figures, RobustFigures};
pub use temperature::fit_temperature;
