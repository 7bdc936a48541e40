#include "support/Conformance.hpp"
#include "support/Recurrent.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

const auto single = DataType::Float32;

template <class Call> std::string refused(Call call) { return sentence<InvalidArgument>(call); }

std::shared_ptr<FixedWeights> weightsFor(uint64_t inputs, uint64_t outputs, uint64_t side = 1) {
    return std::make_shared<FixedWeights>(
        MPS::CNNConvolutionDescriptor(side, side, inputs, outputs),
        Values(side * side * inputs * outputs), Values());
}

} // namespace

TEST_CASE("recurrent layers refuse descriptors that do not fit, with a sentence") {
    CHECK(refused([] { MPS::GRUDescriptor(0, 3); }) ==
          "[GRUDescriptor] 0 input and 3 output feature channels were asked for but each number "
          "must be at least 1.");
    std::vector<MPS::Matrix> weights;
    const auto made = [&](const MPS::RNNDescriptor& d) {
        return refused([&] { MPS::RNNMatrixTrainingLayer(testDevice(), d, &weights); });
    };
    const std::string who = "[RNNMatrixTrainingLayer] ";
    MPS::LSTMDescriptor lstm(3, 5);
    CHECK(refused([&] { MPS::RNNMatrixTrainingLayer(testDevice(), lstm, nullptr); }) ==
          who + "There is no array to append to.");
    lstm.setForgetGateInputWeights(weightsFor(4, 5));
    CHECK(made(lstm) == who + "forgetGateInputWeights has 4 input and 5 output feature channels "
                              "but the layer needs 3 and 5.");
    lstm.setForgetGateInputWeights(weightsFor(3, 5, 3));
    CHECK(made(lstm) == who + "forgetGateInputWeights has a kernel of 3x3 but the weights of a "
                              "matrix layer are 1x1.");
    auto source = weightsFor(3, 5);
    source->biases.resize(4);
    lstm.setForgetGateInputWeights(source);
    CHECK(made(lstm) == who + "In forgetGateInputWeights: the data source has 4 bias terms but 5 "
                              "output feature channels.");
    source->loadResult = false;
    CHECK(made(lstm) == who + "In forgetGateInputWeights: The data source's load returned false.");
    MPS::CNNConvolutionDescriptor strided(1, 1, 3, 5);
    strided.setStrideInPixelsX(2);
    lstm.setForgetGateInputWeights(std::make_shared<FixedWeights>(strided, Values(15), Values()));
    CHECK(made(lstm) == who + "forgetGateInputWeights has a stride other than 1 but the gates of a "
                              "recurrent layer have none.");
    lstm.setForgetGateInputWeights(nullptr);
    lstm.setMemoryWeightsAreDiagonal(true);
    lstm.setOutputGateMemoryWeights(weightsFor(5, 5));
    CHECK(made(lstm) == who + "outputGateMemoryWeights has 25 weights but a diagonal has 5.");
    lstm.setOutputGateMemoryWeights(nullptr);
    lstm.setCellToOutputNeuronType(MPS::CNNNeuronType::PReLU);
    CHECK(made(lstm) ==
          who + "cellToOutputNeuronType is PReLU but there is no place for its slopes.");
    lstm.setCellToOutputNeuronType(MPS::CNNNeuronType::TanH);
    lstm.setUseLayerInputUnitTransformMode(true);
    CHECK(made(lstm) == who + "useLayerInputUnitTransformMode needs as many input as output "
                              "feature channels but there are 3 and 5.");
    MPS::GRUDescriptor gru(3, 5);
    gru.setGatePnormValue(0);
    CHECK(made(gru) == who + "gatePnormValue is 0.000000 but must be greater than 0.");
    CHECK(weights.empty());
}

TEST_CASE("encodes of a recurrent layer refuse what does not fit and record nothing") {
    std::vector<MPS::Matrix> weights;
    MPS::RNNMatrixTrainingLayer k(
        testDevice(), RecurrentDescriptor(randomLayer(RecurrentKind::LSTM, 3, 5, 91)).lstm(),
        &weights);
    k.setLabel("l");
    const std::string who = "[RNNMatrixTrainingLayer \"l\"] ";
    const auto x = emptyMatrices({4, 3}, 3), y = emptyMatrices({4, 3}, 5);
    std::vector<MPS::RNNMatrixTrainingState> states;
    std::vector<MPS::RNNRecurrentMatrixState> recurrent;
    run([&](const MTL::CommandBuffer& commands) {
        const auto forward =
            [&](const std::vector<MPS::Matrix>& sources, const std::vector<MPS::Matrix>& results,
                const std::vector<MPS::Matrix>& set, std::vector<uint64_t> offsets = {},
                const MPS::RNNRecurrentMatrixState& state = {}) {
                return refused([&] {
                    k.encodeForwardSequence(commands, sources, offsets, results, {}, &states, state,
                                            &recurrent, set);
                });
            };
        CHECK(forward({}, {}, weights) ==
              who + "sourceMatrices is empty but a sequence has at least one step.");
        CHECK(forward({x[0], {}}, y, weights) == who + "sourceMatrices[1] is empty.");
        CHECK(forward({x[1], x[0]}, {y[0], y[0]}, weights) ==
              who + "sourceMatrices[1] has 4 rows but the matrix before it only 3: sequences are "
                    "sorted, the longest first.");
        CHECK(forward(x, {y[0]}, weights) ==
              who + "destinationMatrices has 1 matrices but there are 2 time steps.");
        CHECK(forward(x, {y[1], y[1]}, weights) ==
              who + "destinationMatrices[0] has 3 rows but the time step has 4.");
        CHECK(forward(x, x, weights) ==
              who + "destinationMatrices[0] has 3 columns but 5 are needed.");
        CHECK(forward(y, y, weights) ==
              who + "destinationMatrices[0] overlaps sourceMatrices[0] in memory.");
        CHECK(forward(x, y, weights, {0}) ==
              who + "sourceMatrices has 2 matrices but there are 1 offsets for them.");
        CHECK(forward(x, y, weights, {0, 2}) ==
              who + "The offset in sourceMatrices[1] is 2 but must be a multiple of the element's "
                    "size, 4.");
        CHECK(forward(x, y, weights, {0, 4}) ==
              who + "sourceMatrices[1] takes 36 bytes from its offset on but the buffer has 32 "
                    "there.");
        CHECK(forward(x, y, {weights[0]}) ==
              who + "weights has 1 matrices but the layer's have 3.");
        CHECK(forward(x, y, {weights[0], weights[0], weights[2]}) ==
              who + "weights[1] is 32x4 in rows of 16 bytes but the layer's is 32x8 without "
                    "padding.");
        const MPS::Matrix whole(testDevice(), MPS::MatrixDescriptor(4, 3, 12, DataType::Int32));
        CHECK(forward({whole}, {y[0]}, weights) ==
              who + "sourceMatrices[0] has the dataType 536870944 but must be Float32 or Float16.");
        CHECK(states.empty());
        CHECK(recurrent.empty());

        k.encodeForwardSequence(commands, x, {}, y, {}, &states, {}, &recurrent, weights);
        const auto longer = emptyMatrices({6}, 3), longerY = emptyMatrices({6}, 5);
        CHECK(forward(longer, longerY, weights, {}, recurrent[0]) ==
              who + "recurrentInputState has 4 rows but the first time step has 6.");
        std::vector<MPS::Matrix> others;
        MPS::RNNMatrixTrainingLayer gru(
            testDevice(), RecurrentDescriptor(randomLayer(RecurrentKind::GRU, 3, 5, 92)).gru(),
            &others);
        CHECK(refused([&] {
                  gru.encodeForwardSequence(commands, x, {}, y, {}, nullptr, recurrent[0], nullptr,
                                            others);
              }) == "[RNNMatrixTrainingLayer] recurrentInputState has 5 feature channels and a "
                    "memory cell but layer 0 has 5 and none.");

        const auto dy = emptyMatrices({4, 3}, 5), dx = emptyMatrices({4, 3}, 3);
        std::vector<MPS::Matrix> gradients;
        k.createWeightGradientMatrices(&gradients, single);
        const auto backward = [&](const std::vector<MPS::Matrix>& results,
                                  const std::vector<MPS::Matrix>& set,
                                  const std::vector<MPS::RNNMatrixTrainingState>& training) {
            return refused([&] {
                k.encodeGradientSequence(commands, x, dy, results, set, training, weights);
            });
        };
        CHECK(backward(dx, gradients, {}) ==
              who + "trainingStates is empty but a sequence has at least one step.");
        CHECK(backward(dx, gradients, {states[1], states[0]}) ==
              who + "trainingStates[1] does not go on where the state before it ended: states come "
                    "in the order of time.");
        CHECK(backward(dx, gradients, {states[0]}) ==
              who + "forwardSources has 2 matrices but there are 1 time steps.");
        CHECK(backward(x, gradients, states) ==
              who + "destinationGradients[0] overlaps forwardSources[0] in memory.");
        CHECK(backward(dx, weights, states) ==
              who + "weightGradients overlap the weights in memory.");
        // The weights' gradients in the memory of what is read, of another result, of each other.
        const auto at = [&](const MPS::Matrix& place) {
            auto set = gradients;
            const auto& own = gradients[0];
            set[0] =
                MPS::Matrix(place.data(), MPS::MatrixDescriptor(own.rows(), own.columns(),
                                                                own.rowBytes(), own.dataType()));
            return set;
        };
        const uint64_t bytes = gradients[0].rows() * gradients[0].rowBytes();
        const auto row = [&](uint64_t columns) {
            return MPS::Matrix(testDevice().newBuffer(2 * bytes),
                               MPS::MatrixDescriptor(4, columns, bytes / 4, DataType::Float32));
        };
        const auto first = row(3), firstGradient = row(5), firstResult = row(3);
        const auto overlapping = [&](const std::vector<MPS::Matrix>& set) {
            return refused([&] {
                k.encodeGradientSequence(commands, {first, x[1]}, {firstGradient, dy[1]},
                                         {firstResult, dx[1]}, set, states, weights);
            });
        };
        CHECK(overlapping(at(first)) ==
              who + "forwardSources[0] overlaps the weightGradients in memory.");
        CHECK(overlapping(at(firstGradient)) ==
              who + "sourceGradients[0] overlaps the weightGradients in memory.");
        CHECK(overlapping(at(firstResult)) ==
              who + "destinationGradients[0] overlaps the weightGradients in memory.");
        CHECK(overlapping(at(gradients[1])) ==
              who + "weightGradients overlap each other in memory.");
        CHECK(backward(dx, {gradients[0]}, states) ==
              who + "weightGradients has 1 matrices but the layer's have 3.");
        CHECK(refused([&] {
                  gru.encodeGradientSequence(commands, x, dy, dx, {}, states, others);
              }) == "[RNNMatrixTrainingLayer] trainingStates[0] is of another layer.");

        const auto small = matrixOf(Values(12), 4, 3);
        const auto copy = [&](uint64_t id, const MTL::Origin& origin) {
            return refused([&] {
                k.encodeCopyWeights(commands, weights, MPS::RNNMatrixId(id), small, true, origin);
            });
        };
        CHECK(copy(29, {}) == who + "matrixId is 29 but ids go from 0 to 28.");
        CHECK(copy(5, {}) == who + "matrixId is 5 but the layer has no such weights.");
        CHECK(copy(19, {}) == who + "matrixId is 19 but the layer has no such weights.");
        CHECK(copy(3, {}) == who + "matrix has 4 rows and 3 columns from its origin on but 5 and 3 "
                                   "are needed.");
        CHECK(refused([&] { k.createWeightGradientMatrices(&gradients, DataType::Int32); }) ==
              who + "dataType is 536870944 but must be Float32 or Float16.");
    });
    CHECK(refused([&] { k.encodeForwardSequence({}, x, y, nullptr, weights); }) ==
          who + "The command buffer handle is empty.");
    conforms("RNNMatrixTrainingLayer", Aspect::Misuse);
}

TEST_CASE("what the purge of a gate's source throws comes out unless its weights were refused") {
    const auto source = std::make_shared<FailingPurge>(MPS::CNNConvolutionDescriptor(1, 1, 3, 5),
                                                       Values(15), Values());
    MPS::LSTMDescriptor lstm(3, 5);
    lstm.setForgetGateInputWeights(source);
    std::vector<MPS::Matrix> weights;
    const auto make = [&] { MPS::RNNMatrixTrainingLayer(testDevice(), lstm, &weights); };
    CHECK(sentence<std::runtime_error>(make) == "purge failed");
    source->weightValues.pop_back();
    CHECK(refused(make) ==
          "[RNNMatrixTrainingLayer] In forgetGateInputWeights: The data source has 56 bytes of "
          "weights but its descriptor asks for 60.");
    CHECK(source->loads == 2);
    CHECK(weights.empty());
}
