// Settings and grids that the tests of the YOLO loss and of its reference share.
#pragma once

#include "support/reference/YOLOLoss.hpp"

#include <mpsvk/MPS/CNNYOLOLoss.hpp>

#include <cmath>

namespace mpsvk::test {

/// The usual losses of the parts, and all else at its default.
inline reference::YOLOLoss usualYOLOLoss(std::vector<double> anchors) {
    reference::YOLOLoss loss;
    loss.xy.type = reference::LossType::MeanSquaredError;
    loss.wh.type = reference::LossType::Huber;
    loss.confidence.type = reference::LossType::SigmoidCrossEntropy;
    loss.classes.type = reference::LossType::SoftMaxCrossEntropy;
    loss.anchors = std::move(anchors);
    return loss;
}

inline MPS::CNNYOLOLossDescriptor YOLODescriptorOf(const reference::YOLOLoss& loss) {
    const std::vector<float> anchors(loss.anchors.begin(), loss.anchors.end());
    const auto type = [](const reference::Loss& l) { return MPS::CNNLossType(int(l.type)); };
    MPS::CNNYOLOLossDescriptor d(type(loss.xy), type(loss.wh), type(loss.confidence),
                                 type(loss.classes), MPS::CNNReductionType(int(loss.reduction)),
                                 std::span<const float>(anchors), loss.anchorCount());
    const auto with = [](MPS::CNNLossDescriptor part, const reference::Loss& l) {
        part.setWeight(float(l.weight));
        part.setLabelSmoothing(float(l.labelSmoothing));
        part.setNumberOfClasses(l.numberOfClasses);
        part.setEpsilon(float(l.epsilon));
        part.setDelta(float(l.delta));
        return part;
    };
    d.setXYLossDescriptor(with(d.XYLossDescriptor(), loss.xy));
    d.setWHLossDescriptor(with(d.WHLossDescriptor(), loss.wh));
    d.setConfidenceLossDescriptor(with(d.confidenceLossDescriptor(), loss.confidence));
    d.setClassesLossDescriptor(with(d.classesLossDescriptor(), loss.classes));
    d.setReduceAcrossBatch(loss.reduceAcrossBatch);
    d.setRescore(loss.rescore);
    d.setScaleXY(float(loss.scaleXY));
    d.setScaleWH(float(loss.scaleWH));
    d.setScaleNoObject(float(loss.scaleNoObject));
    d.setScaleObject(float(loss.scaleObject));
    d.setScaleClass(float(loss.scaleClass));
    d.setMinIOUForObjectPresence(float(loss.presence));
    d.setMaxIOUForObjectAbsence(float(loss.absence));
    return d;
}

/// One cell, two anchors, two classes; worked out by hand. The first anchor fits the box and is the
/// object; the second one overlaps it by 1 / 5 and is none. The predicted box is 2 x 2 at
/// (1/2, 1/2), the true one 1 x 2 at (1/4, 1/2): they overlap by 2 / 4.
struct YOLOCell {
    reference::YOLOLoss loss = usualYOLOLoss({1, 2, 4, 1});
    reference::Tensor y{1,
                        1,
                        1,
                        14,
                        {0, 0, std::log(2.), 0, std::log(3.), 0, std::log(3.), //
                         1, 1, 1, 1, 0, 1, 1}};
    reference::Tensor t{1, 1, 1, 14, {.25, .5, 1, 2, 1, 0, 1, .25, .5, 1, 2, 1, 0, 1}};
    double sum = 0.625 + 2.402194 + 83.69882 + 0.5753641 + 3.465736;
    reference::Tensor gradient{1,
                               1,
                               1,
                               14,
                               {1.25, 0, 6.931372, -9.99995e-5, 25, .5, -.5, //
                                0, 0, 0, 0, 2.5, 0, 0}};
};

/// A box in every other cell, no anchor near a threshold of its assignment. Class scores are above
/// 0; labels of classes are one-hot, weights are one value over the classes of an anchor.
struct YOLOData {
    reference::Tensor y, t, weights;

    YOLOData(const reference::YOLOLoss& loss, size_t n, size_t h, size_t w, size_t classes)
        : y(reference::random(n, h, w, loss.anchorCount() * (5 + classes), 21, -1.5, 1.5)),
          t(n, h, w, y.c), weights(reference::random(n, h, w, y.c, 23, 0.5, 2)) {
        const size_t own = 5 + classes, anchors = loss.anchorCount(), cells = n * h * w;
        const auto box = reference::randomVector(cells * 4, 22, 0, 1);
        for (size_t cell = 0; cell < cells; ++cell)
            for (size_t a = 0; a < anchors; ++a) {
                const size_t i = cell * y.c + a * own;
                for (size_t k = 5; k < own; ++k) {
                    y.v[i + k] = 0.2 + std::abs(y.v[i + k]);
                    weights.v[i + k] = weights.v[i + 5];
                }
                if ((cell + a) % 5 == 0) weights.v[i + 4] = 0;
                if (cell % 2 != 0) continue;
                t.v[i] = 0.1 + 0.8 * box[4 * cell];
                t.v[i + 1] = 0.1 + 0.8 * box[4 * cell + 1];
                t.v[i + 2] = 0.5 + 3 * box[4 * cell + 2];
                t.v[i + 3] = 0.5 + 3 * box[4 * cell + 3];
                t.v[i + 4] = 1;
                if (classes > 0) t.v[i + 5 + cell / 2 % classes] = 1;
            }
        awayFromThresholds(loss, anchors, own);
        for (reference::Tensor* tensor : {&y, &t, &weights})
            *tensor = reference::rounded(*tensor, reference::Storage::Float16);
    }

private:
    void awayFromThresholds(const reference::YOLOLoss& loss, size_t anchors, size_t own) {
        for (size_t cell = 0; cell < y.size() / y.c; cell += 2)
            while (isNear(loss, cell * y.c, anchors))
                for (size_t a = 0; a < anchors; ++a) {
                    t.v[cell * y.c + a * own + 2] *= 0.97;
                    t.v[cell * y.c + a * own + 3] *= 1.01;
                }
    }
    bool isNear(const reference::YOLOLoss& loss, size_t first, size_t anchors) const {
        std::vector<double> overlaps;
        for (size_t a = 0; a < anchors; ++a) {
            const double w = loss.anchors[2 * a], h = loss.anchors[2 * a + 1];
            const double tw = t.v[first + 2], th = t.v[first + 3];
            const double common = std::min(w, tw) * std::min(h, th);
            const double o = common / (w * h + tw * th - common);
            if (std::abs(o - loss.presence) < 0.01 || std::abs(o - loss.absence) < 0.01)
                return true;
            for (double other : overlaps)
                if (o != other && std::abs(o - other) < 0.01) return true;
            overlaps.push_back(o);
        }
        return false;
    }
};

} // namespace mpsvk::test
