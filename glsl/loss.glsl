// Losses of elements and their derivatives, by the numbers of MPS::CNNLossType. `t` is the smoothed
// label, `logSoftMax` counts for SoftMaxCrossEntropy alone.
#ifndef MPSVK_LOSS_GLSL
#define MPSVK_LOSS_GLSL

#include "neuron.glsl"

const uint lossMeanAbsoluteError = 0u;
const uint lossMeanSquaredError = 1u;
const uint lossSoftMaxCrossEntropy = 2u;
const uint lossSigmoidCrossEntropy = 3u;
const uint lossCategoricalCrossEntropy = 4u;
const uint lossHinge = 5u;
const uint lossHuber = 6u;
const uint lossCosineDistance = 7u;
const uint lossLog = 8u;
const uint lossKullbackLeiblerDivergence = 9u;

// `value`, but 0 where the label is 0, whatever the value is there.
vec4 whereLabeled(vec4 t, vec4 value) { return mix(value, vec4(0.0), equal(t, vec4(0.0))); }

vec4 lossValue(uint type, vec4 y, vec4 t, vec4 logSoftMax, float epsilon, float delta) {
    vec4 d = y - t;
    switch (type) {
    case lossMeanAbsoluteError:
        return abs(d);
    case lossMeanSquaredError:
        return d * d;
    case lossSoftMaxCrossEntropy:
        return whereLabeled(t, -t * logSoftMax);
    case lossSigmoidCrossEntropy:
        return max(y, 0.0) - whereLabeled(t, y * t) + neuronLog1p(exp(-abs(y)));
    case lossCategoricalCrossEntropy:
        return whereLabeled(t, -t * log(y));
    case lossHinge:
        return max(1.0 - (2.0 * t - 1.0) * y, 0.0);
    case lossHuber:
        return mix(delta * abs(d) - 0.5 * delta * delta, 0.5 * d * d,
                   lessThanEqual(abs(d), vec4(delta)));
    case lossCosineDistance:
        return -y * t; // the 1 is added once an image
    case lossLog:
        return -t * log(y + epsilon) - (1.0 - t) * log((1.0 - y) + epsilon);
    case lossKullbackLeiblerDivergence:
        return whereLabeled(t, t * (log(t) - y));
    }
    return vec4(0.0);
}

vec4 lossGradient(uint type, vec4 y, vec4 t, vec4 logSoftMax, float epsilon, float delta) {
    vec4 d = y - t;
    switch (type) {
    case lossMeanAbsoluteError:
        return sign(d);
    case lossMeanSquaredError:
        return 2.0 * d;
    case lossSoftMaxCrossEntropy:
        return exp(logSoftMax) - t;
    case lossSigmoidCrossEntropy:
        return neuronLogistic(y) - t;
    case lossCategoricalCrossEntropy:
        return whereLabeled(t, -t / y);
    case lossHinge:
        return mix(vec4(0.0), 1.0 - 2.0 * t, greaterThan(1.0 + (1.0 - 2.0 * t) * y, vec4(0.0)));
    case lossHuber:
        return clamp(d, -delta, delta);
    case lossCosineDistance:
    case lossKullbackLeiblerDivergence:
        return -t;
    case lossLog: // grouped so that nothing cancels near y = t = 1
        return (d + epsilon * (1.0 - 2.0 * t)) / (y * (1.0 - y) + epsilon * (epsilon + 1.0));
    }
    return vec4(0.0);
}

// With respect to the label before its smoothing, t = label * labelScale + shift.
vec4 lossLabelGradient(uint type, vec4 y, vec4 t, vec4 logSoftMax, float labelScale, float epsilon,
                       float delta) {
    vec4 d = y - t;
    switch (type) {
    case lossMeanAbsoluteError:
        return -sign(d);
    case lossMeanSquaredError:
        return -2.0 * d;
    case lossSoftMaxCrossEntropy:
        return -labelScale * logSoftMax;
    case lossSigmoidCrossEntropy:
        return -labelScale * y;
    case lossCategoricalCrossEntropy:
        return -log(y);
    case lossHinge:
        return mix(vec4(0.0), -2.0 * y, greaterThan(1.0 - (2.0 * t - 1.0) * y, vec4(0.0)));
    case lossHuber:
        return -clamp(d, -delta, delta);
    case lossCosineDistance:
        return -y;
    case lossLog:
        return log((1.0 - y) + epsilon) - log(y + epsilon);
    case lossKullbackLeiblerDivergence:
        return whereLabeled(t, log(t) + 1.0 - y);
    }
    return vec4(0.0);
}

bvec4 channelsOf(ImageView v, uint slice) {
    return lessThan(slice * 4u + uvec4(0u, 1u, 2u, 3u), uvec4(v.channels));
}

#endif
