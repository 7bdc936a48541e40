// Settings and data that the tests of the loss kernels share.
#pragma once

#include "support/reference/Loss.hpp"

#include <mpsvk/MPS/CNNLoss.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace mpsvk::test {

/// No parameter at its default.
inline reference::Loss lossOf(reference::LossType type, reference::Reduction reduction,
                              bool acrossBatch) {
    reference::Loss loss;
    loss.type = type;
    loss.reduction = reduction;
    loss.reduceAcrossBatch = acrossBatch;
    loss.weight = 1.75;
    loss.labelSmoothing = 0.125;
    loss.epsilon = 0.0078125;
    loss.delta = 0.25;
    return loss;
}

struct LossCase {
    reference::Loss loss;

    std::string name() const {
        return "type " + std::to_string(int(loss.type)) + " reduction " +
               std::to_string(int(loss.reduction)) + (loss.reduceAcrossBatch ? " across" : "");
    }
    reference::Loss with(size_t classes) const {
        reference::Loss made = loss;
        made.numberOfClasses = classes;
        return made;
    }
    MPS::CNNLossDescriptor descriptor(size_t classes) const {
        MPS::CNNLossDescriptor d(MPS::CNNLossType(int(loss.type)),
                                 MPS::CNNReductionType(int(loss.reduction)));
        d.setReduceAcrossBatch(loss.reduceAcrossBatch);
        d.setWeight(float(loss.weight));
        d.setLabelSmoothing(float(loss.labelSmoothing));
        d.setNumberOfClasses(classes);
        d.setEpsilon(float(loss.epsilon));
        d.setDelta(float(loss.delta));
        return d;
    }
};

/// All types, each with every reduction that it has, per image and across the batch.
inline std::vector<LossCase> lossCases() {
    std::vector<LossCase> all;
    for (int type = 0; type < 10; ++type)
        for (int reduction = 0; reduction < 4; ++reduction)
            for (const bool across : {false, true}) {
                const auto t = reference::LossType(type);
                const auto r = reference::Reduction(reduction);
                if (t == reference::LossType::CosineDistance && r != reference::Reduction::Sum)
                    continue;
                all.push_back({lossOf(t, r, across)});
            }
    return all;
}

/// Predictions and labels within the domain of every loss, no element near a kink; labels of a
/// pixel sum to 1 and the weights of a pixel are one value where the cross entropy wants it.
struct LossData {
    reference::Tensor y, t, weights;

    LossData(const reference::Loss& loss, size_t n, size_t h, size_t w, size_t c)
        : y(reference::random(n, h, w, c, 11, 0.1, 0.9)),
          t(reference::random(n, h, w, c, 12, 0.1, 0.9)),
          weights(reference::random(n, h, w, c, 13, 0.5, 2)) {
        const bool softMax = loss.type == reference::LossType::SoftMaxCrossEntropy;
        for (size_t i = 0; i < t.size(); i += c) {
            double sum = 0;
            for (size_t k = 0; k < c; ++k) sum += t.v[i + k];
            for (size_t k = 0; k < c; ++k) {
                if (softMax) {
                    t.v[i + k] /= sum;
                    weights.v[i + k] = weights.v[i];
                    y.v[i + k] = 4 * y.v[i + k] - 2;
                    continue;
                }
                if ((i + k) % 3 == 0) weights.v[i + k] = 0;
                for (const double kink : {0., loss.delta, -loss.delta})
                    if (std::abs(y.v[i + k] - t.v[i + k] - kink) < 0.03) t.v[i + k] += 0.07;
            }
        }
        y = reference::rounded(y, reference::Storage::Float32);
        t = reference::rounded(t, reference::Storage::Float32);
        weights = reference::rounded(weights, reference::Storage::Float32);
    }
};

} // namespace mpsvk::test
