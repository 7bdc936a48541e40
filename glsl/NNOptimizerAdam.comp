// Adam and AMSGrad.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNOptimizer.glsl"

OPTIMIZER_SOURCE(1, gradient)
OPTIMIZER_SOURCE(2, values)
OPTIMIZER_DESTINATION(3, result)
OPTIMIZER_MOMENT(4, momentA) // mean gradient
OPTIMIZER_MOMENT(5, momentB) // mean square
OPTIMIZER_MOMENT(6, momentC) // the greatest mean square so far

void main() {
    Place at = placeInRange();
    if (!any(at.valid)) return;
    vec4 w = values_load(at);
    vec4 g = preprocessed(gradient_load(at), w);
    vec4 m = p.beta1 * momentA_load(at) + p.rest1 * g;
    vec4 v = p.beta2 * momentB_load(at) + p.rest2 * g * g;
    momentA_store(at, m);
    momentB_store(at, v);
    if (p.mode == optimizerModeMaximum) {
        vec4 greatest = momentC_load(at);
        // Neither is negative, so that their bits are ordered as they are, with NaN above all.
        v = uintBitsToFloat(max(floatBitsToUint(v), floatBitsToUint(greatest)));
        momentC_store(at, v);
    }
    result_store(at, w - p.rate * m / (squareRoot(v) + p.epsilon));
}
