//! Time of the network alone: embedded weights, faces in, logits out, one thread. `cargo bench --bench classify`.

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use emocam::network::weights::Weights;

/// As in the program: the system's own clears pages anew in every layer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Faces in a frame: one person, a family, a class.
const BATCHES: [usize; 3] = [1, 4, 16];

fn classify(criterion: &mut Criterion) {
    let weights = Weights::embedded().expect("the embedded weights");
    let size = weights.card.input.size;
    let net = weights.net().and_then(|net| net.fold(&Device::Cpu)).expect("a network");
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let mut group = criterion.benchmark_group("classify");
    for batch in BATCHES {
        let faces = Tensor::randn(0f32, 1.0, (batch, 1, size, size), &Device::Cpu).expect("faces");
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_with_input(BenchmarkId::from_parameter(batch), &faces, |bencher, faces| {
            one_thread.install(|| bencher.iter(|| net.logits(faces).expect("logits")));
        });
    }
    group.finish();
}

criterion_group!(benches, classify);
criterion_main!(benches);
