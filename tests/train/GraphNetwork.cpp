// The network of mpsvk-train on a device: what a step reports, and what its archive holds.
#include "GraphNetwork.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "support/Device.hpp"

using namespace mpsvk;
using namespace mpsvk::train;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

constexpr uint32_t batch = 6, classes = 3;

/// Sizes that are no multiple of the pooling window.
IdxDataset picturesOf(uint32_t rows, uint32_t columns) {
    IdxDataset data;
    data.rows = rows;
    data.columns = columns;
    data.classes = classes;
    for (uint32_t i = 0; i < batch; ++i) {
        data.train.labels.push_back(static_cast<uint8_t>(i % classes));
        for (uint32_t p = 0; p < rows * columns; ++p)
            data.train.pixels.push_back(static_cast<uint8_t>((i * 97 + p * 31 * (i + 1)) % 256));
    }
    return data;
}

Setup setupOf(Precision precision) { return {.batch = batch, .precision = precision}; }

StepResult step(GraphNetwork& network, const IdxDataset& data, float learningRate) {
    network.submit(std::as_bytes(std::span(data.train.pixels)), data.train.labels, learningRate);
    return network.finish();
}

double meanLoss(GraphNetwork& network, const IdxDataset& data) {
    network.prepareToClassify();
    const std::vector<float> p = network.classify(data.train.pixels);
    REQUIRE(p.size() == batch * classes);
    double loss = 0;
    for (uint32_t i = 0; i < batch; ++i) {
        double sum = 0;
        for (uint32_t c = 0; c < classes; ++c) sum += static_cast<double>(p[i * classes + c]);
        CHECK(std::abs(sum - 1) < 1e-5);
        loss -= std::log(static_cast<double>(p[i * classes + data.train.labels[i]])) / batch;
    }
    return loss;
}

} // namespace

TEST_CASE("a network learns its pictures by heart", "[train]") {
    for (const Precision precision : {Precision::Float32, Precision::Float16}) {
        for (const auto& [rows, columns] : {std::pair{7u, 9u}, std::pair{15u, 17u}}) {
            CAPTURE(name(precision), rows, columns);
            const IdxDataset data = picturesOf(rows, columns);
            GraphNetwork network(test::testDevice(), setupOf(precision), data);
            const double before = meanLoss(network, data);
            CHECK(before > 0.5);
            StepResult last;
            for (int i = 0; i < 40; ++i) last = step(network, data, 0.002f);
            CHECK(last.loss < 0.3);
            CHECK(last.correct == batch);
            CHECK(meanLoss(network, data) < 0.02);
        }
    }
}

TEST_CASE("steps in flight give the bits of steps one by one", "[train]") {
    const IdxDataset data = picturesOf(8, 8);
    IdxDataset other = data;
    for (uint8_t& label : other.train.labels) label = static_cast<uint8_t>((label + 1) % classes);
    GraphNetwork overlapped(test::testDevice(), setupOf(Precision::Float32), data);
    GraphNetwork alone(test::testDevice(), setupOf(Precision::Float32), data);
    const auto submit = [](GraphNetwork& network, const IdxDataset& from) {
        network.submit(std::as_bytes(std::span(from.train.pixels)), from.train.labels, 0.01f);
    };
    std::vector<double> losses, expected;
    submit(overlapped, data);
    for (int i = 1; i < 6; ++i) {
        submit(overlapped, i % 2 ? other : data);
        CHECK(overlapped.inFlight() == 2);
        losses.push_back(overlapped.finish().loss);
    }
    losses.push_back(overlapped.finish().loss);
    for (int i = 0; i < 6; ++i) expected.push_back(step(alone, i % 2 ? other : data, 0.01f).loss);
    CHECK(losses == expected);
    CHECK(overlapped.archive() == alone.archive());
}

TEST_CASE("training goes on from an archive, dropout included", "[train]") {
    const IdxDataset data = picturesOf(8, 8);
    for (const Precision precision : {Precision::Float32, Precision::Float16}) {
        CAPTURE(name(precision));
        GraphNetwork whole(test::testDevice(), setupOf(precision), data);
        for (int i = 0; i < 3; ++i) step(whole, data, 0.01f);
        const std::vector<std::byte> archive = whole.archive();
        GraphNetwork resumed(test::testDevice(), setupOf(precision), data);
        resumed.restore(archive);
        CHECK(resumed.archive() == archive);
        for (int i = 0; i < 3; ++i) {
            CHECK(step(resumed, data, 0.01f).loss == step(whole, data, 0.01f).loss);
        }
        CHECK(resumed.archive() == whole.archive());
        CHECK(resumed.archive() != archive);
    }
}

TEST_CASE("every step draws its own dropout", "[train]") {
    const IdxDataset data = picturesOf(8, 8);
    GraphNetwork network(test::testDevice(), setupOf(Precision::Float32), data);
    std::vector<double> losses;
    for (int i = 0; i < 4; ++i) losses.push_back(step(network, data, 0).loss);
    for (size_t i = 0; i < losses.size(); ++i)
        for (size_t j = 0; j < i; ++j) CHECK(losses[i] != losses[j]);
}

TEST_CASE("an archive of another network is refused", "[train]") {
    const IdxDataset data = picturesOf(8, 8);
    GraphNetwork network(test::testDevice(), setupOf(Precision::Float32), data);
    std::vector<std::byte> archive = network.archive();
    GraphNetwork larger(test::testDevice(), setupOf(Precision::Float32), picturesOf(8, 12));
    CHECK_THROWS_MATCHES(larger.restore(archive), FormatError,
                         MessageMatches(ContainsSubstring("layer hidden has 524288 bytes")));
    archive.push_back(std::byte{0});
    CHECK_THROWS_MATCHES(network.restore(archive), FormatError,
                         MessageMatches(ContainsSubstring("goes on after its last layer")));
    archive.resize(archive.size() - 4);
    CHECK_THROWS_MATCHES(network.restore(archive), FormatError,
                         MessageMatches(ContainsSubstring("the number of steps needs 8 bytes")));
}
