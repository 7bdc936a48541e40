// Matrices and vectors on the device with values from double-precision arrays.
#pragma once

#include "support/Device.hpp"
#include "support/reference/Tensor.hpp"

#include <mpsvk/MPS/Matrix.hpp>

#include <vector>

namespace mpsvk::test {

using Values = std::vector<double>;

inline reference::Storage storageOf(MPS::DataType type) {
    return type == MPS::DataType::Float16 ? reference::Storage::Float16
                                          : reference::Storage::Float32;
}

/// Values as the type stores them.
inline Values randomValues(size_t count, uint64_t seed, MPS::DataType type, double low = -1,
                           double high = 1) {
    return reference::rounded(reference::randomVector(count, seed, low, high), storageOf(type));
}

/// `padding` elements follow each row.
inline MPS::Matrix matrixOf(const Values& values, uint64_t rows, uint64_t columns,
                            MPS::DataType type = MPS::DataType::Float32, uint64_t padding = 0,
                            uint64_t matrices = 1) {
    const uint64_t rowBytes = (columns + padding) * MPS::bytesPerElement(type);
    const MPS::Matrix made(testDevice(), MPS::MatrixDescriptor(rows, columns, matrices, rowBytes,
                                                               rows * rowBytes, type));
    made.write(std::vector<float>(values.begin(), values.end()));
    return made;
}

inline MPS::Vector vectorOf(const Values& values, MPS::DataType type) {
    const MPS::Vector made(testDevice(), MPS::VectorDescriptor(values.size(), type));
    made.write(std::vector<float>(values.begin(), values.end()));
    return made;
}

template <class Array> Values valuesOf(const Array& array) {
    std::vector<float> all;
    if constexpr (std::is_base_of_v<MPS::Matrix, Array>)
        all.resize(array.matrices() * array.rows() * array.columns());
    else
        all.resize(array.vectors() * array.length());
    array.read(all);
    return {all.begin(), all.end()};
}

} // namespace mpsvk::test
