#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"
#include "support/reference/Neuron.hpp"

#include <mpsvk/MPS/MatrixSum.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

MPS::MatrixSum withProperties() {
    MPS::MatrixSum kernel(testDevice(), 2, 3, 4, true);
    kernel.setNeuronType(MPS::CNNNeuronType::ELU, 0.5f);
    kernel.setResultMatrixOrigin({1, 2, 0});
    return kernel;
}
[[maybe_unused]] const bool named = everyOther(withProperties);

const auto half = DataType::Float16;

MPS::Vector words(const std::vector<uint32_t>& values) {
    return MPS::Vector(testDevice().newBuffer(std::as_bytes(std::span(values))),
                       MPS::VectorDescriptor(values.size(), DataType::UInt32));
}

struct Sum {
    size_t count, rows, columns;
    bool transpose = false, scaled = false, placed = false, biased = false;
    DataType type = DataType::Float32;
    size_t matrices = 1, padding = 0;
    MPS::CNNNeuronType neuron = MPS::CNNNeuronType::None;
    uint64_t startIndex = 0;
};

void check(const Sum& k) {
    INFO(k.count << " matrices of " << k.rows << "x" << k.columns << " transposed " << k.transpose
                 << " scaled " << k.scaled << " placed " << k.placed << " biased " << k.biased
                 << " type " << uint32_t(k.type) << " neuron " << int(k.neuron));
    // Placed sources are larger, and the last one ends too early.
    const size_t all = k.startIndex + k.count, more = k.placed ? 5 : 0;
    const size_t rows = k.rows + more, columns = k.columns + more;
    std::vector<uint32_t> offsets(2 * all);
    if (k.placed)
        for (size_t i = 0; i < all; ++i) {
            offsets[2 * i] = uint32_t(i % 4);
            offsets[2 * i + 1] = uint32_t(i * 3 % 8);
        }
    if (k.placed) offsets.back() = 4000000000u;
    const Values scale = randomValues(all, 2, DataType::Float32);
    const Inset result{.rows = k.transpose ? k.columns : k.rows,
                       .columns = k.transpose ? k.rows : k.columns,
                       .type = k.type,
                       .origin = {1, 4, 0},
                       .below = 1,
                       .right = 1,
                       .padding = k.padding,
                       .matrices = k.matrices};
    const Values bias = randomValues(result.columns, 3, k.type);
    std::vector<MPS::Matrix> sources;
    Values expected(result.size()), terms(result.size());
    for (size_t s = 0; s < k.count; ++s) {
        // Every other source is of the other type.
        const auto type = s % 2 ? half : DataType::Float32;
        const Values x = randomValues(k.matrices * rows * columns, 10 + s, type);
        sources.push_back(matrixOf(x, rows, columns, type, k.padding, k.matrices));
        for (size_t m = 0; m < k.matrices; ++m)
            for (size_t i = 0; i < k.rows; ++i)
                for (size_t j = 0; j < k.columns; ++j) {
                    const size_t row = i + offsets[2 * (k.startIndex + s)],
                                 column = j + offsets[2 * (k.startIndex + s) + 1];
                    if (row >= rows || column >= columns) continue;
                    const double term = (k.scaled ? scale[k.startIndex + s] : 1) *
                                        x[(m * rows + row) * columns + column];
                    const size_t at =
                        m * k.rows * k.columns + (k.transpose ? j * k.rows + i : i * k.columns + j);
                    expected[at] += term;
                    terms[at] += std::abs(term);
                }
    }
    const reference::Neuron neuron{reference::NeuronType(int(k.neuron)), 0.25};
    for (size_t i = 0; i < expected.size(); ++i)
        expected[i] =
            reference::value(neuron, expected[i] + (k.biased ? bias[i % result.columns] : 0.0), 0);

    MPS::MatrixSum kernel(testDevice(), k.count, k.rows, k.columns, k.transpose);
    kernel.setNeuronType(k.neuron, 0.25f);
    kernel.setResultMatrixOrigin(result.origin);
    const MPS::Matrix y = result.matrix();
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, sources, y,
                      k.scaled ? vectorOf(scale, DataType::Float32) : MPS::Vector(),
                      k.placed ? words(offsets) : MPS::Vector(),
                      k.biased ? vectorOf(bias, k.type) : MPS::Vector(), k.startIndex);
    });
    CHECK(result.isWholeAround(y));
    const Values actual = result.part(y);
    size_t wrong = 0;
    for (size_t i = 0; i < actual.size(); ++i)
        wrong += !(std::abs(actual[i] - expected[i]) <=
                   2e-6 * (terms[i] + 1) + (k.type == half ? 6e-4 * std::abs(expected[i]) : 0));
    CHECK(wrong == 0);
    conforms("MatrixSum", Aspect::Forward);
    if (k.type == half) conforms("MatrixSum", Aspect::Half);
}

} // namespace

TEST_CASE("sums of matrices equal the reference in every form") {
    const auto relu = MPS::CNNNeuronType::ReLU;
    check({.count = 1, .rows = 1, .columns = 1});
    check({.count = 2, .rows = 5, .columns = 7});
    check({.count = 3, .rows = 34, .columns = 40, .transpose = true, .type = half});
    check({.count = 3, .rows = 5, .columns = 36, .scaled = true, .placed = true, .startIndex = 2});
    check({.count = 3,
           .rows = 9,
           .columns = 6,
           .transpose = true,
           .scaled = true,
           .placed = true,
           .biased = true,
           .type = half,
           .matrices = 2,
           .padding = 1,
           .neuron = relu});
    check({.count = 2,
           .rows = 33,
           .columns = 65,
           .biased = true,
           .padding = 2,
           .neuron = relu,
           .startIndex = 3});
}

TEST_CASE("sums of more matrices than a dispatch takes equal the reference") {
    check({.count = 19,
           .rows = 6,
           .columns = 7,
           .transpose = true,
           .scaled = true,
           .placed = true,
           .biased = true,
           .type = half,
           .matrices = 2,
           .startIndex = 1});
}

TEST_CASE("a sum of matrices gives the same bits again") {
    const auto a = matrixOf(randomValues(90, 1, half), 9, 10, half),
               b = matrixOf(randomValues(90, 2, half), 9, 10, half);
    MPS::MatrixSum kernel(testDevice(), 3, 9, 10, false);
    std::vector<Values> all;
    for (int time = 0; time < 2; ++time) {
        const auto y = matrixOf(Values(90), 9, 10);
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encode(commands, {a, b, a}, y, {}, {}, {}, 0);
        });
        all.push_back(valuesOf(y));
    }
    CHECK(all[0] == all[1]);
}

TEST_CASE("sums of matrices refuse operands that do not fit, with a sentence") {
    const auto m = matrixOf(Values(12), 3, 4), small = matrixOf(Values(9), 3, 3);
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    MPS::MatrixSum kernel(testDevice(), 2, 3, 4, false);
    kernel.setLabel("s");
    const std::string who = "[MatrixSum \"s\"] ";
    const MPS::Vector none, two = vectorOf(Values(2), DataType::Float32);
    run([&](const MTL::CommandBuffer& commands) {
        const auto y = matrixOf(Values(12), 3, 4);
        CHECK(refused([&] { kernel.encode(commands, {m}, y, none, none, none, 0); }) ==
              who + "There are 1 sourceMatrices but count is 2.");
        CHECK(refused([&] {
                  kernel.encode(commands, {m, small}, y, none, none, none, 0);
              }) == who + "One of sourceMatrices has 3 rows and 3 columns from its "
                          "origin on but 3 and 4 "
                          "are needed.");
        CHECK(refused([&] {
                  kernel.encode(commands, {m, m}, small, none, none, none, 0);
              }) == who + "resultMatrix has 3 rows and 3 columns from its origin "
                          "on but 3 and 4 are "
                          "needed.");
        CHECK(refused([&] {
                  kernel.encode(commands, {m, y}, y, none, none, none, 0);
              }) == who + "resultMatrix overlaps One of sourceMatrices in memory; "
                          "the kernel does not "
                          "work in place.");
        CHECK(refused([&] {
                  kernel.encode(commands, {m, m}, y, two, none, none, 1);
              }) == who + "scaleVector has 1 rows and 2 columns from its origin on "
                          "but 1 and 3 are "
                          "needed.");
        CHECK(refused([&] {
                  kernel.encode(commands, {m, m}, y, vectorOf(Values(2), half), none, none, 0);
              }) == who + "scaleVector has the dataType Float16 but must be Float32.");
        CHECK(refused([&] {
                  kernel.encode(commands, {m, m}, y, none, two, none, 0);
              }) == who + "offsetVector has the dataType Float32 but must be UInt32.");
        CHECK(refused([&] {
                  kernel.encode(commands, {m, m}, y, none, none, two, 0);
              }) == who + "biasVector has 1 rows and 2 columns from its origin on "
                          "but 1 and 4 are "
                          "needed.");
        kernel.setNeuronType(MPS::CNNNeuronType::PReLU);
        CHECK(refused([&] {
                  kernel.encode(commands, {m, m}, y, none, none, none, 0);
              }) == who + "neuronType is PReLU but this kernel has no slopes for it.");
        kernel.setNeuronType(MPS::CNNNeuronType::None);
        MPS::TemporaryMatrix temporary(commands,
                                       MPS::MatrixDescriptor(3, 4, 16, DataType::Float32));
        CHECK(refused([&] {
                  kernel.encode(commands, {temporary, temporary}, small, none, none, none, 0);
              }).starts_with(who));
        CHECK(temporary.readCount() == 1);
        kernel.encode(commands, {temporary, temporary}, y, none, none, none, 0);
        CHECK(temporary.readCount() == 0);
    });
    CHECK(refused([] { MPS::MatrixSum(testDevice(), 0, 1, 1, false); }) ==
          "[MatrixSum] A size is 0 but each must be at least 1.");
    conforms("MatrixSum", Aspect::Misuse);
}
