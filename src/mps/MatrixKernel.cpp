#include "mps/Archive.hpp"

#include <mpsvk/MPS/Matrix.hpp>

namespace mpsvk::MPS {

void MatrixUnaryKernel::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("sourceMatrixOrigin", sourceMatrixOrigin_);
    archive("resultMatrixOrigin", resultMatrixOrigin_);
    archive("batchStart", batchStart_);
    archive("batchSize", batchSize_);
}

void MatrixBinaryKernel::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("primarySourceMatrixOrigin", primarySourceMatrixOrigin_);
    archive("secondarySourceMatrixOrigin", secondarySourceMatrixOrigin_);
    archive("resultMatrixOrigin", resultMatrixOrigin_);
    archive("batchStart", batchStart_);
    archive("batchSize", batchSize_);
}

} // namespace mpsvk::MPS
