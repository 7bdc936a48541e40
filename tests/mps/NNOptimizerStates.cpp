#include "mps/CNNConvolutionState.hpp"
#include "support/Optimizers.hpp"

#include <catch2/catch_test_macros.hpp>

#include <bit>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// A gradient state with these gradients; a 1x1 convolution of 3 channels.
struct Convolution {
    static constexpr size_t inputs = 3;
    explicit Convolution(size_t outputs) : descriptor(1, 1, inputs, outputs) {
        state = MPS::CNNConvolutionGradientState(
            std::make_shared<MPS::CNNConvolutionGradientState::Impl>(
                testDevice(), mps::ForwardRecord{}, descriptor, nullptr));
        weightGradient = random(outputs * inputs, 5);
        biasGradient = random(outputs, 6);
        vector(state.gradientForWeights()).write(floatsOf(weightGradient));
        vector(state.gradientForBiases()).write(floatsOf(biasGradient));
    }
    static MPS::Vector vector(const MTL::Buffer& buffer) {
        return MPS::Vector(
            buffer, MPS::VectorDescriptor(buffer.length() / sizeof(float), MPS::DataType::Float32));
    }
    MPS::CNNConvolutionDescriptor descriptor;
    MPS::CNNConvolutionGradientState state;
    Values weightGradient, biasGradient;
};

} // namespace

TEST_CASE("optimizers of convolution states update weights and biases") {
    for (const Rule rule : rules)
        for (const bool inPlace : {false, true})
            for (const size_t updated : {2, 1}) {
                if (rule == Rule::Plain && updated == 1) continue;
                INFO("rule " << int(rule) << " in place " << inPlace << " vectors " << updated);
                const Convolution convolution(150);
                OptimizerPair both(rule, preparations()[1]);
                Values w = random(450, 1), b = random(150, 2);
                const Values before = b;
                const GuardedFloats weights(w, 5), biases(b, 2), newWeights(Values(450, 7), 1),
                    newBiases(Values(150, 7), 3);
                const auto stateOf = [&](const GuardedFloats& x, const GuardedFloats& y) {
                    return MPS::CNNConvolutionWeightsAndBiasesState(
                        x.buffer(), x.offset(), y.buffer(), y.offset(), convolution.descriptor);
                };
                const auto source = stateOf(weights, biases);
                const auto result = inPlace ? source : stateOf(newWeights, newBiases);
                std::vector<Values> mw, mb;
                for (size_t k = 0; k < momentsOf(rule); ++k) {
                    mw.push_back(random(450, 40 + k, 0, 1e-2));
                    mb.push_back(random(150, 50 + k, 0, 1e-2));
                }
                std::vector<Vectors> moments;
                for (size_t k = 0; k < mw.size(); ++k) {
                    moments.push_back({vectorOf(mw[k])});
                    if (updated == 2) moments.back().push_back(vectorOf(mb[k]));
                }
                run([&](const MTL::CommandBuffer& commands) {
                    for (int step = 0; step < 3; ++step)
                        both.encode(commands, convolution.state, step ? result : source, moments,
                                    result);
                    CHECK(rangesOf(commands) == Ranges(3, uint32_t(updated)));
                });
                CHECK(both.adam.timeStep() == (momentsOf(rule) >= 2 ? 3 : 0));
                OptimizerPair biasReference = both;
                for (int step = 0; step < 3; ++step) {
                    both.step(convolution.weightGradient, w, mw);
                    biasReference.step(convolution.biasGradient, b, mb);
                }
                CHECK(reference::compare((inPlace ? weights : newWeights).read(), w, tight));
                const Values untouched = inPlace ? before : Values(150, 7);
                const Values gotBiases = (inPlace ? biases : newBiases).read();
                if (updated == 2)
                    CHECK(reference::compare(gotBiases, b, tight));
                else
                    CHECK(gotBiases == untouched);
                for (size_t k = 0; k < mw.size(); ++k) {
                    CHECK(reference::compare(read(moments[k][0]), mw[k], tight));
                    if (updated == 2) CHECK(reference::compare(read(moments[k][1]), mb[k], tight));
                }
            }
}

TEST_CASE("states without biases") {
    const Convolution convolution(10);
    const Values w = random(30, 1);
    const MPS::Vector weights = vectorOf(w);
    const MPS::CNNConvolutionWeightsAndBiasesState bare(weights.data(), MTL::Buffer());
    const MPS::CNNConvolutionWeightsAndBiasesState full(testDevice(), convolution.descriptor);
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), 1);
    run([&](const MTL::CommandBuffer& commands) {
        sgd.encode(commands, convolution.state, bare, {}, full);
        sgd.encode(commands, convolution.state, bare, {vectorOf(Values(30, 0))}, bare);
    });
    for (size_t i = 0; i < 30; ++i)
        CHECK(read(weights)[i] == float(w[i]) - float(convolution.weightGradient[i]));
    CHECK(read(Convolution::vector(full.weights())) == read(weights));
    CHECK(read(Convolution::vector(full.biases())) == Values(10, 0));
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] {
                  sgd.encode(commands, convolution.state, full, {weights, vectorOf(Values(10, 0))},
                             bare);
              }) == "[NNOptimizerStochasticGradientDescent] inputMomentumVectors has 2 vectors but "
                    "convolutionSourceState or resultState has no biases.");
    });
}

TEST_CASE("an encode reads the gradient state and the source state once") {
    const Convolution convolution(4);
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), 1);
    const MPS::CNNConvolutionWeightsAndBiasesState kept(testDevice(), convolution.descriptor);
    run([&](const MTL::CommandBuffer& commands) {
        auto gradient = std::make_shared<MPS::CNNConvolutionGradientState::Impl>(
            testDevice(), mps::ForwardRecord{}, convolution.descriptor, nullptr);
        gradient->makeTemporary(commands);
        const MPS::CNNConvolutionGradientState state(gradient);
        for (const size_t k : {0, 1})
            mps::Encoder(commands, "")
                .list()
                .fill(gradient->buffer(k), std::bit_cast<uint32_t>(.25f));
        state.setReadCount(2);
        CHECK(refused([&] { sgd.encode(commands, state, kept, {}, kept); }) ==
              "[NNOptimizerStochasticGradientDescent] convolutionGradientState is a temporary "
              "state that has no gradients of weights and biases: CNNConvolutionGradient comes "
              "first.");
        gradient->accumulated = true;
        const auto source =
            MPS::CNNConvolutionWeightsAndBiasesState::temporaryCNNConvolutionWeightsAndBiasesState(
                commands, convolution.descriptor);
        sgd.encode(commands, state, kept, {}, source);
        CHECK(state.readCount() == 1);
        CHECK(source.readCount() == 1);
        sgd.encode(commands, state, source, {}, kept);
        CHECK(state.readCount() == 0);
        CHECK(source.readCount() == 0);
        CHECK(refused([&] { sgd.encode(commands, state, kept, {}, kept); }) ==
              "[NNOptimizerStochasticGradientDescent] convolutionGradientState is a temporary "
              "state whose read "
              "count is 0: its memory is given back already.");
    });
    CHECK(read(Convolution::vector(kept.weights())) == Values(12, -.5));
    CHECK(read(Convolution::vector(kept.biases())) == Values(4, -.5));
}

TEST_CASE("what optimizers of states refuse") {
    const Convolution convolution(4), larger(5);
    const MPS::CNNConvolutionWeightsAndBiasesState values(testDevice(), convolution.descriptor);
    const MPS::Vector weightMoment = vectorOf(Values(12, 0)), biasMoment = vectorOf(Values(4, 0)),
                      empty;
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), 1);
    MPS::NNOptimizerRMSProp rms(testDevice(), 1);
    MPS::NNOptimizerAdam adam(testDevice(), 1);
    adam.setLabel("head");
    const std::string sgdText = "[NNOptimizerStochasticGradientDescent] ",
                      rmsText = "[NNOptimizerRMSProp] ";
    const std::string adamText = "[NNOptimizerAdam \"head\"] ";
    const MTL::CommandBuffer commands = testQueue().commandBuffer();

    CHECK(refused([&] {
              sgd.encode(commands, MPS::CNNConvolutionGradientState{}, values, {}, values);
          }) == sgdText + "convolutionGradientState is empty.");
    CHECK(refused([&] { sgd.encode(commands, convolution.state, {}, {}, values); }) ==
          sgdText + "convolutionSourceState is empty.");
    CHECK(refused([&] { sgd.encode(commands, convolution.state, values, {}, {}); }) ==
          sgdText + "resultState is empty.");
    CHECK(refused([&] { sgd.encode(commands, larger.state, values, {}, values); }) ==
          sgdText + "convolutionSourceState has 12 weights but convolutionGradientState has "
                    "gradients for 15.");
    CHECK(refused([&] { rms.encode(commands, convolution.state, values, {}, values); }) ==
          rmsText + "inputSumOfSquaresVectors has 0 vectors but needs one for the weights and may "
                    "have a second one "
                    "for the biases.");
    CHECK(refused([&] { adam.encode(commands, convolution.state, values, {}, {}, values); }) ==
          adamText + "inputMomentumVectors has 0 vectors but needs one for the weights and may "
                     "have a second one "
                     "for the biases.");
    CHECK(refused([&] {
              sgd.encode(commands, convolution.state, values,
                         {weightMoment, biasMoment, biasMoment}, values);
          }) == sgdText + "inputMomentumVectors has 3 vectors but needs one for the weights and "
                          "may have a second one "
                          "for the biases.");
    CHECK(refused([&] {
              sgd.encode(commands, convolution.state, values, {weightMoment, empty}, values);
          }) == sgdText + "inputMomentumVectors[1] is empty.");
    CHECK(
        refused([&] { sgd.encode(commands, convolution.state, values, {biasMoment}, values); }) ==
        sgdText +
            "inputMomentumVectors[0] has 4 elements but convolutionGradientState has 12 elements.");
    CHECK(refused([&] {
              adam.encode(commands, convolution.state, values, {weightMoment, biasMoment},
                          {vectorOf(Values(12, 0))}, values);
          }) == adamText + "inputVelocityVectors has 1 vectors but inputMomentumVectors has 2.");
    CHECK(adam.timeStep() == 0);
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(read(weightMoment) == Values(12, 0));
}
