//! Pictures of any size in the one size that a video has.

use std::borrow::Cow;

use anyhow::Result;
use fast_image_resize::Resizer;
use image::{RgbImage, imageops};

use crate::draw::fit::{fitted_size, resized};

/// The picture in the size of the video. The first frame's size is kept and its edge repeated where the video is larger by
/// a line, or scaled down where that is too large; any other size is scaled to fit.
pub(super) fn framed<'a>(
    resizer: &mut Resizer,
    picture: &'a RgbImage,
    size: (u32, u32),
    coded_size: (u32, u32),
) -> Result<Cow<'a, RgbImage>> {
    if picture.dimensions() == coded_size {
        return Ok(Cow::Borrowed(picture));
    }
    let (width, height) = coded_size;
    if picture.dimensions() == size && (size.0 > width || size.1 > height) {
        return Ok(Cow::Owned(resized(resizer, picture, coded_size)?));
    }
    if picture.dimensions() == size {
        let (right, bottom) = (size.0.saturating_sub(1), size.1.saturating_sub(1));
        let padded = RgbImage::from_fn(width, height, |x, y| *picture.get_pixel(x.min(right), y.min(bottom)));
        return Ok(Cow::Owned(padded));
    }
    let fitted = resized(resizer, picture, fitted_size(picture.dimensions(), coded_size))?;
    let mut canvas = RgbImage::new(width, height);
    let (x, y) = ((width - fitted.width()) / 2, (height - fitted.height()) / 2);
    imageops::replace(&mut canvas, &fitted, x.into(), y.into());
    Ok(Cow::Owned(canvas))
}
