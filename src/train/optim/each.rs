//! The same work on each of many variables.

use candle_core::{Result, Var};
use rayon::prelude::*;

/// Does the same to each item, which belongs to a variable: on a CPU by all threads, while a GPU shares out the work itself and
/// wants one thread to queue it.
pub(super) fn each<T: Send>(
    items: &mut [T],
    variable: impl Fn(&T) -> &Var,
    work: impl Fn(&mut T) -> Result<()> + Send + Sync,
) -> Result<()> {
    if items.iter().all(|item| variable(item).device().is_cpu()) {
        items.par_iter_mut().try_for_each(work)
    } else {
        items.iter_mut().try_for_each(work)
    }
}
