//! What a run took: time per stage, memory, the machine; and the summary of it all.

pub mod machine;
pub mod stats;
