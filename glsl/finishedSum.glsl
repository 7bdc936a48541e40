// What a convolution does with a texel of its sums: the bias and the neuron. The includer declares NEURON,
// TILE_TEXELS, `parameters` (CNNConvolutionParameters), and in `channels` the biases, then for PReLU the
// slopes, each padded to whole tiles.
vec4 finishedSum(uint slice, vec4 value) {
    if (parameters.hasBias != 0u) {
        value += channels[slice];
    }
    if (NEURON != neuronNone) {
        vec4 a = vec4(parameters.neuronA);
        if (NEURON == neuronPReLU) {
            a = channels[parameters.tiles * TILE_TEXELS + slice];
        }
        value = neuronForward(NEURON, value, a, vec4(parameters.neuronB), vec4(parameters.neuronC));
    }
    return value;
}
