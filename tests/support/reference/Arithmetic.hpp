#pragma once
// Element by element arithmetic with scales, bias, clamp and broadcast; comparison; gradients.

#include "Tensor.hpp"

#include <limits>

namespace mpsvk::reference {

enum class ArithmeticOperation { Add, Subtract, Multiply, Divide };

// Apple's values.
enum class ComparisonType { Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual };

// Result element d reads the operand's element offset + stride * d; stride 0 repeats one element.
struct Operand {
    double scale = 1;
    std::ptrdiff_t offsetX = 0, offsetY = 0;
    std::size_t strideX = 1, strideY = 1, strideChannels = 1;
};

struct Arithmetic {
    ArithmeticOperation operation = ArithmeticOperation::Add;
    Operand primary = {}, secondary = {};
    double bias = 0;
    double minimum = -std::numeric_limits<float>::max();
    double maximum = std::numeric_limits<float>::max();
    std::size_t outputHeight = 1, outputWidth = 1, outputChannels = 1; // the clip rectangle

    bool clamps() const {
        return minimum != -std::numeric_limits<float>::max() ||
               maximum != std::numeric_limits<float>::max();
    }
};

Tensor forward(const Arithmetic& arithmetic, const Tensor& primary, const Tensor& secondary);

// 1 where minimum < value < maximum before clamping, else 0; all 1 when nothing is clamped.
Tensor clampMask(const Arithmetic& arithmetic, const Tensor& primary, const Tensor& secondary);

// The true derivative with respect to the whole primary or secondary operand, clamp included.
Tensor gradient(const Arithmetic& arithmetic, const Tensor& sourceGradient, const Tensor& primary,
                const Tensor& secondary, bool withRespectToSecondary);

// What a gradient kernel computes from its own properties alone: Add and Subtract
// primaryScale * G, Multiply primaryScale * G * secondaryScale * S, summed over the chosen axes.
struct ArithmeticGradientKernel {
    bool multiply = false;
    double primaryScale = 1;
    Operand secondary = {}; // of S
    bool sumColumns = false, sumRows = false, sumChannels = false;
};

Tensor forward(const ArithmeticGradientKernel& kernel, const Tensor& sourceGradient,
               const Tensor& secondary);

Tensor compareElements(ComparisonType type, double threshold, const Arithmetic& geometry,
                       const Tensor& primary, const Tensor& secondary);

} // namespace mpsvk::reference
