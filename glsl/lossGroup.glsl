// How the workgroup of a loss is laid out: lossThreads invocations in teams of `lanes`, a power of
// two; a team takes a pixel, its members every lanes-th slice. Include it after
// IMAGE_SOURCE(..., source).
#ifndef MPSVK_LOSS_GROUP_GLSL
#define MPSVK_LOSS_GROUP_GLSL

const uint lossThreads = 128u;
shared float lossScratch[lossThreads];

float teamMaximum(float value, uint thread, uint lane, uint lanes) {
    lossScratch[thread] = value;
    barrier();
    for (uint step = lanes / 2u; step > 0u; step /= 2u) {
        if (lane < step) lossScratch[thread] = max(lossScratch[thread], lossScratch[thread + step]);
        barrier();
    }
    float result = lossScratch[thread - lane];
    barrier();
    return result;
}

float teamSum(float value, uint thread, uint lane, uint lanes) {
    lossScratch[thread] = value;
    barrier();
    for (uint step = lanes / 2u; step > 0u; step /= 2u) {
        if (lane < step) lossScratch[thread] += lossScratch[thread + step];
        barrier();
    }
    float result = lossScratch[thread - lane];
    barrier();
    return result;
}

// x: the largest of the pixel's channels; y: ln(sum of e^(channel - x)). The whole workgroup calls
// it, with isActive false where there is no pixel.
vec2 teamSoftMax(ImageView v, bool isActive, int x, int y, uint image, uint thread, uint lane,
                 uint lanes) {
    uint slices = isActive ? (v.channels + 3u) / 4u : 0u;
    float largest = -3.402823466e38;
    for (uint slice = lane; slice < slices; slice += lanes) {
        vec4 value = source_load(v, x, y, slice, image);
        uint used = min(v.channels - slice * 4u, 4u);
        for (uint i = 0u; i < used; ++i) largest = max(largest, value[i]);
    }
    largest = teamMaximum(largest, thread, lane, lanes);
    float sum = 0.0;
    for (uint slice = lane; slice < slices; slice += lanes) {
        vec4 value = exp(source_load(v, x, y, slice, image) - largest);
        uint used = min(v.channels - slice * 4u, 4u);
        for (uint i = 0u; i < used; ++i) sum += value[i];
    }
    return vec2(largest, log(teamSum(sum, thread, lane, lanes)));
}

#endif
