//! The matrix product, and the project's one place with unsafe code.

/// A matrix inside a slice: element (r, c) is at `r * row_stride + c * column_stride`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    fn fits(&self) -> bool {
        self.rows > 0
            && self.columns > 0
            && (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < self.data.len()
    }
}

/// `out = a b`; `out` is row-major. Runs on the calling thread.
#[allow(unsafe_code, reason = "the matrix product takes raw pointers; all three extents are checked first")]
pub(super) fn matrix_product(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert!(a.fits() && b.fits() && a.columns == b.rows && out.len() == a.rows * b.columns, "matrix shapes do not fit");
    // SAFETY: `fits` and the length of `out` keep every element that is read or written inside its slice; `out` is
    // borrowed mutably, so it overlaps neither `a` nor `b`; strides of existing slices fit into isize.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            false,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
