//! Compiles the kernels beside this file to PTX where emocam is built for NVIDIA GPUs, and does nothing elsewhere.
//!
//! For which chips is asked for in the same way as for candle's own kernels: `CUDA_COMPUTE_CAP`, else the GPU in the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/ops/cuda");
    #[cfg(feature = "cuda")]
    compile()?;
    Ok(())
}

#[cfg(feature = "cuda")]
fn compile() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::Path;
    use std::process::Command;

    println!("cargo::rerun-if-env-changed=CUDA_COMPUTE_CAP");
    println!("cargo::rerun-if-env-changed=NVCC");
    let (toolkit, out) = (cudaforge::CudaToolkit::detect()?, std::env::var("OUT_DIR")?);
    let chips = cudaforge::detect_compute_cap()?.to_gencode_arg();
    for kernels in ["augment", "conv", "norm", "values"] {
        let source = Path::new("src/ops/cuda").join(kernels).with_extension("cu");
        let target = Path::new(&out).join(kernels).with_extension("ptx");
        let mut nvcc = Command::new(&toolkit.nvcc_path);
        nvcc.args([chips.as_str(), "--ptx", "-std=c++17", "-O3", "--expt-relaxed-constexpr", "-o"]);
        let output = nvcc.arg(target).arg(&source).output()?;
        if !output.status.success() {
            return Err(format!("{nvcc:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)).into());
        }
    }
    Ok(())
}
