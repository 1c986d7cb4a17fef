//! The looks that all plots share.

use crate::draw::paint::Color;

/// Sizes of text, in pixels per em.
pub(super) const TITLE: f32 = 40.0;
pub(super) const TEXT: f32 = 34.0;
pub(super) const SMALL: f32 = 28.0;

pub(super) const CURVE: f32 = 5.0;
pub(super) const HAIRLINE: f32 = 2.0;

/// Four of the colors of Okabe and Ito, "Color Universal Design" (2008), which people with any kind of color blindness can
/// tell apart.
pub(super) const BLUE: Color = [0, 114, 178];
pub(super) const VERMILION: Color = [213, 94, 0];
pub(super) const GREEN: Color = [0, 158, 115];
pub(super) const SKY: Color = [86, 180, 233];

pub(super) const WHITE: Color = [255; 3];
pub(super) const INK: Color = [34; 3];
pub(super) const GRAY: Color = [110; 3];
pub(super) const GRID: Color = [226; 3];
