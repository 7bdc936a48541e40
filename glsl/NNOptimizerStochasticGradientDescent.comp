// Gradient descent, with or without momentum.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNOptimizer.glsl"

OPTIMIZER_SOURCE(1, gradient)
OPTIMIZER_SOURCE(2, values)
OPTIMIZER_DESTINATION(3, result)
OPTIMIZER_MOMENT(4, momentA)

void main() {
    Place at = placeInRange();
    if (!any(at.valid)) return;
    vec4 w = values_load(at);
    vec4 g = preprocessed(gradient_load(at), w);
    vec4 change = p.rate * g;
    if (p.mode != optimizerModePlain) {
        vec4 m = p.beta1 * momentA_load(at);
        if (p.mode == optimizerModeNesterov) {
            m += g;
            change = p.rate * (g + p.beta1 * m);
        } else {
            m += change;
            change = m;
        }
        momentA_store(at, m);
    }
    result_store(at, w - change);
}
