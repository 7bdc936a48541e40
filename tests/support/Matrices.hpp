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

/// A part of matrices that lies somewhere within them, with `margin` in every element around it.
struct Inset {
    static constexpr double margin = 12288; // exact in fp16
    uint64_t rows, columns;
    MPS::DataType type = MPS::DataType::Float32;
    MTL::Origin origin{};
    uint64_t below = 0, right = 0; ///< rows and columns after the part
    uint64_t padding = 0, matrices = 1;

    uint64_t allRows() const { return origin.x + rows + below; }
    uint64_t allColumns() const { return origin.y + columns + right; }
    size_t size() const { return matrices * rows * columns; }
    size_t at(size_t i) const {
        const uint64_t row = i / columns;
        return ((row / rows * allRows() + origin.x + row % rows) * allColumns() + origin.y +
                i % columns);
    }
    MPS::Matrix matrix(const Values& part) const {
        Values all(matrices * allRows() * allColumns(), margin);
        for (size_t i = 0; i < size(); ++i) all[at(i)] = part[i];
        return matrixOf(all, allRows(), allColumns(), type, padding, matrices);
    }
    MPS::Matrix matrix() const { return matrix(Values(size(), margin)); }
    Values part(const MPS::Matrix& matrix) const {
        const Values all = valuesOf(matrix);
        Values part(size());
        for (size_t i = 0; i < size(); ++i) part[i] = all[at(i)];
        return part;
    }
    bool isWholeAround(const MPS::Matrix& matrix) const {
        Values all = valuesOf(matrix);
        for (size_t i = 0; i < size(); ++i) all[at(i)] = margin;
        return all == Values(all.size(), margin);
    }
};

} // namespace mpsvk::test
