#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"
#include "support/reference/SoftMax.hpp"

#include <mpsvk/MPS/MatrixSoftMax.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>
#include <memory>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;
using reference::Tensor;

namespace {

template <class Kernel> Kernel withSizes() {
    Kernel kernel(testDevice());
    kernel.setSourceRows(7);
    kernel.setSourceColumns(9);
    kernel.setResultMatrixOrigin({1, 2, 0});
    kernel.setBatchStart(3);
    return kernel;
}
[[maybe_unused]] const bool named = everyOther(withSizes<MPS::MatrixSoftMax>) &&
                                    everyOther(withSizes<MPS::MatrixLogSoftMax>) &&
                                    everyOther(withSizes<MPS::MatrixSoftMaxGradient>) &&
                                    everyOther(withSizes<MPS::MatrixLogSoftMaxGradient>);

const auto half = DataType::Float16;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double notNumber = std::numeric_limits<double>::quiet_NaN();

std::unique_ptr<MPS::MatrixSoftMax> forwardOf(bool logarithm) {
    if (logarithm) return std::make_unique<MPS::MatrixLogSoftMax>(testDevice());
    return std::make_unique<MPS::MatrixSoftMax>(testDevice());
}

std::unique_ptr<MPS::MatrixSoftMaxGradient> gradientOf(bool logarithm) {
    if (logarithm) return std::make_unique<MPS::MatrixLogSoftMaxGradient>(testDevice());
    return std::make_unique<MPS::MatrixSoftMaxGradient>(testDevice());
}

Tensor rowsOf(const Values& values, size_t columns) {
    return Tensor(1, values.size() / columns, 1, columns, values);
}

Values expectedOf(bool logarithm, const Values& x, size_t columns) {
    const Tensor rows = rowsOf(x, columns);
    return (logarithm ? reference::logSoftMax(rows) : reference::softMax(rows)).v;
}

Values referenceGradient(bool logarithm, const Values& g, const Values& y, size_t columns) {
    const Tensor a = rowsOf(g, columns), b = rowsOf(y, columns);
    return (logarithm ? reference::logSoftMaxGradient(a, b) : reference::softMaxGradient(a, b)).v;
}

Values encoded(bool logarithm, const Inset& at, const Values& x) {
    const auto kernel = forwardOf(logarithm);
    kernel->setSourceRows(at.rows);
    kernel->setSourceColumns(at.columns);
    kernel->setSourceMatrixOrigin(at.origin);
    kernel->setResultMatrixOrigin(at.origin);
    const MPS::Matrix source = at.matrix(x), result = at.matrix();
    run([&](const MTL::CommandBuffer& commands) { kernel->encode(commands, source, result); });
    CHECK(at.isWholeAround(result));
    return at.part(result);
}

Values encodedGradient(bool logarithm, const Inset& at, const Values& g, const Values& y) {
    const auto kernel = gradientOf(logarithm);
    kernel->setSourceRows(at.rows);
    kernel->setSourceColumns(at.columns);
    kernel->setPrimarySourceMatrixOrigin(at.origin);
    kernel->setSecondarySourceMatrixOrigin(at.origin);
    kernel->setResultMatrixOrigin(at.origin);
    const MPS::Matrix gradient = at.matrix(g), forward = at.matrix(y), result = at.matrix();
    run([&](const MTL::CommandBuffer& commands) {
        kernel->encode(commands, gradient, forward, result);
    });
    CHECK(at.isWholeAround(result));
    return at.part(result);
}

void check(const Inset& at) {
    for (const bool logarithm : {false, true}) {
        INFO(at.rows << "x" << at.columns << " from " << at.origin.x << ", " << at.origin.y
                     << " padding " << at.padding << " matrices " << at.matrices << " type "
                     << uint32_t(at.type) << " logarithm " << logarithm);
        const Values x = randomValues(at.size(), 1, at.type, -4, 4);
        const Values g = randomValues(at.size(), 2, at.type);
        const Values y =
            reference::rounded(expectedOf(logarithm, x, at.columns), storageOf(at.type));
        const Values expected = expectedOf(logarithm, x, at.columns);
        const Values expectedGradient = referenceGradient(logarithm, g, y, at.columns);
        // Rounding errors are in proportion to the terms.
        Tensor size = rowsOf(expected, at.columns), terms = size;
        for (size_t first = 0; first < size.size(); first += at.columns) {
            double sum = 0;
            for (size_t i = first; i < first + at.columns; ++i)
                sum += std::abs(logarithm ? g[i] : g[i] * y[i]);
            for (size_t i = first; i < first + at.columns; ++i) {
                size.v[i] = std::abs(expected[i]) + (logarithm ? 1 : 0);
                terms.v[i] = logarithm ? std::abs(g[i]) + std::exp(y[i]) * sum
                                       : y[i] * (std::abs(g[i]) + sum);
            }
        }
        const bool isHalf = at.type == half;
        const double relative = isHalf ? 6e-4 : 4e-6, absolute = isHalf ? 6e-8 : 1e-12;
        CHECK(reference::compare(rowsOf(encoded(logarithm, at, x), at.columns),
                                 rowsOf(expected, at.columns), {relative, absolute, &size}));
        CHECK(reference::compare(rowsOf(encodedGradient(logarithm, at, g, y), at.columns),
                                 rowsOf(expectedGradient, at.columns),
                                 {relative, absolute, &terms}));
        const std::string name = logarithm ? "MatrixLogSoftMax" : "MatrixSoftMax";
        conforms(name, Aspect::Forward);
        conforms(name + "Gradient", Aspect::Gradient);
        if (isHalf) {
            conforms(name, Aspect::Half);
            conforms(name + "Gradient", Aspect::Half);
        }
    }
}

} // namespace

TEST_CASE("softmax of matrix rows of every length equals the reference, so does the gradient") {
    for (const auto type : {DataType::Float32, half})
        for (const uint64_t columns : {1, 3, 8, 10, 36, 130, 1000})
            check({.rows = 5, .columns = columns, .type = type});
    check({.rows = 3000, .columns = 10});
    check({.rows = 700, .columns = 11, .type = half});
}

TEST_CASE("softmax of long matrix rows equals the reference") {
    check({.rows = 2, .columns = 16384});
    check({.rows = 2, .columns = 17003});
    check({.rows = 2, .columns = 50000, .type = half});
}

TEST_CASE("softmax of matrix rows in registers equals the reference") {
    const Environment cached("MPSVK_DISABLE", "cached_rows");
    check({.rows = 9, .columns = 1000});
    check({.rows = 3, .columns = 514, .type = half});
    check({.rows = 5, .columns = 1000, .type = half});
    check({.rows = 2, .columns = 20000, .type = half});
    check({.rows = 2, .columns = 5001});
}

TEST_CASE("softmax of matrices reads and writes within origins, sizes and batches only") {
    for (const auto type : {DataType::Float32, half}) {
        check({.rows = 4, .columns = 8, .type = type, .origin = {1, 4, 0}, .below = 2, .right = 4});
        check({.rows = 3,
               .columns = 9,
               .type = type,
               .origin = {2, 3, 0},
               .below = 1,
               .right = 2,
               .padding = 3,
               .matrices = 3});
        check({.rows = 3,
               .columns = 301,
               .type = type,
               .origin = {0, 1, 0},
               .right = 3,
               .padding = 1,
               .matrices = 2});
        check({.rows = 3, .columns = 302, .type = type, .origin = {0, 2, 0}, .right = 2});
    }
    const Inset at{.rows = 2, .columns = 3, .matrices = 4};
    const Values x = randomValues(at.size(), 3, at.type);
    const MPS::Matrix result = at.matrix();
    MPS::MatrixSoftMax kernel(testDevice());
    kernel.setBatchStart(1);
    kernel.setBatchSize(2);
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, at.matrix(x), result); });
    Values expected = expectedOf(false, x, 3);
    for (size_t i = 0; i < 6; ++i) expected[i] = expected[18 + i] = Inset::margin;
    CHECK(reference::compare(at.part(result), expected, {1e-9, 1e-6}));
}

TEST_CASE("softmax of matrices has no overflow and is NaN where the formula is") {
    for (const auto type : {DataType::Float32, half}) {
        const Inset at{.rows = 7, .columns = 5, .type = type};
        const Values x{1e4,       -1e4,      9999,      0,         1e4,       //
                       -1e4,      -1e4,      -1e4,      -1e4,      -1e4,      //
                       1,         notNumber, 2,         3,         4,         //
                       1,         infinity,  2,         3,         4,         //
                       -infinity, 1,         1,         -infinity, -infinity, //
                       -infinity, -infinity, -infinity, -infinity, -infinity, //
                       0,         0,         0,         0,         0};
        const Values stored = reference::rounded(x, storageOf(type));
        Values softMax = expectedOf(false, stored, 5), logSoftMax = expectedOf(true, stored, 5);
        for (const size_t row : {2, 3, 5})
            for (size_t j = 0; j < 5; ++j)
                softMax[row * 5 + j] = logSoftMax[row * 5 + j] = notNumber;
        CHECK(logSoftMax[20] == -infinity);
        const double tolerance = type == half ? 1e-3 : 1e-6;
        CHECK(reference::compare(encoded(false, at, stored), softMax, {0, tolerance}));
        const Values logarithms = encoded(true, at, stored);
        CHECK(reference::compare(logarithms, logSoftMax, {tolerance}));
        CHECK(encoded(false, at, stored)[1] == 0);

        // A gradient of a row with 0 and -infinity as logarithms: probabilities 1 and 0.
        const Inset two{.rows = 2, .columns = 2, .type = type};
        const Values dx = encodedGradient(true, two, {1, 2, 1, notNumber}, {0, -infinity, 0, -1});
        CHECK(Values(dx.begin(), dx.begin() + 2) == Values{-2, 2});
        CHECK((std::isnan(dx[2]) && std::isnan(dx[3])));
    }
}

TEST_CASE("softmax gradients of matrices are the derivatives of the forward kernels") {
    const Inset at{.rows = 3, .columns = 6};
    const Values x = randomValues(at.size(), 4, at.type, -2, 2);
    const Values g = randomValues(at.size(), 5, at.type);
    for (const bool logarithm : {false, true}) {
        const auto f = [&](const Values& v) {
            const Values y = encoded(logarithm, at, v);
            double sum = 0;
            for (size_t i = 0; i < y.size(); ++i) sum += y[i] * g[i];
            return sum;
        };
        const Values dx = encodedGradient(logarithm, at, g, encoded(logarithm, at, x));
        CHECK(reference::checkGradient(f, x, dx, {.step = 1e-2, .tolerance = 1e-3}));
    }
}

TEST_CASE("softmax of matrices works in place, in mixed types and to the same bits again") {
    const size_t rows = 40, columns = 1001;
    for (const bool logarithm : {false, true}) {
        const Values x = randomValues(rows * columns, 6, half, -3, 3);
        const Values g = randomValues(rows * columns, 7, DataType::Float32);
        const auto forward = forwardOf(logarithm);
        const auto gradient = gradientOf(logarithm);
        std::vector<Values> all;
        for (int time = 0; time < 2; ++time) {
            const auto y = matrixOf(x, rows, columns), dx = matrixOf(g, rows, columns);
            run([&](const MTL::CommandBuffer& commands) {
                forward->encode(commands, y, y);
                gradient->encode(commands, dx, y, dx);
            });
            all.push_back(valuesOf(y));
            all.push_back(valuesOf(dx));
        }
        CHECK(all[2] == all[0]);
        CHECK(all[3] == all[1]);
        const auto y = matrixOf(x, rows, columns), dx = matrixOf(g, rows, columns);
        run([&](const MTL::CommandBuffer& commands) {
            forward->encode(commands, matrixOf(x, rows, columns, half), y);
            gradient->encode(commands, matrixOf(g, rows, columns), y, dx);
        });
        CHECK(reference::compare(valuesOf(y), all[0], {1e-6}));
        CHECK(reference::compare(valuesOf(dx), all[1], {1e-5}));
    }
}

TEST_CASE("softmax of matrices refuses operands that do not fit, with a sentence") {
    const auto m = matrixOf(Values(12), 3, 4), small = matrixOf(Values(9), 3, 3);
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    for (const bool logarithm : {false, true}) {
        const auto forward = forwardOf(logarithm);
        const auto gradient = gradientOf(logarithm);
        forward->setLabel("s");
        const std::string name = logarithm ? "MatrixLogSoftMax" : "MatrixSoftMax",
                          who = "[" + name + " \"s\"] ", back = "[" + name + "Gradient] ";
        run([&](const MTL::CommandBuffer& commands) {
            CHECK(refused([&] { forward->encode(commands, MPS::Matrix(), m); }) ==
                  who + "inputMatrix is empty.");
            CHECK(refused([&] { forward->encode(commands, m, small); }) ==
                  who + "resultMatrix has 3 rows and 3 columns from its origin on but 3 and 4 are "
                        "needed.");
            CHECK(refused([&] { gradient->encode(commands, m, MPS::Matrix(), m); }) ==
                  back + "forwardOutputMatrix is empty.");
            CHECK(refused([&] { gradient->encode(commands, m, m, small); }) ==
                  back + "resultMatrix has 3 rows and 3 columns from its origin on but 3 and 4 are "
                         "needed.");
            forward->setSourceRows(2);
            forward->setSourceMatrixOrigin({1, 0, 0});
            CHECK(refused([&] { forward->encode(commands, m, m); }) ==
                  who + "resultMatrix overlaps inputMatrix in memory; the kernel does not work in "
                        "place.");
            forward->setSourceRows(0);
            CHECK(refused([&] { forward->encode(commands, m, small); }) ==
                  who + "sourceRows is 0 but must be at least 1.");
            gradient->setSourceColumns(0);
            CHECK(refused([&] { gradient->encode(commands, m, m, small); }) ==
                  back + "sourceColumns is 0 but must be at least 1.");
            gradient->setSourceColumns(3);
            MPS::TemporaryMatrix temporary(commands,
                                           MPS::MatrixDescriptor(3, 4, 16, DataType::Float32));
            temporary.setReadCount(2);
            CHECK(refused([&] {
                      gradient->encode(commands, temporary, temporary, MPS::Matrix());
                  }).starts_with(back));
            CHECK(temporary.readCount() == 2);
            gradient->encode(commands, temporary, temporary, small);
            CHECK(temporary.readCount() == 1);
        });
        conforms(name, Aspect::Misuse);
        conforms(name + "Gradient", Aspect::Misuse);
    }
}
