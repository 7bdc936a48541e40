// Elements of matrices, vectors and arrays between the host's floats and device memory.
#pragma once

#include "mps/Matrix.hpp"

#include <span>

namespace mpsvk::mps {

/// The size of an element; throws InvalidArgument for a type that has none.
uint64_t checkedElementBytes(const Subject& who, MPS::DataType type);
/// Row after row, without padding; what lies between the rows stays as it is.
void writeFloats(const ArrayView& view, std::span<const float> values);
void readFloats(const ArrayView& view, std::span<float> values);

} // namespace mpsvk::mps
