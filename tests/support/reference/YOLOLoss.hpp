#pragma once
// The loss of a detection grid: boxes assigned to anchors, four losses an anchor, and the gradient.

#include "Loss.hpp"

namespace mpsvk::reference {

struct YOLOLoss {
    Loss xy, wh, confidence, classes; // their reductions do not count
    Reduction reduction = Reduction::Sum;
    bool reduceAcrossBatch = false;
    bool rescore = true;
    double scaleXY = 10, scaleWH = 10, scaleNoObject = 5, scaleObject = 100, scaleClass = 2;
    double presence = 0.7, absence = 0.3;
    std::vector<double> anchors; // width, height of each

    std::size_t anchorCount() const { return anchors.size() / 2; }
};

enum class BoxRole { LeftOut, NoObject, Object };

struct Box {
    BoxRole role = BoxRole::LeftOut;
    double confidence = 0; // its target
};

// Of every anchor of every pixel: [image][row][column][anchor].
std::vector<Box> assign(const YOLOLoss& loss, const LossInputs& inputs);

// With the boxes held constant, the gradient is the derivative of the loss without a reduction.
Tensor forward(const YOLOLoss& loss, const LossInputs& inputs, const std::vector<Box>& boxes);
Tensor fusedGradient(const YOLOLoss& loss, const LossInputs& inputs, const std::vector<Box>& boxes);

} // namespace mpsvk::reference
