// Arithmetic kernels of the library, configured as the reference's.
#pragma once

#include "support/Images.hpp"
#include "support/reference/Arithmetic.hpp"

#include <memory>

namespace mpsvk::test {

using reference::Arithmetic;
using reference::ArithmeticOperation;
using reference::Tensor;

struct Strides {
    size_t x = 1, y = 1, c = 1;
};

/// All settings at once, in both spellings.
struct ArithmeticCase {
    ArithmeticOperation operation = ArithmeticOperation::Add;
    Strides primary, secondary;
    size_t h = 4, w = 3, c = 5;
    bool clamped = false;

    Arithmetic reference() const {
        Arithmetic a;
        a.operation = operation;
        a.primary = {1.25, 0, 0, primary.x, primary.y, primary.c};
        a.secondary = {-0.5, 0, 0, secondary.x, secondary.y, secondary.c};
        a.bias = 0.375;
        if (clamped) {
            a.minimum = -0.125;
            a.maximum = 0.75;
        }
        a.outputWidth = primary.x || secondary.x ? w : 1;
        a.outputHeight = primary.y || secondary.y ? h : 1;
        a.outputChannels = primary.c || secondary.c ? c : 1;
        return a;
    }
    Tensor operand(size_t n, const Strides& s, uint64_t seed) const {
        Tensor t = reference::random(n, s.y ? h : 1, s.x ? w : 1, s.c ? c : 1, seed, 0.5, 1.5);
        for (size_t i = 0; i < t.size(); i += 2) t.v[i] = -t.v[i];
        return reference::rounded(t, reference::Storage::Float32);
    }
    std::string name() const {
        const auto text = [](const Strides& s) {
            return std::to_string(s.x) + std::to_string(s.y) + std::to_string(s.c);
        };
        return "operation " + std::to_string(int(operation)) + " strides " + text(primary) + " " +
               text(secondary) + (clamped ? " clamped" : "");
    }
    void configure(MPS::CNNArithmetic& k) const {
        k.setPrimaryScale(1.25f);
        k.setSecondaryScale(-0.5f);
        k.setBias(0.375f);
        k.setPrimaryStrideInPixelsX(primary.x);
        k.setPrimaryStrideInPixelsY(primary.y);
        k.setPrimaryStrideInFeatureChannels(primary.c);
        k.setSecondaryStrideInPixelsX(secondary.x);
        k.setSecondaryStrideInPixelsY(secondary.y);
        k.setSecondaryStrideInFeatureChannels(secondary.c);
        if (clamped) {
            k.setMinimumValue(-0.125f);
            k.setMaximumValue(0.75f);
        }
    }
    std::unique_ptr<MPS::CNNArithmetic> forward() const {
        std::unique_ptr<MPS::CNNArithmetic> made;
        switch (operation) {
        case ArithmeticOperation::Add: made = std::make_unique<MPS::CNNAdd>(testDevice()); break;
        case ArithmeticOperation::Subtract:
            made = std::make_unique<MPS::CNNSubtract>(testDevice());
            break;
        case ArithmeticOperation::Multiply:
            made = std::make_unique<MPS::CNNMultiply>(testDevice());
            break;
        case ArithmeticOperation::Divide:
            made = std::make_unique<MPS::CNNDivide>(testDevice());
            break;
        }
        configure(*made);
        return made;
    }
    std::unique_ptr<MPS::CNNArithmeticGradient> gradient(bool isSecondary) const {
        std::unique_ptr<MPS::CNNArithmeticGradient> made;
        switch (operation) {
        case ArithmeticOperation::Add:
            made = std::make_unique<MPS::CNNAddGradient>(testDevice(), isSecondary);
            break;
        case ArithmeticOperation::Subtract:
            made = std::make_unique<MPS::CNNSubtractGradient>(testDevice(), isSecondary);
            break;
        default:
            made = std::make_unique<MPS::CNNMultiplyGradient>(testDevice(), isSecondary);
            break;
        }
        made->setPrimaryScale(1.25f);
        made->setSecondaryScale(-0.5f);
        if (operation != ArithmeticOperation::Multiply && isSecondary)
            made->setPrimaryScale(operation == ArithmeticOperation::Add ? -0.5f : 0.5f);
        if (clamped) {
            made->setMinimumValue(-0.125f);
            made->setMaximumValue(0.75f);
        }
        return made;
    }
};

inline const Strides broadcasts[] = {{1, 1, 1}, {0, 0, 1}, {1, 1, 0},
                                     {0, 1, 1}, {1, 0, 1}, {0, 0, 0}};

} // namespace mpsvk::test
