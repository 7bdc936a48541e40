#include "support/Optimizers.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("the learning rate may change between encodes") {
    // Plain momentum keeps the rate of the encode in the moment, Nesterov's does not.
    for (const Rule rule : {Rule::Momentum, Rule::Nesterov}) {
        OptimizerPair both(rule, preparations()[0]);
        Values w = random(40, 1);
        const MPS::Vector values = vectorOf(w);
        std::vector<Values> m{Values(40, 0)};
        const Vectors moments{vectorOf(m[0])};
        run([&](const MTL::CommandBuffer& commands) {
            for (const float rate : {.5f, .125f, .125f}) {
                both.sgd.setLearningRate(rate);
                both.o.learningRate = rate;
                const Values g = random(40, 3);
                both.encode(commands, vectorOf(g), values, moments, values);
                both.step(g, w, m);
            }
        });
        CHECK(both.sgd.learningRate() == .125f);
        CHECK(reference::compare(read(values), w, tight));
        CHECK(reference::compare(read(moments[0]), m[0], tight));
    }
}

TEST_CASE("Adam's time step advances by one per encode and may be set") {
    MPS::NNOptimizerAdam adam(testDevice(), .1f);
    CHECK(adam.timeStep() == 0);
    const MPS::Vector g = vectorOf({1}), m = vectorOf({0}), v = vectorOf({0}), w = vectorOf({0});
    run([&](const MTL::CommandBuffer& commands) { adam.encode(commands, g, w, m, v, w); });
    CHECK(adam.timeStep() == 1);
    CHECK(std::abs(read(w)[0] + .1) < 1e-6); // the first step has the length of the learning rate
    adam.setTimeStep(9);
    for (const MPS::Vector& each : {m, v, w}) each.write(std::vector<float>{0});
    run([&](const MTL::CommandBuffer& commands) { adam.encode(commands, g, w, m, v, w); });
    CHECK(adam.timeStep() == 10);
    const double rate = .1 * std::sqrt(1 - std::pow(.999, 10)) / (1 - std::pow(.9, 10));
    CHECK(std::abs(read(w)[0] + rate * .1 / std::sqrt(.001)) < 1e-6);
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(!refused([&] { adam.encode(commands, g, w, m, MPS::Vector{}, w); }).empty());
    });
    CHECK(adam.timeStep() == 10);
    CHECK(adam.copy(testDevice()).timeStep() == 10);
}

TEST_CASE("gradients are clipped, then rescaled, then regularized") {
    MPS::NNOptimizerStochasticGradientDescent sgd(
        testDevice(), 0, false,
        MPS::NNOptimizerDescriptor(1, 10, true, 1, -1, MPS::NNRegularizationType::None, 0));
    const MPS::Vector w = vectorOf({0, 0, 0}), g = vectorOf({5, -5, .5});
    run([&](const MTL::CommandBuffer& commands) { sgd.encode(commands, g, w, MPS::Vector{}, w); });
    CHECK(read(w) == Values{-10, 10, -5});
    sgd.setApplyGradientClipping(false);
    run([&](const MTL::CommandBuffer& commands) { sgd.encode(commands, g, w, MPS::Vector{}, w); });
    CHECK(read(w) == Values{-60, 60, -10});
    // Regularization is neither clipped nor rescaled; the sign of 0 is 0.
    for (const auto type : {MPS::NNRegularizationType::L1, MPS::NNRegularizationType::L2}) {
        MPS::NNOptimizerStochasticGradientDescent decaying(
            testDevice(), 0, false, MPS::NNOptimizerDescriptor(1, .5f, true, 1, -1, type, 4));
        const MPS::Vector values = vectorOf({8, -8, 0});
        run([&](const MTL::CommandBuffer& commands) {
            decaying.encode(commands, vectorOf({2, 2, 2}), values, MPS::Vector{}, values);
        });
        const bool l1 = type == MPS::NNRegularizationType::L1;
        CHECK(read(values) == (l1 ? Values{3.5, -4.5, -.5} : Values{-24.5, 23.5, -.5}));
    }
}

TEST_CASE("running averages by gradient descent") {
    MPS::NNOptimizerStochasticGradientDescent sgd(
        testDevice(), 0, false,
        MPS::NNOptimizerDescriptor(-(1 - .9f), 1, MPS::NNRegularizationType::L2, -1));
    const MPS::Vector running = vectorOf({0}), statistic = vectorOf({1});
    for (const double expected : {.1, .19, .271}) {
        run([&](const MTL::CommandBuffer& commands) {
            sgd.encode(commands, statistic, running, MPS::Vector{}, running);
        });
        CHECK(std::abs(read(running)[0] - expected) < 1e-6);
    }
}

TEST_CASE("what is not finite stays so") {
    const double infinity = std::numeric_limits<double>::infinity(), nan = std::nan("");
    for (const Rule rule : rules) {
        OptimizerPair clipping(rule, preparations()[1]), plain(rule, preparations()[0]);
        for (OptimizerPair* both : {&clipping, &plain}) {
            const MPS::Vector w = vectorOf(Values(3, 1)), g = vectorOf({nan, infinity, .25});
            Vectors moments;
            for (size_t k = 0; k < momentsOf(rule); ++k) moments.push_back(vectorOf(Values(3, 0)));
            run([&](const MTL::CommandBuffer& commands) {
                both->encode(commands, g, w, moments, w);
            });
            INFO("rule " << int(rule));
            CHECK(std::isnan(read(w)[0]));
            CHECK(std::isfinite(read(w)[1]) == (both == &clipping));
            CHECK(std::isfinite(read(w)[2]));
            for (const MPS::Vector& moment : moments) CHECK(std::isnan(read(moment)[0]));
        }
    }
}

TEST_CASE("roots are accurate over the whole range") {
    MPS::NNOptimizerRMSProp rms(
        testDevice(), 1, 0, MPS::NNOptimizerDescriptor(-1, 1, MPS::NNRegularizationType::None, 0));
    Values s, g;
    for (int k = -60; k <= 60; ++k)
        for (const double x : random(5, uint64_t(100 + k), 1, 4)) {
            s.push_back(double(float(std::ldexp(x, k))));
            g.push_back(1);
        }
    s.push_back(0);
    g.push_back(1);
    const MPS::Vector w = vectorOf(Values(s.size(), 0));
    run([&](const MTL::CommandBuffer& commands) {
        rms.encode(commands, vectorOf(g), w, vectorOf(s), w);
    });
    const Values got = read(w);
    for (size_t i = 0; i + 1 < s.size(); ++i) {
        INFO(s[i]);
        // One ulp of the root, two and a half of the division, one of the sum.
        CHECK(std::abs(got[i] * std::sqrt(s[i]) - 1) < 4.5 * 0x1p-23);
    }
    CHECK(got.back() == std::numeric_limits<double>::infinity());
}

TEST_CASE("runs repeat bit for bit") {
    for (const Rule rule : rules) {
        Values first;
        for (int again = 0; again < 2; ++again) {
            OptimizerPair both(rule, preparations()[3]);
            const MPS::Vector w = vectorOf(random(3000, 1)), g = vectorOf(random(3000, 2));
            Vectors moments;
            for (size_t k = 0; k < momentsOf(rule); ++k)
                moments.push_back(vectorOf(Values(3000, 0)));
            run([&](const MTL::CommandBuffer& commands) {
                for (int step = 0; step < 2; ++step) both.encode(commands, g, w, moments, w);
            });
            if (again == 0)
                first = read(w);
            else
                CHECK(read(w) == first);
        }
    }
}
