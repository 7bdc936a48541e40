#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"
#include "support/reference/Neuron.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::CNNNeuronType;
using MPS::DataType;

namespace {

[[maybe_unused]] const bool named = everyOther([] {
                                        MPS::MatrixFullyConnected made(testDevice());
                                        made.setAlpha(3);
                                        made.setNeuronType(CNNNeuronType::TanH, 1, 2);
                                        made.setSourceOutputFeatureChannels(7);
                                        return made;
                                    }) &&
                                    everyOther([] {
                                        MPS::MatrixFullyConnectedGradient made(testDevice());
                                        made.setAlpha(3);
                                        made.setSourceInputFeatureChannels(7);
                                        return made;
                                    });

const auto half = DataType::Float16, single = DataType::Float32;

/// Values and, for each of them, the sum of the magnitudes that it is made of.
struct Result {
    Values values, magnitudes;
    explicit Result(size_t size) : values(size), magnitudes(size) {}
    void add(size_t at, double value) {
        values[at] += value;
        magnitudes[at] += std::abs(value);
    }
};

void compare(const Values& actual, const Result& expected, DataType type) {
    REQUIRE(actual.size() == expected.values.size());
    size_t wrong = 0;
    for (size_t i = 0; i < actual.size(); ++i)
        wrong += !(std::abs(actual[i] - expected.values[i]) <=
                   (type == half ? 1e-3 * std::abs(expected.values[i]) + 1e-7 : 0) +
                       2e-6 * expected.magnitudes[i] + 1e-7);
    CHECK(wrong == 0);
}

struct Layer {
    size_t vectors, inputs, outputs;
    double alpha = 1;
    bool hasBias = true;
    CNNNeuronType neuron = CNNNeuronType::None;
    DataType data = single, weights = single, result = single;
    size_t batch = 1, padding = 0;
    bool biasForAll = true;

    size_t dataSize() const { return batch * vectors * inputs; }
    size_t weightsSize() const { return batch * inputs * outputs; }
    size_t resultSize() const { return batch * vectors * outputs; }
    Values x() const { return randomValues(dataSize(), 1, data); }
    Values w() const { return randomValues(weightsSize(), 2, weights); }
    Values g() const { return randomValues(resultSize(), 4, result); }
    MPS::Vector vector(const Values& values) const {
        const size_t count = biasForAll ? 1 : batch;
        const MPS::Vector made(testDevice(),
                               MPS::VectorDescriptor(outputs, count, outputs * 4, single));
        made.write(std::vector<float>(values.begin(), values.end()));
        return made;
    }
    size_t biasAt(size_t matrix, size_t j) const { return (biasForAll ? 0 : matrix) * outputs + j; }
    template <class Visit> void forEach(Visit visit) const {
        for (size_t m = 0; m < batch; ++m)
            for (size_t n = 0; n < vectors; ++n)
                for (size_t i = 0; i < inputs; ++i)
                    for (size_t o = 0; o < outputs; ++o)
                        visit((m * vectors + n) * inputs + i, (m * inputs + i) * outputs + o,
                              (m * vectors + n) * outputs + o);
    }
    std::string text() const {
        return std::to_string(batch) + " of " + std::to_string(vectors) + "x" +
               std::to_string(inputs) + "x" + std::to_string(outputs) + " types " +
               std::to_string(uint32_t(data)) + " " + std::to_string(uint32_t(weights)) + " " +
               std::to_string(uint32_t(result)) + " padding " + std::to_string(padding);
    }
};

void checkForward(const Layer& k) {
    INFO(k.text());
    const Values x = k.x(), w = k.w();
    const Values b = randomValues((k.biasForAll ? 1 : k.batch) * k.outputs, 3, single);
    Result expected(k.resultSize());
    k.forEach([&](size_t xi, size_t wi, size_t yi) { expected.add(yi, k.alpha * x[xi] * w[wi]); });
    for (size_t i = 0; k.hasBias && i < expected.values.size(); ++i)
        expected.add(i, b[k.biasAt(i / (k.vectors * k.outputs), i % k.outputs)]);
    const reference::Neuron f{reference::NeuronType(k.neuron), 1.5f, 0.5f, 1};
    for (double& value : expected.values) value = reference::value(f, value);
    const auto result =
        matrixOf(Values(k.resultSize(), 9), k.vectors, k.outputs, k.result, k.padding, k.batch);
    MPS::MatrixFullyConnected layer(testDevice());
    layer.setAlpha(k.alpha);
    layer.setNeuronType(k.neuron, 1.5f, 0.5f, 1);
    run([&](const MTL::CommandBuffer& commands) {
        layer.encode(commands, matrixOf(x, k.vectors, k.inputs, k.data, k.padding, k.batch),
                     matrixOf(w, k.inputs, k.outputs, k.weights, k.padding, k.batch),
                     k.hasBias ? k.vector(b) : MPS::Vector(), result);
    });
    compare(valuesOf(result), expected, k.result);
    conforms("MatrixFullyConnected", Aspect::Forward);
    if (k.data == half) conforms("MatrixFullyConnected", Aspect::Half);
}

void checkGradient(const Layer& k) {
    INFO(k.text());
    const Values x = k.x(), w = k.w(), g = k.g();
    Result dx(k.dataSize()), dw(k.weightsSize()), db((k.biasForAll ? 1 : k.batch) * k.outputs);
    k.forEach([&](size_t xi, size_t wi, size_t yi) {
        dx.add(xi, k.alpha * g[yi] * w[wi]);
        dw.add(wi, k.alpha * g[yi] * x[xi]);
    });
    for (size_t i = 0; i < g.size(); ++i)
        db.add(k.biasAt(i / (k.vectors * k.outputs), i % k.outputs), g[i]);
    const auto shaped = [&](const Values& v, size_t rows, size_t columns, DataType type) {
        return matrixOf(v, rows, columns, type, k.padding, k.batch);
    };
    const auto data = shaped(x, k.vectors, k.inputs, k.data),
               weights = shaped(w, k.inputs, k.outputs, k.weights),
               gradient = shaped(g, k.vectors, k.outputs, k.result),
               dData = shaped(Values(x.size(), 9), k.vectors, k.inputs, k.data),
               dWeights = shaped(Values(w.size(), 9), k.inputs, k.outputs, k.weights);
    const auto dBias = k.vector(Values(db.values.size(), 9));
    MPS::MatrixFullyConnectedGradient layer(testDevice());
    layer.setAlpha(k.alpha);
    run([&](const MTL::CommandBuffer& commands) {
        layer.encodeGradientForData(commands, gradient, weights, dData);
        layer.encodeGradientForWeightsAndBias(commands, gradient, data, dWeights,
                                              k.hasBias ? dBias : MPS::Vector());
    });
    compare(valuesOf(dData), dx, k.data);
    compare(valuesOf(dWeights), dw, k.weights);
    if (k.hasBias) compare(valuesOf(dBias), db, single);
    conforms("MatrixFullyConnectedGradient", Aspect::Gradient);
    if (k.data == half) conforms("MatrixFullyConnectedGradient", Aspect::Half);
}

const Layer layers[] = {
    {.vectors = 4, .inputs = 8, .outputs = 12},
    {.vectors = 1, .inputs = 1, .outputs = 1, .alpha = -2},
    {.vectors = 5, .inputs = 7, .outputs = 3, .alpha = 0.5, .hasBias = false},
    {.vectors = 33, .inputs = 65, .outputs = 34, .alpha = 2, .padding = 3},
    {.vectors = 9, .inputs = 11, .outputs = 6, .batch = 3, .padding = 2},
    {.vectors = 9, .inputs = 12, .outputs = 8, .batch = 2, .biasForAll = false},
    {.vectors = 12, .inputs = 16, .outputs = 20, .data = half, .weights = half, .result = half},
    {.vectors = 7, .inputs = 5, .outputs = 9, .data = half, .result = half, .padding = 1},
};

} // namespace

TEST_CASE("fully connected layers equal the reference in every form") {
    for (const Layer& layer : layers) checkForward(layer);
    for (const CNNNeuronType type :
         {CNNNeuronType::ReLU, CNNNeuronType::Sigmoid, CNNNeuronType::TanH, CNNNeuronType::GeLU}) {
        checkForward({.vectors = 6, .inputs = 5, .outputs = 7, .alpha = 2, .neuron = type});
        checkForward({.vectors = 6, .inputs = 5, .outputs = 7, .hasBias = false, .neuron = type});
    }
}

TEST_CASE("gradients of fully connected layers equal the reference in every form") {
    for (const Layer& layer : layers) checkGradient(layer);
    checkGradient({.vectors = 3000, .inputs = 6, .outputs = 10});
}

TEST_CASE("fully connected layers through shared memory and in parts equal the reference") {
    const Environment direct("MPSVK_DISABLE", "direct_tile");
    checkForward({.vectors = 70, .inputs = 37, .outputs = 66, .neuron = CNNNeuronType::ReLU});
    checkForward({.vectors = 5,
                  .inputs = 1300,
                  .outputs = 9,
                  .alpha = 2,
                  .neuron = CNNNeuronType::Sigmoid,
                  .batch = 2,
                  .padding = 1});
    checkForward({.vectors = 66,
                  .inputs = 600,
                  .outputs = 68,
                  .data = half,
                  .weights = half,
                  .result = half});
    checkGradient({.vectors = 1200, .inputs = 12, .outputs = 70, .alpha = 0.5, .batch = 2});
    checkGradient({.vectors = 65,
                   .inputs = 20,
                   .outputs = 34,
                   .data = half,
                   .weights = half,
                   .result = half,
                   .padding = 1});
}

TEST_CASE("fully connected gradients are the slopes of the layer") {
    const Layer k{.vectors = 3, .inputs = 4, .outputs = 5, .alpha = 1.5};
    const Values x = k.x(), w = k.w(), g = k.g(), b = randomValues(5, 3, single);
    const auto loss = [&](const Values& x, const Values& w, const Values& b) {
        const auto result = matrixOf(Values(15), 3, 5);
        MPS::MatrixFullyConnected layer(testDevice());
        layer.setAlpha(k.alpha);
        run([&](const MTL::CommandBuffer& commands) {
            layer.encode(commands, matrixOf(x, 3, 4), matrixOf(w, 4, 5), k.vector(b), result);
        });
        double sum = 0;
        const Values y = valuesOf(result);
        for (size_t i = 0; i < y.size(); ++i) sum += y[i] * g[i];
        return sum;
    };
    const auto dx = matrixOf(Values(12), 3, 4), dw = matrixOf(Values(20), 4, 5);
    const auto db = k.vector(Values(5));
    MPS::MatrixFullyConnectedGradient layer(testDevice());
    layer.setAlpha(k.alpha);
    run([&](const MTL::CommandBuffer& commands) {
        const auto gradient = matrixOf(g, 3, 5);
        layer.encodeGradientForData(commands, gradient, matrixOf(w, 4, 5), dx);
        layer.encodeGradientForWeightsAndBias(commands, gradient, matrixOf(x, 3, 4), dw, db);
    });
    // The layer is linear in each of its operands, so that a large step has no error of its own.
    const double step = 0.5;
    const auto slope = [&](const Values& at, size_t i, auto lossOf) {
        Values up = at, down = at;
        up[i] += step;
        down[i] -= step;
        return (lossOf(up) - lossOf(down)) / (2 * step);
    };
    const auto near = [](double a, double b) { return std::abs(a - b) < 1e-5; };
    for (size_t i = 0; i < x.size(); i += 5)
        CHECK(near(slope(x, i, [&](const Values& v) { return loss(v, w, b); }), valuesOf(dx)[i]));
    for (size_t i = 0; i < w.size(); i += 7)
        CHECK(near(slope(w, i, [&](const Values& v) { return loss(x, v, b); }), valuesOf(dw)[i]));
    for (size_t i = 0; i < b.size(); i += 2)
        CHECK(near(slope(b, i, [&](const Values& v) { return loss(x, w, v); }), valuesOf(db)[i]));
}

TEST_CASE("fully connected layers take the smaller of what is given and what is there") {
    const Inset x{.rows = 3, .columns = 4, .origin = {1, 2, 0}, .below = 1, .right = 1},
        w{.rows = 4, .columns = 2, .origin = {2, 1, 0}, .right = 3},
        y{.rows = 3, .columns = 2, .origin = {1, 1, 0}, .below = 2, .right = 1};
    const Values a = randomValues(12, 5, single), b = randomValues(8, 6, single);
    Values expected(6);
    for (size_t i = 0; i < 24; ++i)
        expected[i / 8 * 2 + i % 2] += a[i / 2] * b[i / 2 % 4 * 2 + i % 2];
    MPS::MatrixFullyConnected layer(testDevice());
    layer.setPrimarySourceMatrixOrigin(x.origin);
    layer.setSecondarySourceMatrixOrigin(w.origin);
    layer.setResultMatrixOrigin(y.origin);
    layer.setSourceNumberOfFeatureVectors(3);
    layer.setSourceOutputFeatureChannels(2);
    const auto result = y.matrix();
    run([&](const MTL::CommandBuffer& commands) {
        layer.encode(commands, x.matrix(a), w.matrix(b), MPS::Vector(), result);
    });
    CHECK(reference::compare(y.part(result), expected, {1e-6, 1e-6}));
    CHECK(y.isWholeAround(result));
}

TEST_CASE("fully connected layers refuse what does not fit, with a sentence") {
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    const auto x = matrixOf(Values(12), 3, 4), w = matrixOf(Values(20), 4, 5),
               y = matrixOf(Values(15), 3, 5);
    MPS::MatrixFullyConnected layer(testDevice());
    layer.setLabel("f");
    MPS::MatrixFullyConnectedGradient gradient(testDevice());
    const std::string who = "[MatrixFullyConnected \"f\"] ",
                      other = "[MatrixFullyConnectedGradient] ";
    const MPS::Vector none;
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] { layer.encode(commands, x, MPS::Matrix(), none, y); }) ==
              who + "weightMatrix is empty.");
        CHECK(refused([&] { layer.encode(commands, x, w, vectorOf(Values(4), single), y); }) ==
              who +
                  "biasVector has 1 rows and 4 columns from its origin on but 1 and 5 are needed.");
        CHECK(refused([&] { layer.encode(commands, x, w, none, w); }) ==
              who + "resultMatrix overlaps weightMatrix in memory; the kernel does not work in "
                    "place.");
        CHECK(refused([&] { layer.encode(commands, x, w, none, x); }) ==
              who + "resultMatrix has 3 rows and 4 columns from its origin on but 3 and 5 are "
                    "needed.");
        CHECK(refused([&] {
                  gradient.encodeGradientForData(commands, y, w, matrixOf(Values(9), 3, 3));
              }) == other + "resultGradientForDataMatrix has 3 rows and 3 columns from its origin "
                            "on but 3 and 4 are needed.");
        CHECK(refused([&] {
                  gradient.encodeGradientForWeightsAndBias(commands, y, x, w,
                                                           vectorOf(Values(3), single));
              }) == other + "resultGradientForBiasVector has 1 rows and 3 columns from its origin "
                            "on but 1 and 5 are needed.");
        const auto many = matrixOf(Values(65536), 1, 1, single, 0, 65536);
        CHECK(refused([&] { gradient.encodeGradientForData(commands, many, many, many); }) ==
              other + "The batch has 65536 matrices but may have at most 65535.");
        gradient.setSourceNumberOfFeatureVectors(0);
        CHECK(refused([&] { gradient.encodeGradientForData(commands, y, w, x); }) ==
              other + "sourceNumberOfFeatureVectors is 0 but must be at least 1.");
        layer.setNeuronType(CNNNeuronType::PReLU);
        CHECK(refused([&] { layer.encode(commands, x, w, none, y); }) ==
              who + "neuronType is PReLU but this kernel has no slopes for it.");
        MPS::TemporaryMatrix temporary(commands, MPS::MatrixDescriptor(3, 5, 20, single));
        MPS::MatrixFullyConnected(testDevice()).encode(commands, x, w, none, temporary);
        CHECK(temporary.readCount() == 1);
        MPS::MatrixFullyConnectedGradient(testDevice())
            .encodeGradientForData(commands, temporary, w, x);
        CHECK(temporary.readCount() == 0);
    });
    conforms("MatrixFullyConnected", Aspect::Misuse);
    conforms("MatrixFullyConnectedGradient", Aspect::Misuse);
}
