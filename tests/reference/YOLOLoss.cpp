#include "support/reference/YOLOLoss.hpp"
#include "support/GradientCheck.hpp"
#include "support/YOLOCases.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cmath>

using namespace mpsvk::reference;
using mpsvk::test::usualYOLOLoss;
using mpsvk::test::YOLOCell;

TEST_CASE("The YOLO loss of one cell, by hand", "[reference]") {
    const YOLOCell cell;
    const LossInputs inputs{cell.y, cell.t};
    const auto boxes = assign(cell.loss, inputs);
    REQUIRE(boxes.size() == 2);
    CHECK(boxes[0].role == BoxRole::Object);
    CHECK(std::abs(boxes[0].confidence - 0.5) < 1e-12);
    CHECK(boxes[1].role == BoxRole::NoObject);
    CHECK(compare(forward(cell.loss, inputs, boxes).v, {cell.sum}, {1e-6}));
    CHECK(compare(fusedGradient(cell.loss, inputs, boxes), cell.gradient, {1e-6}));
}

TEST_CASE("The YOLO gradient is the derivative for given boxes", "[reference]") {
    for (const bool weighted : {false, true}) {
        // The third anchor equals the first: both are objects where either is.
        YOLOLoss loss = usualYOLOLoss({1, 2, 2.5, 1.5, 1, 2, 3, 3});
        loss.xy.weight = 0.5;
        loss.classes.labelSmoothing = 0.2;
        loss.classes.numberOfClasses = 3;
        loss.confidence.labelSmoothing = 0.1;
        const mpsvk::test::YOLOData data(loss, 2, 2, 3, 3);
        const Tensor* weights = weighted ? &data.weights : nullptr;
        const LossInputs inputs{data.y, data.t, weights};
        const auto boxes = assign(loss, inputs);
        for (const BoxRole role : {BoxRole::Object, BoxRole::NoObject, BoxRole::LeftOut}) {
            CHECK(std::ranges::any_of(boxes, [&](const Box& b) { return b.role == role; }));
        }
        for (const Reduction reduction : {Reduction::Sum, Reduction::Mean}) {
            loss.reduction = reduction;
            const double perImage =
                reduction == Reduction::Mean ? double(data.y.size()) / double(data.y.n) : 1;
            Tensor expected = fusedGradient(loss, inputs, boxes);
            for (double& v : expected.v) {
                v /= perImage;
            }
            CHECK(checkGradient(
                [&](const Tensor& y) {
                    double sum = 0;
                    for (double v : forward(loss, {y, data.t, weights}, boxes).v) {
                        sum += v;
                    }
                    return sum;
                },
                data.y, expected, {.samples = 400}));
        }
    }
}

TEST_CASE("YOLO anchors are assigned by their overlap", "[reference]") {
    YOLOLoss loss = usualYOLOLoss({1, 1, 1, 1.25, 2, 2});
    Tensor y(1, 1, 2, 15), t(1, 1, 2, 15);
    for (std::size_t a = 0; a < 3; ++a) {
        for (std::size_t k = 0; k < 5; ++k) {
            t.at(0, 0, 0, 5 * a + k) = std::array{0.5, 0.5, 1., 1., 1.}[k];
        }
    }
    const auto roles = [&] {
        std::vector<BoxRole> all;
        for (const Box& box : assign(loss, {y, t})) {
            all.push_back(box.role);
        }
        return all;
    };
    using enum BoxRole;
    // Overlaps 1, 0.8, 0.25; then 0 of a cell without a box.
    CHECK(roles() == std::vector{Object, Object, NoObject, NoObject, NoObject, NoObject});
    loss.presence = 0.9;
    loss.absence = 0.2;
    CHECK(roles() == std::vector{Object, LeftOut, LeftOut, NoObject, NoObject, NoObject});
    loss.rescore = false;
    CHECK(assign(loss, {y, t})[0].confidence == 1);
    t.at(0, 0, 0, 4) = 0.5; // only 1 is a box
    CHECK(roles()[0] == LeftOut);
}
