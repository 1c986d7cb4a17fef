//! Plots of a run, as PNGs that a paper can print: curves, confusion matrix, reliability diagram; and sheets of pictures.
//!
//! `looks` has the sizes and colors that all plots share. `canvas` paints, `axes` turns values into places and draws
//! what surrounds them; each kind of plot has a file of its own. Pure functions of the figures: the same figures give the
//! same file. Sizes and coordinates are pixels; a column of a paper shows about half of them, so that nothing is drawn
//! thinner than two.

mod axes;
mod canvas;
mod confusion;
mod history;
mod looks;
mod reliability;
mod sheet;
mod timeline;

pub use confusion::confusion_matrix;
pub use history::{Epoch, history};
pub use reliability::{Bin, Reliability, reliability};
pub use sheet::{Tile, sheet};
pub use timeline::{Event, Row, Spell, timeline};
