#include "YOLOLoss.hpp"

#include <algorithm>
#include <cmath>

namespace mpsvk::reference {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Rectangle {
    double x = 0, y = 0, w = 0, h = 0; // centre and size
};

double intersectionOverUnion(const Rectangle& a, const Rectangle& b) {
    const auto common = [](double centreA, double sizeA, double centreB, double sizeB) {
        return std::max(0.0, std::min(centreA + sizeA / 2, centreB + sizeB / 2) -
                                 std::max(centreA - sizeA / 2, centreB - sizeB / 2));
    };
    const double area = common(a.x, a.w, b.x, b.w) * common(a.y, a.h, b.y, b.h);
    return area > 0 ? area / (a.w * a.h + b.w * b.h - area) : 0;
}

// The channels of one anchor, and how its cell's other anchors fared.
struct Anchor {
    std::size_t n, y, x, first;
    double width, height;
};

template <class Visit> void forEachAnchor(const YOLOLoss& loss, const Tensor& p, Visit visit) {
    const std::size_t count = loss.anchorCount();
    require(count > 0 && p.c % count == 0 && p.c / count >= 5, "Anchors have 5 channels or more.");
    for (std::size_t n = 0; n < p.n; ++n) {
        for (std::size_t y = 0; y < p.h; ++y) {
            for (std::size_t x = 0; x < p.w; ++x) {
                for (std::size_t a = 0; a < count; ++a) {
                    visit(Anchor{n, y, x, a * (p.c / count), loss.anchors[2 * a],
                                 loss.anchors[2 * a + 1]});
                }
            }
        }
    }
}

Rectangle labelled(const Anchor& a, const Tensor& t) {
    return {t.at(a.n, a.y, a.x, a.first), t.at(a.n, a.y, a.x, a.first + 1),
            t.at(a.n, a.y, a.x, a.first + 2), t.at(a.n, a.y, a.x, a.first + 3)};
}

// Writes losses (or gradients) of one part of an anchor to `result`.
void addPart(const Loss& part, double scale, const LossInputs& in, const Anchor& a,
             std::size_t offset, std::vector<double> y, std::vector<double> t,
             const std::vector<double>& slopes, bool isGradient, Tensor& result) {
    const std::size_t count = y.size();
    if (count == 0) {
        return;
    }
    std::vector<double> w(count, scale);
    for (std::size_t i = 0; in.weights && i < count; ++i) {
        w[i] *= in.weights->at(a.n, a.y, a.x, a.first + offset + i);
    }
    Loss whole = part;
    whole.reduction = Reduction::None;
    const Tensor predictions(1, 1, 1, count, std::move(y)), labels(1, 1, 1, count, std::move(t));
    const Tensor weights(1, 1, 1, count, std::move(w));
    const LossInputs inputs{predictions, labels, &weights};
    const Tensor values = isGradient ? fusedGradient(whole, inputs) : forward(whole, inputs);
    for (std::size_t i = 0; i < count; ++i) {
        const double slope = isGradient && !slopes.empty() ? slopes[i] : 1;
        result.at(a.n, a.y, a.x, a.first + offset + i) =
            weights.v[i] == 0 ? 0 : values.v[i] * slope;
    }
}

Tensor elements(const YOLOLoss& loss, const LossInputs& in, const std::vector<Box>& boxes,
                bool isGradient) {
    const Tensor& p = in.predictions;
    Tensor result(p.n, p.h, p.w, p.c);
    std::size_t index = 0;
    forEachAnchor(loss, p, [&](const Anchor& a) {
        const Box& box = boxes[index++];
        const auto values = [&](const Tensor& source, std::size_t first, std::size_t count) {
            std::vector<double> all;
            for (std::size_t i = 0; i < count; ++i) {
                all.push_back(source.at(a.n, a.y, a.x, a.first + first + i));
            }
            return all;
        };
        const auto add = [&](const Loss& part, double scale, std::size_t offset,
                             std::vector<double> y, std::vector<double> t,
                             const std::vector<double>& slopes = {}) {
            addPart(part, scale, in, a, offset, std::move(y), std::move(t), slopes, isGradient,
                    result);
        };
        if (box.role == BoxRole::LeftOut) {
            return;
        }
        const bool isObject = box.role == BoxRole::Object;
        add(loss.confidence, isObject ? loss.scaleObject : loss.scaleNoObject, 4, values(p, 4, 1),
            {box.confidence});
        if (!isObject) {
            return;
        }
        std::vector<double> xy = values(p, 0, 2), slopes;
        for (double& value : xy) {
            value = sigmoid(value);
            slopes.push_back(value * (1 - value));
        }
        add(loss.xy, loss.scaleXY, 0, xy, values(in.labels, 0, 2), slopes);
        const Rectangle truth = labelled(a, in.labels);
        add(loss.wh, loss.scaleWH, 2, values(p, 2, 2),
            {std::log(truth.w / a.width + 1e-5), std::log(truth.h / a.height + 1e-5)});
        const std::size_t classes = p.c / loss.anchorCount() - 5;
        add(loss.classes, loss.scaleClass, 5, values(p, 5, classes), values(in.labels, 5, classes));
    });
    return result;
}

} // namespace

std::vector<Box> assign(const YOLOLoss& loss, const LossInputs& in) {
    std::vector<double> overlaps;
    forEachAnchor(loss, in.predictions, [&](const Anchor& a) {
        const Rectangle truth = labelled(a, in.labels);
        overlaps.push_back(
            intersectionOverUnion({0, 0, a.width, a.height}, {0, 0, truth.w, truth.h}));
    });
    std::vector<Box> boxes;
    forEachAnchor(loss, in.predictions, [&](const Anchor& a) {
        const std::size_t i = boxes.size(), count = loss.anchorCount();
        const auto cell = overlaps.begin() + std::ptrdiff_t(i / count * count);
        const double largest = *std::max_element(cell, cell + std::ptrdiff_t(count));
        Box box;
        if (in.labels.at(a.n, a.y, a.x, a.first + 4) == 1 &&
            (overlaps[i] == largest || overlaps[i] > loss.presence)) {
            const auto raw = [&](std::size_t channel) {
                return in.predictions.at(a.n, a.y, a.x, a.first + channel);
            };
            const Rectangle predicted{sigmoid(raw(0)), sigmoid(raw(1)), std::exp(raw(2)) * a.width,
                                      std::exp(raw(3)) * a.height};
            box = {BoxRole::Object,
                   loss.rescore ? intersectionOverUnion(predicted, labelled(a, in.labels)) : 1};
        } else if (overlaps[i] < loss.absence) {
            box.role = BoxRole::NoObject;
        }
        boxes.push_back(box);
    });
    return boxes;
}

Tensor forward(const YOLOLoss& loss, const LossInputs& in, const std::vector<Box>& boxes) {
    Loss reduction;
    reduction.reduction = loss.reduction;
    reduction.reduceAcrossBatch = loss.reduceAcrossBatch;
    return reduced(reduction, in, elements(loss, in, boxes, false));
}

Tensor fusedGradient(const YOLOLoss& loss, const LossInputs& in, const std::vector<Box>& boxes) {
    return elements(loss, in, boxes, true);
}

} // namespace mpsvk::reference
