#include "support/reference/BatchNormalization.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk::reference;

namespace {

BatchNormalization example(NeuronType type) {
    return {randomVector(3, 1, .5, 2), randomVector(3, 2), 1e-3, {type, 1.5, .75}};
}

} // namespace

TEST_CASE("Batch normalization gives each channel mean beta and deviation gamma", "[reference]") {
    const Tensor x = random(2, 3, 4, 3, 5, -3, 7);
    BatchNormalization b = example(NeuronType::None);
    b.epsilon = 0;
    const ChannelStatistics s = statistics(forward(b, statistics(x), x));
    for (std::size_t c = 0; c < 3; ++c) {
        CHECK(std::abs(s.mean[c] - b.beta[c]) < 1e-12);
        CHECK(std::abs(std::sqrt(s.variance[c]) - b.gamma[c]) < 1e-12);
    }
    const ChannelStatistics known = statistics({1, 1, 4, 1, {1, 2, 3, 6}});
    CHECK(known.mean[0] == 3);
    CHECK(known.variance[0] == 3.5);
}

TEST_CASE("Batch normalization gradients are the derivatives", "[reference]") {
    for (const NeuronType type : {NeuronType::None, NeuronType::TanH, NeuronType::Sigmoid})
        for (const bool ofBatch : {true, false}) {
            INFO("neuron " << int(type) << " of the batch " << ofBatch);
            const BatchNormalization b = example(type);
            const Tensor x = random(2, 3, 4, 3, 5, -2, 3), g = randomLike(x, 6);
            const ChannelStatistics fixed = statistics(random(1, 5, 5, 3, 7));
            const auto of = [&](const Tensor& t) { return ofBatch ? statistics(t) : fixed; };
            const auto made = gradient(b, of(x), ofBatch, g, x);
            const auto f = [&](const Tensor& t) { return dot(forward(b, of(t), t), g); };
            CHECK(checkGradient(f, x, made.source));
            const auto withParameter = [&](std::vector<double> BatchNormalization::*which) {
                return [&, which](const std::vector<double>& values) {
                    BatchNormalization changed = b;
                    changed.*which = values;
                    return dot(forward(changed, of(x), x), g);
                };
            };
            CHECK(checkGradient(withParameter(&BatchNormalization::gamma), b.gamma, made.gamma));
            CHECK(checkGradient(withParameter(&BatchNormalization::beta), b.beta, made.beta));
        }
}
