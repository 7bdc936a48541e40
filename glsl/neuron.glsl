// Activation functions and their derivatives, by the numbers of MPS::CNNNeuronType. `x` is the
// value before the activation; a, b, c are the parameters of the neuron, for PReLU `a` per channel.
#ifndef MPSVK_GLSL_NEURON_GLSL
#define MPSVK_GLSL_NEURON_GLSL

const uint neuronNone = 0u;
const uint neuronReLU = 1u;
const uint neuronLinear = 2u;
const uint neuronSigmoid = 3u;
const uint neuronHardSigmoid = 4u;
const uint neuronTanH = 5u;
const uint neuronAbsolute = 6u;
const uint neuronSoftPlus = 7u;
const uint neuronSoftSign = 8u;
const uint neuronELU = 9u;
const uint neuronPReLU = 10u;
const uint neuronReLUN = 11u;
const uint neuronPower = 12u;
const uint neuronExponential = 13u;
const uint neuronLogarithm = 14u;
const uint neuronGeLU = 15u;

// e^x - 1 without cancellation near 0.
vec4 neuronExpm1(vec4 x) {
    vec4 series = 1.0 / 120.0 + x * (1.0 / 720.0 + x * (1.0 / 5040.0 + x * (1.0 / 40320.0)));
    series = x * (1.0 + x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * series))));
    return mix(exp(x) - 1.0, series, lessThan(abs(x), vec4(0.5)));
}

// ln(1 + x) for 0 <= x <= 1: 2 atanh(x / (2 + x)), whose argument is at most 1/3.
vec4 neuronLog1p(vec4 x) {
    vec4 t = x / (2.0 + x);
    vec4 s = t * t;
    return 2.0 * t * (1.0 + s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0 +
           s * (1.0 / 11.0 + s * (1.0 / 13.0)))))));
}

// No overflow and no cancellation at either end.
vec4 neuronLogistic(vec4 x) {
    vec4 e = exp(-abs(x));
    return mix(e, vec4(1.0), greaterThanEqual(x, vec4(0.0))) / (1.0 + e);
}

// The built-in tanh may overflow and is inexact near 0.
vec4 neuronTanh(vec4 x) {
    vec4 e = neuronExpm1(-2.0 * abs(x));
    return -sign(x) * e / (e + 2.0);
}

// Of a standard normal variable: the probability of more than t >= 0, over e^(-t^2 / 2). Relative error
// below 1e-5 up to t = 12; of the probability, absolute error below 2e-8.
vec4 neuronBeyond(vec4 t) {
    vec4 u = 1.0 / (1.0 + 0.34 * t);
    return u * (0.135979921 + u * (0.130228147 + u * (0.154591396 + u * (-0.0266544577 +
           u * (0.259621978 + u * (-0.198028162 + u * 0.0442611836))))));
}

// The standard normal distribution P(x), and the derivative of x P(x): 1 minus what they are at -x.
vec4 neuronNormal(vec4 x) {
    vec4 beyond = exp(-0.5 * x * x) * neuronBeyond(abs(x));
    return mix(beyond, 1.0 - beyond, greaterThanEqual(x, vec4(0.0)));
}
vec4 neuronNormalSlope(vec4 x) {
    vec4 t = abs(x), beyond = exp(-0.5 * x * x) * (neuronBeyond(t) - 0.398942280 * t);
    return mix(beyond, 1.0 - beyond, greaterThanEqual(x, vec4(0.0)));
}

// As IEEE 754 has it: the built-in one leaves x < 0 and 0^0 open.
vec4 neuronPow(vec4 x, vec4 y) {
    vec4 magnitude = pow(abs(x), y);
    bvec4 zero = equal(x, vec4(0.0));
    magnitude = mix(magnitude, mix(vec4(0.0), vec4(uintBitsToFloat(0x7f800000u)),
                                   lessThan(y, vec4(0.0))), zero);
    bvec4 whole = equal(y, floor(y));
    vec4 odd = y - 2.0 * floor(0.5 * y);
    vec4 negative = mix(vec4(uintBitsToFloat(0x7fc00000u)), magnitude * (1.0 - 2.0 * odd), whole);
    vec4 result = mix(magnitude, negative, lessThan(x, vec4(0.0)));
    return mix(result, vec4(1.0), equal(y, vec4(0.0)));
}

// Of ReLU, PReLU and ReLUN with a >= 0 the sign tells what x was: + of what is not below 0, -0 included,
// and - of what is, 0 times it included.
vec4 neuronForward(uint type, vec4 x, vec4 a, vec4 b, vec4 c) {
    bvec4 positive = greaterThanEqual(x, vec4(0.0));
    vec4 rectified = mix(a * x, abs(x), positive);
    bvec4 natural = equal(c, vec4(-1.0));
    switch (type) {
    case neuronReLU:
    case neuronPReLU:
        return rectified;
    case neuronLinear:
        return a * x + b;
    case neuronSigmoid:
        return neuronLogistic(x);
    case neuronHardSigmoid:
        return clamp(a * x + b, 0.0, 1.0);
    case neuronTanH:
        return a * neuronTanh(b * x);
    case neuronAbsolute:
        return abs(x);
    case neuronSoftPlus:
        return a * (max(b * x, 0.0) + neuronLog1p(exp(-abs(b * x))));
    case neuronSoftSign:
        return x / (1.0 + abs(x));
    case neuronELU:
        return mix(a * neuronExpm1(min(x, 0.0)), x, positive);
    case neuronReLUN:
        return min(rectified, b);
    case neuronPower:
        return neuronPow(a * x + b, c);
    case neuronExponential:
        return mix(neuronPow(c, a * x + b), exp(a * x + b), natural);
    case neuronLogarithm:
        return log(a * x + b) / mix(log(c), vec4(1.0), natural);
    case neuronGeLU:
        return x * neuronNormal(x);
    default:
        return x;
    }
}

vec4 neuronDerivative(uint type, vec4 x, vec4 a, vec4 b, vec4 c) {
    bvec4 positive = greaterThanEqual(x, vec4(0.0));
    bvec4 natural = equal(c, vec4(-1.0));
    // Unfused: the ends of HardSigmoid's slope are where 32-bit arithmetic puts them.
    precise vec4 linear = a * x + b;
    switch (type) {
    case neuronReLU:
    case neuronPReLU:
        return mix(a, vec4(1.0), positive);
    case neuronLinear:
        return a;
    case neuronSigmoid: {
        vec4 e = exp(-abs(x));
        return e / ((1.0 + e) * (1.0 + e));
    }
    case neuronHardSigmoid:
        return mix(vec4(0.0), mix(vec4(0.0), a, lessThanEqual(linear, vec4(1.0))),
                   greaterThanEqual(linear, vec4(0.0)));
    case neuronTanH: {
        vec4 e = exp(-2.0 * abs(b * x));
        return a * b * 4.0 * e / ((1.0 + e) * (1.0 + e));
    }
    case neuronAbsolute:
        return sign(x);
    case neuronSoftPlus:
        return a * b * neuronLogistic(b * x);
    case neuronSoftSign:
        return 1.0 / ((1.0 + abs(x)) * (1.0 + abs(x)));
    case neuronELU:
        return mix(a * exp(min(x, 0.0)), vec4(1.0), positive);
    case neuronReLUN: {
        vec4 slope = mix(a, vec4(1.0), positive);
        return mix(vec4(0.0), slope, lessThan(mix(a * x, x, positive), b));
    }
    case neuronPower:
        return mix(a * c * neuronPow(linear, c - 1.0), vec4(0.0), equal(c, vec4(0.0)));
    case neuronExponential:
        return a * mix(log(c) * neuronPow(c, linear), exp(linear), natural);
    case neuronLogarithm:
        return a / (linear * mix(log(c), vec4(1.0), natural));
    case neuronGeLU:
        return neuronNormalSlope(x);
    default:
        return vec4(1.0);
    }
}

// The same from y = f(x), for the types and parameters of mps::isKnownFromResult.
vec4 neuronDerivativeFromResult(uint type, vec4 y, vec4 a, vec4 b) {
    if (type == neuronNone) return vec4(1.0);
    if (type == neuronLinear) return a;
    vec4 slope = mix(a, vec4(1.0), lessThanEqual(floatBitsToUint(y), uvec4(0x7f800000u)));
    return type == neuronReLUN ? mix(vec4(0.0), slope, lessThan(y, b)) : slope;
}

// NEURON_SLOPES(3) declares the slopes of PReLU at binding 3, one for each channel, and what `a` is for
// the four channels of a slice.
#define NEURON_SLOPES(B)                                                                           \
    layout(set = 0, binding = B, std430) readonly buffer Slopes { float slopes[]; };               \
    vec4 slopesOf(uint type, float a, uint slice, uint channels) {                                 \
        if (type != neuronPReLU) return vec4(a);                                                   \
        uvec4 channel = min(slice * 4u + uvec4(0u, 1u, 2u, 3u), uvec4(channels - 1u));             \
        return vec4(slopes[channel.x], slopes[channel.y], slopes[channel.z], slopes[channel.w]);   \
    }

#endif
