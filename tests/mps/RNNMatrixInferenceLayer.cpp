#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Recurrent.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/KeyedArchiver.hpp>
#include <mpsvk/MPS/RNNMatrixInferenceLayer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;
using Mode = MPS::RNNBidirectionalCombineMode;

namespace {

const auto single = DataType::Float32;

const std::vector<Recurrent>& stack() {
    static const std::vector<Recurrent> all{
        randomLayer(RecurrentKind::LSTM, 3, 5, 101, {.hasMemory = true}),
        randomLayer(RecurrentKind::GRU, 5, 7, 102),
        randomLayer(RecurrentKind::SingleGate, 7, 6, 103)};
    return all;
}

std::vector<MPS::RNNDescriptor> descriptorsOf(const std::vector<Recurrent>& layers,
                                              DataType type = single) {
    std::vector<MPS::RNNDescriptor> all;
    for (const Recurrent& layer : layers) all.push_back(RecurrentDescriptor(layer, type).any());
    return all;
}

[[maybe_unused]] const bool named =
    everyOther([] { return MPS::RNNMatrixInferenceLayer(testDevice(), descriptorsOf(stack())); });

Steps reversed(Steps steps) {
    std::reverse(steps.begin(), steps.end());
    return steps;
}

/// Going back, row r begins at its own last step: the sequences are taken one by one.
Steps backward(const Recurrent& layer, const Steps& x, const std::vector<size_t>& lengths) {
    Steps results(x.size());
    for (size_t t = 0; t < x.size(); ++t)
        results[t].resize(x[t].size() / layer.inputs * layer.outputs);
    for (size_t r = 0; r < lengths.size(); ++r) {
        Steps own;
        for (size_t t = 0; t < lengths[r]; ++t)
            own.emplace_back(x[t].begin() + r * layer.inputs,
                             x[t].begin() + (r + 1) * layer.inputs);
        const auto y = reversed(reference::forward(layer, reversed(own)).outputs);
        for (size_t t = 0; t < lengths[r]; ++t)
            std::copy(y[t].begin(), y[t].end(), results[t].begin() + r * layer.outputs);
    }
    return results;
}

void compare(const std::vector<MPS::Matrix>& actual, const Steps& expected,
             double tolerance = 5e-6) {
    for (size_t t = 0; t < expected.size(); ++t) {
        INFO("step " << t);
        CHECK(reference::compare(test::valuesOf(actual[t]), expected[t], {tolerance, 1e-7}));
    }
}

} // namespace

TEST_CASE("a stack of recurrent layers equals the reference, in one encode and in two") {
    const std::vector<size_t> rows = rowsOf({9, 8, 8, 4});
    for (const auto type : {single, DataType::Float16}) {
        std::vector<Recurrent> layers;
        for (size_t i = 0; i < 3; ++i)
            layers.push_back(randomLayer(stack()[i].kind, stack()[i].inputs, stack()[i].outputs,
                                         111 + i, {}, type));
        const Steps x = randomSteps(rows, 3, 104, type);
        std::vector<reference::RecurrentResult> expected;
        for (const Recurrent& layer : layers)
            expected.push_back(
                reference::forward(layer, expected.empty() ? x : expected.back().outputs));
        MPS::RNNMatrixInferenceLayer kernel(testDevice(), descriptorsOf(layers, type));
        CHECK(kernel.numberOfLayers() == 3);
        CHECK(kernel.inputFeatureChannels() == 3);
        CHECK(kernel.outputFeatureChannels() == 6);
        const auto sources = matricesOf(x, 3, type);
        for (const size_t split : {0, 4}) {
            const auto y = emptyMatrices(rows, 6, type);
            std::vector<MPS::RNNRecurrentMatrixState> states;
            const auto part = [&](const auto& all, size_t first, size_t end) {
                return std::vector(all.begin() + first, all.begin() + end);
            };
            run([&](const MTL::CommandBuffer& commands) {
                if (split > 0)
                    kernel.encodeSequence(commands, part(sources, 0, split), part(y, 0, split), {},
                                          &states);
                kernel.encodeSequence(
                    commands, part(sources, split, 9), part(y, split, 9),
                    states.empty() ? MPS::RNNRecurrentMatrixState() : states.back(), &states);
            });
            compare(y, expected[2].outputs, type == single ? 5e-6 : 1e-3);
            // A sequence that ended in the first part has its last state there.
            const auto going = [&](Values all, size_t channels) {
                all.resize(rows[split] * channels);
                return all;
            };
            const auto& last = states.back();
            for (size_t i = 0; i < 3; ++i)
                CHECK(reference::compare(test::valuesOf(last.getRecurrentOutputMatrix(i)),
                                         going(expected[i].lastOutput, layers[i].outputs), {5e-6}));
            CHECK(reference::compare(test::valuesOf(last.getMemoryCellMatrix(0)),
                                     going(expected[0].lastCell, 5), {5e-6}));
            CHECK_FALSE(last.getMemoryCellMatrix(1));
        }
        conforms("RNNMatrixInferenceLayer", Aspect::Forward);
        if (type == DataType::Float16) conforms("RNNMatrixInferenceLayer", Aspect::Half);
    }
}

TEST_CASE("a stack stores all intermediate states, and temporary ones") {
    const std::vector<size_t> rows{3, 3, 2, 1};
    const Steps x = randomSteps(rows, 3, 105, single);
    MPS::RNNMatrixInferenceLayer kernel(testDevice(), descriptorsOf(stack()));
    kernel.setStoreAllIntermediateStates(true);
    std::vector<MPS::RNNRecurrentMatrixState> states, temporary;
    const auto again = emptyMatrices({3}, 6), once = emptyMatrices({3}, 6);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encodeSequence(commands, matricesOf(x, 3), emptyMatrices(rows, 6), {}, &states);
        kernel.setStoreAllIntermediateStates(false);
        kernel.setRecurrentOutputIsTemporary(true);
        kernel.encodeSequence(commands, matricesOf(x, 3), emptyMatrices(rows, 6), {}, &temporary);
        kernel.encodeSequence(commands, matricesOf({x[0]}, 3), again, temporary[0], nullptr);
        CHECK(temporary[0].readCount() == 0);
        kernel.encodeSequence(commands, matricesOf({x[0]}, 3), once, states[3], nullptr);
    });
    CHECK(test::valuesOf(again[0]) == test::valuesOf(once[0]));
    REQUIRE(states.size() == 4);
    for (size_t t = 0; t < 4; ++t) {
        Steps part(x.begin(), x.begin() + t + 1);
        for (size_t i = 0; i < 3; ++i) {
            const auto expected = reference::forward(stack()[i], part);
            CHECK(reference::compare(test::valuesOf(states[t].getRecurrentOutputMatrix(i)),
                                     expected.lastOutput, {5e-6}));
            part = expected.outputs;
        }
    }
}

TEST_CASE("a sequence that takes much memory is worked on in turns, to the same result") {
    // 4 + 2 arrays of 64 channels in fp32: 16 MiB are reached after 10922 rows.
    const auto layer = randomLayer(RecurrentKind::LSTM, 2, 64, 106);
    const std::vector<size_t> rows(50, 256);
    const Steps x = randomSteps(rows, 2, 107, single);
    MPS::RNNMatrixInferenceLayer kernel(testDevice(), RecurrentDescriptor(layer).any());
    std::vector<MPS::Matrix> weights;
    MPS::RNNMatrixTrainingLayer training(testDevice(), RecurrentDescriptor(layer).any(), &weights);
    const auto y = emptyMatrices(rows, 64), expected = emptyMatrices(rows, 64);
    std::vector<MPS::RNNRecurrentMatrixState> states, expectedStates;
    run([&](const MTL::CommandBuffer& commands) {
        const auto sources = matricesOf(x, 2);
        kernel.encodeSequence(commands, sources, y, {}, &states);
        training.encodeForwardSequence(commands, sources, {}, expected, {}, nullptr, {},
                                       &expectedStates, weights);
    });
    CHECK(test::valuesOf(y.back()) == test::valuesOf(expected.back()));
    CHECK(test::valuesOf(states[0].getMemoryCellMatrix(0)) ==
          test::valuesOf(expectedStates[0].getMemoryCellMatrix(0)));
}

TEST_CASE("both directions are separate, added or side by side") {
    const std::vector<size_t> lengths{9, 8, 8, 4}, rows = rowsOf(lengths);
    const Steps x = randomSteps(rows, 3, 108, single);
    for (const auto kind : {RecurrentKind::SingleGate, RecurrentKind::LSTM, RecurrentKind::GRU}) {
        const RecurrentOptions o{.hasMemory = true};
        const std::vector<Recurrent> layers{
            randomLayer(kind, 3, 5, 121, o), randomLayer(kind, 3, 7, 122, o),
            randomLayer(kind, 5, 6, 123, o), randomLayer(kind, 7, 6, 124, o)};
        auto descriptors = descriptorsOf(layers);
        for (const size_t i : {1, 3})
            descriptors[i].setLayerSequenceDirection(MPS::RNNSequenceDirection::Backward);
        MPS::RNNMatrixInferenceLayer kernel(testDevice(), descriptors);
        const Steps forwards =
                        reference::forward(layers[2], reference::forward(layers[0], x).outputs)
                            .outputs,
                    backwards = backward(layers[3], backward(layers[1], x, lengths), lengths);
        const auto sources = matricesOf(x, 3);
        const auto y = emptyMatrices(rows, 6), z = emptyMatrices(rows, 6),
                   sum = emptyMatrices(rows, 6), wide = emptyMatrices(rows, 12);
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encodeBidirectionalSequence(commands, sources, y, z);
            kernel.setBidirectionalCombineMode(Mode::Add);
            kernel.encodeBidirectionalSequence(commands, sources, sum, {});
            kernel.setBidirectionalCombineMode(Mode::Concatenate);
            kernel.encodeBidirectionalSequence(commands, sources, wide, {});
        });
        compare(y, forwards);
        compare(z, backwards);
        Steps added = forwards, both(rows.size());
        for (size_t t = 0; t < rows.size(); ++t) {
            for (size_t i = 0; i < added[t].size(); ++i) added[t][i] += backwards[t][i];
            for (size_t r = 0; r < rows[t]; ++r)
                for (const Steps* from : {&forwards, &backwards})
                    both[t].insert(both[t].end(), (*from)[t].begin() + r * 6,
                                   (*from)[t].begin() + (r + 1) * 6);
        }
        compare(sum, added);
        compare(wide, both);
    }
}

TEST_CASE("copies and archives of a stack compute the same bits") {
    const Steps x = randomSteps({3, 2}, 3, 109, single);
    MPS::RNNMatrixInferenceLayer kernel(testDevice(), descriptorsOf(stack(), DataType::Float16));
    auto copy = kernel.copy(testDevice());
    auto again = MPS::KeyedUnarchiver::unarchivedObject<MPS::RNNMatrixInferenceLayer>(
        MPS::KeyedArchiver::archivedData(kernel), testDevice());
    std::vector<Steps> results;
    for (auto* each : {&kernel, &copy, &again, &kernel}) {
        const auto y = emptyMatrices({3, 2}, 6);
        run([&](const MTL::CommandBuffer& commands) {
            each->encodeSequence(commands, matricesOf(x, 3), y, {}, nullptr);
        });
        results.push_back(valuesOf(y));
    }
    for (const Steps& result : results) CHECK(result == results[0]);
    conforms("RNNMatrixInferenceLayer", Aspect::Archive);
}

TEST_CASE("a stack of recurrent layers refuses what does not fit, with a sentence") {
    const auto refused = [](auto call) { return sentence<InvalidArgument>(call); };
    const std::string who = "[RNNMatrixInferenceLayer] ";
    CHECK(refused([] {
              MPS::RNNMatrixInferenceLayer(testDevice(), std::vector<MPS::RNNDescriptor>{});
          }) == who + "rnnDescriptors is empty but a stack has at least one layer.");
    auto descriptors = descriptorsOf(
        {randomLayer(RecurrentKind::GRU, 3, 5, 131), randomLayer(RecurrentKind::GRU, 4, 6, 132)});
    MPS::RNNMatrixInferenceLayer broken(testDevice(), descriptors);
    const auto x = emptyMatrices({2}, 3), y = emptyMatrices({2}, 6), z = emptyMatrices({2}, 5);
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] { broken.encodeSequence(commands, x, y, {}, nullptr); }) ==
              who + "A layer has 4 input feature channels but the one before it has 5 output "
                    "feature channels.");
        CHECK(refused([&] { broken.encodeBidirectionalSequence(commands, x, y, z); }) ==
              who +
                  "No layer has the direction Backward but a bidirectional encode needs layers of "
                  "both.");
        descriptors[1].setLayerSequenceDirection(MPS::RNNSequenceDirection::Backward);
        MPS::RNNMatrixInferenceLayer other(testDevice(), descriptors);
        CHECK(refused([&] { other.encodeBidirectionalSequence(commands, x, y, z); }) ==
              who + "The stacks of both directions have 3 and 4 input feature channels but they "
                    "read the same sources.");
        descriptors[1] = descriptorsOf({randomLayer(RecurrentKind::GRU, 3, 6, 132)})[0];
        descriptors[1].setLayerSequenceDirection(MPS::RNNSequenceDirection::Backward);
        MPS::RNNMatrixInferenceLayer both(testDevice(), descriptors);
        CHECK(refused([&] { both.encodeBidirectionalSequence(commands, x, z, {}); }) ==
              who + "destinationBackwardMatrices has 0 matrices but there are 1 time steps.");
        both.setBidirectionalCombineMode(Mode::Add);
        CHECK(refused([&] { both.encodeBidirectionalSequence(commands, x, z, {}); }) ==
              who + "The stacks of both directions have 5 and 6 output feature channels but their "
                    "results are added.");
        both.setBidirectionalCombineMode(Mode::Concatenate);
        CHECK(refused([&] { both.encodeBidirectionalSequence(commands, x, z, y); }) ==
              who + "destinationBackwardMatrices has 1 matrices but both directions' results are "
                    "combined in the forward destinations.");
        CHECK(refused([&] { both.encodeBidirectionalSequence(commands, x, y, {}); }) ==
              who + "destinationForwardMatrices[0] has 6 columns but 11 are needed.");
        both.setBidirectionalCombineMode(Mode(3));
        CHECK(refused([&] { both.encodeBidirectionalSequence(commands, x, y, {}); }) ==
              who + "bidirectionalCombineMode is 3 but modes go from 0 to 2.");
    });
    conforms("RNNMatrixInferenceLayer", Aspect::Misuse);
}
