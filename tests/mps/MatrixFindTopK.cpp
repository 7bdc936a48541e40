#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/MatrixFindTopK.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

MPS::MatrixFindTopK withProperties() {
    MPS::MatrixFindTopK kernel(testDevice(), 3);
    kernel.setIndexOffset(7);
    kernel.setSourceRows(4);
    kernel.setSourceColumns(5);
    return kernel;
}
[[maybe_unused]] const bool named = everyOther(withProperties);

const auto half = DataType::Float16;

struct Found {
    Values values, indices;
};

/// Rows of `columns` elements; NaN sorts last.
Found expectedOf(const Values& x, size_t columns, size_t number, size_t indexOffset) {
    Found made;
    for (size_t first = 0; first < x.size(); first += columns) {
        std::vector<size_t> order(columns);
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
            const double p = x[first + a], q = x[first + b];
            return std::isnan(q) ? !std::isnan(p) : p > q;
        });
        for (size_t i = 0; i < number; ++i) {
            made.values.push_back(x[first + order[i]]);
            made.indices.push_back(double(order[i] + indexOffset));
        }
    }
    return made;
}

Found encoded(const Inset& at, const Values& x, size_t number, size_t indexOffset) {
    MPS::MatrixFindTopK kernel(testDevice(), number);
    kernel.setSourceMatrixOrigin(at.origin);
    kernel.setResultMatrixOrigin({1, 1, 0});
    kernel.setSourceRows(at.rows);
    kernel.setSourceColumns(at.columns);
    kernel.setIndexOffset(indexOffset);
    Inset result{.rows = at.rows,
                 .columns = number,
                 .type = at.type,
                 .origin = {1, 1, 0},
                 .below = 1,
                 .right = 1,
                 .matrices = at.matrices};
    const MPS::Matrix source = at.matrix(x), values = result.matrix();
    result.type = DataType::UInt32;
    const MPS::Matrix indices = result.matrix();
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, source, indices, values);
    });
    CHECK(result.isWholeAround(indices));
    CHECK(result.isWholeAround(values));
    return {result.part(values), result.part(indices)};
}

bool same(const Values& a, const Values& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double p, double q) {
        return p == q || (std::isnan(p) && std::isnan(q));
    });
}

void check(const Inset& at, const Values& x, size_t number, size_t indexOffset = 0) {
    INFO(at.rows << "x" << at.columns << " k " << number << " type " << uint32_t(at.type));
    const Found expected = expectedOf(x, at.columns, number, indexOffset),
                actual = encoded(at, x, number, indexOffset);
    CHECK(same(actual.values, expected.values));
    CHECK(same(actual.indices, expected.indices));
    conforms("MatrixFindTopK", Aspect::Forward);
    if (at.type == half) conforms("MatrixFindTopK", Aspect::Half);
}

} // namespace

TEST_CASE("the largest elements of matrix rows and where they are") {
    const auto random = [](const Inset& at) { return randomValues(at.size(), 1, at.type); };
    for (const auto type : {DataType::Float32, half}) {
        Inset at{.rows = 5,
                 .columns = 17,
                 .type = type,
                 .origin = {1, 3, 0},
                 .right = 2,
                 .padding = 1,
                 .matrices = 2};
        for (const size_t number : {1, 2, 5, 16}) check(at, random(at), number, 3);
        at = {.rows = 3, .columns = 1000, .type = type};
        check(at, random(at), 4);
        at = {.rows = 70, .columns = 3, .type = type};
        check(at, random(at), 3);
    }
    const Inset longRows{.rows = 2, .columns = 5003};
    check(longRows, random(longRows), 10);
}

TEST_CASE("the largest elements of Apple's example") {
    const Inset at{.rows = 1, .columns = 5, .origin = {0, 2, 0}};
    const Values x{8, 1, 9, 4, 5};
    const Found plain = encoded(at, x, 3, 0), shifted = encoded(at, x, 3, 2);
    CHECK(plain.values == Values{9, 8, 5});
    CHECK(plain.indices == Values{2, 0, 4});
    CHECK(shifted.indices == Values{4, 2, 6});
}

TEST_CASE("equal elements come by their columns, infinities and NaN in their "
          "places") {
    const double infinity = std::numeric_limits<double>::infinity();
    const double notNumber = std::numeric_limits<double>::quiet_NaN();
    for (const auto type : {DataType::Float32, half}) {
        const Inset at{.rows = 4, .columns = 6, .type = type};
        check(at, {1,         2,         2,         1,         2,         1,  //
                   -0.0,      0,         -1,        0,         -0.0,      -2, //
                   notNumber, -infinity, 3,         infinity,  notNumber, 3,  //
                   notNumber, notNumber, notNumber, notNumber, notNumber, notNumber},
              5);
    }
    const Inset at{.rows = 2, .columns = 700};
    check(at, Values(1400, 0.5), 16);
}

TEST_CASE("the search for the largest elements refuses what does not fit, with "
          "a sentence") {
    const auto m = matrixOf(Values(12), 3, 4), values = matrixOf(Values(6), 3, 2);
    const auto indices = matrixOf(Values(6), 3, 2, DataType::UInt32);
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    MPS::MatrixFindTopK kernel(testDevice(), 2);
    kernel.setLabel("k");
    const std::string who = "[MatrixFindTopK \"k\"] ";
    run([&](const MTL::CommandBuffer& commands) {
        const auto encode = [&](const MPS::Matrix& i, const MPS::Matrix& v) {
            return refused([&] { kernel.encode(commands, m, i, v); });
        };
        CHECK(encode(values, values) ==
              who + "resultIndexMatrix has the dataType Float32 but must be UInt32.");
        CHECK(encode(indices, indices) ==
              who + "resultValueMatrix has the dataType UInt32 but must be Float32 or "
                    "Float16.");
        CHECK(encode(indices, m) == who + "resultValueMatrix overlaps inputMatrix "
                                          "in memory; the kernel does not work in "
                                          "place.");
        kernel.setNumberOfTopKValues(3);
        CHECK(encode(indices, values) ==
              who + "resultIndexMatrix has 3 rows and 2 columns from its origin on "
                    "but 3 and 3 are "
                    "needed.");
        kernel.setNumberOfTopKValues(5);
        CHECK(encode(indices, values) ==
              who + "numberOfTopKValues is 5 but must be from 1 to 4, with 4 columns.");
        kernel.setNumberOfTopKValues(0);
        CHECK(encode(indices, values) ==
              who + "numberOfTopKValues is 0 but must be from 1 to 4, with 4 columns.");
        kernel.setNumberOfTopKValues(1);
        kernel.setIndexOffset(4294967293);
        CHECK(encode(indices, values) ==
              who + "indexOffset is 4294967293, with which the index of column 3 "
                    "is beyond 32 "
                    "bits.");
        kernel.setIndexOffset(0);
        kernel.setSourceRows(0);
        CHECK(encode(indices, values) == who + "sourceRows is 0 but must be at least 1.");
        kernel.setSourceRows(3);
        MPS::TemporaryMatrix temporary(commands,
                                       MPS::MatrixDescriptor(3, 4, 16, DataType::Float32));
        kernel.encode(commands, temporary, indices, values);
        CHECK(temporary.readCount() == 0);
    });
    conforms("MatrixFindTopK", Aspect::Misuse);
}
