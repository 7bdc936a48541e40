#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

[[maybe_unused]] const bool named =
    everyOther(
        [] { return MPS::MatrixMultiplication(testDevice(), true, false, 3, 4, 5, 2, 1); }) &&
    everyOther([] { return MPS::MatrixVectorMultiplication(testDevice(), true, 3, 4, 2, 1); });

struct Product {
    size_t rows, columns, interior;
    bool transposeLeft = false, transposeRight = false;
    double alpha = 1, beta = 0;
    size_t batch = 1, padding = 0;
    DataType left = DataType::Float32, right = DataType::Float32, result = DataType::Float32;
};

void check(const Product& k) {
    INFO(k.rows << "x" << k.columns << "x" << k.interior << " transposed " << k.transposeLeft
                << k.transposeRight << " types " << uint32_t(k.left) << uint32_t(k.right)
                << uint32_t(k.result) << " padding " << k.padding);
    const Values a = randomValues(k.batch * k.rows * k.interior, 1, k.left);
    const Values b = randomValues(k.batch * k.interior * k.columns, 2, k.right);
    const Values c = randomValues(k.batch * k.rows * k.columns, 3, k.result);
    Values expected(c.size()), magnitude(c.size());
    for (size_t m = 0; m < k.batch; ++m)
        for (size_t i = 0; i < k.rows; ++i)
            for (size_t j = 0; j < k.columns; ++j) {
                double sum = 0, absolute = 0;
                for (size_t q = 0; q < k.interior; ++q) {
                    const double x = a[m * k.rows * k.interior +
                                       (k.transposeLeft ? q * k.rows + i : i * k.interior + q)];
                    const double y = b[m * k.interior * k.columns +
                                       (k.transposeRight ? j * k.interior + q : q * k.columns + j)];
                    sum += x * y;
                    absolute += std::abs(x * y);
                }
                const size_t at = (m * k.rows + i) * k.columns + j;
                expected[at] = k.alpha * sum + k.beta * c[at];
                magnitude[at] = std::abs(k.alpha) * absolute + std::abs(k.beta * c[at]);
            }
    const auto shaped = [&](const Values& v, size_t rows, size_t columns, bool transposed,
                            DataType type) {
        return transposed ? matrixOf(v, columns, rows, type, k.padding, k.batch)
                          : matrixOf(v, rows, columns, type, k.padding, k.batch);
    };
    const auto left = shaped(a, k.rows, k.interior, k.transposeLeft, k.left);
    const auto right = shaped(b, k.interior, k.columns, k.transposeRight, k.right);
    const auto result = shaped(c, k.rows, k.columns, false, k.result);
    MPS::MatrixMultiplication product(testDevice(), k.transposeLeft, k.transposeRight, k.rows,
                                      k.columns, k.interior, k.alpha, k.beta);
    run([&](const MTL::CommandBuffer& commands) { product.encode(commands, left, right, result); });
    const Values actual = valuesOf(result);
    const double tolerance = k.result == DataType::Float16 ? 1e-3 : 2e-6;
    size_t wrong = 0;
    for (size_t i = 0; i < actual.size(); ++i)
        wrong += !(std::abs(actual[i] - expected[i]) <=
                   tolerance * (k.result == DataType::Float16 ? std::abs(expected[i]) : 0) +
                       2e-6 * magnitude[i] + 1e-7);
    CHECK(wrong == 0);
    conforms("MatrixMultiplication", Aspect::Forward);
    if (k.left == DataType::Float16) conforms("MatrixMultiplication", Aspect::Half);
}

const auto half = DataType::Float16;

} // namespace

TEST_CASE("products of matrices equal the reference in every form") {
    check({16, 16, 16});
    check({1, 1, 1});
    check({5, 7, 3});
    check({33, 66, 129, false, false, 2, 0.5});
    check({33, 66, 129, true, false, -1, 0});
    check({33, 66, 129, false, true, 1, 1});
    check({34, 65, 18, true, true, 0.5, 2});
    check({20, 12, 8, false, false, 1, 0, 3, 4});
    check({7, 9, 5, true, true, 1, 1, 2, 3});
    check({18, 20, 36, false, false, 1, 0, 1, 0, half, half, half});
    check({17, 19, 35, true, false, 1, 0.5, 2, 1, half, DataType::Float32, half});
    check({17, 19, 35, false, true, 1, 0, 1, 0, DataType::Float32, half, DataType::Float32});
}

TEST_CASE("a product through shared memory equals the reference") {
    const Environment direct("MPSVK_DISABLE", "direct_tile");
    check({70, 66, 37, false, false, 2, 0.5});
    check({65, 130, 18, true, true, 1, 0, 2, 4, half, half, half});
    // So many matrices have the larger tiles.
    check({70, 66, 20, true, false, 1, 0.5, 132});
    check({144, 36, 16, false, true, 1, 0, 132});
}

TEST_CASE("a product through little shared memory equals the reference") {
    const Environment little("MPSVK_DISABLE", "direct_tile,large_shared_memory");
    check({70, 66, 37, false, true, 2, 0.5});
    check({40, 36, 16, false, true, 1, 0, 132});
    check({33, 36, 1024, true, false}); // in parts
}

TEST_CASE("a product of halves in whole chunks equals the reference") {
    for (const bool left : {false, true})
        for (const bool right : {false, true}) {
            check({136, 144, 72, left, right, 2, 0, 1, 0, half, half, DataType::Float32});
            check({72, 200, 40, left, right, 1, 0.5, 2, 8, half, half, half});
            check({64, 72, 1048, left, right, -1, 1, 1, 0, half, half, DataType::Float32});
        }
}

TEST_CASE("a product reads and writes within its origins and batch range only") {
    const Values a = randomValues(3 * 6 * 8, 4, DataType::Float32), c(3 * 7 * 9, 12288);
    const auto left = matrixOf(a, 6, 8, DataType::Float32, 0, 3);
    const auto result = matrixOf(c, 7, 9, DataType::Float32, 2, 3);
    MPS::MatrixMultiplication product(testDevice(), 2, 3, 4);
    product.setLeftMatrixOrigin({1, 3, 0});
    product.setRightMatrixOrigin({2, 5, 0});
    product.setResultMatrixOrigin({4, 1, 0});
    product.setBatchStart(1);
    product.setBatchSize(1);
    run([&](const MTL::CommandBuffer& commands) { product.encode(commands, left, left, result); });
    Values expected = c;
    for (size_t i = 0; i < 2; ++i)
        for (size_t j = 0; j < 3; ++j) {
            double sum = 0;
            for (size_t q = 0; q < 4; ++q)
                sum += a[48 + (1 + i) * 8 + 3 + q] * a[48 + (2 + q) * 8 + 5 + j];
            expected[63 + (4 + i) * 9 + 1 + j] = sum;
        }
    CHECK(reference::compare(valuesOf(result), expected, {1e-9, 1e-6}));
}

TEST_CASE("with beta 0 a product does not look at what was there") {
    const auto one = matrixOf({1, 2, 3, 4}, 2, 2);
    const auto result = matrixOf(Values(4, std::numeric_limits<double>::quiet_NaN()), 2, 2);
    MPS::MatrixMultiplication product(testDevice(), 2, 2, 2);
    run([&](const MTL::CommandBuffer& commands) { product.encode(commands, one, one, result); });
    CHECK(valuesOf(result) == Values{7, 10, 15, 22});
}

TEST_CASE("products of a matrix and a vector equal the reference") {
    for (const auto type : {DataType::Float32, half})
        for (const bool transpose : {false, true})
            for (const auto& [rows, columns] :
                 {std::pair<size_t, size_t>{5, 3}, {70, 601}, {130, 1}}) {
                const Values a = randomValues(rows * columns, 5, type),
                             x = randomValues(columns, 6, type), y = randomValues(rows, 7, type);
                Values expected(rows);
                for (size_t i = 0; i < rows; ++i) {
                    double sum = 0;
                    for (size_t j = 0; j < columns; ++j)
                        sum += a[transpose ? j * rows + i : i * columns + j] * x[j];
                    expected[i] = 2 * sum - y[i];
                }
                const auto matrix = transpose ? matrixOf(a, columns, rows, type, 3)
                                              : matrixOf(a, rows, columns, type, 3);
                const auto result = vectorOf(y, type);
                MPS::MatrixVectorMultiplication product(testDevice(), transpose, rows, columns, 2,
                                                        -1);
                run([&](const MTL::CommandBuffer& commands) {
                    product.encode(commands, matrix, vectorOf(x, type), result);
                });
                INFO(rows << "x" << columns << " transposed " << transpose);
                CHECK(reference::compare(valuesOf(result), expected, {type == half ? 1e-3 : 1e-6}));
                conforms("MatrixVectorMultiplication", Aspect::Forward);
                if (type == half) conforms("MatrixVectorMultiplication", Aspect::Half);
            }
}

TEST_CASE("products refuse operands that do not fit, with a sentence") {
    const auto m = matrixOf(Values(12), 3, 4), n = matrixOf(Values(20), 4, 5),
               r = matrixOf(Values(15), 3, 5);
    MPS::MatrixMultiplication product(testDevice(), 3, 5, 4);
    product.setLabel("p");
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] { product.encode(commands, MPS::Matrix(), n, r); }) ==
              "[MatrixMultiplication \"p\"] leftMatrix is empty.");
        CHECK(
            refused([&] { product.encode(commands, n, m, r); }) ==
            "[MatrixMultiplication \"p\"] rightMatrix has 3 rows and 4 columns from its origin on "
            "but 4 and 5 are needed.");
        CHECK(
            refused([&] { product.encode(commands, m, n, m); }) ==
            "[MatrixMultiplication \"p\"] resultMatrix has 3 rows and 4 columns from its origin on "
            "but 3 and 5 are needed.");
        MPS::MatrixMultiplication square(testDevice(), 3, 3, 3);
        CHECK(refused([&] { square.encode(commands, m, n, m); }) ==
              "[MatrixMultiplication] resultMatrix overlaps leftMatrix in memory; the kernel does "
              "not work in place.");
        square.setLeftMatrixOrigin({0, 0, 1});
        CHECK(refused([&] { square.encode(commands, m, n, r); }) ==
              "[MatrixMultiplication] The origin in leftMatrix is row 0, column 0, depth 1 but it "
              "has 3 rows, 4 columns and no depth.");
        const MPS::Matrix whole(testDevice(), MPS::MatrixDescriptor(3, 4, 16, DataType::Int32));
        CHECK(refused([&] { product.encode(commands, whole, n, r); }) ==
              "[MatrixMultiplication \"p\"] leftMatrix has the dataType Int32 but must be "
              "Float32 or Float16.");
        product.setBatchStart(1);
        CHECK(refused([&] { product.encode(commands, m, n, r); }) ==
              "[MatrixMultiplication \"p\"] batchStart is 1 but leftMatrix has 1 matrices.");
        MPS::TemporaryMatrix temporary(commands,
                                       MPS::MatrixDescriptor(3, 4, 16, DataType::Float32));
        MPS::MatrixMultiplication(testDevice(), 3, 5, 4).encode(commands, temporary, n, r);
        CHECK(temporary.readCount() == 0);
    });
    const uint64_t many = 65536;
    const MPS::Matrix matrices(testDevice(),
                               MPS::MatrixDescriptor(1, 1, many, 4, 4, DataType::Float32));
    const MPS::VectorDescriptor ones(1, many, 4, DataType::Float32);
    const MPS::Vector vectors(testDevice(), ones), results(testDevice(), ones);
    run([&](const MTL::CommandBuffer& commands) {
        for (const bool transpose : {false, true}) {
            MPS::MatrixVectorMultiplication scale(testDevice(), transpose, 1, 1, 1, 0);
            CHECK(refused([&] { scale.encode(commands, matrices, vectors, results); }) ==
                  "[MatrixVectorMultiplication] The batch has 65536 matrices but may have at most "
                  "65535.");
            scale.setBatchSize(many - 1);
            scale.encode(commands, matrices, vectors, results);
            MPS::MatrixVectorMultiplication wide(testDevice(), transpose, 1, 2, 1, 0);
            const std::string who = "[MatrixVectorMultiplication] ";
            CHECK(refused([&] {
                      wide.encode(commands, matrices, vectors, results);
                  }).starts_with(who + "inputMatrix "));
            CHECK(refused([&] {
                      scale.encode(commands, matrices, MPS::Vector(), results);
                  }).starts_with(who + "inputVector "));
            CHECK(refused([&] {
                      scale.encode(commands, matrices, vectors, vectors);
                  }).starts_with(who + "resultVector "));
        }
    });
    conforms("MatrixMultiplication", Aspect::Misuse);
    conforms("MatrixVectorMultiplication", Aspect::Misuse);
    CHECK(refused([] { MPS::MatrixMultiplication(testDevice(), 1, 0, 1); }) ==
          "[MatrixMultiplication] A size is 0 but each must be at least 1.");
}
