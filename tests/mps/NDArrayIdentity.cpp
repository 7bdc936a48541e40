#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/NDArrays.hpp"

#include <mpsvk/MPS/NDArrayIdentity.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

MPS::NDArrayIdentity identity() {
    MPS::NDArrayIdentity kernel(testDevice());
    kernel.setDestinationArrayAllocator(MPS::NDArray::defaultAllocator());
    return kernel;
}

[[maybe_unused]] const bool named = everyOther([] { return identity(); });

NDValues smallNumbers(const Lengths& lengths) {
    NDValues made(lengths);
    for (size_t i = 0; i < made.v.size(); ++i) made.v[i] = double(i * 37 % 101);
    return made;
}

const DataType types[] = {DataType::Float32, DataType::Float16, DataType::Int8, DataType::Int64};

} // namespace

TEST_CASE("an identity copies arrays and views of every shape and type") {
    auto kernel = identity();
    for (const DataType type : types)
        for (const Lengths& lengths : {Lengths{}, Lengths{1}, Lengths{9}, Lengths{16, 3},
                                       Lengths{5, 6, 7}, Lengths{2, 3, 1, 4, 3}, Lengths(16, 2)}) {
            const NDValues values = smallNumbers(lengths);
            const MPS::NDArray x = arrayOf(values, type);
            MPS::NDArray y, sliced, turned;
            run([&](const MTL::CommandBuffer& commands) { y = kernel.encode(commands, x); });
            CHECK(lengthsOf(y) == lengths);
            CHECK(valuesIn(y).v == values.v);
            if (lengths.size() < 2) continue;
            auto part = x.descriptor(), over = x.descriptor();
            part.sliceDimension(1, {1, lengths[1] - 1});
            if (lengths[0] > 2) part.sliceDimension(0, {1, lengths[0] - 2});
            over.transposeDimension(0, 1);
            run([&](const MTL::CommandBuffer& commands) {
                sliced = kernel.encode(commands, x.arrayView(part));
                turned = kernel.encode(commands, x.arrayView(over));
            });
            NDValues expected = values.sliced(1, 1, lengths[1] - 1);
            if (lengths[0] > 2) expected = expected.sliced(0, 1, lengths[0] - 2);
            CHECK(valuesIn(sliced).v == expected.v);
            CHECK(valuesIn(turned).v == values.transposed(0, 1).v);
        }
    conforms("NDArrayIdentity", Aspect::Forward);
    conforms("NDArrayIdentity", Aspect::Half);
}

TEST_CASE("an identity into a part of an array leaves the rest") {
    auto kernel = identity();
    for (const DataType type : types)
        for (const uint64_t start : {0, 1, 2, 4}) {
            const NDValues values = smallNumbers({7, 3, 2});
            const MPS::NDArray whole = arrayOf(NDValues({12, 5, 2}, 111), type);
            auto d = whole.descriptor();
            d.sliceDimension(0, {start, 7});
            d.sliceDimension(1, {1, 3});
            run([&](const MTL::CommandBuffer& commands) {
                kernel.encode(commands, arrayOf(values, type), whole.arrayView(d));
            });
            NDValues expected({12, 5, 2}, 111);
            values.forEach([&](const Lengths& at) {
                expected[{at[0] + start, at[1] + 1, at[2]}] = values[at];
            });
            CHECK(valuesIn(whole).v == expected.v);
        }
}

TEST_CASE("transposed copies of larger arrays") {
    auto kernel = identity();
    const NDValues values = smallNumbers({37, 70, 3, 2});
    for (const DataType type :
         {DataType::Float32, DataType::Float16, DataType::UInt8, DataType::Int64})
        for (const auto& [a, b] : {std::pair<size_t, size_t>{0, 1}, {0, 2}, {1, 3}}) {
            const MPS::NDArray x = arrayOf(values, type);
            auto turned = x.descriptor();
            turned.transposeDimension(a, b);
            turned.sliceDimension(1, {3, 66});
            const NDValues expected = values.sliced(1, 3, 66).transposed(a, b);
            // Into the middle of an array, whose words the rows do not begin with.
            Lengths frame = expected.lengths;
            frame[0] += 6;
            const MPS::NDArray whole = arrayOf(NDValues(frame, 102), type);
            auto inner = whole.descriptor();
            inner.sliceDimension(0, {3, expected.lengths[0]});
            MPS::NDArray y;
            run([&](const MTL::CommandBuffer& commands) {
                y = kernel.encode(commands, x.arrayView(turned));
                kernel.encode(commands, x.arrayView(turned), whole.arrayView(inner));
            });
            CHECK(valuesIn(y).v == expected.v);
            CHECK(valuesIn(whole.arrayView(inner)).v == expected.v);
            CHECK(valuesIn(whole).sliced(0, 0, 3).v ==
                  Values(expected.v.size() / expected.lengths[0] * 3, 102));
            CHECK(valuesIn(whole).sliced(0, 3 + expected.lengths[0], 3).v ==
                  Values(expected.v.size() / expected.lengths[0] * 3, 102));
        }
    // Converted on the way.
    for (const DataType type : {DataType::Float32, DataType::Float16}) {
        const DataType other = type == DataType::Float32 ? DataType::Float16 : DataType::Float32;
        const MPS::NDArray x = arrayOf(values, type);
        auto turned = x.descriptor();
        turned.transposeDimension(0, 1);
        const NDValues expected = values.transposed(0, 1);
        const MTL::Buffer buffer = testDevice().newBuffer(expected.v.size() * 4);
        const MPS::NDArray back(testDevice(), descriptorOf(expected.lengths, type));
        run([&](const MTL::CommandBuffer& commands) {
            x.arrayView(turned).exportData(commands, buffer, other, 0);
            back.importData(commands, buffer, other, 0);
        });
        CHECK(valuesIn(back).v == expected.v);
    }
}

TEST_CASE("a reshape keeps the order of the elements, without a copy where it can") {
    auto kernel = identity();
    for (const DataType type : types) {
        const NDValues values = smallNumbers({16, 6, 2});
        const MPS::NDArray x = arrayOf(values, type);
        const MPS::NDArray seen = kernel.reshape(x, {2, 3, 8, 4});
        CHECK(seen.parent() == x);
        CHECK(lengthsOf(seen) == Lengths{4, 8, 3, 2});
        CHECK(valuesIn(seen).v == values.v);
        CHECK(valuesIn(kernel.reshape(x, 1, Lengths{192})).v == values.v);

        const NDValues odd = smallNumbers({5, 6, 4});
        const MPS::NDArray rows = arrayOf(odd, type);
        CHECK_FALSE(kernel.reshape(rows, {120}));
        CHECK_FALSE(kernel.reshape(MTL::CommandBuffer(), rows, {120}, MPS::NDArray()));
        const MPS::NDArray given(testDevice(), descriptorOf({3, 40}, type));
        auto back = descriptorOf({4, 6, 5}, type);
        back.transposeDimension(0, 2);
        const MPS::NDArray turnedTarget(testDevice(), descriptorOf({4, 6, 5}, type));
        MPS::NDArray copy, view, same, apart;
        run([&](const MTL::CommandBuffer& commands) {
            copy = kernel.reshape(commands, rows, {8, 15}, MPS::NDArray());
            view = kernel.reshape(commands, x, {192}, MPS::NDArray());
            same = kernel.reshape(commands, rows, 2, Lengths{3, 40}, given);
            apart = kernel.reshape(commands, rows, {4, 6, 5}, turnedTarget.arrayView(back));
        });
        CHECK_FALSE(copy.parent());
        CHECK(lengthsOf(copy) == Lengths{15, 8});
        CHECK(valuesIn(copy).v == odd.v);
        CHECK(view.parent() == x);
        CHECK(same == given);
        CHECK(valuesIn(given).v == odd.v);
        CHECK(valuesIn(apart).v == odd.v);
    }
}

TEST_CASE("reshapes of temporary arrays count as reads") {
    auto kernel = identity();
    const MPS::NDArray x = arrayOf(smallNumbers({5, 4}));
    MPS::NDArray y, encoded;
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::TemporaryNDArray first(commands, descriptorOf({5, 4}));
        kernel.encode(commands, x, first);
        CHECK(first.readCount() == 1);
        y = kernel.reshape(commands, first, {2, 10}, MPS::NDArray());
        CHECK(first.readCount() == 0);
        const MPS::TemporaryNDArray second(commands, descriptorOf({4, 5}));
        kernel.encode(commands, x.arrayView({5, 4}, {4, 1}), second);
        const auto view =
            kernel.reshape(commands, second, {20}, MPS::NDArray()).as<MPS::TemporaryNDArray>();
        CHECK(second.readCount() == 0);
        CHECK(view.readCount() == 1);
        const MTL::ComputeCommandEncoder encoder = commands.computeCommandEncoder();
        encoded = kernel.reshape(encoder, commands, view, {4, 5},
                                 MPS::NDArray(testDevice(), descriptorOf({5, 4})));
        encoder.endEncoding();
        CHECK(view.readCount() == 0);
        CHECK(refusal([&] {
                  kernel.reshape(commands, view, {4, 5}, MPS::NDArray());
              }) ==
              "[NDArrayIdentity] sourceArray is temporary and its read count is 0: its memory is "
              "given back already.");
    });
    CHECK(valuesIn(y).v == smallNumbers({20}).v);
}

TEST_CASE("an identity refuses shapes that do not fit") {
    auto kernel = identity();
    kernel.setLabel("i");
    const std::string who = "[NDArrayIdentity \"i\"] ";
    const MPS::NDArray x = arrayOf(smallNumbers({5, 4})), y(testDevice(), descriptorOf({3, 7}));
    CHECK(refusal([&] {
              kernel.reshape(x, {3, 7});
          }) ==
          who + "sourceArray is 4x5 but 3x7 was asked for, which has 21 elements instead of 20.");
    CHECK(refusal([&] { kernel.reshape(MPS::NDArray(), {3}); }) == who + "sourceArray is empty.");
    CHECK(refusal([&] { kernel.reshape(MTL::CommandBuffer(), x, {20}, y); }) ==
          who + "A reshape into a destination needs a command buffer.");
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refusal([&] { kernel.reshape(commands, x, {20}, y); }) ==
              who + "destinationArray is 7x3 of the dataType 268435488 but 20 of the dataType "
                    "268435488 was asked for.");
        CHECK(refusal([&] { kernel.encode(commands, x, y); }) ==
              who +
                  "destinationArray is 7x3 of the dataType 268435488 but the result is 4x5 of the "
                  "dataType 268435488.");
        CHECK(refusal([&] { kernel.encode(commands, x, x); }) ==
              who + "destinationArray overlaps sourceArrays[0] in memory; that does not work in "
                    "place.");
    });
    CHECK(valuesIn(y).v == Values(21, 0));
    conforms("NDArrayIdentity", Aspect::Misuse);
}
