#include "support/Conformance.hpp"
#include "support/Recurrent.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/KeyedArchiver.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;
using MPS::RNNMatrixId;

namespace {

const std::vector<size_t> threeRows{3, 3, 2, 1};

/// A layer with a sequence for it.
struct Rig {
    explicit Rig(RecurrentKind kind = RecurrentKind::LSTM, const RecurrentOptions& o = {})
        : reference(randomLayer(kind, 3, 5, 71, o)), x(randomSteps(threeRows, 3, 72, single)),
          kernel(testDevice(), RecurrentDescriptor(reference).any(), &weights),
          sources(matricesOf(x, 3)), results(emptyMatrices(threeRows, 5)),
          gradients(matricesOf(randomSteps(threeRows, 5, 73, single), 5)),
          sourceGradients(emptyMatrices(threeRows, 3)) {
        kernel.createWeightGradientMatrices(&weightGradients, single);
    }
    void forward(const MTL::CommandBuffer& commands) {
        kernel.encodeForwardSequence(commands, sources, results, &training, weights);
    }
    void backward(const MTL::CommandBuffer& commands) {
        kernel.encodeGradientSequence(commands, sources, gradients, sourceGradients,
                                      weightGradients, training, weights);
    }

    static constexpr DataType single = DataType::Float32;
    Recurrent reference;
    Steps x;
    std::vector<MPS::Matrix> weights;
    MPS::RNNMatrixTrainingLayer kernel;
    std::vector<MPS::Matrix> sources, results, gradients, sourceGradients, weightGradients;
    std::vector<MPS::RNNMatrixTrainingState> training;
};

Steps all(const Rig& rig) {
    Steps values = valuesOf(rig.results);
    for (const auto* matrices : {&rig.sourceGradients, &rig.weightGradients})
        for (const auto& matrix : *matrices) values.push_back(test::valuesOf(matrix));
    return values;
}

Values joined(const Steps& steps) {
    Values values;
    for (const Values& step : steps) values.insert(values.end(), step.begin(), step.end());
    return values;
}

} // namespace

TEST_CASE("a recurrent layer gives the same bits in every run, copied and archived") {
    for (const auto kind : {RecurrentKind::SingleGate, RecurrentKind::LSTM, RecurrentKind::GRU}) {
        Rig rig(kind, {.hasMemory = true});
        rig.kernel.setLabel("original");
        std::vector<Steps> results;
        const auto train = [&](MPS::RNNMatrixTrainingLayer kernel) {
            rig.kernel = kernel;
            rig.training.clear();
            run([&](const MTL::CommandBuffer& commands) {
                rig.forward(commands);
                rig.backward(commands);
            });
            results.push_back(all(rig));
        };
        const auto original = rig.kernel;
        train(original);
        train(original);
        train(original.copy(testDevice()));
        train(MPS::KeyedUnarchiver::unarchivedObject<MPS::RNNMatrixTrainingLayer>(
            MPS::KeyedArchiver::archivedData(original), testDevice()));
        for (size_t i = 1; i < results.size(); ++i) CHECK(results[i] == results[0]);
    }
    conforms("RNNMatrixTrainingLayer", Aspect::Archive);
}

TEST_CASE("all intermediate states are stored, of ended sequences their last ones") {
    Rig rig;
    rig.kernel.setStoreAllIntermediateStates(true);
    std::vector<MPS::RNNRecurrentMatrixState> states, gradients;
    run([&](const MTL::CommandBuffer& commands) {
        rig.kernel.encodeForwardSequence(commands, rig.sources, {}, rig.results, {}, &rig.training,
                                         {}, &states, rig.weights);
        rig.kernel.encodeGradientSequence(commands, rig.sources, {}, rig.gradients, {}, {}, {}, {},
                                          rig.training, {}, &gradients, rig.weights);
    });
    REQUIRE(states.size() == 4);
    REQUIRE(gradients.size() == 4);
    for (size_t t = 0; t < 4; ++t) {
        const Steps part(rig.x.begin(), rig.x.begin() + t + 1);
        const auto expected = reference::forward(rig.reference, part);
        CHECK(reference::compare(test::valuesOf(states[t].getRecurrentOutputMatrix(0)),
                                 expected.lastOutput, {3e-6}));
        CHECK(reference::compare(test::valuesOf(states[t].getMemoryCellMatrix(0)),
                                 expected.lastCell, {3e-6}));
        CHECK_FALSE(states[t].getRecurrentOutputMatrix(1));
        CHECK_FALSE(states[t].getMemoryCellMatrix(1));
    }
    // The gradient before step t is that of the steps from t on.
    Rig rest;
    rest.weights = rig.weights;
    for (size_t t = 1; t < 4; ++t) {
        std::vector<MPS::RNNMatrixTrainingState> training;
        std::vector<MPS::RNNRecurrentMatrixState> gradient;
        const auto tail = [&](const std::vector<MPS::Matrix>& m) {
            return std::vector(m.begin() + t, m.end());
        };
        run([&](const MTL::CommandBuffer& commands) {
            rest.kernel.encodeForwardSequence(commands, tail(rig.sources), {}, tail(rest.results),
                                              {}, &training, states[t - 1], nullptr, rig.weights);
            rest.kernel.encodeGradientSequence(commands, tail(rig.sources), {}, tail(rig.gradients),
                                               {}, {}, {}, {}, training, {}, &gradient,
                                               rig.weights);
        });
        REQUIRE(gradient.size() == 1);
        auto expected = test::valuesOf(gradient[0].getRecurrentOutputMatrix(0));
        expected.resize(3 * 5); // ended sequences have none
        CHECK(reference::compare(test::valuesOf(gradients[t].getRecurrentOutputMatrix(0)), expected,
                                 {1e-6}));
    }
}

TEST_CASE("states of sequences encoded in parts have one gradient over all of them") {
    Rig rig(RecurrentKind::GRU), parts(RecurrentKind::GRU);
    run([&](const MTL::CommandBuffer& commands) {
        rig.forward(commands);
        rig.backward(commands);
        std::vector<MPS::RNNRecurrentMatrixState> states;
        for (size_t t = 0; t < 4; t += 2)
            parts.kernel.encodeForwardSequence(
                commands, {parts.sources.begin() + t, parts.sources.begin() + t + 2}, {},
                {parts.results.begin() + t, parts.results.begin() + t + 2}, {}, &parts.training,
                t > 0 ? states.back() : MPS::RNNRecurrentMatrixState(), &states, parts.weights);
        parts.backward(commands);
    });
    const Steps a = all(rig), b = all(parts);
    for (size_t i = 0; i < a.size(); ++i) CHECK(reference::compare(b[i], a[i], {2e-6}));
}

TEST_CASE("gradients of many gates are worked on in turns, to the result of encodes in parts") {
    // 1024 channels in fp32: 64 MiB are full after 16384 rows, which is three of these steps.
    const auto reference =
        randomLayer(RecurrentKind::SingleGate, 1, 1024, 82, {.hasRecurrent = false});
    std::vector<MPS::Matrix> weights, whole, parts;
    MPS::RNNMatrixTrainingLayer kernel(testDevice(), RecurrentDescriptor(reference).any(),
                                       &weights);
    kernel.createWeightGradientMatrices(&whole, Rig::single);
    kernel.createWeightGradientMatrices(&parts, Rig::single);
    const std::vector<size_t> rows(4, 4600);
    const auto sources = matricesOf(randomSteps(rows, 1, 83, Rig::single), 1),
               results = emptyMatrices(rows, 1024), gradients = emptyMatrices(rows, 1024),
               wholeSources = emptyMatrices(rows, 1), partSources = emptyMatrices(rows, 1);
    const auto part = [](const auto& all, size_t first, size_t end) {
        return std::vector(all.begin() + first, all.begin() + end);
    };
    run([&](const MTL::CommandBuffer& commands) {
        std::vector<MPS::RNNMatrixTrainingState> training;
        kernel.encodeForwardSequence(commands, sources, results, &training, weights);
        kernel.encodeGradientSequence(commands, sources, gradients, wholeSources, whole, training,
                                      weights);
        for (const auto& [first, end] : {std::pair<size_t, size_t>{1, 4}, {0, 1}}) {
            kernel.encodeGradientSequence(
                commands, part(sources, first, end), part(gradients, first, end),
                part(partSources, first, end), parts, part(training, first, end), weights);
            kernel.setAccumulateWeightGradients(true);
        }
    });
    for (size_t i = 0; i < whole.size(); ++i)
        CHECK(test::valuesOf(parts[i]) == test::valuesOf(whole[i]));
    CHECK(valuesOf(partSources) == valuesOf(wholeSources));
}

TEST_CASE("offsets pick time steps out of larger matrices") {
    Rig rig;
    // [row][time][channel], three rows of four steps.
    const auto interleaved = [](const Steps& steps, size_t channels) {
        Values values(3 * 4 * channels);
        for (size_t t = 0; t < steps.size(); ++t)
            for (size_t i = 0; i < steps[t].size(); ++i)
                values[(i / channels * 4 + t) * channels + i % channels] = steps[t][i];
        return matrixOf(values, 3, 4 * channels);
    };
    const auto views = [](const MPS::Matrix& all) {
        std::vector<MPS::Matrix> made;
        for (size_t rows : threeRows)
            made.emplace_back(all.data(), MPS::MatrixDescriptor(rows, all.columns(), all.rowBytes(),
                                                                Rig::single));
        return made;
    };
    const auto offsets = [](size_t channels) {
        return std::vector<uint64_t>{0, channels * 4, channels * 8, channels * 12};
    };
    const auto x = interleaved(rig.x, 3), y = matrixOf(Values(60, 9), 3, 20),
               dy = interleaved(valuesOf(rig.gradients), 5), dx = matrixOf(Values(36, 9), 3, 12);
    std::vector<MPS::Matrix> gradients;
    rig.kernel.createWeightGradientMatrices(&gradients, Rig::single);
    run([&](const MTL::CommandBuffer& commands) {
        rig.forward(commands);
        rig.backward(commands);
        std::vector<MPS::RNNMatrixTrainingState> training;
        rig.kernel.encodeForwardSequence(commands, views(x), offsets(3), views(y), offsets(5),
                                         &training, {}, nullptr, rig.weights);
        rig.kernel.encodeGradientSequence(commands, views(x), offsets(3), views(dy), offsets(5),
                                          views(dx), offsets(3), gradients, training, {}, nullptr,
                                          rig.weights);
    });
    const auto check = [&](const MPS::Matrix& actual, const Steps& expected, size_t channels) {
        Values values = test::valuesOf(interleaved(expected, channels));
        for (size_t r = 0; r < 3; ++r)
            for (size_t t = 0; t < 4; ++t)
                for (size_t c = 0; c < channels && r >= threeRows[t]; ++c)
                    values[(r * 4 + t) * channels + c] = 9;
        CHECK(reference::compare(test::valuesOf(actual), values, {1e-6}));
    };
    check(y, valuesOf(rig.results), 5);
    check(dx, valuesOf(rig.sourceGradients), 3);
    for (size_t i = 0; i < gradients.size(); ++i)
        CHECK(reference::compare(test::valuesOf(gradients[i]),
                                 test::valuesOf(rig.weightGradients[i]), {2e-6}));
}

TEST_CASE("steps that lie at equal distances in one matrix give what single matrices do") {
    Rig rig;
    const Steps x = randomSteps({2, 2, 2, 2}, 3, 81, Rig::single);
    const auto single = matricesOf(x, 3), results = emptyMatrices({2, 2, 2, 2}, 5);
    for (const size_t padding : {0, 2}) { // of each step, in rows
        Values values;
        for (const Values& step : x) {
            values.insert(values.end(), step.begin(), step.end());
            values.resize(values.size() + padding * 3, 99);
        }
        const auto many = matrixOf(values, 2 + padding, 3, Rig::single, 0, 4);
        std::vector<MPS::Matrix> views;
        std::vector<uint64_t> offsets;
        for (size_t t = 0; t < 4; ++t) {
            views.emplace_back(many.data(), MPS::MatrixDescriptor(2, 3, 12, Rig::single));
            offsets.push_back(t * (2 + padding) * 12);
        }
        const auto others = emptyMatrices({2, 2, 2, 2}, 5);
        run([&](const MTL::CommandBuffer& commands) {
            rig.kernel.encodeForwardSequence(commands, single, results, nullptr, rig.weights);
            rig.kernel.encodeForwardSequence(commands, views, offsets, others, {}, nullptr, {},
                                             nullptr, rig.weights);
        });
        CHECK(reference::compare(joined(valuesOf(others)), joined(valuesOf(results)), {1e-6}));
    }
}

TEST_CASE("temporary states, gradients and matrices are given back when they are read") {
    Rig rig;
    Rig kept;
    rig.kernel.setTrainingStateIsTemporary(true);
    rig.kernel.setRecurrentOutputIsTemporary(true);
    std::vector<MPS::RNNRecurrentMatrixState> states;
    run([&](const MTL::CommandBuffer& commands) {
        kept.forward(commands);
        kept.backward(commands);
        rig.kernel.encodeForwardSequence(commands, rig.sources, {}, rig.results, {}, &rig.training,
                                         {}, &states, rig.weights);
        CHECK(rig.training[0].isTemporary());
        CHECK(states[0].isTemporary());
        const auto output = states[0].getRecurrentOutputMatrix(0);
        CHECK(output.as<MPS::TemporaryMatrix>().readCount() == 1);
        std::vector<MPS::RNNMatrixTrainingState> next;
        rig.kernel.encodeForwardSequence(commands, rig.sources, {}, emptyMatrices(threeRows, 5), {},
                                         &next, states[0], nullptr, rig.weights);
        CHECK(states[0].readCount() == 0);
        CHECK(output.as<MPS::TemporaryMatrix>().readCount() == 0);
        std::vector<MPS::Matrix> gradients;
        rig.kernel.createTemporaryWeightGradientMatrices(&gradients, Rig::single, commands);
        rig.kernel.setAccumulateWeightGradients(true); // onto zeros
        rig.kernel.encodeGradientSequence(commands, rig.sources, rig.gradients, rig.sourceGradients,
                                          gradients, rig.training, rig.weights);
        CHECK(rig.training[0].readCount() == 0);
        CHECK(gradients[0].as<MPS::TemporaryMatrix>().readCount() == 1);
        const auto target = matrixOf(Values(15), 5, 3), same = matrixOf(Values(15), 5, 3);
        rig.kernel.encodeCopyWeights(commands, gradients, RNNMatrixId::LSTMForgetGateInputWeights,
                                     target, true, {});
        CHECK(gradients[0].as<MPS::TemporaryMatrix>().readCount() == 0);
        rig.weightGradients = {target};
        kept.kernel.encodeCopyWeights(commands, kept.weightGradients,
                                      RNNMatrixId::LSTMForgetGateInputWeights, same, true, {});
        kept.weightGradients = {same};
    });
    CHECK(all(rig) == all(kept));
}

TEST_CASE("weights go into a set and out of it again") {
    Rig rig(RecurrentKind::LSTM, {.hasMemory = true, .diagonal = true});
    std::vector<MPS::Matrix> set;
    rig.kernel.createWeightMatrices(&set);
    REQUIRE(set.size() == rig.weights.size());
    for (size_t i = 0; i < set.size(); ++i) CHECK(set[i].dataType() == rig.weights[i].dataType());
    auto reference = rig.reference;
    run([&](const MTL::CommandBuffer& commands) {
        for (const auto& each : namedWeights(reference)) {
            const auto on = matrixOf(Values((each.rows + 2) * (each.columns + 3), 7), each.rows + 2,
                                     each.columns + 3, DataType::Float16, 1);
            rig.kernel.encodeCopyWeights(commands, rig.weights, each.id, on, true, {2, 3, 0});
            rig.kernel.encodeCopyWeights(commands, set, each.id, on, false, {2, 3, 0});
        }
    });
    for (size_t i = 0; i < set.size(); ++i)
        CHECK(test::valuesOf(set[i]) ==
              reference::rounded(test::valuesOf(rig.weights[i]), reference::Storage::Float16));
}

TEST_CASE("a recurrent layer's data sources decide about the type of its weights") {
    MPS::CNNConvolutionDescriptor d(1, 1, 3, 5);
    std::vector<MPS::Matrix> weights;
    MPS::RNNSingleGateDescriptor rnn(3, 5);
    const auto source =
        std::make_shared<FixedWeights>(d, Values(15, 0.1), Values{}, DataType::Float16);
    rnn.setInputWeights(source);
    MPS::RNNMatrixTrainingLayer(testDevice(), rnn, &weights);
    CHECK(weights[0].dataType() == DataType::Float16);
    source->kernelType = DataType::Float32;
    MPS::RNNMatrixTrainingLayer(testDevice(), rnn, &weights);
    CHECK(weights.back().dataType() == DataType::Float32);
    CHECK(source->loads == 2);
    CHECK(source->purges == 2);
    CHECK(weights.size() == 4);
}
