//! Buffers of a frame's size that are used again, once everybody else has let go of them.
//!
//! A stage that makes one picture per frame keeps the last few; the stages behind it share them. When the newest is to be
//! made, the oldest is free again as a rule, and no memory is taken in the steady state.

use std::sync::Arc;

use image::{ImageBuffer, Pixel};

/// The most buffers that are kept: more than the stages hold at a time. Where a recorder's queue holds more of them for a
/// while, the rest is given back.
const KEPT: usize = 8;

/// Buffers that others may still look at.
#[derive(Debug)]
pub struct Buffers<T: ?Sized> {
    kept: Vec<Arc<T>>,
    most: usize,
}

impl<T: ?Sized> Default for Buffers<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), most: KEPT }
    }
}

impl<T: ?Sized> Buffers<T> {
    /// Buffers of which a stage holds so many at a time, besides those that are on their way.
    pub fn for_held(count: usize) -> Self {
        Self { most: KEPT + count, ..Self::default() }
    }

    /// A buffer that nobody else holds and that fits, with whatever it held the last time; else a new one. To be used
    /// again it must be given to [`Self::keep`].
    fn take(&mut self, fits: impl Fn(&T) -> bool, new: impl FnOnce() -> Arc<T>) -> Arc<T> {
        // Those of another size are left over from another format.
        self.kept.retain_mut(|buffer| fits(buffer) || Arc::get_mut(buffer).is_none());
        let free = self.kept.iter_mut().position(|buffer| Arc::get_mut(buffer).is_some());
        free.map_or_else(new, |free| self.kept.swap_remove(free))
    }

    /// Remembers a buffer for later.
    pub fn keep(&mut self, buffer: &Arc<T>) {
        if self.kept.len() < self.most {
            self.kept.push(buffer.clone());
        }
    }
}

impl Buffers<[u8]> {
    /// Bytes that nobody else holds.
    pub fn bytes(&mut self, len: usize) -> Arc<[u8]> {
        self.take(|bytes| bytes.len() == len, || std::iter::repeat_n(0, len).collect())
    }
}

impl<P: Pixel> Buffers<ImageBuffer<P, Vec<P::Subpixel>>> {
    /// A picture that nobody else holds.
    pub fn picture(&mut self, width: u32, height: u32) -> Arc<ImageBuffer<P, Vec<P::Subpixel>>> {
        self.take(|picture| picture.dimensions() == (width, height), || Arc::new(ImageBuffer::new(width, height)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_used_again_and_what_somebody_holds_is_not() {
        let mut buffers = Buffers::<[u8]>::default();
        let mut make = |value| {
            let mut bytes = buffers.bytes(3);
            Arc::get_mut(&mut bytes).expect("nobody else holds it").fill(value);
            buffers.keep(&bytes);
            bytes
        };
        let (first, second) = (make(1), make(2));
        assert_eq!((first[0], second[0]), (1, 2));
        let address = first.as_ptr();
        drop(first);
        let third = make(3);
        assert_eq!((third.as_ptr(), second[0]), (address, 2));
    }

    #[test]
    fn no_more_are_kept_than_are_of_use_and_none_of_another_size() {
        for (mut buffers, most) in [(Buffers::<[u8]>::default(), KEPT), (Buffers::for_held(20), KEPT + 20)] {
            let held: Vec<_> = (0..2 * most)
                .map(|_| {
                    let bytes = buffers.bytes(3);
                    buffers.keep(&bytes);
                    bytes
                })
                .collect();
            assert_eq!(buffers.kept.len(), most);
            drop(held);
            assert_eq!(buffers.bytes(5).len(), 5);
            assert!(buffers.kept.is_empty());
        }
    }
}
