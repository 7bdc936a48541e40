#include "support/Device.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>
#include <numeric>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

std::vector<float> counting(size_t count) {
    std::vector<float> all(count);
    std::iota(all.begin(), all.end(), 1.f);
    return all;
}

template <class Handle> std::vector<float> valuesOf(const Handle& handle, size_t count) {
    std::vector<float> all(count, -99);
    handle.read(all);
    return all;
}

template <class Call> std::string refused(Call call) { return sentence<InvalidArgument>(call); }

struct Shift : MPS::MatrixUnaryKernel {
    explicit Shift(const MTL::Device& device) : MatrixUnaryKernel(device) {}
    std::string className() const override { return "Shift"; }
};

struct Join : MPS::MatrixBinaryKernel {
    explicit Join(const MTL::Device& device) : MatrixBinaryKernel(device) {}
    std::string className() const override { return "Join"; }
};

} // namespace

TEST_CASE("matrix descriptors") {
    MPS::MatrixDescriptor one(2, 3, 12, DataType::Float32);
    CHECK(one.matrixBytes() == 24);
    CHECK(one.matrices() == 1);
    one.setRows(5);
    CHECK(one.matrixBytes() == 60);
    one.setRowBytes(16);
    CHECK(one.matrixBytes() == 80);
    one.setColumns(4);
    CHECK(one.columns() == 4);

    MPS::MatrixDescriptor several(5, 3, 2, 16, 96, DataType::Float32);
    several.setRows(6);
    CHECK(several.matrixBytes() == 96);

    CHECK(MPS::MatrixDescriptor::rowBytesForColumns(3, DataType::Float32) == 16);
    CHECK(MPS::MatrixDescriptor::rowBytesForColumns(4, DataType::Float32) == 16);
    CHECK(MPS::MatrixDescriptor::rowBytesForColumns(9, DataType::Float16) == 32);
    CHECK(MPS::MatrixDescriptor::rowBytesForColumns(17, DataType::UInt8) == 32);

    CHECK(
        refused([] { MPS::MatrixDescriptor(0, 3, 12, DataType::Float32); }) ==
        "[MatrixDescriptor] 1 matrices of 0x3 were asked for but each number must be at least 1.");
    CHECK(refused([] { MPS::MatrixDescriptor(2, 3, 8, DataType::Float32); }) ==
          "[MatrixDescriptor] rowBytes is 8 but must be a multiple of 4 and at least 12.");
    CHECK(refused([] { MPS::MatrixDescriptor(2, 3, 13, DataType::Float16); }) ==
          "[MatrixDescriptor] rowBytes is 13 but must be a multiple of 2 and at least 6.");
    CHECK(refused([] { MPS::MatrixDescriptor(2, 3, 2, 12, 12, DataType::Float32); }) ==
          "[MatrixDescriptor] matrixBytes is 12 but must be a multiple of 12 and at least 24.");
    CHECK(refused([] { MPS::MatrixDescriptor(2, 3, 2, 12, 28, DataType::Float32); }) ==
          "[MatrixDescriptor] matrixBytes is 28 but must be a multiple of 12 and at least 24.");
    CHECK(refused([] { MPS::MatrixDescriptor(2, 3, 12, DataType::Invalid); }) ==
          "[MatrixDescriptor] dataType is 0 but that is none of the element types.");
}

TEST_CASE("vector descriptors") {
    CHECK(MPS::VectorDescriptor(2, DataType::Float32).vectorBytes() == 8);
    MPS::VectorDescriptor one(4, DataType::Float32);
    CHECK(one.vectorBytes() == 16);
    one.setLength(5);
    CHECK(one.vectorBytes() == 20);
    one.setDataType(DataType::Float16);
    CHECK(one.vectorBytes() == 10);
    CHECK(MPS::VectorDescriptor::vectorBytesForLength(5, DataType::Float32) == 32);

    CHECK(refused([] { MPS::VectorDescriptor(0, DataType::Float32); }) ==
          "[VectorDescriptor] 1 vectors of length 0 were asked for but each number must be at "
          "least 1.");
    CHECK(refused([] { MPS::VectorDescriptor(4, 2, 12, DataType::Float32); }) ==
          "[VectorDescriptor] vectorBytes is 12 but must be a multiple of 4 and at least 16.");
    CHECK(refused([] { MPS::VectorDescriptor(4, DataType(7)); }) ==
          "[VectorDescriptor] dataType is 7 but that is none of the element types.");
}

TEST_CASE("a buffer needs no padding after the last row") {
    const MPS::MatrixDescriptor descriptor(5, 3, 2, 16, 80, DataType::Float32);
    const MPS::Matrix fits(testDevice().newBuffer(156), descriptor);
    CHECK(fits.data().length() == 156);
    CHECK(refused([&] { MPS::Matrix(testDevice().newBuffer(152), descriptor); }) ==
          "[Matrix] 156 bytes are needed from offset 0 but the buffer has 152.");
    CHECK(MPS::Matrix(testDevice().newBuffer(160), 4, descriptor).offset() == 4);
    CHECK(refused([&] { MPS::Matrix(testDevice().newBuffer(160), 8, descriptor); }) ==
          "[Matrix] 156 bytes are needed from offset 8 but the buffer has 160.");
    CHECK(refused([&] { MPS::Matrix(testDevice().newBuffer(1024), 6, descriptor); }) ==
          "[Matrix] offset is 6 but must be a multiple of the element's size, 4.");
    CHECK(
        refused([&] { MPS::Matrix(testDevice().newBuffer(1024), UINT64_MAX - 3, descriptor); }) ==
        "[Matrix] 156 bytes are needed from offset 18446744073709551612 but the buffer has 1024.");

    const MPS::VectorDescriptor vectors(3, 2, 16, DataType::Float32);
    CHECK(MPS::Vector(testDevice().newBuffer(28), vectors).vectors() == 2);
    CHECK(refused([&] { MPS::Vector(testDevice().newBuffer(24), vectors); }) ==
          "[Vector] 28 bytes are needed from offset 0 but the buffer has 24.");

    MPS::MatrixDescriptor broken(2, 3, 12, DataType::Float32);
    broken.setColumns(4);
    CHECK(refused([&] { MPS::Matrix(testDevice(), broken); }) ==
          "[MatrixDescriptor] rowBytes is 12 but must be a multiple of 4 and at least 16.");
    CHECK(refused([&] { MPS::Matrix(MTL::Buffer(), descriptor); }) ==
          "[Resource] The resource handle is empty.");
}

TEST_CASE("elements lie where the strides say and the gaps are left alone") {
    const MTL::Buffer buffer = testDevice().newBuffer(256);
    const auto bytes = buffer.contents();
    std::fill(bytes.begin(), bytes.end(), std::byte(0xee));
    const MPS::Matrix matrix(buffer, 8, MPS::MatrixDescriptor(2, 3, 2, 16, 48, DataType::Float32));
    CHECK(matrix.rows() == 2);
    CHECK(matrix.columns() == 3);
    CHECK(matrix.matrices() == 2);
    CHECK(matrix.rowBytes() == 16);
    CHECK(matrix.matrixBytes() == 48);
    CHECK(matrix.dataType() == DataType::Float32);
    CHECK(matrix.device() == testDevice());
    CHECK(matrix.data() == buffer);
    CHECK(matrix.resourceSize() == 0);
    CHECK_FALSE(matrix.isTemporary());
    matrix.write(counting(12));
    CHECK(valuesOf(matrix, 12) == counting(12));
    const auto* words = reinterpret_cast<const uint32_t*>(bytes.data());
    const auto* floats = reinterpret_cast<const float*>(bytes.data());
    size_t untouched = 0;
    for (size_t i = 0; i < 64; ++i) {
        const size_t at = i - 2, k = at / 12, row = at % 12 / 4, column = at % 4;
        if (i >= 2 && k < 2 && row < 2 && column < 3)
            CHECK(floats[i] == float(k * 6 + row * 3 + column + 1));
        else
            untouched += words[i] == 0xeeeeeeee;
    }
    CHECK(untouched == 52);

    const MPS::Vector vectors(buffer, 8, MPS::VectorDescriptor(3, 2, 16, DataType::Float32));
    CHECK(valuesOf(vectors, 6) == counting(6));
    CHECK(vectors.length() == 3);
    CHECK(vectors.vectorBytes() == 16);
    CHECK(vectors.data() == buffer);
}

TEST_CASE("values are converted to the element type") {
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> given{0.f, -1.5f, 2.5f, 1e30f, -1e30f, infinity, 0.3f, 300.f};
    const auto stored = [&](DataType type) {
        const MPS::Vector vector(testDevice(), MPS::VectorDescriptor(given.size(), type));
        vector.write(given);
        return valuesOf(vector, given.size());
    };
    CHECK(stored(DataType::Float32) == given);
    CHECK(stored(DataType::Float16) ==
          std::vector<float>{0, -1.5f, 2.5f, infinity, -infinity, infinity, 0.300048828125f, 300});
    CHECK(stored(DataType::BFloat16) == std::vector<float>{0, -1.5f, 2.5f, 0x1.94p+99f,
                                                           -0x1.94p+99f, infinity, 0.30078125f,
                                                           300});
    CHECK(stored(DataType::Int8) == std::vector<float>{0, -2, 2, 127, -128, 127, 0, 127});
    CHECK(stored(DataType::UInt8) == std::vector<float>{0, 0, 2, 255, 0, 255, 0, 255});
    CHECK(stored(DataType::Int16) == std::vector<float>{0, -2, 2, 32767, -32768, 32767, 0, 300});
    CHECK(stored(DataType::UInt16) == std::vector<float>{0, 0, 2, 65535, 0, 65535, 0, 300});
    CHECK(stored(DataType::Int32) ==
          std::vector<float>{0, -2, 2, 0x1p31f, -0x1p31f, 0x1p31f, 0, 300});
    CHECK(stored(DataType::UInt32) == std::vector<float>{0, 0, 2, 0x1p32f, 0, 0x1p32f, 0, 300});
    CHECK(stored(DataType::Int64) ==
          std::vector<float>{0, -2, 2, 0x1p63f, -0x1p63f, 0x1p63f, 0, 300});
    CHECK(stored(DataType::UInt64) == std::vector<float>{0, 0, 2, 0x1p64f, 0, 0x1p64f, 0, 300});
    CHECK(stored(DataType::Unorm8) == std::vector<float>{0, 0, 1, 1, 0, 1, 76 / 255.f, 1});
}

TEST_CASE("storage is zero and comes at first use") {
    const MPS::Matrix matrix(testDevice(), MPS::MatrixDescriptor(3, 5, 32, DataType::Float32));
    CHECK(matrix.resourceSize() == 96);
    CHECK(valuesOf(matrix, 15) == std::vector<float>(15, 0));
    CHECK(matrix.data().length() == 96);
    CHECK(matrix.data() == matrix.data());
    const MPS::Vector vector(testDevice(), MPS::VectorDescriptor(7, DataType::Float32));
    CHECK(vector.resourceSize() == 28);
    CHECK(valuesOf(vector, 7) == std::vector<float>(7, 0));
    CHECK(matrix.as<MPS::Matrix>() == matrix);
    CHECK_FALSE(matrix.as<MPS::TemporaryMatrix>());
    CHECK_FALSE(Object(matrix).as<MPS::Vector>());
    run([&](const MTL::CommandBuffer& commands) {
        matrix.synchronize(commands);
        vector.synchronize(commands);
    });
}

TEST_CASE("what the host may not read or write") {
    const MPS::Vector vector(testDevice(), MPS::VectorDescriptor(4, DataType::Float32));
    CHECK(refused([&] { vector.write(counting(5)); }) ==
          "[Vector] write was given 5 values but there are 4 elements.");
    CHECK(refused([&] { valuesOf(vector, 3); }) ==
          "[Vector] read was given 3 values but there are 4 elements.");
    const MPS::Matrix hidden(testDevice().newBuffer(64, MTL::ResourceOptions::StorageModePrivate),
                             MPS::MatrixDescriptor(2, 2, 8, DataType::Float32));
    CHECK(refused([&] { hidden.write(counting(4)); }) ==
          "[Matrix] write is for memory that the host can reach but this is private.");
    CHECK(refused([] { MPS::Matrix().rows(); }) == "[Matrix] The matrix handle is empty.");
    CHECK(refused([] { MPS::Vector().length(); }) == "[Vector] The vector handle is empty.");

    MPS::NNOptimizerStochasticGradientDescent optimizer(testDevice(), 1);
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    optimizer.encode(commands, vector, vector, MPS::Vector(), vector);
    CHECK(refused([&] { valuesOf(vector, 4); }) ==
          "[Vector] read was called while a command buffer that writes it is not completed.");
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(valuesOf(vector, 4) == std::vector<float>(4, 0));
}

TEST_CASE("a matrix can be read while its heap's other buffers are written") {
    MTL::HeapDescriptor d;
    d.setSize(1 << 16);
    d.setStorageMode(MTL::StorageMode::Shared);
    const MTL::Heap heap = testDevice().newHeap(d);
    const MTL::Buffer written = heap.newBuffer(256, MTL::ResourceOptions::StorageModeShared);
    const MPS::Matrix matrix(heap.newBuffer(64, MTL::ResourceOptions::StorageModeShared),
                             MPS::MatrixDescriptor(2, 2, 8, DataType::Float32));
    matrix.write(counting(4));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const MTL::BlitCommandEncoder blit = commands.blitCommandEncoder();
    blit.fillBuffer(written, {0, 256}, 7);
    blit.endEncoding();
    CHECK(valuesOf(matrix, 4) == counting(4));
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(written.contents()[255] == std::byte(7));
}

TEST_CASE("temporary matrices and vectors") {
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    const MPS::MatrixDescriptor matrixDescriptor(2, 3, 16, DataType::Float32);
    const MPS::VectorDescriptor vectorDescriptor(3, DataType::Float32);
    MPS::TemporaryMatrix::prefetchStorage(commands, {matrixDescriptor});
    MPS::TemporaryVector::prefetchStorage(commands, {vectorDescriptor});
    const MPS::TemporaryMatrix matrix(commands, matrixDescriptor);
    const MPS::TemporaryVector vector(commands, vectorDescriptor);
    CHECK(matrix.isTemporary());
    CHECK(matrix.readCount() == 1);
    CHECK(matrix.data().storageMode() == MTL::StorageMode::Private);
    CHECK(matrix.data().length() == 32);
    CHECK(MPS::Matrix(matrix).as<MPS::TemporaryMatrix>() == matrix);
    CHECK(MPS::Vector(vector).as<MPS::TemporaryVector>() == vector);
    CHECK(refused([&] { matrix.write(counting(6)); }) ==
          "[Matrix] write is for memory that the host can reach but this is temporary.");
    matrix.setReadCount(3);
    CHECK(matrix.readCount() == 3);
    matrix.setReadCount(0);
    CHECK(
        refused([&] { matrix.setReadCount(1); }) ==
        "[TemporaryMatrix] readCount was set to 1 but it is 0 already: the memory is given back.");
    CHECK(refused([&] { matrix.data(); }) == "[Matrix] data was asked of a temporary object whose "
                                             "read count is 0: its memory is given back.");
    CHECK(vector.readCount() == 1);
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(
        refused([&] { MPS::TemporaryVector(commands, vectorDescriptor); }) ==
        "[TemporaryVector] The command buffer is committed already; nothing more can be encoded.");
}

TEST_CASE("matrix kernels begin at the origin and take every matrix") {
    Shift unary(testDevice());
    CHECK(unary.sourceMatrixOrigin() == MTL::Origin{});
    CHECK(unary.resultMatrixOrigin() == MTL::Origin{});
    CHECK(unary.batchStart() == 0);
    CHECK(unary.batchSize() == UINT64_MAX);
    unary.setSourceMatrixOrigin({1, 2, 0});
    unary.setResultMatrixOrigin({3, 4, 0});
    unary.setBatchStart(5);
    unary.setBatchSize(6);
    CHECK(unary.sourceMatrixOrigin() == MTL::Origin{1, 2, 0});
    CHECK(unary.resultMatrixOrigin() == MTL::Origin{3, 4, 0});
    CHECK(unary.batchStart() == 5);
    CHECK(unary.batchSize() == 6);

    Join binary(testDevice());
    CHECK(binary.batchSize() == UINT64_MAX);
    binary.setPrimarySourceMatrixOrigin({1, 2, 0});
    binary.setSecondarySourceMatrixOrigin({3, 4, 0});
    binary.setResultMatrixOrigin({5, 6, 0});
    binary.setBatchStart(7);
    binary.setBatchSize(8);
    CHECK(binary.primarySourceMatrixOrigin() == MTL::Origin{1, 2, 0});
    CHECK(binary.secondarySourceMatrixOrigin() == MTL::Origin{3, 4, 0});
    CHECK(binary.resultMatrixOrigin() == MTL::Origin{5, 6, 0});
    CHECK(binary.batchStart() == 7);
    CHECK(binary.batchSize() == 8);
}
