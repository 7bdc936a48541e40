#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"
#include "support/reference/Neuron.hpp"

#include <mpsvk/MPS/MatrixNeuron.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <set>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::CNNNeuronType;
using MPS::DataType;
using reference::Tensor;

namespace {

template <class Kernel> Kernel withProperties() {
    Kernel kernel(testDevice());
    kernel.setSourceNumberOfFeatureVectors(7);
    kernel.setSourceInputFeatureChannels(2);
    kernel.setAlpha(0.5);
    kernel.setNeuronToPReLU(std::vector<float>{0.5f, -2});
    kernel.setBatchSize(3);
    return kernel;
}
[[maybe_unused]] const bool named = everyOther(withProperties<MPS::MatrixNeuron>) &&
                                    everyOther(withProperties<MPS::MatrixNeuronGradient>);

const auto half = DataType::Float16;

struct Layer {
    Inset at;
    reference::Neuron neuron;
    double alpha = 1;
    Values bias = {}; ///< one for all matrices, or one for each; empty: none

    double input(const Values& x, size_t i) const {
        const size_t perMatrix = at.rows * at.columns, column = i % at.columns;
        if (bias.empty()) return alpha * x[i];
        return alpha * x[i] +
               bias[(bias.size() > at.columns ? i / perMatrix * at.columns : 0) + column];
    }
    double value(const Values& x, size_t i) const {
        return reference::value(neuron, input(x, i), i % at.columns);
    }
    double slope(const Values& x, size_t i) const {
        return reference::derivative(neuron, input(x, i), i % at.columns);
    }
    template <class Kernel> void set(Kernel& kernel) const {
        kernel.setSourceNumberOfFeatureVectors(at.rows);
        kernel.setSourceInputFeatureChannels(at.columns);
        kernel.setResultMatrixOrigin(at.origin);
        kernel.setAlpha(alpha);
        if (neuron.type == reference::NeuronType::PReLU)
            kernel.setNeuronToPReLU(std::vector<float>(neuron.slopes.begin(), neuron.slopes.end()));
        else
            kernel.setNeuronType(CNNNeuronType(int(neuron.type)), float(neuron.a), float(neuron.b),
                                 float(neuron.c));
    }
    MPS::Vector vector(const Values& values) const {
        if (values.empty()) return {};
        const size_t count = values.size() / at.columns, each = at.columns + 1;
        const MPS::Vector made(
            testDevice(), MPS::VectorDescriptor(at.columns, count,
                                                each * MPS::bytesPerElement(at.type), at.type));
        made.write(std::vector<float>(values.begin(), values.end()));
        return made;
    }
};

Values forward(const Layer& k, const Values& x) {
    MPS::MatrixNeuron kernel(testDevice());
    k.set(kernel);
    kernel.setSourceMatrixOrigin(k.at.origin);
    const MPS::Matrix source = k.at.matrix(x), result = k.at.matrix();
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, source, k.vector(k.bias), result);
    });
    CHECK(k.at.isWholeAround(result));
    return k.at.part(result);
}

struct Gradients {
    Values x, bias;
};

/// `biases`: how many vectors the gradient of the bias is, 0 for none.
Gradients backward(const Layer& k, const Values& g, const Values& x, size_t biases) {
    MPS::MatrixNeuronGradient kernel(testDevice());
    k.set(kernel);
    kernel.setPrimarySourceMatrixOrigin(k.at.origin);
    kernel.setSecondarySourceMatrixOrigin(k.at.origin);
    const MPS::Matrix gradient = k.at.matrix(g), source = k.at.matrix(x), result = k.at.matrix();
    const MPS::Vector biasGradient = k.vector(Values(biases * k.at.columns, 7));
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, gradient, source, k.vector(k.bias), result, biasGradient);
    });
    CHECK(k.at.isWholeAround(result));
    return {k.at.part(result), biases ? valuesOf(biasGradient) : Values()};
}

void check(const Layer& k) {
    const Inset& at = k.at;
    INFO("type " << int(k.neuron.type) << " of " << at.rows << "x" << at.columns << " padding "
                 << at.padding << " matrices " << at.matrices << " element " << uint32_t(at.type)
                 << " alpha " << k.alpha << " bias " << k.bias.size());
    // Powers and logarithms are of positive numbers.
    const Values x = randomValues(at.size(), 1, at.type, -2, 2);
    const Values g = randomValues(at.size(), 2, at.type);
    const bool isHalf = at.type == half;
    const double relative = isHalf ? 6e-4 : 4e-6, absolute = isHalf ? 2e-7 : 1e-6;
    Values y(at.size()), dx = y, size = y;
    for (size_t i = 0; i < y.size(); ++i) {
        y[i] = k.value(x, i);
        dx[i] = k.alpha * g[i] * k.slope(x, i);
    }
    const auto compared = [&](const Values& actual, const Values& expected) {
        const Tensor magnitude(1, 1, expected.size(), 1, reference::absolute(expected));
        return reference::compare(Tensor(1, 1, actual.size(), 1, actual),
                                  Tensor(1, 1, expected.size(), 1, expected),
                                  {relative, absolute, &magnitude});
    };
    CHECK(compared(forward(k, x), y));
    CHECK(compared(backward(k, g, x, 0).x, dx));
    for (const size_t biases : std::set<size_t>{1, at.matrices}) {
        const Gradients made = backward(k, g, x, biases);
        CHECK(compared(made.x, dx));
        Values sums(biases * at.columns), terms = sums;
        for (size_t i = 0; i < y.size(); ++i) {
            const size_t matrix = i / (at.rows * at.columns);
            const size_t j = (biases > 1 ? matrix * at.columns : 0) + i % at.columns;
            sums[j] += g[i] * k.slope(x, i);
            terms[j] += std::abs(g[i] * k.slope(x, i));
        }
        for (size_t j = 0; j < sums.size(); ++j)
            CHECK(std::abs(made.bias[j] - sums[j]) <=
                  4e-6 * terms[j] + (isHalf ? 6e-4 * std::abs(sums[j]) : 0) + absolute);
    }
    conforms("MatrixNeuron", Aspect::Forward);
    conforms("MatrixNeuronGradient", Aspect::Gradient);
    if (isHalf) {
        conforms("MatrixNeuron", Aspect::Half);
        conforms("MatrixNeuronGradient", Aspect::Half);
    }
}

/// Parameters that keep Power and Logarithm where they are defined for inputs in [-3, 3].
reference::Neuron neuronOf(int type, size_t columns) {
    reference::Neuron made{reference::NeuronType(type), 0.25, 0.5, -1};
    using enum reference::NeuronType;
    switch (made.type) {
    case ReLUN: made.b = 1.25; break;
    case Power: made.b = 2.5, made.c = 1.5; break;
    case Logarithm: made.b = 2.5; break;
    case PReLU: made.slopes = randomValues(columns, 9, DataType::Float32); break;
    default: break;
    }
    return made;
}

} // namespace

TEST_CASE("every activation of a matrix and its gradient equal the reference") {
    for (int type = 0; type < 16; ++type)
        check({{.rows = 9, .columns = 6}, neuronOf(type, 6), 1.5, randomValues(6, 3, half, -0, 0)});
}

TEST_CASE("activations of matrices add biases and read and write within their parts only") {
    const auto relu = neuronOf(1, 0), elu = neuronOf(9, 0);
    for (const auto type : {DataType::Float32, half}) {
        const auto bias = [&](size_t count) { return randomValues(count, 3, type); };
        check({{.rows = 5, .columns = 7, .type = type}, relu, 1, bias(7)});
        check({{.rows = 5, .columns = 7, .type = type, .matrices = 3}, elu, 0.5, bias(7)});
        check({{.rows = 5,
                .columns = 8,
                .type = type,
                .origin = {1, 4, 0},
                .below = 1,
                .right = 4,
                .matrices = 2},
               relu,
               1,
               bias(16)});
        check(
            {{.rows = 4, .columns = 9, .type = type, .origin = {0, 3, 0}, .right = 1, .padding = 2},
             neuronOf(10, 9),
             -1,
             bias(9)});
        check({{.rows = 3, .columns = 1, .type = type}, relu, 2});
    }
    check({{.rows = 3, .columns = 5, .matrices = 2}, neuronOf(10, 5), 1});
}

TEST_CASE("the bias gradient of a tall or wide matrix of activations equals the reference") {
    check({{.rows = 3000, .columns = 10}, neuronOf(3, 0), 1, Values(10, 0.25)});
    check({{.rows = 70, .columns = 1030, .type = half}, neuronOf(1, 0), 1, Values(1030, 0.25)});
}

TEST_CASE("the gradient of an activation of matrices is its derivative") {
    Layer k{{.rows = 3, .columns = 4}, neuronOf(15, 0), 0.75};
    k.bias = randomValues(4, 3, DataType::Float32);
    const Values x = randomValues(12, 4, DataType::Float32), g = randomValues(12, 5, k.at.type);
    const auto weighted = [&](const Layer& layer, const Values& v) {
        const Values y = forward(layer, v);
        double sum = 0;
        for (size_t i = 0; i < y.size(); ++i) sum += y[i] * g[i];
        return sum;
    };
    const Gradients made = backward(k, g, x, 1);
    const reference::GradientCheckOptions options{.step = 1e-2, .tolerance = 1e-3};
    CHECK(reference::checkGradient([&](const Values& v) { return weighted(k, v); }, x, made.x,
                                   options));
    const auto ofBias = [&](const Values& b) {
        Layer other = k;
        other.bias = b;
        return weighted(other, x);
    };
    CHECK(reference::checkGradient(ofBias, k.bias, made.bias, options));
}

TEST_CASE("activations of matrices work in place and give the same bits again") {
    MPS::MatrixNeuron kernel(testDevice());
    kernel.setNeuronType(CNNNeuronType::Sigmoid);
    MPS::MatrixNeuronGradient gradient(testDevice());
    gradient.setNeuronType(CNNNeuronType::Sigmoid);
    std::vector<Values> all;
    for (int time = 0; time < 2; ++time) {
        const auto y = matrixOf(randomValues(35 * 600, 1, half), 600, 35, half);
        const auto g = matrixOf(randomValues(35 * 600, 2, half), 600, 35, half);
        const auto db = vectorOf(Values(35), DataType::Float32);
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encode(commands, y, MPS::Vector(), y);
            gradient.encode(commands, g, y, MPS::Vector(), g, db);
        });
        for (const Values& v : {valuesOf(y), valuesOf(g), valuesOf(db)}) all.push_back(v);
    }
    for (size_t i = 0; i < 3; ++i) CHECK(all[3 + i] == all[i]);
    CHECK(std::abs(all[0][1] - 1 / (1 + std::exp(-randomValues(2, 1, half)[1]))) < 1e-3);
}

TEST_CASE("activations of matrices refuse what does not fit, with a sentence") {
    const auto m = matrixOf(Values(12), 3, 4), small = matrixOf(Values(9), 3, 3);
    const auto v = vectorOf(Values(4), half), shortOne = vectorOf(Values(3), half);
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    MPS::MatrixNeuron kernel(testDevice());
    MPS::MatrixNeuronGradient gradient(testDevice());
    kernel.setLabel("n");
    const MPS::Vector none;
    run([&](const MTL::CommandBuffer& commands) {
        const std::string who = "[MatrixNeuron \"n\"] ", back = "[MatrixNeuronGradient] ";
        CHECK(refused([&] { kernel.encode(commands, MPS::Matrix(), none, m); }) ==
              who + "inputMatrix is empty.");
        CHECK(refused([&] { kernel.encode(commands, m, shortOne, m); }) ==
              who + "biasVector has 1 rows and 3 columns from its origin on but 1 and 4 are "
                    "needed.");
        CHECK(refused([&] { gradient.encode(commands, m, m, v, small, none); }) ==
              back + "resultGradientForDataMatrix has 3 rows and 3 columns from its origin on but "
                     "3 and 4 are needed.");
        CHECK(refused([&] { gradient.encode(commands, m, m, v, m, shortOne); }) ==
              back + "resultGradientForBiasVector has 1 rows and 3 columns from its origin on but "
                     "1 and 4 are needed.");
        CHECK(refused([&] { gradient.encode(commands, m, m, v, m, v); }) ==
              back + "resultGradientForBiasVector overlaps biasVector in memory; the kernel does "
                     "not work in place.");
        kernel.setNeuronType(CNNNeuronType::PReLU);
        CHECK(refused([&] { kernel.encode(commands, m, none, m); }) ==
              who + "PReLU needs its slopes in the descriptor's data.");
        kernel.setNeuronToPReLU(std::vector<float>{1, 2});
        CHECK(refused([&] { kernel.encode(commands, m, none, m); }) ==
              who + "PReLU has 2 slopes but 4 feature channels are processed.");
        kernel.setNeuronType(CNNNeuronType::Count);
        CHECK(refused([&] { kernel.encode(commands, m, none, m); }) ==
              who + "neuronType is 16 but types go from 0 to 15.");
        gradient.setSourceInputFeatureChannels(0);
        CHECK(refused([&] { gradient.encode(commands, m, m, v, m, none); }) ==
              back + "sourceInputFeatureChannels is 0 but must be at least 1.");
        gradient.setSourceInputFeatureChannels(3);
        MPS::TemporaryMatrix temporary(commands,
                                       MPS::MatrixDescriptor(3, 4, 16, DataType::Float32));
        CHECK(refused([&] {
                  gradient.encode(commands, temporary, temporary, v, MPS::Matrix(), none);
              }).starts_with(back));
        CHECK(temporary.readCount() == 1);
        gradient.encode(commands, temporary, m, v, small, none);
        CHECK(temporary.readCount() == 0);
    });
    conforms("MatrixNeuron", Aspect::Misuse);
    conforms("MatrixNeuronGradient", Aspect::Misuse);
}
