// Arrays on the device and in the references: double-precision values in row order.
#pragma once

#include "support/Matrices.hpp"

#include <mpsvk/MPS/NDArray.hpp>

#include <algorithm>
#include <functional>
#include <numeric>

namespace mpsvk::test {

using Lengths = std::vector<uint64_t>; ///< dimension 0, the fastest, first

/// Values of an array without gaps.
struct NDValues {
    Lengths lengths;
    Values v;

    static uint64_t count(const Lengths& lengths) {
        return std::accumulate(lengths.begin(), lengths.end(), uint64_t(1), std::multiplies<>());
    }
    explicit NDValues(Lengths lengths, double value = 0)
        : lengths(std::move(lengths)), v(count(this->lengths), value) {}
    NDValues(Lengths lengths, Values values) : lengths(std::move(lengths)), v(std::move(values)) {}
    static NDValues random(const Lengths& lengths, uint64_t seed, MPS::DataType type) {
        return {lengths, randomValues(count(lengths), seed, type)};
    }
    static NDValues counting(const Lengths& lengths) {
        NDValues made(lengths);
        std::iota(made.v.begin(), made.v.end(), 1.0);
        return made;
    }
    double& operator[](const Lengths& at) {
        uint64_t index = 0;
        for (size_t i = lengths.size(); i-- > 0;) index = index * lengths[i] + at[i];
        return v[index];
    }
    double operator[](const Lengths& at) const { return const_cast<NDValues&>(*this)[at]; }
    /// Calls `visit(coordinates)` for every element, in row order.
    template <class Visit> void forEach(Visit visit) const {
        Lengths at(lengths.size(), 0);
        for (uint64_t i = 0; i < v.size(); ++i) {
            visit(at);
            for (size_t d = 0; d < at.size() && ++at[d] == lengths[d]; ++d) at[d] = 0;
        }
    }
    NDValues transposed(size_t a, size_t b) const {
        Lengths swapped = lengths;
        std::swap(swapped[a], swapped[b]);
        NDValues made(swapped);
        made.forEach([&](const Lengths& at) {
            Lengths from = at;
            std::swap(from[a], from[b]);
            made[at] = (*this)[from];
        });
        return made;
    }
    NDValues sliced(size_t dimension, uint64_t start, uint64_t length) const {
        Lengths shorter = lengths;
        shorter[dimension] = length;
        NDValues made(shorter);
        made.forEach([&](const Lengths& at) {
            Lengths from = at;
            from[dimension] += start;
            made[at] = (*this)[from];
        });
        return made;
    }
};

inline MPS::NDArrayDescriptor descriptorOf(const Lengths& lengths,
                                           MPS::DataType type = MPS::DataType::Float32) {
    return {type, lengths.size(), lengths};
}

inline Lengths lengthsOf(const MPS::NDArray& array) {
    Lengths made;
    for (uint64_t i = 0; i < array.numberOfDimensions(); ++i)
        made.push_back(array.lengthOfDimension(i));
    return made;
}

inline void writeTo(const MPS::NDArray& array, const NDValues& values) {
    array.write(std::vector<float>(values.v.begin(), values.v.end()));
}

inline MPS::NDArray arrayOf(const NDValues& values, MPS::DataType type = MPS::DataType::Float32) {
    const MPS::NDArray made(testDevice(), descriptorOf(values.lengths, type));
    writeTo(made, values);
    return made;
}

inline NDValues valuesIn(const MPS::NDArray& array) {
    NDValues made(lengthsOf(array));
    std::vector<float> all(made.v.size());
    array.read(all);
    made.v.assign(all.begin(), all.end());
    return made;
}

} // namespace mpsvk::test
