//! From faces to probabilities.
//!
//! A region of a grey frame becomes a tensor (`preprocess`), goes through the network (`model`, whose arithmetic is in `ops`)
//! on a CPU or a GPU (`device`), and its outputs become probabilities (`calibration`); `classify` does all of that. A weights
//! file (`weights`, in the form of `tensor_file`) holds the tensors and a card that says what they fit. `onnx` writes the
//! network for other programs.

pub mod calibration;
pub mod classify;
pub mod device;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod model;
pub mod onnx;
pub(crate) mod ops;
pub mod preprocess;
pub(crate) mod tensor_file;
pub mod weights;
