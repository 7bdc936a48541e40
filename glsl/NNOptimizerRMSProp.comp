// RMSProp: each element's step is divided by the root of its mean square gradient.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNOptimizer.glsl"

OPTIMIZER_SOURCE(1, gradient)
OPTIMIZER_SOURCE(2, values)
OPTIMIZER_DESTINATION(3, result)
OPTIMIZER_MOMENT(4, momentA) // mean square

void main() {
    Place at = placeInRange();
    if (!any(at.valid)) return;
    vec4 w = values_load(at);
    vec4 g = preprocessed(gradient_load(at), w);
    vec4 s = p.beta2 * momentA_load(at) + p.rest2 * g * g;
    momentA_store(at, s);
    result_store(at, w - p.rate * g / (squareRoot(s) + p.epsilon));
}
