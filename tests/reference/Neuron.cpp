#include "support/reference/Neuron.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::reference;

namespace {

const Tensor points(1, 1, 5, 1, {-2, -0.5, 0, 0.5, 2});

struct Row {
    Neuron neuron;
    std::vector<double> values, derivatives;
};

const Row published[] = {
    {{NeuronType::None}, {-2, -0.5, 0, 0.5, 2}, {1, 1, 1, 1, 1}},
    {{NeuronType::ReLU, .25}, {-0.5, -0.125, 0, 0.5, 2}, {0.25, 0.25, 1, 1, 1}},
    {{NeuronType::Linear, 3, -1}, {-7, -2.5, -1, 0.5, 5}, {3, 3, 3, 3, 3}},
    {{NeuronType::Sigmoid},
     {0.119203, 0.377541, 0.5, 0.622459, 0.880797},
     {0.104994, 0.235004, 0.25, 0.235004, 0.104994}},
    {{NeuronType::HardSigmoid, .2, .5}, {0.1, 0.4, 0.5, 0.6, 0.9}, {0.2, 0.2, 0.2, 0.2, 0.2}},
    {{NeuronType::TanH, 2, .5},
     {-1.52319, -0.489837, 0, 0.489837, 1.52319},
     {0.419974, 0.940015, 1, 0.940015, 0.419974}},
    {{NeuronType::Absolute}, {2, 0.5, 0, 0.5, 2}, {-1, -1, 0, 1, 1}},
    {{NeuronType::SoftPlus, 2, 3},
     {0.00495137, 0.402827, 1.38629, 3.40283, 12.005},
     {0.0148357, 1.09455, 3, 4.90545, 5.98516}},
    {{NeuronType::SoftSign},
     {-0.666667, -0.333333, 0, 0.333333, 0.666667},
     {0.111111, 0.444444, 1, 0.444444, 0.111111}},
    {{NeuronType::ELU, .5}, {-0.432332, -0.196735, 0, 0.5, 2}, {0.0676676, 0.303265, 1, 1, 1}},
    {{NeuronType::PReLU, 0, 0, 0, {.25}}, {-0.5, -0.125, 0, 0.5, 2}, {0.25, 0.25, 1, 1, 1}},
    {{NeuronType::ReLUN, .25, 1}, {-0.5, -0.125, 0, 0.5, 1}, {0.25, 0.25, 1, 1, 0}},
    {{NeuronType::Power, 1, 3, 2}, {1, 6.25, 9, 12.25, 25}, {2, 5, 6, 7, 10}},
    {{NeuronType::Exponential, 1, 0, -1},
     {0.135335, 0.606531, 1, 1.64872, 7.38906},
     {0.135335, 0.606531, 1, 1.64872, 7.38906}},
    {{NeuronType::Exponential, 1, 1, 2},
     {0.5, 1.41421, 2, 2.82843, 8},
     {0.346574, 0.980258, 1.38629, 1.96052, 5.54518}},
    {{NeuronType::Logarithm, 1, 3, -1},
     {0, 0.916291, 1.09861, 1.25276, 1.60944},
     {1, 0.4, 0.333333, 0.285714, 0.2}},
    {{NeuronType::Logarithm, 1, 3, 10},
     {0, 0.39794, 0.477121, 0.544068, 0.69897},
     {0.434294, 0.173718, 0.144765, 0.124084, 0.0868589}},
    {{NeuronType::GeLU},
     {-0.0455003, -0.154269, 0, 0.345731, 1.9545},
     {-0.0852318, 0.132505, 0.5, 0.867495, 1.08523}},
};

} // namespace

TEST_CASE("Neurons and their derivatives have the published values", "[reference]") {
    const Tensor ones(1, 1, 5, 1, 1.0);
    for (const Row& row : published) {
        INFO("neuron " << static_cast<int>(row.neuron.type));
        const Tolerance printed{.relative = 5e-6}; // half of the sixth digit
        CHECK(compare(forward(row.neuron, points), {1, 1, 5, 1, row.values}, printed));
        CHECK(compare(gradient(row.neuron, ones, points), {1, 1, 5, 1, row.derivatives}, printed));
    }
}

TEST_CASE("Neuron gradients are the derivatives of the neurons", "[reference]") {
    for (const Row& row : published) {
        const Neuron& neuron = row.neuron;
        const Tensor x = random(2, 3, 4, 1, 5, -1.9, 1.9);
        const Tensor cotangent = randomLike(x, 6);
        INFO("neuron " << static_cast<int>(neuron.type));
        const auto f = [&](const Tensor& t) { return dot(forward(neuron, t), cotangent); };
        CHECK(checkGradient(f, x, gradient(neuron, cotangent, x), {.kinks = {0, 1}}));
    }
    const Neuron steep{NeuronType::HardSigmoid, 2, 0.5}; // both plateaus are reached
    const Tensor x = random(1, 5, 5, 1, 8);
    const Tensor g = randomLike(x, 9);
    CHECK(checkGradient([&](const Tensor& t) { return dot(forward(steep, t), g); }, x,
                        gradient(steep, g, x), {.kinks = {-0.25, 0.25}}));
}

TEST_CASE("A neuron's derivative at its kinks is as published", "[reference]") {
    CHECK(derivative({NeuronType::HardSigmoid, 2, 0}, 0) == 2);
    CHECK(derivative({NeuronType::HardSigmoid, 2, 0}, 0.5) == 2);
    CHECK(derivative({NeuronType::HardSigmoid, 2, 0}, 0.51) == 0);
    CHECK(derivative({NeuronType::Power, 2, 0, 0}, 0) == 0);
    CHECK(derivative({NeuronType::ReLUN, 1, -1}, -2) == 1);
    CHECK(derivative({NeuronType::ReLUN, 1, -1}, -1) == 0);
    CHECK(value({NeuronType::SoftPlus, 1, 1}, 1000) == 1000);
    CHECK(value({NeuronType::Sigmoid}, -1000) == 0);
    const Neuron prelu{NeuronType::PReLU, 0, 0, 0, {0.5, 2}};
    CHECK(forward(prelu, {1, 1, 2, 2, {-1, -1, 3, 3}}).v == std::vector<double>{-0.5, -2, 3, 3});
}
