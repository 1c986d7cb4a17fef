//! Plots of a run, as PNGs that a paper can print: curves, confusion matrix, reliability diagram.
//!
//! Owns the looks that all plots share: sizes, fonts, colors. `canvas` paints, `axes` turns values into places and draws
//! what surrounds them; each kind of plot has a file of its own. Pure functions of the figures: the same figures give the
//! same file. Sizes and coordinates are pixels; a column of a paper shows about half of them, so that nothing is drawn
//! thinner than two.

mod axes;
mod canvas;
mod confusion;
mod history;
mod reliability;
mod timeline;

pub use confusion::confusion_matrix;
pub use history::{Epoch, history};
pub use reliability::{Bin, Reliability, reliability};
pub use timeline::timeline;

use crate::draw::paint::Color;

/// Sizes of text, in pixels per em.
const TITLE: f32 = 40.0;
const TEXT: f32 = 34.0;
const SMALL: f32 = 28.0;

const CURVE: f32 = 5.0;
const HAIRLINE: f32 = 2.0;

/// Four of the colors of Okabe and Ito, "Color Universal Design" (2008), which people with any kind of color blindness can
/// tell apart.
const BLUE: Color = [0, 114, 178];
const VERMILION: Color = [213, 94, 0];
const GREEN: Color = [0, 158, 115];
const SKY: Color = [86, 180, 233];

const WHITE: Color = [255; 3];
const INK: Color = [34; 3];
const GRAY: Color = [110; 3];
const GRID: Color = [226; 3];
