#include "support/reference/Optimizer.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk::reference;

namespace {

const Tolerance exact{.relative = 1e-14};

} // namespace

TEST_CASE("Gradients are clipped, then rescaled, then regularized", "[reference]") {
    Optimizer o;
    o.gradientRescale = 10;
    o.gradientClipMax = 1;
    o.gradientClipMin = -2;
    CHECK(preprocessed(o, 5, 0) == 50);
    o.applyGradientClipping = true;
    CHECK(preprocessed(o, 5, 0) == 10);
    CHECK(preprocessed(o, -5, 0) == -20);
    CHECK(std::isnan(preprocessed(o, NAN, 0)));
    o.regularizationScale = 0.5;
    CHECK(preprocessed(o, 5, 4) == 10);
    o.regularization = Regularization::L2;
    CHECK(preprocessed(o, 5, 4) == 12);
    o.regularization = Regularization::L1;
    CHECK(preprocessed(o, 5, -4) == 9.5);
    CHECK(preprocessed(o, 5, 0) == 10);
}

TEST_CASE("Stochastic gradient descent in its three forms", "[reference]") {
    Optimizer o;
    o.learningRate = 0.1;
    Values w{1}, m{0};
    stochasticGradientDescent(o, 0.9, true, {2}, w, nullptr);
    CHECK(compare(w, {0.8}, exact));

    w = {1};
    stochasticGradientDescent(o, 0.5, false, {2}, w, &m);
    CHECK(compare(m, {0.2}, exact));
    CHECK(compare(w, {0.8}, exact));
    o.learningRate = 0.2; // the moment keeps the rate of its own step
    stochasticGradientDescent(o, 0.5, false, {1}, w, &m);
    CHECK(compare(m, {0.3}, exact));
    CHECK(compare(w, {0.5}, exact));

    o.learningRate = 0.1;
    w = {1}, m = {0};
    stochasticGradientDescent(o, 0.5, true, {2}, w, &m);
    CHECK(compare(m, {2}, exact));
    CHECK(compare(w, {0.7}, exact));
    o.learningRate = 0.2;
    stochasticGradientDescent(o, 0.5, true, {1}, w, &m);
    CHECK(compare(m, {2}, exact));
    CHECK(compare(w, {0.3}, exact));
}

TEST_CASE("A running average is a descent with a negative rate", "[reference]") {
    // r <- m r + (1 - m) s: the rate -(1 - m), the decay -1.
    Optimizer o;
    o.learningRate = -(1 - 0.9);
    o.regularization = Regularization::L2;
    o.regularizationScale = -1;
    Values r{0};
    for (double expected : {0.1, 0.19, 0.271}) {
        stochasticGradientDescent(o, 0, false, {1}, r, nullptr);
        CHECK(compare(r, {expected}, exact));
    }
}

TEST_CASE("RMSProp adds epsilon outside the root", "[reference]") {
    Optimizer o;
    o.learningRate = 0.1;
    Values w{1}, s{0};
    rmsProp(o, 0.75, 0.5, {2}, w, s);
    CHECK(compare(s, {1}, exact));
    CHECK(compare(w, {1 - 0.2 / 1.5}, exact));
    rmsProp(o, 0.75, 0.5, {-3}, w, s);
    CHECK(compare(s, {3}, exact));
    CHECK(compare(w, {1 - 0.2 / 1.5 + 0.3 / (std::sqrt(3.0) + 0.5)}, exact));
}

TEST_CASE("Adam corrects its bias in the rate and advances its time", "[reference]") {
    Optimizer o;
    o.learningRate = 0.1;
    Adam adam{0.5, 0.75, 0.25, 0};
    Values w{1}, m{0}, v{0};
    step(adam, o, {2}, w, m, v);
    // t = 1: the rate 0.1 * 0.5 / 0.5; m = 1, v = 1
    CHECK(adam.timeStep == 1);
    CHECK(compare(w, {1 - 0.1 / 1.25}, exact));
    step(adam, o, {0}, w, m, v);
    // t = 2: m = 0.5, v = 0.75
    const double rate = 0.1 * std::sqrt(1 - 0.5625) / 0.75;
    CHECK(compare(w, {1 - 0.1 / 1.25 - rate * 0.5 / (std::sqrt(0.75) + 0.25)}, exact));

    Adam maximum{0.5, 0.75, 0.25, 0};
    Values w2{1}, m2{0}, v2{0}, most{0};
    step(maximum, o, {2}, w2, m2, v2, &most);
    step(maximum, o, {0}, w2, m2, v2, &most);
    CHECK(compare(most, {1}, exact)); // of the uncorrected velocity
    CHECK(compare(v2, {0.75}, exact));
    CHECK(compare(w2, {1 - 0.1 / 1.25 - rate * 0.5 / 1.25}, exact));

    Adam late{0.9, 0.999, 1e-8, 41}; // a time step set by hand: the next step is 42
    Values w3{0}, m3{0}, v3{0};
    step(late, o, {1}, w3, m3, v3);
    const double lateRate = 0.1 * std::sqrt(1 - std::pow(0.999, 42)) / (1 - std::pow(0.9, 42));
    CHECK(compare(w3, {-lateRate * 0.1 / (std::sqrt(0.001) + 1e-8)}, {.relative = 1e-12}));
}
