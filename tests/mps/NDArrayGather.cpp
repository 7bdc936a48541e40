#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/NDArrays.hpp"

#include <mpsvk/MPS/NDArrayGather.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

using Indices = std::vector<int64_t>;

MPS::NDArrayGather gatherAlong(uint64_t axis) {
    MPS::NDArrayGather kernel(testDevice());
    kernel.setAxis(axis);
    kernel.setDestinationArrayAllocator(MPS::NDArray::defaultAllocator());
    return kernel;
}

[[maybe_unused]] const bool named[] = {
    everyOther([] { return gatherAlong(2); }),
    everyOther([] { return MPS::NDArrayGatherGradient(testDevice()); }),
};

MPS::NDArray indicesOf(const Indices& values, DataType type = DataType::Int32) {
    const MPS::NDArray made(testDevice(), descriptorOf({values.size()}, type));
    std::vector<std::byte> bytes;
    const uint64_t size = MPS::bytesPerElement(type);
    for (const int64_t value : values)
        for (uint64_t i = 0; i < size; ++i)
            bytes.push_back(std::byte(uint64_t(value) >> (8 * i) & 0xff));
    made.writeBytes(bytes);
    return made;
}

NDValues expectedGather(const NDValues& x, uint64_t axis, const Indices& indices) {
    Lengths lengths = x.lengths;
    lengths[axis] = indices.size();
    NDValues y(lengths);
    y.forEach([&](const Lengths& at) {
        Lengths from = at;
        const int64_t index = indices[at[axis]];
        from[axis] = uint64_t(index);
        y[at] = index >= 0 && index < int64_t(x.lengths[axis]) ? x[from] : 0;
    });
    return y;
}

/// `sizes` gets the sums of the terms' magnitudes.
NDValues expectedGradient(const NDValues& g, const Lengths& lengths, uint64_t axis,
                          const Indices& indices, NDValues* sizes = nullptr) {
    NDValues dx(lengths), all(lengths);
    g.forEach([&](const Lengths& at) {
        Lengths to = at;
        const int64_t index = indices[at[axis]];
        if (index < 0 || index >= int64_t(lengths[axis])) return;
        to[axis] = uint64_t(index);
        dx[to] += g[at];
        all[to] += std::abs(g[at]);
    });
    if (sizes) *sizes = all;
    return dx;
}

MPS::NDArray gradientOf(const MPS::NDArray& x, uint64_t axis, const MPS::NDArray& indices,
                        const MPS::NDArray& gradient, const MPS::NDArray& destination = {}) {
    auto forward = gatherAlong(axis);
    MPS::NDArrayGatherGradient kernel(testDevice());
    kernel.setDestinationArrayAllocator(MPS::NDArray::defaultAllocator());
    MPS::NDArray made = destination;
    run([&](const MTL::CommandBuffer& commands) {
        MPS::State state;
        forward.encode(commands, x, indices, &state, true);
        CHECK(state.as<MPS::NDArrayGatherGradientState>() == state);
        if (destination)
            kernel.encode(commands, x, indices, gradient, state, destination);
        else
            made = kernel.encode(commands, x, indices, gradient, state);
    });
    return made;
}

/// As many indices below `end` as asked for, every third of them the same one.
Indices someIndices(uint64_t count, int64_t end, uint64_t seed) {
    Indices made;
    for (const double v : reference::randomVector(count, seed, 0, double(end)))
        made.push_back(made.size() % 3 == 2 ? end / 2 : int64_t(v));
    return made;
}

void checkGradient(const Lengths& lengths, uint64_t axis, const Indices& indices, DataType type) {
    Lengths gathered = lengths;
    gathered[axis] = indices.size();
    const NDValues g = NDValues::random(gathered, 17, type);
    NDValues sizes(lengths);
    const NDValues expected = expectedGradient(g, lengths, axis, indices, &sizes);
    const MPS::NDArray x(testDevice(), descriptorOf(lengths, type)), list = indicesOf(indices),
                                                                     gradient = arrayOf(g, type);
    const NDValues dx = valuesIn(gradientOf(x, axis, list, gradient));
    const double tolerance = type == DataType::Float16 ? 4e-3 : 1e-5;
    double worst = 0;
    for (size_t i = 0; i < dx.v.size(); ++i)
        worst = std::max(worst, std::abs(dx.v[i] - expected.v[i]) - tolerance * sizes.v[i]);
    CHECK(worst <= 0);
    CHECK(valuesIn(gradientOf(x, axis, list, gradient)).v == dx.v);
}

} // namespace

TEST_CASE("a gather looks up slices along any axis, zeros outside") {
    const Lengths shapes[] = {{5}, {8, 6}, {5, 7, 3}, {4, 3, 2, 5, 3}, Lengths(16, 2)};
    for (const Lengths& lengths : shapes)
        for (uint64_t axis = 0; axis < lengths.size(); ++axis)
            for (const DataType type : {DataType::Float32, DataType::Float16, DataType::UInt8}) {
                NDValues values(lengths);
                for (size_t i = 0; i < values.v.size(); ++i) values.v[i] = double(i * 37 % 120);
                const Indices indices{1,  0, int64_t(lengths[axis]) - 1, 1, int64_t(lengths[axis]),
                                      -1, 0};
                auto kernel = gatherAlong(axis);
                MPS::NDArray y;
                run([&](const MTL::CommandBuffer& commands) {
                    y = kernel.encode(commands, arrayOf(values, type), indicesOf(indices));
                });
                const NDValues expected = expectedGather(values, axis, indices);
                CHECK(lengthsOf(y) == expected.lengths);
                CHECK(valuesIn(y).v == expected.v);
            }
    conforms("NDArrayGather", Aspect::Forward);
    conforms("NDArrayGather", Aspect::Half);
}

TEST_CASE("indices of a gather are of any integer type, in views too") {
    const NDValues values = NDValues::counting({3, 300});
    const MPS::NDArray x = arrayOf(values);
    for (const DataType type :
         {DataType::Int8, DataType::UInt8, DataType::Int16, DataType::UInt16, DataType::Int32,
          DataType::UInt32, DataType::Int64, DataType::UInt64}) {
        const bool isSigned = (uint32_t(type) & 0x20000000) != 0,
                   isByte = type == DataType::Int8 || type == DataType::UInt8;
        Indices indices{2, 7, 127, 0, isByte ? 5 : 299, 100, 9, 3, 77};
        if (isSigned) indices[1] = -1;
        if (MPS::bytesPerElement(type) == 8) indices[2] = (int64_t(1) << 32) + 4;
        if (type == DataType::UInt8) indices[3] = 200;
        if (type == DataType::UInt16) indices[3] = 65535;
        const MPS::NDArray list = indicesOf(indices, type);
        const MPS::NDArray everyOther = list.arrayView(1, Lengths{4}, Lengths{2});
        auto part = list.descriptor();
        part.sliceDimension(0, {1, 5});
        const MPS::NDArray middle = list.arrayView(part);
        auto kernel = gatherAlong(1);
        MPS::NDArray a, b, c;
        run([&](const MTL::CommandBuffer& commands) {
            a = kernel.encode(commands, x, list);
            b = kernel.encode(commands, x, everyOther);
            c = kernel.encode(commands, x, middle);
        });
        CHECK(valuesIn(a).v == expectedGather(values, 1, indices).v);
        const Indices even{indices[0], indices[2], indices[4], indices[6]};
        CHECK(valuesIn(b).v == expectedGather(values, 1, even).v);
        const Indices inner(indices.begin() + 1, indices.begin() + 6);
        CHECK(valuesIn(c).v == expectedGather(values, 1, inner).v);
    }
}

TEST_CASE("a gather's gradient adds what an index occurs more than once for") {
    const Lengths shapes[] = {{6}, {8, 6}, {5, 7, 3}, {4, 3, 2, 5, 3}, Lengths(16, 2)};
    for (const Lengths& lengths : shapes)
        for (uint64_t axis = 0; axis < lengths.size(); ++axis)
            for (const DataType type : {DataType::Float32, DataType::Float16}) {
                const int64_t last = int64_t(lengths[axis]) - 1;
                checkGradient(lengths, axis, {1, 0, last, 1, last + 1, -1, 0, 1, 1}, type);
            }
    conforms("NDArrayGatherGradient", Aspect::Gradient);
    conforms("NDArrayGatherGradient", Aspect::Half);
    conforms("NDArrayGatherGradientState", Aspect::State);
}

TEST_CASE("a gather's gradient of long lists of indices") {
    for (const DataType type : {DataType::Float32, DataType::Float16}) {
        checkGradient({12, 50}, 1, someIndices(3000, 50, 3), type);
        checkGradient({7, 300}, 1, someIndices(2500, 310, 4), type); // some outside, two passes
        checkGradient({300, 5}, 0, someIndices(1100, 300, 5), type);
        checkGradient({4, 3, 70000}, 2, someIndices(1500, 70000, 6), type); // three passes
        checkGradient({6, 2}, 1, Indices(2000, 1), type);
        checkGradient({6, 2}, 1, Indices(1024, 9), type); // none inside
        checkGradient({3, 1}, 1, Indices(255, 0), type);
    }
}

TEST_CASE("finite differences of a gather") {
    const Lengths lengths{3, 4};
    const Indices indices{2, 2, 0, 7, 2};
    const NDValues x = NDValues::random(lengths, 1, DataType::Float32);
    const NDValues w = NDValues::random({3, 5}, 2, DataType::Float32);
    const NDValues dx = valuesIn(gradientOf(arrayOf(x), 1, indicesOf(indices), arrayOf(w)));
    const auto loss = [&](const NDValues& at) {
        auto kernel = gatherAlong(1);
        MPS::NDArray y;
        run([&](const MTL::CommandBuffer& commands) {
            y = kernel.encode(commands, arrayOf(at), indicesOf(indices));
        });
        const Values values = valuesIn(y).v;
        return std::inner_product(values.begin(), values.end(), w.v.begin(), 0.0);
    };
    for (size_t i = 0; i < x.v.size(); ++i) {
        NDValues more = x, less = x;
        more.v[i] += 0.5;
        less.v[i] -= 0.5;
        CHECK(std::abs(loss(more) - loss(less) - dx.v[i]) < 1e-5);
    }
}

TEST_CASE("gathers and their gradients work on views") {
    const NDValues whole = NDValues::random({9, 10, 3}, 5, DataType::Float16);
    const Indices indices{3, 3, 1, 8, 0, 3};
    for (const DataType type : {DataType::Float32, DataType::Float16})
        for (const bool turn : {false, true}) {
            const MPS::NDArray array = arrayOf(whole, type);
            auto d = array.descriptor();
            d.sliceDimension(0, {1, 6});
            d.sliceDimension(1, {2, 6});
            if (turn) d.transposeDimension(0, 1);
            const MPS::NDArray x = array.arrayView(d);
            NDValues values = whole.sliced(0, 1, 6).sliced(1, 2, 6);
            if (turn) values = values.transposed(0, 1);
            auto kernel = gatherAlong(1);
            MPS::NDArray y;
            run([&](const MTL::CommandBuffer& commands) {
                y = kernel.encode(commands, x, indicesOf(indices));
            });
            CHECK(valuesIn(y).v == expectedGather(values, 1, indices).v);

            // The gradient is a view, too, and so is where it goes; the rest of it stays.
            const MPS::NDArray target = arrayOf(NDValues(whole.lengths, -3), type);
            const MPS::NDArray dx = target.arrayView(d);
            auto last = descriptorOf({6, 3, 6}, type);
            const NDValues g = NDValues::counting({6, 6, 3});
            const MPS::NDArray backwards = arrayOf(g.transposed(1, 2), type);
            last.transposeDimension(1, 2);
            gradientOf(x, 1, indicesOf(indices), backwards.arrayView(last), dx);
            CHECK(valuesIn(dx).v == expectedGradient(g, values.lengths, 1, indices).v);
            const NDValues outside = valuesIn(target);
            outside.forEach([&](const Lengths& at) {
                if (at[0] < 1 || at[0] >= 7 || at[1] < 2 || at[1] >= 8) CHECK(outside[at] == -3);
            });
        }
}

TEST_CASE("a gather refuses what it cannot look up") {
    auto kernel = gatherAlong(2);
    kernel.setLabel("embedding");
    CHECK(kernel.axis() == 2);
    const std::string who = "[NDArrayGather \"embedding\"] ";
    const MPS::NDArray x = arrayOf(NDValues::counting({3, 4})), list = indicesOf({1, 0});
    MPS::NDArrayGatherGradient gradient(testDevice());
    const MPS::NDArray y(testDevice(), descriptorOf({3, 2}));
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refusal([&] { kernel.encode(commands, x, list); }) ==
              who + "axis is 2 but the source has 2 dimensions.");
        kernel.setAxis(1);
        CHECK(refusal([&] { kernel.encode(commands, x, arrayOf(NDValues({2}))); }) ==
              who + "The indices have the dataType 268435488 but must be of an integer type.");
        CHECK(refusal([&] {
                  kernel.encode(commands, x,
                                MPS::NDArray(testDevice(), descriptorOf({2, 2}, DataType::Int32)));
              }) == who + "The indices are 2x2 but must be a list: only dimension 0 may be longer "
                          "than 1.");
        CHECK(refusal([&] { kernel.encode(commands, x, MPS::NDArray()); }) ==
              who + "sourceArrays[1] is empty.");
        const MPS::NDArray counts(testDevice(), descriptorOf({3, 4}, DataType::Int32));
        const MPS::NDArray result(testDevice(), descriptorOf({3, 2}, DataType::Int32));
        const MPS::State state = kernel.resultState({counts, list}, {}, result);
        CHECK(refusal([&] { gradient.encode(commands, counts, list, result, state); }) ==
              "[NDArrayGatherGradient] The gradient has the dataType 536870944 but must be Float32 "
              "or Float16.");
        CHECK(refusal([&] {
                  gradient.encode(commands, x, indicesOf({1}), y,
                                  kernel.resultState({x, list}, {}, y));
              }) == "[NDArrayGatherGradient] sourceArrays[1] is 1 but the state was made for 2.");
    });
    conforms("NDArrayGather", Aspect::Misuse);
    conforms("NDArrayGatherGradient", Aspect::Misuse);
}
