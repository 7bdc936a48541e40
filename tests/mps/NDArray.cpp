#include "support/Conformance.hpp"
#include "support/NDArrays.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstring>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::AliasingStrategy;
using MPS::DataType;

namespace {

template <class Call> std::string refused(Call call) { return sentence<InvalidArgument>(call); }

const DataType everyType[] = {DataType::Float32, DataType::Float16, DataType::BFloat16,
                              DataType::Int8,    DataType::Int16,   DataType::Int32,
                              DataType::Int64,   DataType::UInt8,   DataType::UInt16,
                              DataType::UInt32,  DataType::UInt64,  DataType::Unorm8};

/// Small whole numbers, which every type but Unorm8 holds.
NDValues smallNumbers(const Lengths& lengths) {
    NDValues made(lengths);
    for (size_t i = 0; i < made.v.size(); ++i) made.v[i] = double(i * 37 % 101);
    return made;
}

} // namespace

TEST_CASE("array descriptors number dimensions from the fastest, shapes end with it") {
    MPS::NDArrayDescriptor d(DataType::Float16, {2, 3, 4});
    CHECK(d.numberOfDimensions() == 3);
    CHECK(d.lengthOfDimension(0) == 4);
    CHECK(d.lengthOfDimension(2) == 2);
    CHECK(d.lengthOfDimension(3) == 1);
    CHECK(d.getShape() == std::vector<uint64_t>{2, 3, 4});
    CHECK(d.sliceRangeForDimension(1).start == 0);
    CHECK(d.sliceRangeForDimension(1).length == 3);
    CHECK(d.sliceRangeForDimension(9).length == 1);
    CHECK_FALSE(d.preferPackedRows());
    const Lengths sizes{5, 6};
    CHECK(MPS::NDArrayDescriptor(DataType::Int8, 2, sizes).getShape() ==
          std::vector<uint64_t>{6, 5});
    CHECK(MPS::NDArrayDescriptor(DataType::Int8, 0, {}).getShape().empty());

    d.transposeDimension(0, 2);
    CHECK(d.dimensionOrder()[0] == 2);
    CHECK(d.dimensionOrder()[1] == 1);
    CHECK(d.dimensionOrder()[2] == 0);
    CHECK(d.dimensionOrder()[3] == 3);
    d.permute(Lengths{1, 2, 0});
    CHECK(d.dimensionOrder()[0] == 1);
    CHECK(d.dimensionOrder()[1] == 0);
    CHECK(d.dimensionOrder()[2] == 2);
    d.reshape({6, 4});
    CHECK(d.numberOfDimensions() == 2);
    CHECK(d.lengthOfDimension(1) == 6);
    CHECK(d.dimensionOrder()[0] == 0);
    d.setNumberOfDimensions(3);
    CHECK(d.getShape() == std::vector<uint64_t>{1, 6, 4});
    d.setNumberOfDimensions(1);
    CHECK(d.getShape() == std::vector<uint64_t>{4});
    d.setDataType(DataType::Int32);
    CHECK(d.dataType() == DataType::Int32);
}

TEST_CASE("array descriptors that are not in order are refused") {
    CHECK(refused([] {
              MPS::NDArrayDescriptor(DataType::Float32, {2, 0});
          }) == "[NDArrayDescriptor] The length of dimension 0 is 0 but must be at least 1.");
    CHECK(refused([] {
              MPS::NDArrayDescriptor(DataType::Float32, std::vector<uint64_t>(17, 1));
          }) == "[NDArrayDescriptor] 17 dimensions were asked for but there are at most 16.");
    CHECK(refused([] { MPS::NDArrayDescriptor(DataType(7), {2}); }) ==
          "[NDArrayDescriptor] dataType is 7 but that is none of the element types.");
    MPS::NDArrayDescriptor d(DataType::Float32, {2, 3});
    CHECK(refused([&] { d.transposeDimension(0, 2); }) ==
          "[NDArrayDescriptor] transposeDimension was called for dimension 2 but there are 2.");
    CHECK(refused([&] {
              d.permute(Lengths{0, 0});
          }) == "[NDArrayDescriptor] permute was given dimension 0 twice.");
    CHECK(refused([&] { d.permute(Lengths{0}); }) ==
          "[NDArrayDescriptor] permute was given 1 dimensions but there are 2.");
    CHECK(refused([&] {
              d.reshape(3, Lengths{1, 2});
          }) == "[NDArrayDescriptor] 3 dimensions were asked for but 2 sizes given.");
    d.sliceDimension(0, {2, 2});
    CHECK(refused([&] { MPS::NDArray(testDevice(), d); }) ==
          "[NDArrayDescriptor] The slice of dimension 0 is 2 elements from 2 on but the dimension "
          "has 3.");
    CHECK(refused([] {
              MPS::NDArray(testDevice(),
                           MPS::NDArrayDescriptor(DataType::Float32, {1ull << 40, 1ull << 40}));
          }) == "[NDArrayDescriptor] The array would have more bytes than 64 bits can count.");
}

TEST_CASE("arrays keep rows of 16 bytes, or packed ones") {
    const MPS::NDArray padded(testDevice(), descriptorOf({3, 5, 2}));
    CHECK(padded.resourceSize() == 160);
    auto d = descriptorOf({3, 5, 2});
    d.setPreferPackedRows(true);
    const MPS::NDArray packed(testDevice(), d);
    CHECK(packed.resourceSize() == 120);
    CHECK(packed.lengthOfDimension(1) == 5);
    CHECK(packed.lengthOfDimension(7) == 1);
    CHECK(packed.numberOfDimensions() == 3);
    CHECK(packed.dataTypeSize() == 4);
    CHECK(packed.device() == testDevice());
    CHECK_FALSE(packed.userBuffer());
    CHECK_FALSE(packed.parent());
    CHECK(valuesIn(packed).v == Values(30, 0));
    packed.setLabel("p");
    CHECK(packed.label() == "p");
    CHECK(packed.descriptor().getShape() == std::vector<uint64_t>{2, 5, 3});
    CHECK(Object(packed).as<MPS::NDArray>() == packed);
    CHECK_FALSE(Object(packed).as<MPS::TemporaryNDArray>());

    const MPS::NDArray scalar(testDevice(), 2.5);
    CHECK(scalar.numberOfDimensions() == 0);
    CHECK(valuesIn(scalar).v == Values{2.5});
    // The part in use of a descriptor, in its order, is the shape of an array that is made of it.
    d.sliceDimension(1, {1, 3});
    d.transposeDimension(0, 1);
    CHECK(lengthsOf(MPS::NDArray(testDevice(), d)) == Lengths{3, 3, 2});

    const MTL::Buffer buffer = testDevice().newBuffer(172);
    const MPS::NDArray wrapped(buffer, 16, descriptorOf({3, 5, 2}));
    CHECK(wrapped.userBuffer() == buffer);
    CHECK(wrapped.resourceSize() == 0);
    writeTo(wrapped, NDValues::counting({3, 5, 2}));
    const auto* floats = reinterpret_cast<const float*>(buffer.contents().data());
    CHECK(floats[3] == 0);
    CHECK(floats[4] == 1);
    CHECK(floats[7] == 0);
    CHECK(floats[8] == 4);
    CHECK(floats[42] == 30);
    CHECK(refused([&] {
              MPS::NDArray(buffer, 20, descriptorOf({3, 5, 2}));
          }) == "[NDArray] 156 bytes are needed from offset 20 but the buffer has 172.");
    CHECK(refused([&] { MPS::NDArray(buffer, 2, descriptorOf({3})); }) ==
          "[NDArray] offset is 2 but must be a multiple of the element's size, 4.");
}

TEST_CASE("values of arrays of every type and shape come back") {
    for (const DataType type : everyType) {
        if (type == DataType::Unorm8) continue;
        for (const Lengths& lengths : {Lengths{1}, Lengths{7}, Lengths{5, 3}, Lengths{2, 3, 1, 5},
                                       Lengths(16, 2), Lengths{}}) {
            const NDValues values = smallNumbers(lengths);
            CHECK(valuesIn(arrayOf(values, type)).v == values.v);
        }
    }
    const MPS::NDArray bytes(testDevice(), descriptorOf({2}, DataType::Unorm8));
    bytes.write(std::vector<float>{1, 0.2f});
    CHECK(valuesIn(bytes).v == Values{1, 51 / 255.f});
}

TEST_CASE("bytes of arrays go to and from memory with any strides") {
    const NDValues values = NDValues::counting({3, 2, 2});
    const MPS::NDArray array = arrayOf(values);
    std::vector<float> host(12);
    array.readBytes(std::as_writable_bytes(std::span(host)));
    CHECK(host == std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    std::vector<float> apart(36, -1);
    array.readBytes(std::as_writable_bytes(std::span(apart)), Lengths{8, 24, 96});
    CHECK(apart[0] == 1);
    CHECK(apart[1] == -1);
    CHECK(apart[2] == 2);
    CHECK(apart[6] == 4);
    CHECK(apart[24] == 7);
    const MPS::NDArray other(testDevice(), array.descriptor());
    other.writeBytes(std::as_bytes(std::span(apart)), Lengths{8, 24, 96});
    CHECK(valuesIn(other).v == values.v);
    // Turned over on the way.
    std::vector<float> turned(12);
    array.readBytes(std::as_writable_bytes(std::span(turned)), Lengths{16, 8, 4});
    CHECK(turned == std::vector<float>{1, 7, 4, 10, 2, 8, 5, 11, 3, 9, 6, 12});

    CHECK(refused([&] { array.readBytes(std::as_writable_bytes(std::span(host)).subspan(4)); }) ==
          "[NDArray] readBytes was given 44 bytes but the array has 48.");
    CHECK(refused([&] {
              array.writeBytes(std::as_bytes(std::span(apart)), Lengths{8, 24, 200});
          }) == "[NDArray] writeBytes was given 144 bytes but the array has 244.");
    CHECK(refused([&] {
              array.readBytes(std::as_writable_bytes(std::span(host)), Lengths{4, 12});
          }) == "[NDArray] readBytes was given 2 strides but there are 3 dimensions.");
    CHECK(refused([&] { array.write(std::vector<float>(11)); }) ==
          "[NDArray] write was given 11 values but there are 12 elements.");
    CHECK(refused([] { MPS::NDArray().dataType(); }) == "[NDArray] The array handle is empty.");
}

TEST_CASE("views slice first, then transpose, and share memory") {
    const NDValues values = NDValues::counting({4, 5, 3});
    const MPS::NDArray array = arrayOf(values);
    auto d = array.descriptor();
    d.transposeDimension(0, 2);
    d.sliceDimension(1, {1, 3});
    d.sliceDimension(0, {2, 2});
    const MPS::NDArray view = array.arrayView(d);
    const NDValues expected = values.sliced(1, 1, 3).sliced(0, 2, 2).transposed(0, 2);
    CHECK(lengthsOf(view) == Lengths{3, 3, 2});
    CHECK(valuesIn(view).v == expected.v);
    CHECK(view.parent() == array);
    CHECK(view.resourceSize() == 0);
    CHECK_FALSE(view == array);
    writeTo(view, NDValues({3, 3, 2}, 100));
    CHECK(valuesIn(array)[{2, 1, 0}] == 100);
    CHECK(valuesIn(array)[{3, 3, 2}] == 100);
    CHECK(valuesIn(array)[{1, 1, 0}] == values[{1, 1, 0}]);
    CHECK(valuesIn(array)[{2, 4, 0}] == values[{2, 4, 0}]);

    // A view of a view; and rows that follow each other in another shape.
    auto again = view.descriptor();
    again.sliceDimension(0, {1, 1});
    CHECK(valuesIn(view.arrayView(again)).v == Values(6, 100));
    auto reshaped = array.descriptor();
    reshaped.reshape({3, 5, 2, 2});
    const NDValues flat = valuesIn(array);
    CHECK(valuesIn(array.arrayView(reshaped)).v == flat.v);
    reshaped.reshape({15, 1, 4, 1});
    CHECK(valuesIn(array.arrayView(reshaped)).v == flat.v);
    CHECK(array.arrayView(reshaped).lengthOfDimension(1) == 4);
    const MPS::NDArray padded = arrayOf(NDValues::counting({3, 5}));
    auto whole = padded.descriptor();
    whole.reshape({15});
    CHECK_FALSE(padded.arrayView(whole));

    CHECK(
        refused([&] { array.arrayView(whole); }) ==
        "[NDArray] A view as 15 was asked for, 15 elements, but the array is 3x5x4, 60 elements.");
    whole.setDataType(DataType::Int32);
    CHECK(refused([&] { padded.arrayView(whole); }) ==
          "[NDArray] A view with the dataType 536870944 was asked for but the array's is "
          "268435488.");
}

TEST_CASE("views with strides of their own") {
    const NDValues values = NDValues::counting({4, 4});
    const MPS::NDArray array = arrayOf(values);
    const MPS::NDArray diagonal = array.arrayView(1, Lengths{4}, Lengths{5});
    CHECK(valuesIn(diagonal).v == Values{1, 6, 11, 16});
    const MPS::NDArray turned = array.arrayView({}, {1, 4});
    CHECK(valuesIn(turned).v == values.transposed(0, 1).v);
    const MPS::NDArray repeated = array.arrayView({2, 3}, {0, 1});
    CHECK(valuesIn(repeated).v == Values{1, 2, 3, 1, 2, 3});
    CHECK(refused([&] { array.arrayView(1, Lengths{5}, Lengths{4}); }) ==
          "[NDArray] A view was asked for whose last element is number 16 of the array's memory, "
          "which has 16.");
    CHECK(refused([&] { array.arrayView(1, Lengths{5}, Lengths{1ull << 62}); }) ==
          "[NDArray] A view was asked for whose stride in dimension 0 is 4611686018427387904 "
          "elements: it ends beyond the array's memory.");
    CHECK(refused([&] {
              array.arrayView({2}, {0, 1});
          }) ==
          "[NDArray] A view of 1 dimensions was asked for but 1 sizes and 2 strides were given.");
}

TEST_CASE("views are copied where no strides say them, or by choice") {
    for (const DataType type : everyType) {
        if (type == DataType::Unorm8) continue;
        const NDValues values = smallNumbers({5, 6, 3});
        const MPS::NDArray array = arrayOf(values, type);
        auto flat = array.descriptor();
        flat.reshape({30, 3});
        auto turned = array.descriptor();
        turned.transposeDimension(0, 2);
        turned.sliceDimension(1, {1, 5});
        auto sliced = flat;
        sliced.sliceDimension(1, {7, 20});
        MPS::NDArray a, b, c, none, view;
        run([&](const MTL::CommandBuffer& commands) {
            none = array.arrayView(commands, flat, AliasingStrategy::ShallAlias);
            view = array.arrayView(commands, turned, AliasingStrategy::Default);
            a = array.arrayView(commands, flat, AliasingStrategy::Default);
            b = array.arrayView(commands, turned, AliasingStrategy::ShallNotAlias);
            c = array.arrayView(commands, sliced, AliasingStrategy::Default);
        });
        CHECK_FALSE(none);
        CHECK(view.parent() == array);
        CHECK_FALSE(b.parent());
        CHECK(valuesIn(a).v == values.v);
        const NDValues expected = values.sliced(1, 1, 5).transposed(0, 2);
        CHECK(valuesIn(b).v == expected.v);
        CHECK(valuesIn(view).v == expected.v);
        const NDValues rows(Lengths{3, 30}, values.v);
        CHECK(valuesIn(c).v == rows.sliced(1, 7, 20).v);
    }
    const MPS::NDArray array = arrayOf(NDValues({2}));
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] {
                  array.arrayView(commands, array.descriptor(), AliasingStrategy::AliasingReserved);
              }) == "[NDArray] A view was asked for that both shall and shall not alias.");
        CHECK(array
                  .arrayView(commands, array.descriptor(),
                             AliasingStrategy::ShallNotAlias |
                                 AliasingStrategy::PreferTemporaryMemory)
                  .isTemporary());
    });
}

TEST_CASE("arrays are exported to buffers and imported from them") {
    const NDValues values = NDValues::random({5, 3, 2}, 3, DataType::Float16);
    for (const DataType own : {DataType::Float32, DataType::Float16})
        for (const DataType type : {DataType::Float32, DataType::Float16})
            for (const bool turn : {false, true}) {
                MPS::NDArray array = arrayOf(values, own);
                auto d = array.descriptor();
                d.transposeDimension(0, 1);
                if (turn) array = array.arrayView(d);
                const NDValues seen = turn ? values.transposed(0, 1) : values;
                const uint64_t element = MPS::bytesPerElement(type);
                const Lengths strides{9 * element, 40 * element};
                const MTL::Buffer buffer = testDevice().newBuffer(1000);
                const MTL::Buffer packed = testDevice().newBuffer(30 * element);
                const MPS::NDArray back(testDevice(), descriptorOf(seen.lengths, own));
                run([&](const MTL::CommandBuffer& commands) {
                    array.exportData(commands, buffer, type, 3 * element, strides);
                    array.exportData(commands, packed, type, 0);
                    back.importData(commands, buffer, type, 3 * element, strides);
                });
                auto wrapped = descriptorOf({30}, type);
                wrapped.setPreferPackedRows(true);
                CHECK(valuesIn(MPS::NDArray(packed, 0, wrapped)).v == seen.v);
                CHECK(valuesIn(back).v == seen.v);
            }
    const MPS::NDArray array = arrayOf(values);
    const MTL::Buffer buffer = testDevice().newBuffer(100);
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] { array.exportData(commands, buffer, DataType::Float32, 0); }) ==
              "[NDArray] exportData: 120 bytes are needed from offset 0 but the buffer has 100.");
        CHECK(refused([&] { array.importData(commands, buffer, DataType::Int32, 0); }) ==
              "[NDArray] importData: A conversion from the dataType 536870944 to 268435488 was "
              "asked for but only Float32 and Float16 are converted into each other.");
        CHECK(refused([&] { array.exportData(commands, buffer, DataType::Float16, 1); }) ==
              "[NDArray] exportData: offset is 1 but must be a multiple of the element's size, 2.");
        CHECK(refused([&] {
                  array.exportData(commands, buffer, DataType::Float16, 0, Lengths{10});
              }) == "[NDArray] exportData: rowStrides has 1 strides but the array has 3 "
                    "dimensions, and one fewer is expected.");
        CHECK(refused([&] {
                  array.exportData(commands, buffer, DataType::Float16, 0, Lengths{11, 30});
              }) == "[NDArray] exportData: rowStrides[0] is 11 but must be a multiple of the "
                    "element's size, 2.");
        const MPS::NDArray wrapped(buffer, 0, descriptorOf({5}));
        CHECK(refused([&] { wrapped.exportData(commands, buffer, DataType::Float32, 16); }) ==
              "[NDArray] exportData: What is written overlaps what is read in memory; that does "
              "not work in place.");
    });
    conforms("NDArray", Aspect::State);
    conforms("NDArray", Aspect::Half);
    conforms("NDArrayDescriptor", Aspect::State);
}

TEST_CASE("temporary arrays count their reads, and those of their views") {
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    const MPS::TemporaryNDArray array(commands, descriptorOf({4, 6}));
    const MTL::Buffer buffer = testDevice().newBuffer(96);
    CHECK(array.isTemporary());
    CHECK(array.readCount() == 1);
    CHECK(MPS::NDArray(array).as<MPS::TemporaryNDArray>() == array);
    CHECK(refused([&] { array.write(std::vector<float>(24)); }) ==
          "[NDArray] write is for memory that the host can reach but this is temporary.");
    array.setReadCount(2);
    auto d = array.descriptor();
    d.sliceDimension(1, {1, 2});
    const auto view = array.arrayView(d).as<MPS::TemporaryNDArray>();
    CHECK(array.readCount() == 1);
    CHECK(view.readCount() == 1);
    array.importData(commands, buffer, DataType::Float32, 0);
    CHECK(array.readCount() == 1);
    array.exportData(commands, buffer, DataType::Float32, 0);
    CHECK(array.readCount() == 0);
    // The memory lives until the view was read, too.
    view.exportData(commands, buffer, DataType::Float32, 0);
    CHECK(view.readCount() == 0);
    CHECK(refused([&] { view.exportData(commands, buffer, DataType::Float32, 0); }) ==
          "[TemporaryNDArray] exportData: The array is temporary and its read count is 0: its "
          "memory is given back already.");
    CHECK(refused([&] { array.setReadCount(1); }) ==
          "[TemporaryNDArray] readCount was set to 1 but it is 0 already: the memory is given "
          "back.");
    CHECK(refused([&] { array.arrayView(d); }) ==
          "[TemporaryNDArray] A view was asked of an array whose read count is 0: its memory is "
          "given back already.");
    MTL::CommandBuffer others = testQueue().commandBuffer();
    const MPS::TemporaryNDArray foreign(others, descriptorOf({4}));
    CHECK(refused([&] { foreign.exportData(commands, buffer, DataType::Float32, 0); }) ==
          "[TemporaryNDArray] exportData: The array is a temporary object of another command "
          "buffer.");
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(refused([&] { MPS::TemporaryNDArray(commands, d); }) ==
          "[TemporaryNDArray] The command buffer is committed already; nothing more can be "
          "encoded.");
    conforms("TemporaryNDArray", Aspect::State);
}
