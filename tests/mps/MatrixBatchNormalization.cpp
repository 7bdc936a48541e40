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

template <class Kernel> void setAll(Kernel& kernel) {
    kernel.setEpsilon(0.25f);
    kernel.setNeuronType(CNNNeuronType::TanH, 1, 2);
    kernel.setSourceInputFeatureChannels(7);
    kernel.setBatchStart(1);
}

[[maybe_unused]] const bool named = everyOther([] {
                                        MPS::MatrixBatchNormalization made(testDevice());
                                        setAll(made);
                                        made.setComputeStatistics(true);
                                        return made;
                                    }) &&
                                    everyOther([] {
                                        MPS::MatrixBatchNormalizationGradient made(testDevice());
                                        setAll(made);
                                        made.setStatisticsAreConstant(true);
                                        return made;
                                    });

const auto half = DataType::Float16, single = DataType::Float32;

struct Layer {
    size_t rows, columns, matrices = 1;
    bool statistics = true, hasGamma = true, hasBeta = true;
    CNNNeuronType neuron = CNNNeuronType::None;
    DataType type = single, vectorType = single;
    size_t padding = 0;
    bool inPlace = false;
    double offset = 0.5, epsilon = 1e-3;

    reference::Neuron f() const { return {reference::NeuronType(neuron), 0.5f, 1.5f, 1}; }
    size_t size() const { return matrices * rows * columns; }
    size_t vectors() const { return matrices * columns; }
    Values x() const { return randomValues(size(), 1, type, offset - 1, offset + 1); }
    Values g() const { return randomValues(size(), 2, type); }
    Values gamma() const {
        return hasGamma ? randomValues(vectors(), 3, vectorType, 0.5, 2) : Values(vectors(), 1);
    }
    Values beta() const {
        return hasBeta ? randomValues(vectors(), 4, vectorType) : Values(vectors());
    }
    /// The vector's element of an element of the matrices.
    size_t channel(size_t i) const { return i / (rows * columns) * columns + i % columns; }
    std::string text() const {
        return std::to_string(matrices) + " of " + std::to_string(rows) + "x" +
               std::to_string(columns) + " statistics " + std::to_string(statistics) + " neuron " +
               std::to_string(int(neuron)) + " types " + std::to_string(uint32_t(type)) + " " +
               std::to_string(uint32_t(vectorType)) + " padding " + std::to_string(padding);
    }

    MPS::Matrix matrix(const Values& v) const {
        return matrixOf(v, rows, columns, type, padding, matrices);
    }
    MPS::Vector vector(const Values& v) const { return vectorLike(v, matrices); }
    MPS::Vector vectorLike(const Values& v, size_t count) const {
        const MPS::Vector made(
            testDevice(),
            MPS::VectorDescriptor(columns, count, (columns + padding) * bytesPerElement(vectorType),
                                  vectorType));
        made.write(std::vector<float>(v.begin(), v.end()));
        return made;
    }
    template <class Kernel> void set(Kernel& kernel) const {
        kernel.setNeuronType(neuron, 0.5f, 1.5f, 1);
        kernel.setEpsilon(float(epsilon));
    }
};

struct Statistics {
    Values mean, variance;
    /// Of the rows, in two passes; or made up ones.
    Statistics(const Layer& k, const Values& x) : mean(k.vectors()), variance(k.vectors()) {
        if (!k.statistics) {
            mean = randomValues(k.vectors(), 5, k.vectorType);
            variance = randomValues(k.vectors(), 6, k.vectorType, 0.5, 2);
            return;
        }
        for (size_t i = 0; i < x.size(); ++i) mean[k.channel(i)] += x[i] / double(k.rows);
        for (size_t i = 0; i < x.size(); ++i)
            variance[k.channel(i)] += std::pow(x[i] - mean[k.channel(i)], 2) / double(k.rows);
    }
    double normalized(const Layer& k, size_t channel, double x) const {
        return (x - mean[channel]) / std::sqrt(variance[channel] + double(float(k.epsilon)));
    }
};

reference::Tolerance toleranceOf(const Layer& k) {
    const bool coarse = k.type == half || k.vectorType == half;
    return coarse ? reference::Tolerance{2e-3, 2e-3} : reference::Tolerance{1e-5, 1e-5};
}

void checkForward(const Layer& k) {
    INFO(k.text());
    const Values x = k.x(), gamma = k.gamma(), beta = k.beta();
    const Statistics s(k, x);
    Values expected(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
        const size_t c = k.channel(i);
        expected[i] = reference::value(k.f(), gamma[c] * s.normalized(k, c, x[i]) + beta[c]);
    }
    const auto source = k.matrix(x),
               result = k.inPlace ? source : k.matrix(Values(x.size(), 12288));
    const Values unset(k.vectors(), 12288);
    const auto mean = k.vector(k.statistics ? unset : s.mean),
               variance = k.vector(k.statistics ? unset : s.variance);
    MPS::MatrixBatchNormalization kernel(testDevice());
    k.set(kernel);
    kernel.setComputeStatistics(k.statistics);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, source, mean, variance,
                      k.hasGamma ? k.vector(gamma) : MPS::Vector(),
                      k.hasBeta ? k.vector(beta) : MPS::Vector(), result);
    });
    CHECK(reference::compare(valuesOf(mean), s.mean, toleranceOf(k)));
    CHECK(reference::compare(valuesOf(variance), s.variance, toleranceOf(k)));
    CHECK(reference::compare(valuesOf(result), expected, toleranceOf(k)));
    conforms("MatrixBatchNormalization", Aspect::Forward);
    if (k.type == half) conforms("MatrixBatchNormalization", Aspect::Half);
}

enum class Wants { Both, Gamma, Nothing, SumsOverMatrices };

void checkGradient(const Layer& k, bool isConstant, Wants wants = Wants::Both) {
    INFO(k.text() << " constant " << isConstant << " wants " << int(wants));
    const Values x = k.x(), g = k.g(), gamma = k.gamma(), beta = k.beta();
    const Statistics s(k, x);
    const Values mean = reference::rounded(s.mean, storageOf(k.vectorType)),
                 variance = reference::rounded(s.variance, storageOf(k.vectorType));
    Values n(x.size()), t(x.size()), dGamma(k.vectors()), dBeta(k.vectors()), dx(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
        const size_t c = k.channel(i);
        n[i] = (x[i] - mean[c]) / std::sqrt(variance[c] + double(float(k.epsilon)));
        t[i] = g[i] * reference::derivative(k.f(), gamma[c] * n[i] + beta[c]);
        dGamma[c] += t[i] * n[i];
        dBeta[c] += t[i];
    }
    for (size_t i = 0; i < x.size(); ++i) {
        const size_t c = k.channel(i);
        const double mixed = isConstant ? 0 : (dBeta[c] + n[i] * dGamma[c]) / double(k.rows);
        dx[i] = gamma[c] / std::sqrt(variance[c] + double(float(k.epsilon))) * (t[i] - mixed);
    }
    const bool sums = wants == Wants::SumsOverMatrices;
    if (sums)
        for (Values* all : {&dGamma, &dBeta}) {
            for (size_t i = k.columns; i < all->size(); ++i) (*all)[i % k.columns] += (*all)[i];
            all->resize(k.columns);
        }
    const auto empty = [&] {
        return k.vectorLike(Values(dGamma.size(), 12288), sums ? 1 : k.matrices);
    };
    const auto gradient = k.matrix(g), source = k.matrix(x),
               result = k.inPlace ? gradient : k.matrix(Values(x.size(), 12288));
    const auto resultGamma = empty(), resultBeta = empty();
    MPS::MatrixBatchNormalizationGradient kernel(testDevice());
    k.set(kernel);
    kernel.setStatisticsAreConstant(isConstant);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, gradient, source, k.vector(mean), k.vector(variance),
                      k.hasGamma ? k.vector(gamma) : MPS::Vector(),
                      k.hasBeta ? k.vector(beta) : MPS::Vector(), result,
                      wants != Wants::Nothing ? resultGamma : MPS::Vector(),
                      wants == Wants::Both || sums ? resultBeta : MPS::Vector());
    });
    // Sums over the rows have errors of their terms' size.
    auto tolerance = toleranceOf(k);
    CHECK(reference::compare(valuesOf(result), dx, tolerance));
    tolerance.absolute *= std::sqrt(double(k.rows));
    if (wants != Wants::Nothing)
        CHECK(reference::compare(valuesOf(resultGamma), dGamma, tolerance));
    if (wants == Wants::Both || sums)
        CHECK(reference::compare(valuesOf(resultBeta), dBeta, tolerance));
    conforms("MatrixBatchNormalizationGradient", Aspect::Gradient);
    if (k.type == half) conforms("MatrixBatchNormalizationGradient", Aspect::Half);
}

const Layer layers[] = {
    {.rows = 8, .columns = 12},
    {.rows = 1, .columns = 1},
    {.rows = 5, .columns = 3, .hasGamma = false, .hasBeta = false},
    {.rows = 70, .columns = 37, .neuron = CNNNeuronType::ReLU, .padding = 3},
    {.rows = 9, .columns = 35, .matrices = 3, .hasBeta = false, .neuron = CNNNeuronType::TanH},
    {.rows = 17, .columns = 20, .neuron = CNNNeuronType::Sigmoid, .type = half},
    {.rows = 17, .columns = 21, .matrices = 2, .type = half, .vectorType = half, .padding = 1},
    {.rows = 6,
     .columns = 8,
     .neuron = CNNNeuronType::SoftPlus,
     .vectorType = half,
     .inPlace = true},
    {.rows = 3000, .columns = 5, .neuron = CNNNeuronType::TanH, .padding = 1},
    {.rows = 1100, .columns = 70, .matrices = 2, .type = half, .inPlace = true},
};

} // namespace

TEST_CASE("batch normalization of matrices equals the reference, statistics given or computed") {
    for (Layer layer : layers)
        for (const bool statistics : {true, false}) {
            layer.statistics = statistics;
            checkForward(layer);
        }
}

TEST_CASE("gradients of batch normalization of matrices equal the reference in every form") {
    for (Layer layer : layers)
        for (const bool isConstant : {false, true}) {
            layer.statistics = !isConstant;
            checkGradient(layer, isConstant);
        }
    for (const size_t rows : {9, 1300})
        for (const bool isConstant : {false, true})
            for (const Wants wants : {Wants::Gamma, Wants::Nothing, Wants::SumsOverMatrices})
                checkGradient(
                    {.rows = rows, .columns = 6, .matrices = 2, .neuron = CNNNeuronType::TanH},
                    isConstant, wants);
    checkGradient({.rows = 1300, .columns = 7, .vectorType = half}, false);
}

TEST_CASE("the variance of matrix columns far from zero is sound, and that of equal rows zero") {
    for (const size_t rows : {50, 5000}) {
        Layer k{.rows = rows, .columns = 6, .offset = 4096};
        Values x = k.x();
        for (size_t i = 0; i < x.size(); ++i)
            if (i % 6 == 5) x[i] = 1.0f / 3;
        const Statistics s(k, x);
        const auto mean = k.vector(Values(6)), variance = k.vector(Values(6)), none = MPS::Vector();
        const auto source = k.matrix(x), result = k.matrix(Values(x.size()));
        MPS::MatrixBatchNormalization kernel(testDevice());
        kernel.setComputeStatistics(true);
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encode(commands, source, mean, variance, none, none, result);
        });
        // Differences of elements near 4096 are exact.
        CHECK(reference::compare(valuesOf(mean), s.mean, {1e-6, 1e-6}));
        CHECK(reference::compare(valuesOf(variance), s.variance, {1e-5, 1e-9}));
        CHECK(valuesOf(variance)[5] == 0);
        CHECK(valuesOf(result)[5] == 0);
    }
}

TEST_CASE("statistics of matrices are used as the vectors hold them that they go to") {
    for (const size_t rows : {36, 1500}) {
        const Layer k{.rows = rows, .columns = 8, .vectorType = half};
        const auto x = k.matrix(k.x()), computed = k.matrix(k.x()), given = k.matrix(k.x());
        const auto mean = k.vector(Values(8)), variance = k.vector(Values(8)), none = MPS::Vector();
        MPS::MatrixBatchNormalization kernel(testDevice());
        run([&](const MTL::CommandBuffer& commands) {
            kernel.setComputeStatistics(true);
            kernel.encode(commands, x, mean, variance, none, none, computed);
            kernel.setComputeStatistics(false);
            kernel.encode(commands, x, mean, variance, none, none, given);
        });
        CHECK(reference::compare(valuesOf(computed), valuesOf(given), {1e-6, 1e-6}));
    }
}

TEST_CASE("batch normalization gradients of matrices are the slopes of the layer") {
    const Layer k{.rows = 7, .columns = 3, .neuron = CNNNeuronType::TanH, .epsilon = 0.125};
    const Values x = k.x(), g = k.g(), gamma = k.gamma(), beta = k.beta();
    const auto mean = k.vector(Values(3)), variance = k.vector(Values(3));
    const auto loss = [&](const Values& x, const Values& gamma, const Values& beta) {
        const auto result = k.matrix(Values(x.size()));
        MPS::MatrixBatchNormalization kernel(testDevice());
        k.set(kernel);
        kernel.setComputeStatistics(true);
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encode(commands, k.matrix(x), mean, variance, k.vector(gamma), k.vector(beta),
                          result);
        });
        double sum = 0;
        const Values y = valuesOf(result);
        for (size_t i = 0; i < y.size(); ++i) sum += y[i] * g[i];
        return sum;
    };
    const auto slope = [&](Values at, size_t i, auto lossOf) {
        // A power of two: elements move by exactly this, and fp32 noise of 1e-6 becomes 1e-4.
        const double step = 0x1p-7, before = at[i];
        at[i] = before + step;
        const double up = lossOf(at);
        at[i] = before - step;
        return (up - lossOf(at)) / (2 * step);
    };
    loss(x, gamma, beta);
    const auto dx = k.matrix(Values(x.size()));
    const auto dGamma = k.vector(Values(3)), dBeta = k.vector(Values(3));
    MPS::MatrixBatchNormalizationGradient kernel(testDevice());
    k.set(kernel);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, k.matrix(g), k.matrix(x), mean, variance, k.vector(gamma),
                      k.vector(beta), dx, dGamma, dBeta);
    });
    const auto near = [](double a, double b) { return std::abs(a - b) < 2e-3; };
    for (size_t i = 0; i < x.size(); ++i)
        CHECK(near(slope(x, i, [&](const Values& v) { return loss(v, gamma, beta); }),
                   valuesOf(dx)[i]));
    for (size_t i = 0; i < 3; ++i) {
        CHECK(near(slope(gamma, i, [&](const Values& v) { return loss(x, v, beta); }),
                   valuesOf(dGamma)[i]));
        CHECK(near(slope(beta, i, [&](const Values& v) { return loss(x, gamma, v); }),
                   valuesOf(dBeta)[i]));
    }
}

TEST_CASE("batch normalization of matrices works within its origins and repeats its bits") {
    const Inset x{.rows = 40, .columns = 6, .origin = {1, 2, 0}, .below = 1, .right = 1},
        y{.rows = 40, .columns = 6, .origin = {3, 1, 0}, .right = 2};
    const Layer k{.rows = 40, .columns = 6};
    const Values values = k.x();
    const Statistics s(k, values);
    Values expected(values.size()), first;
    for (size_t i = 0; i < values.size(); ++i)
        expected[i] = (values[i] - s.mean[i % 6]) / std::sqrt(s.variance[i % 6]);
    for (int repeat = 0; repeat < 3; ++repeat) {
        MPS::MatrixBatchNormalization kernel(testDevice());
        kernel.setComputeStatistics(true);
        kernel.setSourceMatrixOrigin(x.origin);
        kernel.setResultMatrixOrigin(y.origin);
        kernel.setSourceNumberOfFeatureVectors(40);
        kernel.setSourceInputFeatureChannels(6);
        const auto result = y.matrix();
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encode(commands, x.matrix(values), k.vector(Values(6)), k.vector(Values(6)),
                          MPS::Vector(), MPS::Vector(), result);
        });
        CHECK(reference::compare(y.part(result), expected, {1e-5, 1e-5}));
        CHECK(y.isWholeAround(result));
        if (repeat == 0) first = y.part(result);
        CHECK(y.part(result) == first);
    }
}

TEST_CASE("batch normalization of matrices refuses what does not fit, with a sentence") {
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    const Layer k{.rows = 3, .columns = 4, .matrices = 2};
    const auto x = k.matrix(Values(24)), y = k.matrix(Values(24));
    const auto v = k.vector(Values(8)), w = k.vector(Values(8)), one = k.vectorLike(Values(4), 1);
    const MPS::Vector none, narrow(testDevice(), MPS::VectorDescriptor(3, single));
    MPS::MatrixBatchNormalization kernel(testDevice());
    kernel.setLabel("n");
    MPS::MatrixBatchNormalizationGradient gradient(testDevice());
    const std::string who = "[MatrixBatchNormalization \"n\"] ",
                      other = "[MatrixBatchNormalizationGradient] ";
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] { kernel.encode(commands, x, none, w, none, none, y); }) ==
              who + "meanVector is empty.");
        CHECK(refused([&] { kernel.encode(commands, x, v, narrow, none, none, y); }) ==
              who + "varianceVector has 1 rows and 3 columns from its origin on but 1 and 4 are "
                    "needed.");
        kernel.setComputeStatistics(true);
        CHECK(refused([&] { kernel.encode(commands, x, v, v, none, none, y); }) ==
              who + "meanVector overlaps varianceVector in memory; the kernel does not work in "
                    "place.");
        CHECK(refused([&] { gradient.encode(commands, x, y, v, w, none, none, y, v, none); }) ==
              other + "resultGradientForGammaVector overlaps meanVector in memory; the kernel does "
                      "not work in place.");
        gradient.setEpsilon(-1);
        CHECK(refused([&] { gradient.encode(commands, x, x, v, w, none, none, y, none, none); }) ==
              other + "epsilon is -1.000000 but must be at least 0.");
        gradient.setEpsilon(1);
        gradient.setNeuronType(CNNNeuronType::PReLU);
        CHECK(refused([&] { gradient.encode(commands, x, x, v, w, none, none, y, none, none); }) ==
              other + "neuronType is PReLU but this kernel has no slopes for it.");
        kernel.setSourceInputFeatureChannels(0);
        CHECK(refused([&] { kernel.encode(commands, x, v, w, none, none, y); }) ==
              who + "sourceInputFeatureChannels is 0 but must be at least 1.");
        MPS::TemporaryVector mean(commands, MPS::VectorDescriptor(4, single));
        kernel.setComputeStatistics(false);
        kernel.setSourceInputFeatureChannels(4);
        kernel.encode(commands, x, mean, one, none, none, y);
        CHECK(mean.readCount() == 0);
    });
    conforms("MatrixBatchNormalization", Aspect::Misuse);
    conforms("MatrixBatchNormalizationGradient", Aspect::Misuse);
}
