#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Optimizers.hpp"
#include "support/Weights.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

template <class Make> bool every(Make make) {
    return everyOther([make] {
        auto d = descriptorOf(preparations()[3]);
        return make(d);
    });
}
[[maybe_unused]] const bool named =
    every([](const auto& d) {
        return MPS::NNOptimizerStochasticGradientDescent(testDevice(), .5f, true, d);
    }) &&
    every([](const auto& d) { return MPS::NNOptimizerRMSProp(testDevice(), .5, .25f, d); }) &&
    every([](const auto& d) { return MPS::NNOptimizerAdam(testDevice(), .5, .75, .25f, 7, d); });

const char* nameOf(Rule rule) {
    switch (rule) {
    case Rule::RMSProp: return "NNOptimizerRMSProp";
    case Rule::Adam:
    case Rule::AMSGrad: return "NNOptimizerAdam";
    default: return "NNOptimizerStochasticGradientDescent";
    }
}

} // namespace

TEST_CASE("optimizers of vectors equal the reference, in place and not") {
    for (const Rule rule : rules)
        for (const auto& preparation : preparations())
            for (const size_t count : {1, 63, 1025, 2500}) {
                INFO("rule " << int(rule) << " count " << count << " regularization "
                             << int(preparation.regularization));
                OptimizerPair there(rule, preparation), inPlace(rule, preparation);
                Values w = random(count, 1);
                w[0] = 0;
                const GuardedFloats start(w, 3), here(w, 1);
                GuardedFloats result[] = {
                    {Values(count, 7), 6}, {Values(count, 7), 2}, {Values(count, 7), 4}};
                // AMSGrad's maxima begin above and below the velocities.
                std::vector<Values> m;
                for (size_t k = 0; k < momentsOf(rule); ++k)
                    m.push_back(random(count, 30 + k, 0, 1e-2));
                std::vector<GuardedFloats> moments, momentsHere;
                Vectors momentVectors, momentVectorsHere;
                for (size_t k = 0; k < m.size(); ++k) {
                    moments.emplace_back(m[k], k + 1);
                    momentsHere.emplace_back(m[k], k + 1);
                    momentVectors.push_back(moments[k].vector());
                    momentVectorsHere.push_back(momentsHere[k].vector());
                }
                run([&](const MTL::CommandBuffer& commands) {
                    for (int step = 0; step < 3; ++step) {
                        const Values g = random(count, 10 + step);
                        const MPS::Vector gradient = vectorOf(g);
                        there.encode(commands, gradient,
                                     step ? result[step - 1].vector() : start.vector(),
                                     momentVectors, result[step].vector());
                        inPlace.encode(commands, gradient, here.vector(), momentVectorsHere,
                                       here.vector());
                        there.step(g, w, m);
                    }
                });
                CHECK(reference::compare(result[2].read(), w, tight));
                CHECK(here.read() == result[2].read());
                for (size_t k = 0; k < m.size(); ++k) {
                    CHECK(reference::compare(moments[k].read(), m[k], tight));
                    CHECK(momentsHere[k].read() == moments[k].read());
                }
                conforms(nameOf(rule), Aspect::Forward);
            }
}

TEST_CASE("large tensors go by vectors of four elements wherever all operands lie so") {
    constexpr size_t count = 256 * 1024 + 7; // more than shares a dispatch, and no whole vectors
    for (const Rule rule : rules) {
        INFO("rule " << int(rule));
        OptimizerPair both(rule, preparations()[3]);
        const Values g = random(count, 1), w = random(count, 2);
        std::vector<Values> results;
        // None begins within a vector, then one of the operands does.
        for (const size_t odd : {0, 1, 2, 3, 4}) {
            const auto at = [&](size_t operand) -> size_t { return odd == operand ? 5 : 8; };
            const GuardedFloats gradient(g, at(1)), values(w, at(2)), result(w, at(3));
            std::vector<GuardedFloats> moments;
            Vectors vectors;
            for (size_t k = 0; k < momentsOf(rule); ++k) {
                moments.emplace_back(random(count, 3 + k, 0, 1e-2), at(4));
                vectors.push_back(moments.back().vector());
            }
            both.adam.setTimeStep(0);
            run([&](const MTL::CommandBuffer& commands) {
                both.encode(commands, gradient.vector(), values.vector(), vectors, result.vector());
            });
            results.push_back(result.read());
            CHECK(results.back() == results.front());
        }
        Values expected = w;
        std::vector<Values> m;
        for (size_t k = 0; k < momentsOf(rule); ++k) m.push_back(random(count, 3 + k, 0, 1e-2));
        OptimizerPair fresh(rule, preparations()[3]);
        fresh.step(g, expected, m);
        CHECK(reference::compare(results.front(), expected, tight));
    }
}

TEST_CASE("optimizers of matrices: rows of any length apart, several matrices") {
    constexpr size_t rows = 7, columns = 45, matrices = 3;
    const auto shape = [](size_t rowFloats, size_t count) {
        return MPS::MatrixDescriptor(rows, columns, count, rowFloats * 4, rows * rowFloats * 4,
                                     MPS::DataType::Float32);
    };
    const auto matrixOf = [&](const Values& values, size_t rowFloats, size_t count) {
        const MPS::Matrix made(testDevice(), shape(rowFloats, count));
        std::ranges::fill(std::span(reinterpret_cast<float*>(made.data().contents().data()),
                                    rows * rowFloats * count),
                          poison);
        made.write(floatsOf(values));
        return made;
    };
    for (const size_t count : {size_t(1), matrices})
        for (const Rule rule : rules) {
            INFO("rule " << int(rule) << " matrices " << count);
            OptimizerPair both(rule, preparations()[3]);
            const size_t all = count * rows * columns;
            Values w = random(all, 1);
            const MPS::Matrix values = matrixOf(w, 45, count),
                              result = matrixOf(Values(all, 0), 51, count);
            std::vector<Values> m(momentsOf(rule), Values(all, 0));
            std::vector<MPS::Matrix> moments;
            for (size_t k = 0; k < m.size(); ++k) moments.push_back(matrixOf(m[k], 45 + k, count));
            run([&](const MTL::CommandBuffer& commands) {
                for (int step = 0; step < 2; ++step) {
                    const Values g = random(all, 20 + step);
                    both.encode(commands, matrixOf(g, 48, count), step ? result : values, moments,
                                result);
                    both.step(g, w, m);
                }
            });
            std::vector<float> got(all);
            result.read(got);
            CHECK(reference::compare(Values(got.begin(), got.end()), w, tight));
            for (size_t k = 0; k < m.size(); ++k) {
                moments[k].read(got);
                CHECK(reference::compare(Values(got.begin(), got.end()), m[k], tight));
            }
            const auto* floats = reinterpret_cast<const float*>(result.data().contents().data());
            size_t gaps = 0;
            for (size_t i = 0; i < rows * 51 * count; ++i)
                gaps += i % 51 >= columns && floats[i] == poison;
            CHECK(gaps == rows * 6 * count);
        }
}

TEST_CASE("several vectors of one object, and columns side by side in one buffer") {
    const Values w = random(20, 1), g = random(20, 2);
    const MPS::VectorDescriptor rows(5, 4, 5 * 4, MPS::DataType::Float32),
        apart(5, 4, 8 * 4, MPS::DataType::Float32);
    const MTL::Buffer one = testDevice().newBuffer(4 * 16 * 4);
    const MPS::MatrixDescriptor half(4, 5, 16 * 4, MPS::DataType::Float32);
    const MPS::Matrix left(one, half), middle(one, 5 * 4, half), right(one, 10 * 4, half);
    const MPS::Vector gradient(testDevice(), rows), values(testDevice(), apart),
        result(testDevice(), apart);
    gradient.write(floatsOf(g));
    values.write(floatsOf(w));
    left.write(floatsOf(g));
    middle.write(floatsOf(w));
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), .5f);
    run([&](const MTL::CommandBuffer& commands) {
        sgd.encode(commands, gradient, values, MPS::Vector{}, result);
        sgd.encode(commands, left, middle, MPS::Matrix{}, right);
    });
    std::vector<float> got(20), columns(20);
    result.read(got);
    right.read(columns);
    for (size_t i = 0; i < 20; ++i) CHECK(got[i] == float(w[i]) - .5f * float(g[i]));
    CHECK(columns == got);
}

TEST_CASE("an encode reads gradients, values and moments once") {
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), 1);
    MPS::NNOptimizerStochasticGradientDescent heavy(testDevice(), .5f, false, {});
    const MPS::VectorDescriptor shape(40, MPS::DataType::Float32);
    const MPS::Vector w = vectorOf(random(40, 1)), g = vectorOf(random(40, 2)),
                      kept = vectorOf(Values(40, 0));
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::TemporaryVector once(commands, shape), momentum(commands, shape);
        once.setReadCount(2);
        sgd.encode(commands, g, w, MPS::Vector{}, once);
        CHECK(once.readCount() == 2);
        sgd.encode(commands, g, w, MPS::Vector{}, momentum);
        sgd.encode(commands, once, once, MPS::Vector{}, kept);
        CHECK(once.readCount() == 1);
        heavy.encode(commands, g, once, momentum, kept);
        CHECK(once.readCount() == 0);
        CHECK(momentum.readCount() == 0);
        CHECK(refused([&] { sgd.encode(commands, once, w, MPS::Vector{}, kept); }) ==
              "[NNOptimizerStochasticGradientDescent] inputGradientVector is temporary and its "
              "read count is 0: its "
              "memory is given back already.");
        const MTL::CommandBuffer other = testQueue().commandBuffer();
        const MPS::TemporaryVector elsewhere(other, shape);
        CHECK(refused([&] { sgd.encode(commands, g, w, MPS::Vector{}, elsewhere); }) ==
              "[NNOptimizerStochasticGradientDescent] resultValuesVector is a temporary object of "
              "another command "
              "buffer.");
    });
}

TEST_CASE("properties of optimizers") {
    MPS::NNOptimizerDescriptor d;
    CHECK(d.learningRate() == .001f);
    CHECK(d.gradientRescale() == 1);
    CHECK_FALSE(d.applyGradientClipping());
    CHECK(d.gradientClipMax() == FLT_MAX);
    CHECK(d.gradientClipMin() == -FLT_MAX);
    CHECK(d.regularizationType() == MPS::NNRegularizationType::None);
    CHECK(d.regularizationScale() == 0);
    d.setLearningRate(2);
    d.setGradientRescale(3);
    d.setApplyGradientClipping(true);
    d.setGradientClipMax(4);
    d.setGradientClipMin(-5);
    d.setRegularizationType(MPS::NNRegularizationType::L1);
    d.setRegularizationScale(6);

    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), .5f, true, d);
    CHECK(sgd.learningRate() == 2);
    CHECK(sgd.gradientRescale() == 3);
    CHECK(sgd.applyGradientClipping());
    CHECK(sgd.gradientClipMax() == 4);
    CHECK(sgd.gradientClipMin() == -5);
    CHECK(sgd.regularizationType() == MPS::NNRegularizationType::L1);
    CHECK(sgd.regularizationScale() == 6);
    CHECK(sgd.momentumScale() == .5f);
    CHECK(sgd.useNesterovMomentum());
    CHECK(sgd.useNestrovMomentum());
    CHECK(sgd.copy(testDevice()).momentumScale() == .5f);
    const MPS::NNOptimizerStochasticGradientDescent simple(testDevice(), .25f);
    CHECK(simple.learningRate() == .25f);
    CHECK(simple.momentumScale() == 0);
    CHECK_FALSE(simple.useNesterovMomentum());

    const MPS::NNOptimizerRMSProp rms(testDevice(), .25f);
    CHECK(rms.decay() == .9);
    CHECK(rms.epsilon() == 1e-8f);
    CHECK(MPS::NNOptimizerRMSProp(testDevice(), .5, 2, d).copy(testDevice()).decay() == .5);
    const MPS::NNOptimizerAdam adam(testDevice(), .25f);
    CHECK(adam.beta1() == .9);
    CHECK(adam.beta2() == .999);
    CHECK(adam.epsilon() == 1e-8f);
    CHECK(MPS::NNOptimizerAdam(testDevice(), .5, .75, 2, 17, d).timeStep() == 17);
    CHECK(refused([&] { MPS::NNOptimizerAdam(testDevice(), 1, .75, 2, 17, d); }) ==
          "[NNOptimizerAdam] beta1 is 1.000000 but must be at least 0 and less than 1.");
    CHECK(refused([&] { MPS::NNOptimizerAdam(testDevice(), .5, -.25, 2, 17, d); }) ==
          "[NNOptimizerAdam] beta2 is -0.250000 but must be at least 0 and less than 1.");
    CHECK(refused([&] { MPS::NNOptimizerAdam(MTL::Device(), .5f); }) ==
          "[Kernel] The device handle is empty.");
}

TEST_CASE("what is written may not overlap what belongs to other parts of an update") {
    const std::string who = "[NNOptimizerStochasticGradientDescent] ";
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), .5f),
        heavy(testDevice(), .5f, false, {});
    const MTL::Buffer memory = testDevice().newBuffer(72);
    const MPS::MatrixDescriptor two(2, 3, 2, 12, 24, MPS::DataType::Float32);
    const MPS::Matrix gradient(testDevice(), two), values(memory, two), again(memory, two),
        behind(memory, 24, two);
    gradient.write(std::vector<float>(12, 2));
    values.write(std::vector<float>(12, 5));

    const MPS::CNNConvolutionDescriptor d(1, 1, 1, 4);
    const MPS::CNNConvolution convolution(
        testDevice(), std::make_shared<FixedWeights>(d, Values(4, 1), Values(4, 1)));
    const auto image = [](size_t channels) {
        return upload(reference::Tensor(1, 2, 2, channels))[0];
    };
    const auto state =
        convolution.resultState(image(1), {}, image(4)).as<MPS::CNNConvolutionGradientState>();
    const auto of = [&](uint64_t weights, uint64_t biases) {
        return MPS::CNNConvolutionWeightsAndBiasesState(memory, weights, memory, biases, d);
    };
    const MPS::CNNConvolutionWeightsAndBiasesState apart(testDevice(), d), other(testDevice(), d);
    const MPS::Vector momentum = vectorOf(Values(4, 0));
    run([&](const MTL::CommandBuffer& commands) {
        const auto says = [&](auto call) {
            CHECK(refused(call).find("overlap in memory.") != std::string::npos);
        };
        CHECK(refused([&] { sgd.encode(commands, gradient, values, MPS::Matrix{}, behind); }) ==
              who + "inputValuesMatrix and resultValuesMatrix overlap in memory.");
        says([&] { heavy.encode(commands, state, apart, {momentum, momentum}, other); });
        says([&] { sgd.encode(commands, state, apart, {}, of(0, 8)); });
        says([&] { sgd.encode(commands, state, of(0, 16), {}, of(16, 0)); });
        CHECK(rangesOf(commands).empty());
        sgd.encode(commands, gradient, values, MPS::Matrix{}, again);
    });
    std::vector<float> got(12);
    values.read(got);
    CHECK(got == std::vector<float>(12, 4));
}

TEST_CASE("what optimizers of vectors and matrices refuse") {
    const MPS::Vector five = vectorOf(Values(5, 0)), six = vectorOf(Values(6, 0)),
                      w = vectorOf(Values(5, 1));
    const MPS::Vector half(testDevice(), MPS::VectorDescriptor(5, MPS::DataType::Float16)), empty;
    const MPS::MatrixDescriptor shape(2, 3, 12, MPS::DataType::Float32);
    const MPS::Matrix matrix(testDevice(), shape),
        flat(testDevice(), {3, 2, 8, MPS::DataType::Float32});
    const MPS::Matrix two(testDevice(), {2, 3, 2, 12, 24, MPS::DataType::Float32});
    const MPS::Vector twelve = vectorOf(Values(12, 0));
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), 1);
    MPS::NNOptimizerRMSProp rms(testDevice(), 1);
    MPS::NNOptimizerAdam adam(testDevice(), 1);
    adam.setLabel("head");
    const std::string sgdText = "[NNOptimizerStochasticGradientDescent] ",
                      rmsText = "[NNOptimizerRMSProp] ";
    const std::string adamText = "[NNOptimizerAdam \"head\"] ";
    MTL::CommandBuffer commands = testQueue().commandBuffer();

    CHECK(refused([&] { sgd.encode(commands, empty, w, empty, w); }) ==
          sgdText + "inputGradientVector is empty.");
    CHECK(refused([&] { sgd.encode(commands, five, empty, empty, w); }) ==
          sgdText + "inputValuesVector is empty.");
    CHECK(refused([&] { sgd.encode(commands, five, w, empty, empty); }) ==
          sgdText + "resultValuesVector is empty.");
    CHECK(refused([&] { rms.encode(commands, five, w, empty, w); }) ==
          rmsText + "inputSumOfSquaresVector is empty.");
    CHECK(refused([&] { adam.encode(commands, five, w, empty, five, w); }) ==
          adamText + "inputMomentumVector is empty.");
    CHECK(refused([&] { sgd.encode(commands, half, w, empty, w); }) ==
          sgdText +
              "inputGradientVector has the dataType 268435472 but optimizers work on Float32.");
    CHECK(refused([&] { sgd.encode(commands, five, six, empty, six); }) ==
          sgdText + "inputValuesVector has 6 elements but inputGradientVector has 5 elements.");
    CHECK(refused([&] { rms.encode(commands, five, w, six, w); }) ==
          rmsText +
              "inputSumOfSquaresVector has 6 elements but inputGradientVector has 5 elements.");
    CHECK(refused([&] { sgd.encode(commands, matrix, flat, MPS::Matrix{}, flat); }) ==
          sgdText + "inputValuesMatrix has 3x2 elements but inputGradientMatrix has 2x3 elements.");
    CHECK(refused([&] { sgd.encode(commands, matrix, two, MPS::Matrix{}, two); }) ==
          sgdText + "inputValuesMatrix has 2 matrices but inputGradientMatrix has 1.");
    CHECK(refused([&] { sgd.encode(commands, five, w, w, five); }) ==
          sgdText + "inputValuesVector and inputMomentumVector overlap in memory.");
    CHECK(refused([&] { adam.encode(commands, five, w, twelve, twelve, w); }) ==
          adamText + "inputMomentumVector has 12 elements but inputGradientVector has 5 elements.");
    const MPS::VectorDescriptor part(5, MPS::DataType::Float32);
    const MTL::Buffer shared = testDevice().newBuffer(64);
    const MPS::Vector low(shared, part), high(shared, 16, part);
    CHECK(refused([&] { sgd.encode(commands, five, low, empty, high); }) ==
          sgdText + "inputValuesVector and resultValuesVector overlap in memory.");
    CHECK(refused([&] { rms.encode(commands, five, w, low, high); }) ==
          rmsText + "resultValuesVector and inputSumOfSquaresVector overlap in memory.");
    CHECK(refused([&] { sgd.encode(MTL::CommandBuffer(), five, w, empty, w); }).find("empty") !=
          std::string::npos);

    CHECK(adam.timeStep() == 0);
    const MPS::NNOptimizerDescriptor third(1, 1, MPS::NNRegularizationType(3), 1);
    MPS::NNOptimizerAdam unknown(testDevice(), .9, .999, 1e-8f, 0, third);
    CHECK(refused([&] { unknown.encode(commands, five, w, six, six, w); }).find("6 elements") !=
          std::string::npos);
    CHECK(refused([&] {
              unknown.encode(commands, five, w, vectorOf(Values(5, 0)), vectorOf(Values(5, 0)), w);
          }) == "[NNOptimizerAdam] regularizationType is 3 but types go from 0 to 2.");
    CHECK(unknown.timeStep() == 0);

    commands.commit();
    commands.waitUntilCompleted();
    CHECK(refused([&] { sgd.encode(commands, five, w, empty, w); }) ==
          sgdText + "The command buffer is committed already; nothing more can be encoded.");
    CHECK(read(w) == Values(5, 1));
    for (const Rule rule : rules) conforms(nameOf(rule), Aspect::Misuse);
}
