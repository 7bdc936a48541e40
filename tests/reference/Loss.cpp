#include "support/reference/Loss.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk::reference;

namespace {

using Values = std::vector<double>;

Tensor pixel(Values values) {
    const std::size_t count = values.size();
    return {1, 1, 1, count, std::move(values)};
}

constexpr LossType allTypes[] = {LossType::MeanAbsoluteError,
                                 LossType::MeanSquaredError,
                                 LossType::SoftMaxCrossEntropy,
                                 LossType::SigmoidCrossEntropy,
                                 LossType::CategoricalCrossEntropy,
                                 LossType::Hinge,
                                 LossType::Huber,
                                 LossType::CosineDistance,
                                 LossType::Log,
                                 LossType::KullbackLeiblerDivergence};

// Predictions and labels within the domain of every loss, labels of a pixel summing to 1.
struct Data {
    Tensor y = random(2, 2, 3, 4, 11, 0.1, 0.9);
    Tensor t = random(2, 2, 3, 4, 12, 0.1, 0.9);
    Tensor weights = random(2, 2, 3, 4, 13, 0.5, 2);

    explicit Data(LossType type) {
        for (std::size_t i = 0; i < t.size(); i += t.c) {
            double sum = 0;
            for (std::size_t c = 0; c < t.c; ++c) {
                sum += t.v[i + c];
            }
            for (std::size_t c = 0; c < t.c; ++c) {
                t.v[i + c] /= sum;
                if (type == LossType::SoftMaxCrossEntropy) {
                    weights.v[i + c] = weights.v[i]; // the published gradient needs it
                } else if (i % 3 == 0 && c == 0) {
                    weights.v[i + c] = 0;
                }
            }
        }
    }
};

Loss lossOf(LossType type, Reduction reduction, bool acrossBatch) {
    Loss loss;
    loss.type = type;
    loss.reduction = reduction;
    loss.reduceAcrossBatch = acrossBatch;
    loss.weight = 1.7;
    loss.labelSmoothing = 0.2;
    loss.numberOfClasses = 4;
    loss.epsilon = 0.01;
    loss.delta = 0.25;
    return loss;
}

void checkBoth(const Loss& loss, const Data& data, const Tensor* weights) {
    Tensor g = randomLike(forward(loss, {data.y, data.t, weights}), 17);
    for (std::size_t i = 0; loss.type == LossType::SoftMaxCrossEntropy && i < g.size(); ++i) {
        g.v[i] = g.v[i / g.c * g.c];
    }
    const LossInputs inputs{data.y, data.t, weights};
    const auto near = [&](std::size_t i) { // the losses' kinks
        const double d = data.y.v[i] - data.t.v[i];
        const bool hinge = std::abs(1 - (2 * data.t.v[i] - 1) * data.y.v[i]) < 1e-3;
        return std::abs(d) < 1e-3 || std::abs(std::abs(d) - loss.delta) < 1e-3 || hinge;
    };
    CHECK(checkGradient(
        [&](const Tensor& y) {
            return dot(forward(loss, {y, data.t, weights}), g);
        },
        data.y, gradient(loss, inputs, g), {.excluded = near}));
    CHECK(checkGradient(
        [&](const Tensor& t) {
            return dot(forward(loss, {data.y, t, weights}), g);
        },
        data.t, labelGradient(loss, inputs, g), {.excluded = near}));
}

} // namespace

TEST_CASE("Losses have the published values", "[reference]") {
    struct Row {
        Loss loss;
        Values y, t, l, dy;
    };
    const auto of = [](LossType type) { return Loss{.type = type, .reduction = Reduction::None}; };
    const Values y{0.2, -1.5, 0.7}, t{0, 1, 1}, one{0, 1, 0};
    Loss smooth = of(LossType::SoftMaxCrossEntropy);
    smooth.labelSmoothing = 0.1;
    smooth.numberOfClasses = 3;
    const Row rows[] = {
        {of(LossType::MeanAbsoluteError), y, t, {0.2, 2.5, 0.3}, {1, -1, -1}},
        {of(LossType::MeanSquaredError), y, t, {0.04, 6.25, 0.09}, {0.4, -5, -0.6}},
        {of(LossType::SigmoidCrossEntropy),
         y,
         t,
         {0.798139, 1.70141, 0.403186},
         {0.549834, -0.817574, -0.331812}},
        {of(LossType::Hinge), y, t, {1.2, 2.5, 0.3}, {1, -1, -1}},
        {of(LossType::Huber), y, t, {0.02, 2, 0.045}, {0.2, -1, -0.3}},
        {of(LossType::Log), {.2, .9, .5}, t, {0.223143, 0.10536, 0.693147}, {1.25, -1.11111, -2}},
        {of(LossType::SoftMaxCrossEntropy),
         y,
         one,
         {0, 2.74077, 0},
         {0.353182, -0.93548, 0.582298}},
        {smooth, y, one, {0.0346924, 2.55805, 0.0180258}, {0.319848, -0.868813, 0.548965}},
    };
    for (const Row& r : rows) {
        INFO("loss type " << static_cast<int>(r.loss.type));
        const Tensor predictions = pixel(r.y), labels = pixel(r.t);
        const Tolerance printed{.relative = 5e-6};
        CHECK(compare(forward(r.loss, {predictions, labels}).v, r.l, printed));
        CHECK(compare(fusedGradient(r.loss, {predictions, labels}).v, r.dy, printed));
    }
    const Loss cosine{.type = LossType::CosineDistance};
    const Tensor predictions = pixel(y), labels = pixel(t);
    CHECK(compare(forward(cosine, {predictions, labels}).v, {1.8}, {.relative = 1e-12}));
    CHECK(fusedGradient(cosine, {predictions, labels}).v == Values{0, -1, -1});
    smooth.reduction = Reduction::Sum;
    const Tensor hot = pixel(one);
    CHECK(compare(forward(smooth, {predictions, hot}).v, {2.61077}, {.relative = 5e-6}));
}

TEST_CASE("Losses meet their limits without NaN", "[reference]") {
    const Tensor y = pixel({0, 0.5}), t = pixel({0, 0.5});
    Loss loss{.type = LossType::CategoricalCrossEntropy, .reduction = Reduction::None};
    CHECK(forward(loss, {y, t}).v[0] == 0);
    CHECK(fusedGradient(loss, {y, t}).v == Values{0, -1});
    loss.type = LossType::KullbackLeiblerDivergence;
    CHECK(forward(loss, {y, t}).v[0] == 0);
    CHECK(fusedGradient(loss, {y, t}).v == Values{0, -0.5});
    CHECK(labelGradient(loss, {y, t}, pixel({1, 1})).v[0] == 0);
    loss.type = LossType::MeanAbsoluteError;
    CHECK(fusedGradient(loss, {y, t}).v == Values{0, 0});
}

TEST_CASE("Losses are reduced as published", "[reference]") {
    const Tensor y(2, 1, 2, 2, {1, 2, 3, 4, 5, 6, 7, 8}), zero(2, 1, 2, 2);
    const Tensor weights(2, 1, 2, 2, {1, 0, 2, 0, 0, 0, 0, 0.5});
    Loss loss{.type = LossType::MeanAbsoluteError};
    const auto reduced = [&](Reduction reduction, bool acrossBatch, const Tensor* w = nullptr) {
        loss.reduction = reduction;
        loss.reduceAcrossBatch = acrossBatch;
        return forward(loss, {y, zero, w}).v;
    };
    CHECK(reduced(Reduction::Sum, false) == Values{10, 26});
    CHECK(reduced(Reduction::Sum, true) == Values{36, 0});
    CHECK(reduced(Reduction::Mean, false) == Values{2.5, 6.5});
    CHECK(reduced(Reduction::Mean, true) == Values{4.5, 0});
    CHECK(reduced(Reduction::SumByNonZeroWeights, false) == Values{2.5, 6.5});
    CHECK(reduced(Reduction::SumByNonZeroWeights, false, &weights) == Values{3.5, 4});
    CHECK(reduced(Reduction::SumByNonZeroWeights, true, &weights) == Values{11.0 / 3, 0});
    const Tensor none(2, 1, 2, 2);
    CHECK(reduced(Reduction::SumByNonZeroWeights, false, &none) == Values{0, 0});

    Loss softMax{.type = LossType::SoftMaxCrossEntropy, .reduction = Reduction::Mean};
    const Tensor equal(1, 1, 2, 2), labels(1, 1, 2, 2, {1, 0, 0, 1}); // divided by pixels only
    CHECK(compare(forward(softMax, {equal, labels}).v, {std::log(2)}, {.relative = 1e-12}));

    const Tensor wide(2, 1, 2, 4, 0.0); // labels may have more channels
    loss.reduction = Reduction::Sum;
    loss.reduceAcrossBatch = false;
    CHECK(forward(loss, {y, wide}).v == Values{10, 26});
}

TEST_CASE("Loss gradients are the derivatives of the losses", "[reference]") {
    for (LossType type : allTypes) {
        const bool cosine = type == LossType::CosineDistance;
        for (Reduction reduction :
             {Reduction::None, Reduction::Sum, Reduction::Mean, Reduction::SumByNonZeroWeights}) {
            for (bool acrossBatch : {false, true}) {
                if (cosine && reduction != Reduction::Sum) {
                    continue;
                }
                INFO("loss type " << static_cast<int>(type) << ", reduction "
                                  << static_cast<int>(reduction) << ", across " << acrossBatch);
                const Data data(type);
                const Loss loss = lossOf(type, reduction, acrossBatch);
                checkBoth(loss, data, nullptr);
                if (!cosine) {
                    checkBoth(loss, data, &data.weights);
                }
            }
        }
    }
}

TEST_CASE("The fused gradient has no reduction factor", "[reference]") {
    for (LossType type : allTypes) {
        const Data data(type);
        const Loss loss = lossOf(type, Reduction::Sum, false);
        const LossInputs inputs{data.y, data.t};
        const Tensor fused = fusedGradient(loss, inputs);
        CHECK(compare(fused, gradient(loss, inputs, Tensor(2, 1, 1, 1, 1.0)), {.relative = 1e-15}));
        if (type != LossType::CosineDistance) {
            const Loss mean = lossOf(type, Reduction::Mean, true);
            CHECK(compare(fused, fusedGradient(mean, inputs), {.relative = 0}));
        }
    }
}
