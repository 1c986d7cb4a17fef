//! What a run took: time per stage, memory, the machine; and the summary of it all.

mod left_out;
pub mod machine;
pub mod stats;
