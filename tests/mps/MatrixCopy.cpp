#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/MatrixCopy.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;
using MPS::MatrixCopyOffsets;

namespace {

[[maybe_unused]] const bool named =
    everyOther([] { return MPS::MatrixCopy(testDevice(), 3, 4, true, false); });

MPS::Vector words(const std::vector<uint32_t>& values) {
    return MPS::Vector(testDevice().newBuffer(std::as_bytes(std::span(values))),
                       MPS::VectorDescriptor(values.size(), DataType::UInt32));
}

/// Whole numbers that every type holds.
Values numbers(size_t count, size_t first = 1) {
    Values made(count);
    for (size_t i = 0; i < count; ++i) made[i] = double((first + i * 7) % 101);
    return made;
}

struct Copy {
    size_t rows, columns; ///< of the copy
    bool sourceTransposed = false, destinationTransposed = false;
    MatrixCopyOffsets offsets = {};
    DataType type = DataType::Float32;
    std::vector<uint32_t> rowPlaces = {}, columnPlaces = {}; ///< where rows and columns go
    size_t matrices = 1, padding = 0;
    bool offsetsOnDevice = false;
    size_t sourceRows = 40, sourceColumns = 45, destinationRows = 43, destinationColumns = 41;
};

void check(const Copy& k) {
    INFO(k.rows << "x" << k.columns << " transposed " << k.sourceTransposed
                << k.destinationTransposed << " type " << uint32_t(k.type) << " permuted "
                << k.rowPlaces.size() << " " << k.columnPlaces.size() << " padding " << k.padding
                << " on device " << k.offsetsOnDevice);
    const size_t each = k.sourceRows * k.sourceColumns,
                 there = k.destinationRows * k.destinationColumns;
    const Values x = numbers(k.matrices * each);
    Values expected(k.matrices * there, 102);
    const auto source = matrixOf(x, k.sourceRows, k.sourceColumns, k.type, k.padding, k.matrices);
    const auto destination =
        matrixOf(expected, k.destinationRows, k.destinationColumns, k.type, k.padding, k.matrices);
    for (size_t m = 0; m < k.matrices; ++m)
        for (size_t i = 0; i < std::min<size_t>(k.rows, 64); ++i)
            for (size_t j = 0; j < k.columns; ++j) {
                size_t row = k.offsets.sourceRowOffset + i,
                       column = k.offsets.sourceColumnOffset + j;
                if (k.sourceTransposed) std::swap(row, column);
                if (row >= k.sourceRows || column >= k.sourceColumns) continue;
                const double value = x[m * each + row * k.sourceColumns + column];
                row = k.offsets.destinationRowOffset + (k.rowPlaces.empty() ? i : k.rowPlaces[i]);
                column = k.offsets.destinationColumnOffset +
                         (k.columnPlaces.empty() ? j : k.columnPlaces[j]);
                if (k.destinationTransposed) std::swap(row, column);
                if (row >= k.destinationRows || column >= k.destinationColumns) continue;
                expected[m * there + row * k.destinationColumns + column] = value;
            }
    // Two copies' offsets and three indices lie before those in use.
    const auto after = [](std::vector<uint32_t> values) {
        values.insert(values.begin(), 3, 0);
        return words(values);
    };
    MPS::MatrixCopyDescriptor descriptor(source, destination, k.offsets);
    if (k.offsetsOnDevice) {
        std::vector<uint32_t> all(8);
        for (uint32_t offset : {k.offsets.sourceRowOffset, k.offsets.sourceColumnOffset,
                                k.offsets.destinationRowOffset, k.offsets.destinationColumnOffset})
            all.push_back(offset);
        descriptor = MPS::MatrixCopyDescriptor({source}, {destination}, words(all), 32);
    }
    MPS::MatrixCopy kernel(testDevice(), k.rows, k.columns, k.sourceTransposed,
                           k.destinationTransposed);
    run([&](const MTL::CommandBuffer& commands) {
        if (k.rowPlaces.empty() && k.columnPlaces.empty())
            kernel.encode(commands, descriptor);
        else
            kernel.encode(commands, descriptor,
                          k.rowPlaces.empty() ? MPS::Vector() : after(k.rowPlaces), 3,
                          k.columnPlaces.empty() ? MPS::Vector() : after(k.columnPlaces), 3);
    });
    CHECK(valuesOf(destination) == expected);
    conforms("MatrixCopy", Aspect::Forward);
    if (k.type == DataType::Float16) conforms("MatrixCopy", Aspect::Half);
}

} // namespace

TEST_CASE("copies of matrices of every element size, transposed or not") {
    for (const auto type : {DataType::Float32, DataType::Float16, DataType::UInt8})
        for (const bool source : {false, true})
            for (const bool destination : {false, true}) {
                check({.rows = 40,
                       .columns = 40,
                       .sourceTransposed = source,
                       .destinationTransposed = destination,
                       .type = type,
                       .sourceRows = 40,
                       .sourceColumns = 40,
                       .destinationRows = 40,
                       .destinationColumns = 40});
                check({.rows = 7,
                       .columns = 35,
                       .sourceTransposed = source,
                       .destinationTransposed = destination,
                       .offsets = {2, 5, 1, 3},
                       .type = type,
                       .matrices = 2,
                       .padding = 1});
            }
}

TEST_CASE("copies of matrices of the other element types") {
    for (const auto type : {DataType::UInt32, DataType::Int32, DataType::Int16, DataType::UInt16,
                            DataType::BFloat16, DataType::Int8})
        check({.rows = 9, .columns = 10, .type = type});
}

TEST_CASE("copies of matrices whose rows and columns are permuted") {
    std::vector<uint32_t> rows(20), columns(18);
    for (uint32_t i = 0; i < 20; ++i) rows[i] = i * 7 % 20;
    for (uint32_t i = 0; i < 18; ++i) columns[i] = i * 5 % 18;
    for (const auto type : {DataType::Float32, DataType::UInt8})
        for (const bool source : {false, true})
            for (const bool destination : {false, true}) {
                Copy k{.rows = 20,
                       .columns = 18,
                       .sourceTransposed = source,
                       .destinationTransposed = destination,
                       .offsets = {1, 2, 3, 4},
                       .type = type};
                k.columnPlaces = columns;
                check(k);
                k.rowPlaces = rows;
                check(k);
            }
    rows[3] = 100, rows[4] = 4294967295u; // nowhere
    check({.rows = 20, .columns = 18, .rowPlaces = rows});
    columns[3] = 100, columns[4] = 4294967295u;
    check({.rows = 20, .columns = 18, .destinationTransposed = true, .columnPlaces = columns});
}

TEST_CASE("copies of matrices by offsets in device memory") {
    check({.rows = 9, .columns = 10, .offsets = {3, 4, 8, 6}, .offsetsOnDevice = true});
    check({.rows = 30,
           .columns = 30,
           .sourceTransposed = true,
           .offsets = {20, 30, 25, 4},
           .type = DataType::Float16,
           .offsetsOnDevice = true});
    check({.rows = 30, .columns = 30, .offsets = {4294967295u, 0, 0, 0}, .offsetsOnDevice = true});
    check({.rows = 30,
           .columns = 30,
           .destinationTransposed = true,
           .offsets = {0, 0, 0, 4294967290u},
           .offsetsOnDevice = true});
    check({.rows = 5000000000u,
           .columns = 3,
           .offsets = {0, 0, 2, 0},
           .offsetsOnDevice = true,
           .sourceRows = 5,
           .sourceColumns = 3,
           .destinationRows = 6,
           .destinationColumns = 3});
}

TEST_CASE("several copies of matrices in one encode") {
    const auto a = matrixOf(numbers(6), 2, 3), b = matrixOf(numbers(6, 50), 2, 3),
               both = matrixOf(Values(12), 2, 6);
    MPS::MatrixCopyDescriptor descriptor(testDevice(), 2);
    descriptor.setCopyOperation(1, b, both, {0, 0, 0, 3});
    descriptor.setCopyOperation(0, a, both, {});
    MPS::MatrixCopy kernel(testDevice(), 2, 3, false, false);
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, descriptor); });
    const Values x = numbers(6), y = numbers(6, 50);
    CHECK(valuesOf(both) ==
          Values{x[0], x[1], x[2], y[0], y[1], y[2], x[3], x[4], x[5], y[3], y[4], y[5]});
}

TEST_CASE("copies of matrices refuse what does not fit, with a sentence") {
    const auto m = matrixOf(Values(12), 3, 4), y = matrixOf(Values(12), 3, 4),
               halves = matrixOf(Values(12), 3, 4, DataType::Float16);
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    MPS::MatrixCopy kernel(testDevice(), 3, 4, false, false);
    kernel.setLabel("c");
    const std::string who = "[MatrixCopy \"c\"] ";
    run([&](const MTL::CommandBuffer& commands) {
        const auto encode = [&](const MPS::Matrix& from, const MPS::Matrix& to,
                                const MatrixCopyOffsets& offsets) {
            return refused(
                [&] { kernel.encode(commands, MPS::MatrixCopyDescriptor(from, to, offsets)); });
        };
        CHECK(encode(m, y, {1, 0, 0, 0}) ==
              who + "sourceMatrix has 3 rows and 4 columns but 4 and 4 are needed.");
        CHECK(encode(m, y, {0, 0, 0, 2}) ==
              who + "destinationMatrix has 3 rows and 4 columns but 3 and 6 are needed.");
        CHECK(encode(m, m, {}) ==
              who +
                  "destinationMatrix overlaps sourceMatrix in memory; the kernel does not work in "
                  "place.");
        CHECK(encode(m, halves, {}) ==
              who + "sourceMatrix has the dataType Float32 but destinationMatrix Float16.");
        const MPS::Matrix wide(testDevice(), MPS::MatrixDescriptor(3, 4, 32, DataType::Int64));
        CHECK(
            encode(wide, wide, {})
                .starts_with(
                    who +
                    "sourceMatrix has the dataType 536870976 but must be Float32 or Float16 or "));
        CHECK(refused([&] {
                  kernel.encode(commands, MPS::MatrixCopyDescriptor(testDevice(), 2));
              }) == who + "Copy 0 of the descriptor has no matrices.");
        CHECK(refused([&] {
                  kernel.encode(commands, MPS::MatrixCopyDescriptor(m, y, {}), words({0, 1, 2}), 1,
                                {}, 0);
              }) == who + "rowPermuteIndices has 3 elements but 3 from element 1 on are needed.");
        CHECK(refused([&] {
                  kernel.encode(commands,
                                MPS::MatrixCopyDescriptor({m}, {y}, words({0, 0, 0, 0}), 16));
              }) == who + "offsetVector has 4 elements but 4 from element 4 on are needed.");
        MPS::MatrixCopy turned(testDevice(), 3, 4, true, false);
        CHECK(refused([&] { turned.encode(commands, MPS::MatrixCopyDescriptor(m, y, {})); }) ==
              "[MatrixCopy] sourceMatrix, transposed, has 4 rows and 3 columns but 3 and 4 are "
              "needed.");
        MPS::TemporaryMatrix temporary(commands,
                                       MPS::MatrixDescriptor(3, 4, 16, DataType::Float32));
        kernel.encode(commands, MPS::MatrixCopyDescriptor(temporary, y, {}));
        CHECK(temporary.readCount() == 0);
    });
    CHECK(refused([] { MPS::MatrixCopy(testDevice(), 0, 1, false, false); }) ==
          "[MatrixCopy] A copy of 0 rows and 1 columns was asked for but each must be at least 1.");
    MPS::MatrixCopyDescriptor one(m, y, {});
    CHECK(refused([&] { one.setCopyOperation(1, m, y, {}); }) ==
          "[MatrixCopyDescriptor] index is 1 but there are 1 copies.");
    CHECK(refused([&] { MPS::MatrixCopyDescriptor({m}, {}, words({0}), 0); }) ==
          "[MatrixCopyDescriptor] There are 1 sourceMatrices and 0 destinationMatrices but there "
          "must be as many of both, at least 1.");
    CHECK(refused([&] { MPS::MatrixCopyDescriptor({m}, {y}, words({0}), 4); }) ==
          "[MatrixCopyDescriptor] offset is 4 but must be a multiple of 16.");
    conforms("MatrixCopy", Aspect::Misuse);
}
