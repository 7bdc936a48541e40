#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/NDArrays.hpp"

#include <mpsvk/MPS/NDArrayStridedSlice.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdlib>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

using Strides = std::vector<int64_t>;

MPS::NDArrayStridedSlice kernelWith(const Strides& strides) {
    MPS::NDArrayStridedSlice kernel(testDevice());
    MPS::NDArrayOffsets all = kernel.strides();
    std::copy(strides.begin(), strides.end(), all.dimensions.begin());
    kernel.setStrides(all);
    kernel.setDestinationArrayAllocator(MPS::NDArray::defaultAllocator());
    return kernel;
}

[[maybe_unused]] const bool named[] = {
    everyOther([] {
        return kernelWith({2, -3, 1});
    }),
    everyOther([] { return MPS::NDArrayStridedSliceGradient(testDevice()); }),
};

/// Where element `at` of the result comes from.
Lengths origin(const Lengths& at, const Lengths& lengths, const Strides& strides) {
    Lengths from = at;
    for (size_t d = 0; d < at.size(); ++d)
        from[d] = strides[d] > 0 ? at[d] * uint64_t(strides[d])
                                 : lengths[d] - 1 - at[d] * uint64_t(-strides[d]);
    return from;
}

NDValues expectedSlice(const NDValues& x, const Strides& strides) {
    Lengths lengths = x.lengths;
    for (size_t d = 0; d < lengths.size(); ++d)
        lengths[d] = (lengths[d] - 1) / uint64_t(std::abs(strides[d])) + 1;
    NDValues y(lengths);
    y.forEach([&](const Lengths& at) { y[at] = x[origin(at, x.lengths, strides)]; });
    return y;
}

NDValues expectedGradient(const NDValues& g, const Lengths& lengths, const Strides& strides) {
    NDValues dx(lengths);
    g.forEach([&](const Lengths& at) { dx[origin(at, lengths, strides)] = g[at]; });
    return dx;
}

struct Case {
    Lengths lengths;
    Strides strides;
};

const Case cases[] = {
    {{7}, {2}},
    {{8}, {-1}},
    {{9}, {20}},
    {{5, 6}, {1, 2}},
    {{16, 5}, {1, 3}},
    {{6, 5}, {3, 1}},
    {{5, 4, 3}, {1, 1, 1}},
    {{5, 7, 4}, {-2, 3, -1}},
    {{4, 3, 2, 5, 3}, {1, -1, 2, 2, 1}},
    {Lengths(16, 2), {1, 2, -1, 1, 1, 1, 1, 2, 1, 1, -2, 1, 1, 1, 1, 2}},
};

/// The gradient of the same slice of `x`.
MPS::NDArray gradientOf(const MPS::NDArray& x, const NDValues& g, const Strides& strides,
                        const MPS::NDArray& destination = {}) {
    auto forward = kernelWith(strides);
    MPS::NDArrayStridedSliceGradient kernel(testDevice());
    kernel.setDestinationArrayAllocator(MPS::NDArray::defaultAllocator());
    MPS::NDArray made = destination;
    run([&](const MTL::CommandBuffer& commands) {
        MPS::State state;
        forward.encode(commands, x, &state, false);
        CHECK(state.as<MPS::NDArrayGradientState>() == state);
        CHECK_FALSE(state.isTemporary());
        const MPS::NDArray gradient = arrayOf(g, x.dataType());
        if (destination)
            kernel.encode(commands, x, gradient, state, destination);
        else
            made = kernel.encode(commands, x, gradient, state);
    });
    return made;
}

} // namespace

TEST_CASE("a strided slice of arrays takes every n-th element") {
    for (const auto& [lengths, strides] : cases)
        for (const DataType type :
             {DataType::Float32, DataType::Float16, DataType::UInt8, DataType::Int64}) {
            NDValues values(lengths);
            for (size_t i = 0; i < values.v.size(); ++i) values.v[i] = double(i * 37 % 120);
            const MPS::NDArray x = arrayOf(values, type);
            auto kernel = kernelWith(strides);
            MPS::NDArray y;
            run([&](const MTL::CommandBuffer& commands) { y = kernel.encode(commands, x); });
            const NDValues expected = expectedSlice(values, strides);
            CHECK(lengthsOf(y) == expected.lengths);
            CHECK(y.dataType() == type);
            CHECK(valuesIn(y).v == expected.v);
        }
    conforms("NDArrayStridedSlice", Aspect::Forward);
    conforms("NDArrayStridedSlice", Aspect::Half);
}

TEST_CASE("a strided slice's gradient goes back where its elements came from") {
    for (const auto& [lengths, strides] : cases)
        for (const DataType type : {DataType::Float32, DataType::Float16, DataType::Int16}) {
            const MPS::NDArray x = arrayOf(NDValues(lengths), type);
            NDValues g = expectedSlice(NDValues(lengths), strides);
            for (size_t i = 0; i < g.v.size(); ++i) g.v[i] = double(i % 100 + 1);
            CHECK(valuesIn(gradientOf(x, g, strides)).v == expectedGradient(g, lengths, strides).v);
        }
    conforms("NDArrayStridedSliceGradient", Aspect::Gradient);
    conforms("NDArrayStridedSliceGradient", Aspect::Half);
    conforms("NDArrayGradientState", Aspect::State);
}

TEST_CASE("finite differences of a strided slice") {
    const Lengths lengths{5, 4, 3};
    const Strides strides{-2, 3, 1};
    const NDValues x = NDValues::random(lengths, 1, DataType::Float32);
    const NDValues w = NDValues::random(expectedSlice(x, strides).lengths, 2, DataType::Float32);
    const NDValues dx = valuesIn(gradientOf(arrayOf(x), w, strides));
    const auto loss = [&](const NDValues& at) {
        auto kernel = kernelWith(strides);
        MPS::NDArray y;
        run([&](const MTL::CommandBuffer& commands) { y = kernel.encode(commands, arrayOf(at)); });
        const Values values = valuesIn(y).v;
        return std::inner_product(values.begin(), values.end(), w.v.begin(), 0.0);
    };
    for (size_t i = 0; i < x.v.size(); i += 3) {
        NDValues more = x, less = x;
        more.v[i] += 0.5;
        less.v[i] -= 0.5;
        CHECK(std::abs(loss(more) - loss(less) - dx.v[i]) < 1e-5);
    }
}

TEST_CASE("a strided slice and its gradient work on views") {
    const NDValues whole = NDValues::counting({8, 6, 4});
    for (const DataType type : {DataType::Float32, DataType::Float16}) {
        const MPS::NDArray array = arrayOf(whole, type);
        auto d = array.descriptor();
        d.sliceDimension(0, {1, 6});
        d.transposeDimension(0, 1);
        const MPS::NDArray x = array.arrayView(d);
        const NDValues values = whole.sliced(0, 1, 6).transposed(0, 1);
        const Strides strides{2, -1, 3};
        const NDValues expected = expectedSlice(values, strides);
        // Into a view, whose surroundings stay as they are.
        const MPS::NDArray frame = arrayOf(NDValues({9, 8, 2}, -1), type);
        auto inner = frame.descriptor();
        inner.sliceDimension(0, {3, 3});
        inner.sliceDimension(1, {1, 6});
        const MPS::NDArray y = frame.arrayView(inner);
        auto kernel = kernelWith(strides);
        run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, x, y); });
        CHECK(valuesIn(y).v == expected.v);
        NDValues around({9, 8, 2}, -1);
        expected.forEach([&](const Lengths& at) {
            around[{at[0] + 3, at[1] + 1, at[2]}] = expected[at];
        });
        CHECK(valuesIn(frame).v == around.v);

        const MPS::NDArray target = arrayOf(NDValues(whole.lengths, -1), type);
        const MPS::NDArray dx = target.arrayView(d);
        gradientOf(x, expected, strides, dx);
        const NDValues gradient = expectedGradient(expected, values.lengths, strides);
        CHECK(valuesIn(dx).v == gradient.v);
        const NDValues outside = valuesIn(target);
        outside.forEach([&](const Lengths& at) {
            const bool isIn = at[0] >= 1 && at[0] < 7;
            if (!isIn) CHECK(outside[at] == -1);
        });
    }
}

TEST_CASE("a strided slice refuses strides of 0 and arrays that do not fit") {
    auto kernel = kernelWith({1, 2});
    kernel.setLabel("s");
    const std::string who = "[NDArrayStridedSlice \"s\"] ";
    const MPS::NDArray x = arrayOf(NDValues::counting({4, 4})),
                       y(testDevice(), descriptorOf({4, 2}));
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::NDArray wide(testDevice(), descriptorOf({4, 3}));
        CHECK(refusal([&] { kernel.encode(commands, x, wide); }) ==
              who + "destinationArray is 3x4 of the dataType 268435488 but the result is 2x4 of "
                    "the dataType 268435488.");
        const MPS::NDArray half(testDevice(), descriptorOf({4, 2}, DataType::Float16));
        CHECK(refusal([&] { kernel.encode(commands, x, half); }) ==
              who + "destinationArray is 2x4 of the dataType 268435472 but the result is 2x4 of "
                    "the dataType 268435488.");
        auto part = x.descriptor();
        part.sliceDimension(1, {2, 2});
        CHECK(refusal([&] { kernel.encode(commands, x, x.arrayView(part)); }) ==
              who + "destinationArray overlaps sourceArrays[0] in memory; that does not work in "
                    "place.");
        auto wrong = kernelWith({1, 0});
        CHECK(refusal([&] { wrong.encode(commands, x); }) ==
              "[NDArrayStridedSlice] The stride of dimension 1 is 0 but must not be.");

        MPS::NDArrayStridedSliceGradient gradient(testDevice());
        gradient.setLabel("g");
        const std::string whose = "[NDArrayStridedSliceGradient \"g\"] ";
        const MPS::State state = kernel.resultState({x}, {}, y);
        CHECK(refusal([&] { gradient.encode(commands, x, y, MPS::State(testDevice(), 16)); }) ==
              whose + "gradientState was not made by a NDArrayStridedSlice.");
        CHECK(refusal([&] { gradient.encode(commands, y, y, state); }) ==
              whose + "sourceArrays[0] is 2x4 but the state was made for 4x4.");
        CHECK(refusal([&] { gradient.encode(commands, x, x, state); }) ==
              whose + "sourceGradient is 4x4 but the state was made for a result of 2x4.");
        CHECK(refusal([&] { gradient.encode(commands, x, half, state); }) ==
              whose + "sourceGradient has the dataType 268435472 but the source has 268435488.");
        CHECK(refusal([&] { gradient.encode(commands, x, MPS::NDArray(), state); }) ==
              whose + "sourceGradient is empty.");
        CHECK(refusal([&] { gradient.encode(commands, x, y, MPS::State()); }) ==
              whose + "gradientState is empty.");
    });
    CHECK(valuesIn(y).v == Values(8, 0));
    conforms("NDArrayStridedSlice", Aspect::Misuse);
    conforms("NDArrayStridedSliceGradient", Aspect::Misuse);
}
